/**
 * How the simulated source writes rows: a JSON array with one place per column of the row's schema. A column that the source did not send
 * is a mark that no value can be confused with; a row with such a mark must never reach a decoder.
 */
import { encodeKey } from '../../change/encode-key.ts';
import type { ColumnSchema, DeclaredSchema, RowSchema } from '../../../src/change/schema.ts';
import type { Value } from '../../../src/change/value.ts';
import type { RowDecoder, RowFormat } from '../../../src/connector/row-format.ts';
import { invariant } from '../../../src/errors/invariant.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';

export type Cell = string | number | null;

export interface SimColumn {
  readonly name: string;
  readonly kind: 'int' | 'text';
  /** Kept outside of the row: an update that leaves it as it was does not send it. */
  readonly toasted: boolean;
  /** What rows have that are older than the column. */
  readonly defaultValue: Cell;
}

export const ROW_FORMAT = 'sim/1';

const NOT_SENT = { not: 'sent' };

/** A text that the decoder refuses. */
export const UNDECODABLE = '\u0007undecodable';

export function declaredSchema(table: string, columns: readonly SimColumn[]): DeclaredSchema {
  return {
    table,
    format: ROW_FORMAT,
    columns: columns.map(
      (column, i): ColumnSchema => ({ name: column.name, kind: column.kind, sourceType: column.kind, nullable: i > 0, keyOrdinal: i === 0 ? 1 : 0, decoding: {} }),
    ),
  };
}

/** The first column is the key. */
export function keyOf(cell: Cell): Buffer {
  return encodeKey([cell === null ? null : Buffer.from(String(cell))]);
}

export function encodeRow(values: readonly Cell[], notSent: ReadonlySet<number> = new Set()): Buffer {
  return Buffer.from(JSON.stringify(values.map((value, i) => (notSent.has(i) ? NOT_SENT : value))));
}

export interface DecodedRow {
  readonly values: readonly Cell[];
  readonly notSent: ReadonlySet<number>;
}

export function decodeRow(row: Uint8Array): DecodedRow {
  const cells = JSON.parse(Buffer.from(row.buffer, row.byteOffset, row.byteLength).toString()) as (Cell | typeof NOT_SENT)[];
  const notSent = new Set<number>();
  const values = cells.map((cell, i) => {
    if (typeof cell !== 'object' || cell === null) return cell;
    notSent.add(i);
    return null;
  });
  return { values, notSent };
}

export const simRowFormat: RowFormat = {
  name: ROW_FORMAT,
  decoder(schema: RowSchema, columns: readonly string[]): RowDecoder {
    const places = columns.map((name) => schema.columns.findIndex((column) => column.name === name));
    invariant(!places.includes(-1), 'a decoder is asked for columns of the schema');
    return {
      decode(row: Uint8Array): Value[] {
        const { values, notSent } = decodeRow(row);
        invariant(notSent.size === 0, 'a row that lacks columns never reaches a decoder');
        invariant(values.length === schema.columns.length, 'a row has the columns of its schema');
        return places.map((place) => {
          const value = values[place] as Cell;
          if (value === UNDECODABLE) throw new TailraceError('SRC_UNDECODABLE', { message: 'A value is not what its type says.' });
          return value;
        });
      },
    };
  },
};
