/**
 * A table as the engine sees it, made of the relations that hold its rows: one for an ordinary table, the leaves for a partitioned one,
 * published inheritance children besides.
 */
import { invariant } from '../../../../src/errors/invariant.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { TableRequest } from '../../../../src/connector/source.ts';
import { quoteIdentifier, quoteQualified } from '../connection/identifier.ts';
import { fullName, publishedColumns, type CatalogDocument, type ColumnFacts, type RelationFacts } from './document.ts';
import { chooseKey, covers, noIdentity, replicaIdentity } from './identity.ts';

/** A relation with storage, as it is read beside the stream: with the columns and the row filter that the publication has for it. */
export interface Leaf {
  readonly relation: RelationFacts;
  /** The relation under whose name the stream sends its rows: itself, or the root with `publish_via_partition_root`. */
  readonly streamed: RelationFacts;
  /** Published columns, in the order of the streamed relation. */
  readonly columns: readonly ColumnFacts[];
  /** SQL of the publication's row filter, over the columns' bare names; null for all rows. */
  readonly filter: string | null;
}

export interface LogicalTable {
  readonly table: string;
  readonly root: RelationFacts;
  /** Relations under whose OIDs rows arrive in the stream. */
  readonly streamed: readonly RelationFacts[];
  readonly leaves: readonly Leaf[];
  /** OIDs of everything that is the table or a part of it. */
  readonly members: ReadonlySet<number>;
  /** Names of the key's columns in key order; empty when the whole row is the key. */
  readonly key: readonly string[];
}

const ORDINARY = 'r';
const PARTITIONED = 'p';
const PERMANENT = 'p';

const kindNames: Readonly<Record<string, string>> = {
  v: 'a view',
  m: 'a materialised view',
  f: 'a foreign table',
  S: 'a sequence',
};

/** A table, or all that stands in its way. */
interface Examination {
  readonly table: LogicalTable | null;
  /** Each with the statement that mends it; empty exactly when there is a table. */
  readonly problems: readonly TailraceError[];
  /** The relation that the request names, even when it cannot be read. */
  readonly root: RelationFacts | null;
}

/** What the catalog makes of a request. `requests` are all that are read together. */
export function examine(document: CatalogDocument, request: TableRequest, requests: readonly TableRequest[]): Examination {
  const found = document.relations.filter((relation) => fullName(relation) === request.table && relation.roots.includes(relation.oid));
  const [root] = found;
  if (root === undefined || found.length > 1) return { table: null, problems: [notOne(request.table, found)], root: null };
  const parts = partsOf(document, root, requests);
  const stored = parts.filter((relation) => relation.kind !== PARTITIONED);
  const problems: TailraceError[] = [root, ...stored.filter((relation) => relation !== root)].flatMap((relation) => unlogged(relation, root));
  if (problems.length > 0) return { table: null, problems, root };
  if (document.publication === null) problems.push(noPublication(root));
  const asked = new Set(requests.map((other) => other.table));
  problems.push(...parts.filter((relation) => relation !== root && asked.has(fullName(relation))).map((relation) => partOfAnother(relation, root)));
  const viaRoot = root.published !== null && root.kind === PARTITIONED;
  const streamed = viaRoot ? [root] : stored;
  if (document.publication !== null) problems.push(...streamed.filter((relation) => relation.published === null).map((relation) => notPublished(document, relation, root)));
  const key = chooseKey(streamed[0] ?? root, request.key);
  problems.push(...[...new Set([streamed[0] ?? root, ...streamed, ...stored])].flatMap((relation) => unidentified(relation, key)));
  if (problems.length > 0 || key === null) return { table: null, problems, root };
  const leaves = stored.map((relation) => leafOf(document, relation, viaRoot ? root : relation));
  problems.push(...leaves.flatMap((leaf) => keyNotPublished(document, leaf, key)));
  if (problems.length > 0) return { table: null, problems, root };
  return { table: { table: request.table, root, streamed, leaves, members: new Set(parts.map((relation) => relation.oid)), key }, problems, root };
}

/** The same, throwing what stands first in the way. */
export function logicalTable(document: CatalogDocument, request: TableRequest, requests: readonly TableRequest[]): LogicalTable {
  const { table, problems } = examine(document, request, requests);
  const [first] = problems;
  if (first !== undefined) throw first;
  invariant(table !== null, `the examination of ${request.table} ends with a table or a problem`);
  return table;
}

/** The document as it would be after `CREATE PUBLICATION name FOR TABLE ... WITH (publish_via_partition_root = true)` over all the tables. */
export function asPublished(document: CatalogDocument, name: string): CatalogDocument {
  const publication = { name, insert: true, update: true, delete: true, truncate: true, via_root: true, all_tables: false };
  const whole = { columns: null, filter: null };
  const relations = document.relations.map((relation) => ({ ...relation, published: relation.partition && !relation.roots.includes(relation.oid) ? null : whole, published_as: null }));
  return { ...document, publication, relations };
}

function partsOf(document: CatalogDocument, root: RelationFacts, requests: readonly TableRequest[]): RelationFacts[] {
  const asked = new Set(requests.map((request) => request.table));
  return document.relations.filter((relation) => relation.roots.includes(root.oid) && isPart(relation, root, asked));
}

/** Partitions always belong to their root; an inheritance child does when the publication sends it and no request of its own names it. */
function isPart(relation: RelationFacts, root: RelationFacts, asked: ReadonlySet<string>): boolean {
  if (relation.oid === root.oid || root.kind === PARTITIONED) return true;
  return relation.published !== null && !asked.has(fullName(relation));
}

function notOne(table: string, found: readonly RelationFacts[]): TailraceError {
  if (found.length === 0) return new TailraceError('SRC_TABLE_MISSING', { message: `There is no table ${table}.`, entity: table });
  const spellings = found.map((relation) => quoteQualified(relation.namespace, relation.name)).join(' and ');
  return new TailraceError('SRC_TABLE_MISSING', { message: `${table} may mean ${spellings}: names with dots in them cannot be told apart.`, entity: table });
}

function unlogged(relation: RelationFacts, root: RelationFacts): TailraceError[] {
  const of = relation === root ? '' : `, a part of ${fullName(root)},`;
  const what = isTable(relation) ? persistenceName(relation) : (kindNames[relation.kind] ?? 'no table');
  const own = relation.namespace === 'pg_catalog' || relation.namespace === 'information_schema' ? "a part of the server's own catalog" : null;
  const is = what ?? own ?? (relation.columns.length === 0 ? 'a table without columns' : null);
  return is === null ? [] : [new TailraceError('SRC_TABLE_KIND', { message: `${fullName(relation)}${of} is ${is}: there are no changes of it that could be read.`, entity: fullName(root) })];
}

function isTable(relation: RelationFacts): boolean {
  return relation.kind === ORDINARY || relation.kind === PARTITIONED;
}

function persistenceName(relation: RelationFacts): string | null {
  if (relation.persistence === PERMANENT) return null;
  return relation.persistence === 'u' ? 'an unlogged table' : 'a temporary table';
}

function noPublication(root: RelationFacts): TailraceError {
  return new TailraceError('SRC_PUBLICATION', { message: `The publication that should send ${fullName(root)} does not exist.`, entity: fullName(root) });
}

function partOfAnother(relation: RelationFacts, root: RelationFacts): TailraceError {
  return new TailraceError('SRC_TABLE_KIND', {
    message: `${fullName(relation)} is a partition of ${fullName(root)}, which is read as one table.`,
    hint: `Index ${fullName(root)} alone.`,
    entity: fullName(relation),
  });
}

function leafOf(document: CatalogDocument, relation: RelationFacts, streamed: RelationFacts): Leaf {
  const { published } = streamed;
  return { relation, streamed, columns: publishedColumns(streamed, published, document.version), filter: published?.filter ?? null };
}

function notPublished(document: CatalogDocument, relation: RelationFacts, root: RelationFacts): TailraceError {
  const name = document.publication?.name ?? '';
  const above = relation.published_as;
  if (above !== null && document.publication?.via_root === true) {
    return new TailraceError('SRC_PUBLICATION', {
      message: `Publication ${name} sends the rows of ${fullName(relation)} as rows of ${above}.`,
      hint: `Index ${above} instead, or: ALTER PUBLICATION ${quoteIdentifier(name)} SET (publish_via_partition_root = false);`,
      entity: fullName(root),
    });
  }
  return new TailraceError('SRC_PUBLICATION', {
    message: `Publication ${name} does not send ${fullName(relation)}.`,
    hint: `ALTER PUBLICATION ${quoteIdentifier(name)} ADD TABLE ${quoteQualified(root.namespace, root.name)};`,
    entity: fullName(root),
  });
}

function unidentified(relation: RelationFacts, key: readonly string[] | null): TailraceError[] {
  const missing = key?.find((name) => !relation.columns.some((column) => column.name === name));
  if (missing !== undefined) {
    const message = `The key of ${fullName(relation)} names a column ${missing} that the table does not have.`;
    return [new TailraceError('SRC_NO_IDENTITY', { message, hint: 'Correct `key` in the configuration.', entity: fullName(relation) })];
  }
  const identity = replicaIdentity(relation);
  if (key === null) return identity === null ? [noIdentity(relation, undefined)] : [];
  return covers(identity, key) ? [] : [noIdentity(relation, identity === null ? undefined : key)];
}

function keyNotPublished(document: CatalogDocument, leaf: Leaf, key: readonly string[]): TailraceError[] {
  const missing = key.find((name) => !leaf.columns.some((column) => column.name === name));
  if (missing === undefined) return [];
  const { streamed } = leaf;
  const publication = document.publication?.name ?? '';
  const columns = [...leaf.columns.map((column) => column.name), missing].map(quoteIdentifier).join(', ');
  return [
    new TailraceError('SRC_PUBLICATION', {
      message: `Publication ${publication} leaves out column ${missing} of ${fullName(streamed)}, which is part of its key.`,
      hint: `ALTER PUBLICATION ${quoteIdentifier(publication)} SET TABLE ${quoteQualified(streamed.namespace, streamed.name)} (${columns});`,
      entity: fullName(streamed),
    }),
  ];
}
