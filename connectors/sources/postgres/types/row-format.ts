/** Reads rows of format `postgres/1` out of the log: only the columns that are asked for, without any connection to the database. */
import type { ColumnSchema, RowSchema } from '../../../../src/change/schema.ts';
import type { Value } from '../../../../src/change/value.ts';
import type { RowDecoder, RowFormat } from '../../../../src/connector/row-format.ts';
import { invariant } from '../../../../src/errors/invariant.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { ColumnKindByte, lengthAt, TUPLE_FORMAT } from '../tuple.ts';
import type { Decoding } from './decoding.ts';
import { Malformed } from './malformed.ts';
import { readerOf, type BytesReader } from './value-decoder.ts';

export const postgresFormat: RowFormat = {
  name: TUPLE_FORMAT,
  decoder: (schema, columns) => new TupleDecoder(schema, columns),
};

const LENGTH_BYTES = 4;

class TupleDecoder implements RowDecoder {
  readonly #schema: RowSchema;
  /** For each column up to the last projected one: its reader and its place in the result, or null for a column to step over. */
  readonly #readers: readonly (BytesReader | null)[];
  readonly #places: readonly number[];
  /** Copied for every row: quicker than making an array of a length. */
  readonly #nulls: readonly null[];

  constructor(schema: RowSchema, columns: readonly string[]) {
    invariant(schema.format === TUPLE_FORMAT, `rows of format ${schema.format} are read by their own format`);
    invariant(new Set(columns).size === columns.length, 'a projection names each column once');
    const places = schema.columns.map((column) => columns.indexOf(column.name));
    const known = places.filter((place) => place >= 0);
    invariant(known.length === columns.length, `every projected column is in the schema of ${schema.table}`);
    const last = places.findLastIndex((place) => place >= 0);
    this.#schema = schema;
    this.#places = places.slice(0, last + 1);
    this.#readers = this.#places.map((place, i) => (place < 0 ? null : readerOf((schema.columns[i] as ColumnSchema).decoding as unknown as Decoding)));
    this.#nulls = columns.map(() => null);
  }

  decode(row: Uint8Array): Value[] {
    const bytes = Buffer.isBuffer(row) ? row : Buffer.from(row.buffer, row.byteOffset, row.byteLength);
    const values: Value[] = this.#nulls.slice();
    const readers = this.#readers;
    const places = this.#places;
    if (bytes.length < 2 || bytes.readUInt16BE(0) !== this.#schema.columns.length) throw this.#undecodable('has another number of columns than its schema');
    let at = 2;
    for (let i = 0; i < readers.length; i += 1) {
      const reader = readers[i] as BytesReader | null;
      const kind = bytes[at];
      if (kind === ColumnKindByte.text) {
        const start = at + 1 + LENGTH_BYTES;
        const end = start + lengthAt(bytes, at);
        if (end > bytes.length) throw this.#undecodable('ends inside a column');
        if (reader !== null) values[places[i] as number] = this.#value(reader, bytes, start, end, i);
        at = end;
      } else if (kind === ColumnKindByte.null) {
        at += 1;
      } else {
        if (reader !== null) throw this.#valueMissing(kind, bytes, at, i);
        at += this.#skipped(kind);
      }
    }
    return values;
  }

  #value(reader: BytesReader, bytes: Buffer, start: number, end: number, column: number): Value {
    try {
      return reader(bytes, start, end);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      const { name, sourceType } = this.#schema.columns[column] as ColumnSchema;
      throw this.#undecodable(`has a value in column ${name} (${sourceType}) that is not ${error.message} as the server prints it`);
    }
  }

  #skipped(kind: number | undefined): number {
    if (kind === ColumnKindByte.leftOut) return 1 + LENGTH_BYTES;
    if (kind === ColumnKindByte.unchanged) return 1;
    throw this.#undecodable('is damaged');
  }

  #valueMissing(kind: number | undefined, bytes: Buffer, at: number, column: number): TailraceError {
    const { name } = this.#schema.columns[column] as ColumnSchema;
    if (kind === ColumnKindByte.unchanged) return this.#undecodable(`lacks the value of column ${name}`);
    if (kind !== ColumnKindByte.leftOut) return this.#undecodable('is damaged');
    if (lengthAt(bytes, at) === 0) return this.#undecodable(`lacks the value of column ${name}, which was dropped or changed before it could be read`);
    return new TailraceError('SRC_VALUE_TOO_LARGE', {
      message: `A row of ${this.#schema.table} has ${lengthAt(bytes, at)} bytes in column ${name}: more than max_value_bytes, or than a row may have together.`,
      entity: `${this.#schema.source}.${this.#schema.table}`,
    });
  }

  #undecodable(what: string): TailraceError {
    return new TailraceError('SRC_UNDECODABLE', {
      message: `A row of ${this.#schema.table} ${what}.`,
      entity: `${this.#schema.source}.${this.#schema.table}`,
    });
  }
}
