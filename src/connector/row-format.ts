/** How rows in the log are read: one per source type, usable without any connection to the source. */
import type { RowSchema } from '../change/schema.ts';
import type { Value } from '../change/value.ts';

export interface RowDecoder {
  /** Values of the decoder's columns, in the order they were asked for. Throws SRC_UNDECODABLE or SRC_VALUE_TOO_LARGE. */
  decode(row: Uint8Array): Value[];
}

export interface RowFormat {
  /** Equals `RowSchema.format` of every schema it reads: `postgres/1`. */
  readonly name: string;
  /** A decoder for the named columns, compiled once per schema and projection. Every name is a column of the schema. */
  decoder(schema: RowSchema, columns: readonly string[]): RowDecoder;
}
