/**
 * Compares two sets of documents by sums of hashes, whatever order they come in and however many they are. Ids fall into buckets; a bucket holds the
 * sum of the hashes of what one side has, less those of what the other has, and is zero when both have the same. What is in another bucket, at most
 * a few documents beside the one that differs, is to be looked at one by one.
 */
import { mixed, TextHash } from './text-hash.ts';

const BUCKETS_MIN = 1 << 10;

/** 32 MiB of sums. */
export const BUCKETS_MAX = 1 << 22;

export class BucketSums {
  readonly #ids: TextHash;
  readonly #texts: TextHash;
  /** Two halves for each bucket, each modulo 2^32. */
  readonly #sums: Int32Array;
  readonly #spoilt: Uint8Array;

  /** `expected`: about how many documents there are: with as many buckets, one that differs takes few others with it. */
  constructor(salt: number, expected: number) {
    const buckets = Math.min(BUCKETS_MAX, Math.max(BUCKETS_MIN, 2 ** Math.ceil(Math.log2(Math.max(1, expected)))));
    this.#ids = new TextHash(salt);
    this.#texts = new TextHash(mixed(salt));
    this.#sums = new Int32Array(2 * buckets);
    this.#spoilt = new Uint8Array(buckets);
  }

  /** A document that the source makes. */
  addMade(id: string, json: string): void {
    this.#add(id, json, 1);
  }

  /** A document that the target has. */
  addStored(id: string, document: string): void {
    this.#add(id, document, -1);
  }

  /** Whatever its sum is, the bucket of this id is to be looked at. */
  spoil(id: string): void {
    this.#spoilt[this.#bucketOf(id)] = 1;
  }

  /** Of everything in the bucket of this id, both sides have the same. */
  isEqual(id: string): boolean {
    return this.#isEqualAt(this.#bucketOf(id));
  }

  /** Everywhere both sides have the same. */
  get areEqual(): boolean {
    for (let bucket = 0; bucket < this.#spoilt.length; bucket += 1) if (!this.#isEqualAt(bucket)) return false;
    return true;
  }

  #isEqualAt(bucket: number): boolean {
    return this.#spoilt[bucket] === 0 && this.#sums[2 * bucket] === 0 && this.#sums[2 * bucket + 1] === 0;
  }

  #bucketOf(id: string): number {
    this.#ids.of(id);
    return this.#ids.low & (this.#spoilt.length - 1);
  }

  #add(id: string, text: string, sign: 1 | -1): void {
    const at = 2 * this.#bucketOf(id);
    this.#texts.of(text);
    // Mixed together, not added up: two documents of one bucket that were exchanged must not come to the same sum.
    this.#sums[at] = (this.#sums[at] as number) + sign * mixed(this.#texts.high ^ this.#ids.high);
    this.#sums[at + 1] = (this.#sums[at + 1] as number) + sign * mixed(this.#texts.low ^ this.#ids.low);
  }
}
