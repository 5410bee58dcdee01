/** The user's own module: `transform(document, context)`, called for every document after fields and filters. */

/** What a transform may know besides the document. */
export interface TransformContext {
  readonly index: string;
  readonly source: string;
  /** `schema.table`. */
  readonly table: string;
}

export interface DocumentTransform {
  /** As the config names it: for messages. */
  readonly path: string;
  /** SHA-256 of the module's text, hex: part of the fingerprint. */
  readonly contentHash: string;
  /** Returns the document to store, or null to leave the row out. */
  readonly apply: (document: Record<string, unknown>, context: TransformContext) => unknown;
}
