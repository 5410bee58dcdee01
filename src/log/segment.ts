/** A segment as the process knows it, and the list of all that the log holds. */
import type { Seq } from '../change/seq.ts';
import { invariant } from '../errors/invariant.ts';

export interface Segment {
  readonly name: string;
  readonly ordinal: number;
  readonly firstSeq: Seq;
  /** Crc of the frame before the segment's header. */
  readonly prevCrc: number;
  /** Seq of the first change behind the segment. */
  nextSeq: Seq;
  /** Durable length; readers never go beyond. The footer is counted. */
  bytes: number;
  sealed: boolean;
  /** Crc of the last durable frame. */
  endCrc: number;
  /** Data frames, with or without changes. */
  frames: number;
  /** Append times of the first and last data frame; 0 when there is none. */
  firstAppendMs: number;
  lastAppendMs: number;
}

const SUFFIX = '.seg';
const NAME = /^(\d{20})-(\d{10})\.seg$/;

export function segmentName(firstSeq: Seq, ordinal: number): string {
  return `${String(firstSeq).padStart(20, '0')}-${String(ordinal).padStart(10, '0')}${SUFFIX}`;
}

/** Undefined for a file that is no segment. */
export function parseSegmentName(name: string): { readonly firstSeq: Seq; readonly ordinal: number } | undefined {
  const match = NAME.exec(name);
  return match === null ? undefined : { firstSeq: Number(match[1]), ordinal: Number(match[2]) };
}

/** All segments, oldest first, ordinals without a gap. Never empty once the log is open. */
export class SegmentList {
  readonly #segments: Segment[] = [];
  /** Of all but the last, which grows. */
  #sealedBytes = 0;

  get length(): number {
    return this.#segments.length;
  }

  /** Bytes of all segments. */
  get bytes(): number {
    return this.#sealedBytes + (this.#segments.at(-1)?.bytes ?? 0);
  }

  get first(): Segment {
    const segment = this.#segments[0];
    invariant(segment !== undefined, 'an open log has a segment');
    return segment;
  }

  get last(): Segment {
    const segment = this.#segments.at(-1);
    invariant(segment !== undefined, 'an open log has a segment');
    return segment;
  }

  add(segment: Segment): void {
    invariant(this.#segments.length === 0 || this.last.ordinal + 1 === segment.ordinal, 'segments follow each other');
    this.#sealedBytes = this.bytes;
    this.#segments.push(segment);
  }

  /** Makes more of the last segment readable. */
  grow(bytes: number): void {
    this.last.bytes += bytes;
  }

  /** Makes the last segment's footer readable, and with it known that the segment is complete. */
  seal(footerBytes: number, footerCrc: number): void {
    this.grow(footerBytes);
    this.last.endCrc = footerCrc;
    this.last.sealed = true;
  }

  removeFirst(): Segment {
    const segment = this.#segments.shift();
    invariant(segment !== undefined && this.#segments.length > 0, 'the last segment is never removed');
    this.#sealedBytes -= segment.bytes;
    return segment;
  }

  /** Undoes `removeFirst`. */
  putBackFirst(segment: Segment): void {
    invariant(this.first.ordinal === segment.ordinal + 1, 'segments follow each other');
    this.#segments.unshift(segment);
    this.#sealedBytes += segment.bytes;
  }

  byOrdinal(ordinal: number): Segment | undefined {
    return this.#segments[ordinal - (this.#segments[0]?.ordinal ?? 0)];
  }

  /** The oldest segment that may hold a frame behind `after`, registers of their own included; the last one when there is none. */
  holding(after: Seq): Segment {
    let low = 0;
    let high = this.#segments.length - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#segments[middle] as Segment).nextSeq - 1 >= after) high = middle;
      else low = middle + 1;
    }
    return this.#segments[low] ?? this.last;
  }

  [Symbol.iterator](): IterableIterator<Segment> {
    return this.#segments.values();
  }
}
