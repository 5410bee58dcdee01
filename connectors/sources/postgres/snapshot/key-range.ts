/**
 * Keys that are looked up together: what a snapshot's range is made of when rows are asked for by key. Durable; it outlives any rewrite of the table.
 *
 *     u8 1 | u32 how many keys at most to ask for at once | for each key: u32 length | key
 *
 * Other ranges are JSON, which never begins with that byte.
 */
import { decodeKey } from '../../../../src/change/key.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';

const KIND = 1;
const HEAD_BYTES = 5;

/** Keys of one statement, and their bytes in it: a chunk of rows of the usual sizes. */
const RANGE_KEYS_MAX = 2_000;
const RANGE_KEY_BYTES_MAX = 256 * 1024;

export interface KeyRange {
  readonly keys: readonly Uint8Array[];
  /** Keys to ask for at once: fewer when their rows turned out to be large. */
  readonly atOnce: number;
}

export function isKeyRange(bytes: Uint8Array): boolean {
  return bytes[0] === KIND;
}

/** Keys of one range have their nulls in the same places: one statement finds them. */
export function keyRangesOf(keys: readonly Uint8Array[]): Buffer[] {
  const byNulls = Map.groupBy(keys, (key) => decodeKey(key).map((part) => (part === null ? 'n' : 'v')).join(''));
  const ranges: Uint8Array[][] = [];
  for (const alike of byNulls.values()) {
    let range: Uint8Array[] = [];
    let bytes = 0;
    for (const key of alike) {
      if (range.length === RANGE_KEYS_MAX || bytes + key.length > RANGE_KEY_BYTES_MAX || range.length === 0) {
        range = [];
        bytes = 0;
        ranges.push(range);
      }
      range.push(key);
      bytes += key.length;
    }
  }
  return ranges.map((range) => encodeKeyRange({ keys: range, atOnce: RANGE_KEYS_MAX }));
}

export function encodeKeyRange({ keys, atOnce }: KeyRange): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES + keys.reduce((sum, { length }) => sum + 4 + length, 0));
  bytes[0] = KIND;
  bytes.writeUInt32BE(atOnce, 1);
  let at = HEAD_BYTES;
  for (const key of keys) {
    at = bytes.writeUInt32BE(key.length, at);
    bytes.set(key, at);
    at += key.length;
  }
  return bytes;
}

export function decodeKeyRange(range: Uint8Array): KeyRange {
  const bytes = Buffer.from(range.buffer, range.byteOffset, range.byteLength);
  const keys: Buffer[] = [];
  try {
    for (let at = HEAD_BYTES; at < bytes.length; ) {
      const end = at + 4 + bytes.readUInt32BE(at);
      keys.push(bytes.subarray(at + 4, end));
      at = end;
    }
    return { keys, atOnce: bytes.readUInt32BE(1) };
  } catch (cause) {
    throw new TailraceError('STATE_CORRUPT', { message: 'The keys that a snapshot of a Postgres source is to read are not readable.', cause });
  }
}
