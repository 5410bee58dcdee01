/** What is asked behind a read: the end of the log, and whether what was read is still what the catalog said. */
import { invariant } from '../../../../src/errors/invariant.ts';
import type { LeafShape } from '../catalog/catalog.ts';
import type { ColumnFacts, RelationFacts } from '../catalog/document.ts';
import { quoteLiteral, quoteQualified } from '../connection/identifier.ts';

/** On a standby, what has been replayed of it. */
export const END_OF_LOG = 'CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END';

/** The end of the log at or after the read, and of what was read: which relation has the name, its file and its columns, as they are now. */
export function afterwards({ oid, namespace, name }: RelationFacts): string {
  return `
    SELECT ${END_OF_LOG}, pg_relation_filenode(${oid}), to_regclass(${quoteLiteral(quoteQualified(namespace, name))})::oid,
      (SELECT json_agg(json_build_array(attnum, attname, atttypid::int8, atttypmod) ORDER BY attnum) FROM pg_attribute WHERE attrelid = ${oid} AND attnum > 0 AND NOT attisdropped)`;
}

export interface Afterwards {
  readonly insertLsn: string;
  readonly file: number | null;
  readonly oid: number | null;
  readonly columns: string | null;
}

export function afterwardsOf(row: readonly (string | null)[]): Afterwards {
  const [insertLsn, file, oid, columns] = row;
  invariant(typeof insertLsn === 'string', 'the server tells where its log ends');
  return { insertLsn, file: numberOf(file), oid: numberOf(oid), columns: columns ?? null };
}

function numberOf(text: string | null | undefined): number | null {
  return text === null || text === undefined ? null : Number(text);
}

/** Whether the columns that were read are what the catalog said: a name may have come to mean another column between snapshot and read. */
export function sameColumns({ relation, columns }: { readonly relation: LeafShape['relation']; readonly columns: readonly { readonly name: string }[] }, described: string | null): boolean {
  const now = JSON.parse(described ?? '[]') as [number: number, name: string, type: number, modifier: number][];
  return columns.every((column) => {
    const known = relation.columns.find((own) => own.name === column.name) as ColumnFacts;
    return now.some(([number, name, type, modifier]) => name === known.name && number === known.number && type === known.type && modifier === known.modifier);
  });
}
