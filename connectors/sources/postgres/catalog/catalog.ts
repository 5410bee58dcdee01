/**
 * The tables that a session reads, as the server's catalog describes them: which relations they are made of, what their rows look like,
 * what tells rows apart. Read in one statement, compared by its digest, derived without asking again.
 */
import type { ColumnSchema, DeclaredSchema } from '../../../../src/change/schema.ts';
import type { TableDescription, TableRequest } from '../../../../src/connector/source.ts';
import { invariant } from '../../../../src/errors/invariant.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Query } from '../connection/query.ts';
import type { Relation } from '../pgoutput/relation.ts';
import { publishedColumns, readDigest, readDocument, type CatalogDocument, type CatalogReading, type RelationFacts } from './document.ts';
import { covers, identityStatement } from './identity.ts';
import { keptKey, refuseOtherKey } from './kept-key.ts';
import { knownTable, type KnownTables } from './known-tables.ts';
import { logicalTable, type Leaf, type LogicalTable } from './logical-table.ts';
import { relationOfLeaf, shapeOfRelation, type TableShape } from './shape.ts';
import { changesBetween, type TableChange } from './table-changes.ts';
import { TypeRegistry } from './type-registry.ts';

interface CatalogOptions {
  readonly publication: string;
  /** What was known of tables when they were last looked at, by an earlier session. */
  readonly known?: KnownTables | undefined;
}

/** A leaf with the shape of its rows, for those who read it beside the stream. */
export interface LeafShape extends Leaf {
  readonly shape: TableShape;
}

/** A relation in which rows of a table are looked for, one by one. */
export interface RowSite {
  readonly relation: RelationFacts;
  readonly filter: string | null;
  /** The columns that are read there, by name. */
  readonly columns: readonly ColumnSchema[];
  readonly only: boolean;
}

const PARTITIONED = 'p';

/** How many relations' shapes are kept; a table has one for each form that its rows have had. */
const SHAPES_MAX = 10_000;

export class Catalog {
  readonly #query: Query;
  readonly #requests: readonly TableRequest[];
  readonly #publication: string;
  readonly #types = new TypeRegistry();
  readonly #shapes = new Map<string, TableShape>();
  #reading: CatalogReading;
  #known: KnownTables;
  #tables: ReadonlyMap<string, LogicalTable> = new Map();
  #byOid: ReadonlyMap<number, LogicalTable> = new Map();

  private constructor(query: Query, requests: readonly TableRequest[], options: CatalogOptions, reading: CatalogReading) {
    this.#query = query;
    this.#requests = requests;
    this.#publication = options.publication;
    this.#reading = reading;
    this.#known = options.known ?? new Map();
  }

  /**
   * Reads the tables, and tells what changed in those that were known. Throws SRC_TABLE_MISSING, SRC_TABLE_KIND, SRC_PUBLICATION or
   * SRC_NO_IDENTITY, each with the statement that mends it.
   */
  static async open(query: Query, requests: readonly TableRequest[], options: CatalogOptions, signal: AbortSignal): Promise<{ readonly catalog: Catalog; readonly changes: readonly TableChange[] }> {
    const reading = await readDocument(query, namesOf(requests), options.publication, signal);
    const catalog = new Catalog(query, requests, options, reading);
    return { catalog, changes: await catalog.#take(reading, query, signal) };
  }

  /** The same where nothing was known before. */
  static async load(query: Query, requests: readonly TableRequest[], options: Pick<CatalogOptions, 'publication'>, signal: AbortSignal): Promise<Catalog> {
    return (await Catalog.open(query, requests, options, signal)).catalog;
  }

  /** `server_version_num` of the server that was read. */
  get serverVersion(): number {
    return this.#reading.document.version;
  }

  /** What is known of the tables now, and of those that earlier sessions had besides. */
  get known(): KnownTables {
    return this.#known;
  }

  get tables(): readonly TableDescription[] {
    return [...this.#tables.values()].map((table) => ({ table: table.table, schema: this.#schemaOf(table), estimatedRows: this.#estimateOf(table) }));
  }

  /** The digest of what this catalog was made from. */
  get loadedFingerprint(): string {
    return this.#reading.digest;
  }

  /** The digest of the server's catalog now: another than `loadedFingerprint` asks for `refresh`. */
  async fingerprint(query: Query, signal: AbortSignal): Promise<string> {
    return await readDigest(query, namesOf(this.#requests), this.#publication, signal);
  }

  /**
   * Reads the tables again and tells what changed. A table keeps the key that it was loaded with; when its identity covers that no more,
   * this throws, like everything else that `load` throws, and the catalog stays as it was.
   */
  async refresh(query: Query, signal: AbortSignal): Promise<TableChange[]> {
    return this.#take(await readDocument(query, namesOf(this.#requests), this.#publication, signal), query, signal);
  }

  /** The table that a relation of the stream belongs to; undefined for one that is not ours. */
  tableOf(relationOid: number): string | undefined {
    return this.#byOid.get(relationOid)?.table;
  }

  /**
   * What a Truncate message empties: `whole` tables, all of whose rows are gone, and tables of which only a `part` is, so that nothing but
   * reading again tells what is left.
   */
  truncated(relationOids: readonly number[]): { readonly whole: readonly string[]; readonly part: readonly string[] } {
    const named = new Set(relationOids);
    const whole: string[] = [];
    const part: string[] = [];
    for (const table of new Set(relationOids.map((oid) => this.#byOid.get(oid)))) {
      if (table === undefined) continue;
      const isWhole = table.streamed.every((relation) => named.has(relation.oid)) || (named.has(table.root.oid) && table.leaves.every((leaf) => leaf.streamed.oid === table.root.oid));
      (isWhole ? whole : part).push(table.table);
    }
    return { whole, part };
  }

  /**
   * The shape of rows that a Relation message describes, which may be of the past. Throws SRC_NO_IDENTITY when the relation's identity does
   * not cover the table's key any more.
   */
  async shapeOf(relation: Relation, signal: AbortSignal): Promise<TableShape> {
    const table = this.#byOid.get(relation.oid);
    invariant(table !== undefined, `relation ${relation.oid} belongs to a table of the catalog`);
    const identity = relation.replicaIdentity === 'f' ? 'all' : relation.columns.filter((column) => column.identity).map((column) => column.name);
    if (!covers(identity, table.key) || relation.replicaIdentity === 'n') throw this.#identityLost(relation, table);
    await this.#types.learn(relation.columns, relation.typeNames, this.#query, signal);
    return this.#shape(relation, table);
  }

  /**
   * Where single rows of a table are found: the root where its rows are alike in all leaves, so that the server picks the leaf, else the leaves.
   * `only` leaves out what is beneath.
   */
  sitesOf(table: string): readonly RowSite[] {
    const leaves = this.leavesOf(table);
    const root = this.#tables.get(table)?.root;
    const [first] = leaves;
    if (root === undefined || first === undefined) return [];
    const alike = root.kind === PARTITIONED && leaves.every((leaf) => leaf.filter === first.filter);
    if (alike) return [{ relation: root, filter: first.filter, columns: first.shape.schema.columns, only: false }];
    return leaves.map((leaf) => ({ relation: leaf.relation, filter: leaf.filter, columns: leaf.shape.schema.columns, only: true }));
  }

  /** The leaves of a table, with the shape of their rows: what a snapshot reads. */
  leavesOf(table: string): readonly LeafShape[] {
    const known = this.#tables.get(table);
    invariant(known !== undefined, `table ${table} is one of the catalog`);
    return known.leaves.map((leaf) => ({ ...leaf, shape: this.#shape(relationOfLeaf(leaf), known) }));
  }

  /** Makes a reading the catalog's own, and compares it with what was known. */
  async #take(reading: CatalogReading, query: Query, signal: AbortSignal): Promise<TableChange[]> {
    const { document } = reading;
    const before = this.#known;
    const kept = this.#requests.map((request) => {
      const key = keptKey(before.get(request.table), request, document);
      if (request.key === undefined && key !== undefined) refuseOtherKey(document, request, this.#requests, key);
      return { table: request.table, key };
    });
    const after = derive(document, kept);
    const attached = [...after.values()].flatMap((table) => {
      const known = before.get(table.table);
      return known === undefined ? [] : table.leaves.filter((leaf) => !known.leaves.some((old) => old.oid === leaf.relation.oid));
    });
    const filled = await withRows(query, attached, signal);
    const changes = [...after.values()].flatMap((table) => {
      const known = before.get(table.table);
      return known === undefined ? [] : changesBetween(known, table, (leaf) => filled.has(leaf.relation.oid));
    });
    const given = new Set(this.#requests.flatMap((request) => (request.key === undefined ? [] : [request.table])));
    this.#known = new Map([...before, ...[...after.values()].map((table) => [table.table, knownTable(table, given.has(table.table))] as const)]);
    this.#adopt(reading, after);
    return changes;
  }

  #adopt(reading: CatalogReading, tables: ReadonlyMap<string, LogicalTable>): void {
    this.#types.add(reading.document.types);
    for (const relation of reading.document.relations) for (const column of relation.columns) this.#types.addFormatted(column.type, column.modifier, column.formatted);
    this.#shapes.clear();
    this.#reading = reading;
    this.#tables = tables;
    this.#byOid = byOid(tables.values());
  }

  #shape(relation: Relation, table: LogicalTable): TableShape {
    const name = JSON.stringify([relation.oid, relation.columns, [...relation.typeNames]]);
    const known = this.#shapes.get(name);
    if (known !== undefined) return known;
    const facts = this.#reading.document.relations.find((candidate) => candidate.oid === relation.oid);
    const shape = shapeOfRelation(relation, table, facts, this.#types);
    if (this.#shapes.size >= SHAPES_MAX) this.#shapes.clear();
    this.#shapes.set(name, shape);
    return shape;
  }

  /** That of the first relation whose rows arrive; a partitioned table without partitions shows its own columns. */
  #schemaOf(table: LogicalTable): DeclaredSchema {
    const leaf = table.leaves[0] ?? { streamed: table.root, columns: publishedColumns(table.root, table.root.published, this.serverVersion) };
    return this.#shape(relationOfLeaf(leaf), table).schema;
  }

  #estimateOf(table: LogicalTable): number | null {
    let sum = 0;
    for (const leaf of table.leaves) {
      const rows = this.#reading.estimates[leaf.relation.oid] ?? -1;
      if (rows < 0) return null;
      sum += rows;
    }
    return Math.round(sum);
  }

  #identityLost(relation: Relation, table: LogicalTable): TailraceError {
    const facts: RelationFacts | undefined = this.#reading.document.relations.find((candidate) => candidate.oid === relation.oid);
    const key = table.key.length === 0 ? 'the whole row' : table.key.join(', ');
    return new TailraceError('SRC_NO_IDENTITY', {
      message: `The replica identity of ${relation.namespace}.${relation.name} no longer covers what identifies the rows of ${table.table} (${key}).`,
      hint: facts === undefined ? undefined : identityStatement(facts, table.key),
      entity: table.table,
    });
  }
}

function derive(document: CatalogDocument, requests: readonly TableRequest[]): ReadonlyMap<string, LogicalTable> {
  return new Map(requests.map((request) => [request.table, logicalTable(document, request, requests)]));
}

function byOid(tables: Iterable<LogicalTable>): ReadonlyMap<number, LogicalTable> {
  const found = new Map<number, LogicalTable>();
  for (const table of tables) for (const oid of table.members) found.set(oid, table);
  return found;
}

function namesOf(requests: readonly TableRequest[]): string[] {
  return requests.map((request) => request.table);
}

/** OIDs of the leaves that have blocks. An attached table's rows are all committed, so one without blocks brought none. */
async function withRows(query: Query, leaves: readonly Leaf[], signal: AbortSignal): Promise<ReadonlySet<number>> {
  if (leaves.length === 0) return new Set();
  const oids = leaves.map((leaf) => leaf.relation.oid);
  const rows = await query('SELECT oid FROM unnest($1::pg_catalog.int8[]) attached(oid) WHERE pg_catalog.pg_relation_size(oid::pg_catalog.oid) > 0', [oids], signal);
  return new Set(rows.map((row) => Number(row['oid'])));
}
