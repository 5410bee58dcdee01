/**
 * What rows should be at the target: made by the same builder as the documents that were sent there. Only the limit of a document's size is left
 * out: one that is there from before the limit was lowered is right.
 */
import { documentIdOf } from '../change/key.ts';
import { sameShape, type DeclaredSchema } from '../change/schema.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { RowFormat } from '../connector/row-format.ts';
import type { Chunk } from '../connector/source.ts';
import { createDocumentBuilder, type DocumentBuilder, type RowDocumentBuilder } from '../document/builder.ts';
import type { DocumentTransform } from '../document/transform.ts';
import { catalogue } from '../errors/catalogue.ts';
import { codeOf } from '../errors/tailrace-error.ts';
import type { Expected } from './verdict.ts';

export interface DocumentsOf {
  readonly definition: IndexDefinition;
  readonly format: RowFormat;
  readonly transform: DocumentTransform | undefined;
}

/** The builder of an index's documents, however large they are. */
export function builderOf({ definition, format, transform }: DocumentsOf): DocumentBuilder {
  return createDocumentBuilder({ ...definition, max_document_bytes: Number.MAX_SAFE_INTEGER }, { format, transform });
}

const NONE: Expected = { kind: 'none' };
const FAILED: Expected = { kind: 'failed' };

/** Throws what is no fault of the row alone. */
export function expectedOf(builder: RowDocumentBuilder, row: Uint8Array): Expected {
  try {
    const built = builder.build(row);
    return built.kind === 'document' ? { kind: 'document', json: built.json } : NONE;
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined || catalogue[code].disposition !== 'dead_letter') throw error;
    return FAILED;
  }
}

/** A row of a chunk, or a key of it that no row has. */
export interface ExpectedRow {
  readonly id: string;
  /** Valid as long as the chunk. */
  readonly key: Uint8Array;
  readonly expected: Expected;
}

export class ExpectedRows {
  readonly #source: string;
  readonly #documents: DocumentBuilder;
  #last: { readonly declared: DeclaredSchema; readonly builder: RowDocumentBuilder } | null = null;

  constructor(source: string, documents: DocumentBuilder) {
    this.#source = source;
    this.#documents = documents;
  }

  /** Of those rows whose ids are wanted. Throws SRC_DDL when the table lacks a column that the index needs. */
  *of(chunk: Chunk, isWanted: (id: string) => boolean = () => true): Generator<ExpectedRow, void, undefined> {
    const { keyBytes, keyOffsets, bytes, offsets, absentKeys } = chunk;
    const count = offsets.length - 1;
    const builder = count > 0 ? this.#builderFor(chunk.schema) : null;
    for (let i = 0; i < count; i += 1) {
      const key = keyBytes.subarray(keyOffsets[i], keyOffsets[i + 1]);
      const id = documentIdOf(key);
      if (isWanted(id)) yield { id, key, expected: expectedOf(builder as RowDocumentBuilder, bytes.subarray(offsets[i], offsets[i + 1])) };
    }
    for (const key of absentKeys) yield { id: documentIdOf(key), key, expected: NONE };
  }

  #builderFor(declared: DeclaredSchema): RowDocumentBuilder {
    if (this.#last === null || (this.#last.declared !== declared && !sameShape(this.#last.declared, declared))) {
      this.#last = { declared, builder: this.#documents.forSchema({ ...declared, id: 0, source: this.#source }) };
    }
    return this.#last.builder;
  }
}
