/** Which columns tell a table's rows apart, and whether the server says them when a row is updated or deleted. */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { quoteIdentifier, quoteQualified } from '../connection/identifier.ts';
import { fullName, type IndexFacts, type RelationFacts } from './document.ts';

/** The columns that the server sends of an old row: `all` for REPLICA IDENTITY FULL, null when it sends none and so refuses the update. */
export function replicaIdentity(relation: RelationFacts): readonly string[] | 'all' | null {
  switch (relation.identity) {
    case 'f':
      return 'all';
    case 'i':
      return relation.indexes?.find((index) => index.replica_identity)?.columns ?? null;
    case 'd':
      return primaryKey(relation)?.columns ?? null;
    case 'n':
      return null;
  }
}

function primaryKey(relation: RelationFacts): IndexFacts | undefined {
  return relation.indexes?.find((index) => index.primary);
}

/**
 * Names of the key's columns in key order; empty when the whole row is the key. Without a key that is given: the replica identity's index or
 * the primary key; under FULL the primary key, else a unique index over columns that are never null, else the whole row.
 * null when the relation has no replica identity.
 */
export function chooseKey(relation: RelationFacts, configured: readonly string[] | undefined): readonly string[] | null {
  if (configured !== undefined) return configured;
  const identity = replicaIdentity(relation);
  if (identity !== 'all') return identity;
  return (primaryKey(relation) ?? relation.indexes?.find((index) => neverNull(relation, index)))?.columns ?? [];
}

/** Whether updates and deletes of the relation say the values of these columns; an empty key is the whole row. */
export function covers(identity: readonly string[] | 'all' | null, key: readonly string[]): boolean {
  if (identity === 'all') return true;
  return identity !== null && key.length > 0 && key.every((column) => identity.includes(column));
}

/** The error for a relation whose replica identity does not cover `key` (undefined when it has none at all), with the statement that mends it. */
export function noIdentity(relation: RelationFacts, key: readonly string[] | undefined): TailraceError {
  const table = fullName(relation);
  const what = key === undefined ? 'updates and deletes of it cannot be told apart' : `it does not cover ${key.length === 0 ? 'the whole row, which is the key' : `the key (${key.join(', ')})`}`;
  return new TailraceError('SRC_NO_IDENTITY', {
    message: `Table ${table} has ${describe(relation)}: ${what}.`,
    hint: identityStatement(relation, key),
    entity: table,
  });
}

/** `USING INDEX` where an index serves, since it costs the server nothing; FULL otherwise. */
export function identityStatement(relation: RelationFacts, key: readonly string[] | undefined): string {
  const serving = relation.indexes?.find((index) => neverNull(relation, index) && (key === undefined || (key.length > 0 && key.every((column) => index.columns.includes(column)))));
  const alter = `ALTER TABLE ${quoteQualified(relation.namespace, relation.name)} REPLICA IDENTITY`;
  if (serving === undefined) return `${alter} FULL;`;
  return serving.primary ? `${alter} DEFAULT;` : `${alter} USING INDEX ${quoteIdentifier(serving.name)};`;
}

/** An index over columns that are never null: it tells every row from every other. */
export function neverNull(relation: RelationFacts, index: IndexFacts): boolean {
  return index.columns.every((name) => relation.columns.find((column) => column.name === name)?.not_null === true);
}

function describe(relation: RelationFacts): string {
  switch (relation.identity) {
    case 'f':
      return 'REPLICA IDENTITY FULL';
    case 'n':
      return 'REPLICA IDENTITY NOTHING';
    case 'i':
      return replicaIdentity(relation) === null ? 'REPLICA IDENTITY USING INDEX whose index is gone' : 'REPLICA IDENTITY USING INDEX';
    case 'd':
      return primaryKey(relation) === undefined ? 'REPLICA IDENTITY DEFAULT and no primary key' : 'REPLICA IDENTITY DEFAULT';
  }
}
