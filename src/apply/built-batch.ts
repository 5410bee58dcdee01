/** From the last change per key to operations: documents are built, poison rows set aside. */
import { documentIdOf } from '../change/key.ts';
import { Op } from '../change/operation.ts';
import { versionOf, type Seq } from '../change/seq.ts';
import type { Operation } from '../connector/target.ts';
import type { RowDocumentBuilder } from '../document/builder.ts';
import { catalogue } from '../errors/catalogue.ts';
import { codeOf, type TailraceError } from '../errors/tailrace-error.ts';
import type { ChangeBatch, PendingChange } from './change-batch.ts';

/** A document that could not be built. */
export interface FailedDocument {
  readonly id: string;
  readonly seq: Seq;
  readonly error: TailraceError;
}

export interface BuiltBatch {
  readonly batch: ChangeBatch;
  readonly operations: readonly Operation[];
  /** Keys that are in flight with this batch: no other batch may hold them at the same time. */
  readonly keys: ReadonlySet<string>;
  readonly failed: readonly FailedDocument[];
  /** Ids whose operation is a delete only because the row is filtered out. */
  readonly filtered: ReadonlySet<string>;
  readonly documentBytes: number;
}

/** Throws what is no fault of a single row: SRC_DDL, INVARIANT. */
export function buildBatch(batch: ChangeBatch, epoch: number, builderOf: (schemaId: number) => RowDocumentBuilder): BuiltBatch {
  const operations: Operation[] = [];
  const failed: FailedDocument[] = [];
  const filtered = new Set<string>();
  let documentBytes = 0;
  for (const change of batch.changes.values()) {
    const id = documentIdOf(change.key);
    const version = versionOf(epoch, change.seq);
    try {
      const document = change.op === Op.delete ? null : buildDocument(change, builderOf);
      if (document === null) {
        if (change.op !== Op.delete) filtered.add(id);
        operations.push({ kind: 'delete', id, version });
      } else {
        documentBytes += document.length;
        operations.push({ kind: 'put', id, version, document });
      }
    } catch (error) {
      if (!isDeadLetter(error)) throw error;
      failed.push({ id, seq: change.seq, error });
    }
  }
  return { batch, operations, keys: new Set(batch.changes.keys()), failed, filtered, documentBytes };
}

function buildDocument(change: PendingChange, builderOf: (schemaId: number) => RowDocumentBuilder): string | null {
  const built = builderOf(change.schemaId).build(change.row);
  return built.kind === 'document' ? built.json : null;
}

function isDeadLetter(error: unknown): error is TailraceError {
  const code = codeOf(error);
  return code !== undefined && catalogue[code].disposition === 'dead_letter';
}
