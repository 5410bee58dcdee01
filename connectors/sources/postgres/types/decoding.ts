/**
 * How a column's text is read: a small tree that lies as JSON in `ColumnSchema.decoding`. It holds all that is needed to read a value
 * months later without the database that wrote it; names in it are part of the log's format `postgres/1` and are never renamed.
 */

/** Types whose values have no parts that the catalog must describe. */
export type PlainForm =
  | 'text'
  | 'boolean'
  | 'int'
  | 'bigint'
  | 'decimal'
  | 'float'
  | 'money'
  | 'bytes'
  | 'date'
  | 'time'
  | 'timetz'
  | 'timestamp'
  | 'timestamptz'
  | 'json'
  | 'hstore'
  | 'sparse_vector'
  | 'ewkb'
  | 'int_list'
  | 'point'
  | 'line'
  | 'segment'
  | 'box'
  | 'path'
  | 'polygon'
  | 'circle';

interface PlainDecoding {
  readonly as: PlainForm;
}

interface ArrayDecoding {
  readonly as: 'array';
  readonly of: Decoding;
  /** The element type's own delimiter: `,` for all built-in types but `box`, which has `;`. */
  readonly delimiter: string;
}

export interface CompositeDecoding {
  readonly as: 'composite';
  /** In the order of the type's attributes, dropped ones left out. */
  readonly fields: readonly { readonly name: string; readonly decoding: Decoding }[];
}

interface RangeDecoding {
  readonly as: 'range' | 'multirange';
  /** The type of the bounds. */
  readonly of: Decoding;
}

interface VectorDecoding {
  readonly as: 'vector';
  /** Declared number of dimensions; null when the column takes vectors of any length. */
  readonly dimensions: number | null;
}

export type Decoding = PlainDecoding | ArrayDecoding | CompositeDecoding | RangeDecoding | VectorDecoding;
