/** From the last change per key to operations: documents are built, poison rows set aside. */
import { documentIdOf } from '../change/key.ts';
import { Op } from '../change/operation.ts';
import { versionOf, type Seq } from '../change/seq.ts';
import type { Operation } from '../connector/target.ts';
import type { RowDocumentBuilder } from '../document/builder.ts';
import { catalogue } from '../errors/catalogue.ts';
import { codeOf, type TailraceError } from '../errors/tailrace-error.ts';
import type { ChangeBatch, PendingChange } from './change-batch.ts';
import { withdrawalOf, type RefusedOperation } from './delivery.ts';

/** What a batch comes to. It holds no frames: they are free while it is on its way. */
export interface BuiltBatch {
  readonly operations: readonly Operation[];
  /** Keys that are in flight with this batch: no other batch may hold them at the same time. */
  readonly keys: ReadonlySet<string>;
  /** Takes what the index has of the documents that could not be built out of it. */
  readonly withdrawals: readonly Operation[];
  /** Documents that could not be built. */
  readonly failed: readonly RefusedOperation[];
  /** Ids whose operation is a delete only because the row is filtered out. */
  readonly filtered: ReadonlySet<string>;
  readonly documentBytes: number;
  /** Nothing has to be done to the target. */
  readonly isEmpty: boolean;
  /** As in `ChangeBatch`. */
  readonly clearedAt: Seq | null;
  readonly commitTimeMs: number | null;
  readonly read: number;
  /** Those of the batch, and changes passed over because the snapshot that is still to come has their rows newer. */
  readonly superseded: number;
}

/** The builder for a change's rows; null for changes that are passed over (see `IndexedTable`). */
type BuilderOf = (schemaId: number, op: Op) => RowDocumentBuilder | null;

/** Throws what is no fault of a single row: SRC_DDL, INVARIANT. */
export function buildBatch(batch: ChangeBatch, epoch: number, builderOf: BuilderOf): BuiltBatch {
  const operations: Operation[] = [];
  const withdrawals: Operation[] = [];
  const failed: RefusedOperation[] = [];
  const filtered = new Set<string>();
  let documentBytes = 0;
  let outdated = 0;
  for (const change of batch.changes.values()) {
    const id = documentIdOf(change.key);
    const version = versionOf(epoch, change.seq);
    const builder = change.op === Op.delete ? null : builderOf(change.schemaId, change.op);
    if (builder === null && change.op !== Op.delete) {
      outdated += 1;
      continue;
    }
    try {
      const document = builder === null ? null : buildDocument(change, builder);
      if (document === null) {
        if (change.op !== Op.delete) filtered.add(id);
        operations.push({ kind: 'delete', id, version });
      } else {
        documentBytes += document.length;
        operations.push({ kind: 'put', id, version, document });
      }
    } catch (error) {
      if (!isDeadLetter(error)) throw error;
      failed.push({ id, seq: change.seq, code: error.code, reason: error.message });
      withdrawals.push(withdrawalOf(id, version));
    }
  }
  const { isEmpty, clearedAt, commitTimeMs, read, superseded } = batch;
  return { operations, withdrawals, keys: new Set(batch.changes.keys()), failed, filtered, documentBytes, isEmpty, clearedAt, commitTimeMs, read, superseded: superseded + outdated };
}

function buildDocument(change: PendingChange, builder: RowDocumentBuilder): string | null {
  const built = builder.build(change.row);
  return built.kind === 'document' ? built.json : null;
}

function isDeadLetter(error: unknown): error is TailraceError {
  const code = codeOf(error);
  return code !== undefined && catalogue[code].disposition === 'dead_letter';
}
