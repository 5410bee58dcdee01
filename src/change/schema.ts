/**
 * The shape of a table's rows at one moment of its life. A schema is written to the log before the first row that has it,
 * so that a row can be read back for as long as the log is kept, whatever the source looks like by then.
 */

/** What a column's values are, independent of the source's own type names. Documents and mappings are made from this. */
export type ColumnKind =
  | 'boolean'
  | 'int' // fits 53 bits: a JSON number without loss
  | 'bigint' // up to 64 bits and beyond: exact digits
  | 'decimal' // exact digits, or NaN, Infinity, -Infinity
  | 'float'
  | 'text'
  | 'uuid'
  | 'date' // YYYY-MM-DD
  | 'time'
  | 'timestamp' // without zone, ISO 8601, microseconds kept
  | 'timestamptz' // UTC, ISO 8601 with Z, microseconds kept
  | 'interval'
  | 'json' // kept verbatim
  | 'bytes'
  | 'enum'
  | 'ip'
  | 'geometry'
  | 'vector'
  | 'array'
  | 'object' // composite values, hstore, ranges: named parts
  | 'other'; // the source's own text form

export interface ColumnSchema {
  readonly name: string;
  readonly kind: ColumnKind;
  /**
   * What the values in an array are, those in the innermost lists where it has several dimensions. Left out for other kinds, where the source does
   * not say, and in what was logged by a tailrace that did not know it.
   */
  readonly element?: Exclude<ColumnKind, 'array'> | undefined;
  /** The source's own type, as a person would write it: `numeric(10,2)`, `text[]`. */
  readonly sourceType: string;
  readonly nullable: boolean;
  /** 1-based place in the row's identity, or 0 for a column that is no part of it. */
  readonly keyOrdinal: number;
  /** What the source's decoder needs to read a value, JSON-serialisable and opaque to the engine. */
  readonly decoding: Readonly<Record<string, unknown>>;
}

export interface RowSchema {
  /** Unique in one log; given by capture when a source declares the schema, never reused. */
  readonly id: number;
  readonly source: string;
  /** `schema.table`, quoted nowhere: the logical table, that is the root for partitions that are read as one. */
  readonly table: string;
  /** Names the decoder that reads the rows: `postgres/1`. */
  readonly format: string;
  readonly columns: readonly ColumnSchema[];
}

/** A schema as a source declares it, before capture has numbered it. */
export type DeclaredSchema = Omit<RowSchema, 'id' | 'source'>;

/** Columns that make the row's identity, in key order. Empty when the whole row is the identity. */
export function keyColumns(schema: Pick<RowSchema, 'columns'>): readonly ColumnSchema[] {
  return schema.columns.filter((column) => column.keyOrdinal > 0).toSorted((a, b) => a.keyOrdinal - b.keyOrdinal);
}

export function sameShape(a: DeclaredSchema, b: DeclaredSchema): boolean {
  return a.table === b.table && a.format === b.format && JSON.stringify(a.columns) === JSON.stringify(b.columns);
}
