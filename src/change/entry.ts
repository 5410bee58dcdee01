/**
 * One change as it lies in a frame of the log. All numbers big-endian.
 *
 *     u32 length of what follows | u8 op | u8 flags | u32 schema id | u32 key length | key | row
 *
 * `row` is the source's own encoding of the row (see `RowSchema.format`), the rest of the entry; it is empty for deletes and truncates.
 * The change's seq is not stored: it is the frame's first seq plus the entry's place in the frame.
 */
import { TailraceError } from '../errors/tailrace-error.ts';
import type { Op } from './operation.ts';
import type { Seq } from './seq.ts';

/** Bits of an entry's flags. */
export const EntryFlag = {
  /** The first half of a change of key: a delete of the old key, followed at once by the upsert of the new one. */
  keyChanged: 1,
} as const;

export const ENTRY_OVERHEAD_BYTES = 14;

/** Writes an entry at `at` and returns the place behind it. The caller has made sure of `ENTRY_OVERHEAD_BYTES + key + row` bytes of room. */
export function writeEntry(
  into: Buffer,
  at: number,
  op: Op,
  flags: number,
  schemaId: number,
  key: Uint8Array,
  keyStart: number,
  keyEnd: number,
  row: Uint8Array,
  rowStart: number,
  rowEnd: number,
): number {
  const keyLength = keyEnd - keyStart;
  const rowLength = rowEnd - rowStart;
  into.writeUInt32BE(10 + keyLength + rowLength, at);
  into[at + 4] = op;
  into[at + 5] = flags;
  into.writeUInt32BE(schemaId, at + 6);
  into.writeUInt32BE(keyLength, at + 10);
  let end = at + ENTRY_OVERHEAD_BYTES;
  for (let i = 0; i < keyLength; i += 1) into[end + i] = key[keyStart + i] as number;
  end += keyLength;
  if (rowLength > 0) into.set(row.subarray(rowStart, rowEnd), end);
  return end + rowLength;
}

/** Walks over the entries of a frame without making an object for each: fields hold the entry that `next` last stepped on. */
export class EntryCursor {
  readonly #bytes: Buffer;
  #nextSeq: Seq;
  #at = 0;

  seq: Seq = 0;
  op: Op = 1;
  flags = 0;
  schemaId = 0;
  keyStart = 0;
  keyEnd = 0;
  rowEnd = 0;

  constructor(entries: Uint8Array, firstSeq: Seq) {
    this.#bytes = Buffer.from(entries.buffer, entries.byteOffset, entries.byteLength);
    this.#nextSeq = firstSeq;
  }

  /** Steps on the next entry; false at the end. Throws LOG_CORRUPT when the bytes are no entries. */
  next(): boolean {
    const bytes = this.#bytes;
    const at = this.#at;
    if (at === bytes.length) return false;
    if (at + ENTRY_OVERHEAD_BYTES > bytes.length) throw damaged(this.#nextSeq);
    const end = at + 4 + bytes.readUInt32BE(at);
    const keyEnd = at + ENTRY_OVERHEAD_BYTES + bytes.readUInt32BE(at + 10);
    if (end > bytes.length || keyEnd > end) throw damaged(this.#nextSeq);
    this.op = bytes[at + 4] as Op;
    this.flags = bytes[at + 5] as number;
    this.schemaId = bytes.readUInt32BE(at + 6);
    this.keyStart = at + ENTRY_OVERHEAD_BYTES;
    this.keyEnd = keyEnd;
    this.rowEnd = end;
    this.#at = end;
    this.seq = this.#nextSeq;
    this.#nextSeq += 1;
    return true;
  }

  /** A view of the entry's key, valid as long as the frame. */
  key(): Buffer {
    return this.#bytes.subarray(this.keyStart, this.keyEnd);
  }

  /** A view of the entry's row, valid as long as the frame. */
  row(): Buffer {
    return this.#bytes.subarray(this.keyEnd, this.rowEnd);
  }
}

function damaged(seq: Seq): TailraceError {
  return new TailraceError('LOG_CORRUPT', { message: `The change log's entry with seq ${seq} does not end where its frame says.` });
}
