/**
 * The relations of the stream: which of them are ours, what their rows look like, what a change of that calls for. The catalog answers,
 * which takes a round trip when a relation is new or has changed; the stream waits for it.
 */
import type { ChangeSink } from '../../../../src/connector/source.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { readRelation, readType } from '../pgoutput/message.ts';
import type { Relation, TypeName } from '../pgoutput/relation.ts';
import type { RowTable } from './row-changes.ts';

interface KnownRelation {
  /** The message that described it, with the names of its types: the same again changes nothing. */
  readonly description: string;
  readonly row: RowTable;
}

interface RelationsDeps {
  readonly catalog: Catalog;
  readonly sink: ChangeSink;
  /** Brings the catalog up to date if the server's has changed; what that does to rows is seen to elsewhere. */
  readonly refreshCatalog: () => Promise<void>;
  /** Whether the relation is a partition or inherits from another: a part of a table of ours, perhaps. */
  readonly hasParent: (relationOid: number) => Promise<boolean>;
  readonly signal: AbortSignal;
}

export class Relations {
  readonly #deps: RelationsDeps;
  readonly #known = new Map<number, KnownRelation>();
  /** Relations of the publication that are no table of ours. */
  readonly #foreign = new Set<number>();
  readonly #typeNames = new Map<number, TypeName>();

  constructor(deps: RelationsDeps) {
    this.#deps = deps;
  }

  /** The table that a change is about, or null when it is not one of ours. */
  rowTable(oid: number): RowTable | null {
    const known = this.#known.get(oid);
    if (known !== undefined) return known.row;
    if (this.#foreign.has(oid)) return null;
    throw new TailraceError('SRC_PROTOCOL', { message: `The server sent a change of relation ${oid} without describing it first.` });
  }

  /** The schema under which a table's rows arrive, for a truncate. */
  schemaIdOf(table: string): number | undefined {
    for (const { row } of this.#known.values()) if (row.table === table) return row.schemaId;
    return undefined;
  }

  type(bytes: Buffer, start: number, end: number): void {
    const { oid, namespace, name } = readType(bytes, start, end);
    this.#typeNames.set(oid, { namespace, name });
  }

  /** Reads a Relation message. null when nothing is to be waited for; otherwise the stream goes on when the promise resolves. */
  relation(bytes: Buffer, start: number, end: number): Promise<void> | null {
    const sent = readRelation(bytes, start, end, new Map());
    const relation = { ...sent, typeNames: this.#typeNamesOf(sent) };
    const description = JSON.stringify([bytes.toString('latin1', start, end), [...relation.typeNames]]);
    const known = this.#known.get(relation.oid);
    if (known?.description === description && this.#deps.catalog.tableOf(relation.oid) === known.row.table) return null;
    return this.#resolve(relation, description);
  }

  /** The catalog was refreshed: what left our tables is not ours any more, whatever of it is still to come. */
  catalogChanged(): void {
    const { catalog } = this.#deps;
    for (const [oid, { row }] of this.#known) {
      if (catalog.tableOf(oid) === row.table) continue;
      this.#known.delete(oid);
      this.#foreign.add(oid);
    }
  }

  async #resolve(relation: Relation, description: string): Promise<void> {
    const { catalog, sink, signal, refreshCatalog } = this.#deps;
    const { oid } = relation;
    // A description that changed, or of a part that is new: DDL was run, and the catalog may not know it yet.
    if (this.#known.has(oid) || (await this.#mayBecomeOurs(relation))) await refreshCatalog();
    const table = catalog.tableOf(oid);
    if (table === undefined) {
      this.#known.delete(oid);
      this.#foreign.add(oid);
      return;
    }
    const { schema, keyIndexes } = await catalog.shapeOf(relation, signal);
    const row: RowTable = {
      table,
      keyIndexes,
      schemaId: sink.declare(schema),
      columnCount: relation.columns.length,
      identity: relation.columns.map((column) => column.identity || relation.replicaIdentity === 'f'),
    };
    this.#foreign.delete(oid);
    this.#known.set(oid, { description, row });
  }

  /** A publication may send thousands of tables that nobody asked for: the catalog is not read again for each. */
  async #mayBecomeOurs(relation: Relation): Promise<boolean> {
    const { catalog, hasParent } = this.#deps;
    if (catalog.tableOf(relation.oid) !== undefined) return false;
    const name = `${relation.namespace}.${relation.name}`;
    return catalog.tables.some(({ table }) => table === name) || (await hasParent(relation.oid));
  }

  #typeNamesOf(relation: Relation): ReadonlyMap<number, TypeName> {
    const names = new Map<number, TypeName>();
    for (const { typeOid } of relation.columns) {
      const name = this.#typeNames.get(typeOid);
      if (name !== undefined) names.set(typeOid, name);
    }
    return names;
  }
}
