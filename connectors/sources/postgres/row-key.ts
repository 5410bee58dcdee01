/**
 * A row's key (`src/change/key.ts`) straight from its tuple bytes, the same for rows of the stream and of a snapshot.
 *
 * Parts are the key columns' values in PostgreSQL's text form. A row without key columns is identified by all of itself: its key
 * has one part, the SHA-256 of the tuple. A key longer than `KEY_BYTES_MAX` is replaced by one part, the SHA-256 of that key; what
 * needs the values then finds them in the row.
 */
import { hash } from 'node:crypto';
import { KEY_BYTES_MAX } from '../../../src/change/key.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { ColumnKindByte, lengthAt, valueStart, type TupleLayout } from './tuple.ts';

const DIGEST_BYTES = 32;
/** Below this a loop over the bytes is quicker than a call that copies them. */
const LOOP_COPY_BYTES = 48;

/** Writes keys into one buffer that is used again for every row: the bytes are valid until the next call. */
export class KeyWriter {
  bytes: Buffer = Buffer.allocUnsafeSlow(1024);
  length = 0;

  /** The key of the tuple that `layout` lies over in `bytes`; `keyIndexes` are places of columns, in key order. `table` is named in errors. */
  write(bytes: Uint8Array, layout: TupleLayout, keyIndexes: readonly number[], table: string): void {
    if (keyIndexes.length === 0) {
      if (layout.unchanged + layout.leftOut > 0) throw unidentifiable(table, layout.leftOut > 0);
      this.#writeDigest(bytes.subarray(layout.start, layout.end));
      return;
    }
    let at = 0;
    for (let i = 0; i < keyIndexes.length; i += 1) {
      const column = layout.columns[keyIndexes[i] as number] as number;
      const kind = bytes[column];
      if (kind === ColumnKindByte.text) at = this.#writePart(at, bytes, column);
      else if (kind === ColumnKindByte.null) at = this.#writeLength(at, 0);
      else throw unidentifiable(table, kind === ColumnKindByte.leftOut);
    }
    this.length = at;
    if (at > KEY_BYTES_MAX) this.#writeDigest(this.bytes.subarray(0, at));
  }

  /** A copy that may be kept. */
  copy(): Buffer {
    return Buffer.from(this.bytes.subarray(0, this.length));
  }

  #writePart(at: number, bytes: Uint8Array, column: number): number {
    const length = lengthAt(bytes, column);
    const from = valueStart(column);
    this.#reserve(at + 4 + length);
    const begin = this.#writeLength(at, length + 1);
    const into = this.bytes;
    if (length < LOOP_COPY_BYTES) for (let i = 0; i < length; i += 1) into[begin + i] = bytes[from + i] as number;
    else into.set(bytes.subarray(from, from + length), begin);
    return begin + length;
  }

  #writeLength(at: number, lengthPlusOne: number): number {
    this.#reserve(at + 4);
    const into = this.bytes;
    into[at] = lengthPlusOne >>> 24;
    into[at + 1] = lengthPlusOne >>> 16;
    into[at + 2] = lengthPlusOne >>> 8;
    into[at + 3] = lengthPlusOne;
    return at + 4;
  }

  #writeDigest(of: Uint8Array): void {
    const digest = hash('sha256', of, 'buffer');
    this.#writeLength(0, DIGEST_BYTES + 1);
    this.bytes.set(digest, 4);
    this.length = 4 + DIGEST_BYTES;
  }

  #reserve(size: number): void {
    if (size <= this.bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(size, this.bytes.length * 2));
    grown.set(this.bytes);
    this.bytes = grown;
  }
}

/** True when both writers hold the same key. */
export function sameKey(a: KeyWriter, b: KeyWriter): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i += 1) if (a.bytes[i] !== b.bytes[i]) return false;
  return true;
}

function unidentifiable(table: string, tooLarge: boolean): TailraceError {
  return new TailraceError('SRC_NO_IDENTITY', {
    message: tooLarge
      ? `A row of ${table} cannot be told from others: a value of its key is larger than max_value_bytes.`
      : `A row of ${table} came without the values of its key: the table's replica identity does not cover it.`,
    entity: table,
  });
}
