/**
 * The key of a table stays what it was when its first rows were read: documents are named after it. Another primary key, or none, must not
 * rename them without a word.
 */
import type { TableRequest } from '../../../../src/connector/source.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { quoteIdentifier, quoteQualified } from '../connection/identifier.ts';
import type { CatalogDocument, RelationFacts } from './document.ts';
import { chooseKey, covers, identityStatement, neverNull, replicaIdentity } from './identity.ts';
import type { KnownTable } from './known-tables.ts';
import { examine } from './logical-table.ts';

/**
 * The key to read a table by: the configured one; else the one that the table had, by the names that its columns have now (a column that is
 * gone keeps its name, and is then found missing); undefined for a table that is new, or that had a configured key.
 */
export function keptKey(known: KnownTable | undefined, request: TableRequest, document: CatalogDocument): readonly string[] | undefined {
  if (request.key !== undefined || known === undefined || known.keyGiven) return request.key;
  const root = document.relations.find((relation) => relation.oid === known.root);
  return known.key.map((name) => {
    const number = known.rootColumns.find((column) => column.name === name)?.number;
    return root?.columns.find((column) => column.number === number)?.name ?? name;
  });
}

/**
 * Throws SRC_NO_IDENTITY when the table has another key now and cannot go on by the old one: because updates and deletes do not say its
 * columns any more, or because nothing guards that rows differ in them.
 */
export function refuseOtherKey(document: CatalogDocument, request: TableRequest, requests: readonly TableRequest[], kept: readonly string[]): void {
  const { table, root } = examine(document, { table: request.table }, requests);
  if (root === null) return;
  const now = table?.key ?? chooseKey(root, undefined);
  if (now === null || sameKey(now, kept)) return;
  const stored = table?.leaves.map((leaf) => leaf.relation) ?? [root];
  const uncovered = [...(table?.streamed ?? []), ...stored].find((relation) => !covers(replicaIdentity(relation), kept));
  if (uncovered !== undefined) throw otherKey(request.table, kept, now, identityStatement(uncovered, kept));
  const unguarded = kept.length === 0 ? undefined : stored.find((relation) => !isGuarded(relation, kept));
  if (unguarded === undefined) return;
  const columns = kept.map(quoteIdentifier).join(', ');
  throw otherKey(request.table, kept, now, `ALTER TABLE ${quoteQualified(root.namespace, root.name)} ADD UNIQUE (${columns});`);
}

function sameKey(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((column, i) => column === b[i]);
}

function isGuarded(relation: RelationFacts, key: readonly string[]): boolean {
  return relation.indexes?.some((index) => neverNull(relation, index) && index.columns.every((column) => key.includes(column))) ?? false;
}

function otherKey(table: string, before: readonly string[], now: readonly string[], statement: string): TailraceError {
  return new TailraceError('SRC_NO_IDENTITY', {
    message: `The rows of ${table} were told apart by ${keyName(before)}, and by ${keyName(now)} now: their documents would get other ids.`,
    hint: `To keep the old key: ${statement} To take the new one: \`tailrace run --rebuild SOURCE\`.`,
    entity: table,
  });
}

function keyName(key: readonly string[]): string {
  return key.length === 0 ? 'all of their columns' : `(${key.join(', ')})`;
}

