/** Documents from rows: what an index's definition makes of a row, as a pure function of the definition, the schema and the row's bytes. */
import type { RowSchema } from '../change/schema.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { RowFormat } from '../connector/row-format.ts';
import type { FieldPlan } from '../connector/target.ts';
import type { DocumentTransform } from './transform.ts';

export interface DocumentDeps {
  /** Reads the rows of the index's source. */
  readonly format: RowFormat;
  /** The table as the source has it now, for `fields`; without it only the fields that the definition names are known. */
  readonly table?: Pick<RowSchema, 'table' | 'columns'> | undefined;
  /** The loaded module of `definition.transform`. */
  readonly transform?: DocumentTransform | undefined;
}

export type BuiltDocument =
  /** JSON text of the whole document. */
  | { readonly kind: 'document'; readonly json: string }
  /** The row is not in the index: whatever the index has under its id goes. */
  | { readonly kind: 'filtered'; readonly reason: 'where' | 'transform' };

export interface RowDocumentBuilder {
  /** Fields of documents of this schema, as far as they are known beforehand. */
  readonly fields: readonly FieldPlan[];
  /** Throws DOC_FAILED, DOC_TOO_LARGE, SRC_UNDECODABLE or SRC_VALUE_TOO_LARGE for a row that makes no document. */
  build(row: Uint8Array): BuiltDocument;
}

export interface DocumentBuilder {
  /** Hash of everything that decides what documents look like: for `GenerationBinding.fingerprint`. */
  readonly fingerprint: string;
  /** Fields that are known beforehand, for the target. */
  readonly fields: readonly FieldPlan[];
  /** Compiles the definition for one schema. Throws SRC_DDL when the schema lacks a column that the definition needs. */
  forSchema(schema: RowSchema): RowDocumentBuilder;
}
