/**
 * The ids that the rows of a table make, by their hashes: what a target has beside them is too much. It takes 12 to 23 bytes for each id and never
 * more than 64 MiB: when there are more ids than that, only a part of the space of hashes is looked at, and the others one after the other.
 */
import { invariant } from '../errors/invariant.ts';
import { TextHash } from './text-hash.ts';

const SLOTS_MIN = 1 << 12;

/** 64 MiB of hashes: 5.8 million ids at one time. */
export const SLOTS_MAX = 1 << 23;

/** Share of the slots that may be taken. */
const LOAD_MAX = 0.7;

const PARTS_BITS_MAX = 20;

export interface SeenIdsOptions {
  readonly salt: number;
  /** Share of all ids that are of interest, 0 to 1: a sample has the same ones of rows and documents. */
  readonly share: number;
  readonly slotsMax?: number;
}

export class SeenIds {
  readonly #hash: TextHash;
  readonly #share: number;
  readonly #slotsMax: number;
  #slots = new Uint32Array(2 * SLOTS_MIN);
  #count = 0;
  /** The part that is looked at: hashes whose first `bits` bits are `part`. */
  #bits = 0;
  #part = 0;

  constructor({ salt, share, slotsMax = SLOTS_MAX }: SeenIdsOptions) {
    this.#hash = new TextHash(salt);
    this.#share = share * 2 ** 32;
    this.#slotsMax = slotsMax;
  }

  get count(): number {
    return this.#count;
  }

  /** True when the id is one of the sample, and of the part that is looked at or the first time that any is. */
  isWanted(id: string): boolean {
    if (this.#share >= 2 ** 32 && this.isFirstPart) return true;
    this.#hash.of(id);
    return this.#hash.high < this.#share && (this.isFirstPart || this.#isInPart(this.#hash.low));
  }

  /** False when it was there; of an id of another part nobody knows. */
  add(id: string): boolean {
    this.#hash.of(id);
    const { high, low } = this.#hash;
    if (!this.#isInPart(low)) return true;
    if (this.#count >= this.#slots.length * 0.5 * LOAD_MAX) {
      this.#makeRoom();
      if (!this.#isInPart(low)) return true;
    }
    const added = put(this.#slots, high, low);
    this.#count += added;
    return added === 1;
  }

  /** False for an id of the sample and of the part that is looked at which was not added. */
  has(id: string): boolean {
    this.#hash.of(id);
    const { high, low } = this.#hash;
    return high >= this.#share || !this.#isInPart(low) || find(this.#slots, high, low) < 0;
  }

  /** Forgets all ids. */
  clear(): void {
    this.#slots.fill(0);
    this.#count = 0;
  }

  /** Forgets all ids and turns to the next part; false when there is none left. */
  nextPart(): boolean {
    this.#part += 1;
    if (this.#part >= 2 ** this.#bits) return false;
    this.clear();
    return true;
  }

  /** True while nothing but the first part was looked at. */
  get isFirstPart(): boolean {
    return this.#part === 0;
  }

  #isInPart(low: number): boolean {
    return this.#bits === 0 || low >>> (32 - this.#bits) === this.#part;
  }

  #makeRoom(): void {
    const slots = this.#slots;
    const isFull = slots.length >= 2 * this.#slotsMax;
    if (isFull) {
      invariant(this.#bits < PARTS_BITS_MAX, 'ids come in parts that are small enough');
      this.#bits += 1;
      this.#part *= 2;
    }
    const next = new Uint32Array(isFull ? slots.length : 2 * slots.length);
    this.#count = 0;
    for (let i = 0; i < slots.length; i += 2) {
      const [high = 0, low = 0] = [slots[i], slots[i + 1]];
      if ((high !== 0 || low !== 0) && this.#isInPart(low)) this.#count += put(next, high, low);
    }
    this.#slots = next;
  }
}

/** Two zeros are an empty slot: the one hash that would be them stands as another. Returns 1 when it was not there. */
function put(slots: Uint32Array, high: number, low: number): number {
  const place = find(slots, high, low);
  if (place < 0) return 0;
  slots[place] = high;
  slots[place + 1] = high === 0 && low === 0 ? 1 : low;
  return 1;
}

/** The empty place where the hash belongs; -1 when it is there. */
function find(slots: Uint32Array, high: number, low: number): number {
  const own = high === 0 && low === 0 ? 1 : low;
  const mask = slots.length / 2 - 1;
  for (let slot = (own ^ Math.imul(high, 0x9e37_79b1)) & mask; ; slot = (slot + 1) & mask) {
    const at = 2 * slot;
    const [heldHigh, heldLow] = [slots[at], slots[at + 1]];
    if (heldHigh === high && heldLow === own) return -1;
    if (heldHigh === 0 && heldLow === 0) return at;
  }
}
