/**
 * Rows as they lie in the log, format `postgres/1`: pgoutput's TupleData, byte for byte, so that the stream's rows are never rewritten.
 *
 *     u16 column count, then for each column a kind byte:
 *       'n'  null
 *       'u'  a value out of line that the statement did not change; the server sends no bytes of it. Never in a complete row.
 *       't'  u32 length | the value in PostgreSQL's text form
 *       'x'  u32 length of a value that was left out because it is larger than the source's limits; no bytes follow
 *
 * All numbers big-endian. 'x' is ours, the others are PostgreSQL's (protocol documentation, "Logical Replication Message Formats").
 */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';

/** `RowSchema.format` of every schema whose rows are tuples. */
export const TUPLE_FORMAT = 'postgres/1';

/** Kind bytes of a tuple's columns. */
export const ColumnKindByte = { null: 0x6e, unchanged: 0x75, text: 0x74, leftOut: 0x78 } as const;

/** What is kept of a row: a value is left out ('x') when it alone, or together with what is kept of the row before it, is larger. */
export interface RowLimits {
  readonly valueBytesMax: number;
  readonly rowBytesMax: number;
}

/** Rows keep at most this many times `max_value_bytes`. */
const ROW_LIMIT_FACTOR = 2;

export function rowLimits(valueBytesMax: number): RowLimits {
  return { valueBytesMax, rowBytesMax: valueBytesMax * ROW_LIMIT_FACTOR };
}

/** True when a value of `length` bytes is kept in a row of which `keptBytes` of values are kept already. Both readers of rows ask this. */
export function keepsValue(limits: RowLimits, length: number, keptBytes: number): boolean {
  return length <= limits.valueBytesMax && keptBytes + length <= limits.rowBytesMax;
}

/**
 * Where a tuple's columns lie. One object is filled again for every row: its fields hold the tuple that `read` last walked over.
 * Offsets are places in the buffer that was given to `read`.
 */
export class TupleLayout {
  /** How many columns the tuple has. */
  count = 0;
  /** Place of each column's kind byte, and behind the last one the tuple's end: `count + 1` entries are valid. */
  columns = new Uint32Array(64);
  start = 0;
  end = 0;
  /** How many columns are 'u'. */
  unchanged = 0;
  /** How many columns are 'x'. */
  leftOut = 0;

  /** Walks over the tuple at `start`, which ends at `limit` or before, and returns its end. Throws SRC_PROTOCOL when it is none. */
  read(bytes: Uint8Array, start: number, limit: number): number {
    if (start + 2 > limit) throw malformed('ends inside the column count');
    const count = ((bytes[start] as number) << 8) | (bytes[start + 1] as number);
    if (count >= this.columns.length) this.columns = new Uint32Array(count + 64);
    const columns = this.columns;
    let at = start + 2;
    let unchanged = 0;
    let leftOut = 0;
    for (let i = 0; i < count; i += 1) {
      columns[i] = at;
      const kind = bytes[at];
      if (kind === ColumnKindByte.text) {
        if (at + 5 > limit) throw malformed('ends inside a length');
        at += 5 + lengthAt(bytes, at);
      } else if (kind === ColumnKindByte.null) at += 1;
      else if (kind === ColumnKindByte.unchanged) {
        unchanged += 1;
        at += 1;
      } else if (kind === ColumnKindByte.leftOut) {
        leftOut += 1;
        at += 5;
      } else throw malformed(`has a column of kind ${kind ?? 'nothing'}`);
      if (at > limit) throw malformed('ends inside a column');
    }
    columns[count] = at;
    this.start = start;
    this.end = at;
    this.count = count;
    this.unchanged = unchanged;
    this.leftOut = leftOut;
    return at;
  }
}

/** Length of the value whose kind byte, 't' or 'x', is at `column`. */
export function lengthAt(bytes: Uint8Array, column: number): number {
  return (((bytes[column + 1] as number) << 24) | ((bytes[column + 2] as number) << 16) | ((bytes[column + 3] as number) << 8) | (bytes[column + 4] as number)) >>> 0;
}

/** Place of the first byte of a 't' column's value, of which there are `lengthAt`. */
export function valueStart(column: number): number {
  return column + 5;
}

function malformed(what: string): TailraceError {
  return new TailraceError('SRC_PROTOCOL', { message: `The server sent a row that ${what}.` });
}
