/** What the log's registers say of an index's table: the schemas of its rows, each with the builder of their documents, and its snapshots. */
import { schemaOfRegister } from '../capture/schema-registry.ts';
import { isFor, snapshotOfRegister, type Snapshot } from '../capture/snapshot-state.ts';
import { Op } from '../change/operation.ts';
import type { RowSchema } from '../change/schema.ts';
import type { FieldPlan } from '../connector/target.ts';
import type { DocumentBuilder, RowDocumentBuilder } from '../document/builder.ts';
import { invariant } from '../errors/invariant.ts';
import { codeOf } from '../errors/tailrace-error.ts';
import type { Interest } from './change-batch.ts';

interface IndexedTableDeps {
  readonly source: string;
  readonly table: string;
  readonly documents: DocumentBuilder;
  /** True until the generation's first snapshot is applied. */
  readonly isBuilding: () => boolean;
}

export class IndexedTable {
  readonly #deps: IndexedTableDeps;
  readonly #generation: string;
  readonly #builders = new Map<number, RowDocumentBuilder>();
  readonly #schemas = new Map<number, RowSchema>();
  readonly #snapshots = new Map<number, Snapshot>();
  readonly interest: Interest;

  /** `generation`: its name, by which snapshots are addressed to it. */
  constructor(deps: IndexedTableDeps, generation: string) {
    this.#deps = deps;
    this.#generation = generation;
    this.interest = {
      source: deps.source,
      hasSchema: (id) => this.#schemas.has(id),
      takesSnapshot: (source, number) => {
        const snapshot = this.#snapshots.get(number);
        return snapshot !== undefined && snapshot.source === source && isFor(snapshot, this.#generation);
      },
    };
  }

  /** Learns schemas and snapshots; returns the snapshots of this generation that end here. */
  learn(registers: Iterable<readonly [string, Uint8Array | null]>): Snapshot[] {
    const { source, table } = this.#deps;
    const finished: Snapshot[] = [];
    for (const register of registers) {
      const schema = schemaOfRegister(register);
      if (schema !== undefined && schema.source === source && schema.table === table) this.#schemas.set(schema.id, schema);
      const snapshot = snapshotOfRegister(register);
      if (snapshot === undefined || snapshot.source !== source || snapshot.table !== table) continue;
      this.#snapshots.set(snapshot.number, snapshot);
      if (snapshot.phase === 'done' && isFor(snapshot, this.#generation)) finished.push(snapshot);
    }
    return finished;
  }

  /** Fields of documents that are made from rows of a schema. */
  fieldsOf(schemaId: number): readonly FieldPlan[] {
    return this.#deps.documents.fieldsOf(this.#schema(schemaId));
  }

  /**
   * The builder for a change's rows; null for one from before a column that the index needs was there, while the index is being built:
   * the snapshot brings the row, column and all, behind it. Otherwise throws SRC_DDL for such a one.
   */
  builderOf(schemaId: number, op: Op): RowDocumentBuilder | null {
    let builder = this.#builders.get(schemaId);
    if (builder === undefined) {
      const schema = this.#schema(schemaId);
      try {
        builder = this.#deps.documents.forSchema(schema);
      } catch (error) {
        if (codeOf(error) === 'SRC_DDL' && op !== Op.read && this.#deps.isBuilding()) return null;
        throw error;
      }
      this.#builders.set(schemaId, builder);
    }
    return builder;
  }

  #schema(id: number): RowSchema {
    const schema = this.#schemas.get(id);
    invariant(schema !== undefined, `schema ${id} is in the log before the first row that has it`);
    return schema;
  }
}
