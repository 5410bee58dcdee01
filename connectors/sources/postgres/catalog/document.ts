/** What the catalog statement tells, and how it is asked: the facts from which everything about the tables is derived. */
import type { Query } from '../connection/query.ts';
import { invariant } from '../../../../src/errors/invariant.ts';
import { pastCatalogRaces } from './catalog-race.ts';
import { digestSql, documentSql } from './document-sql.ts';

export interface ColumnFacts {
  /** `pg_attribute.attnum`: stays with the column when it is renamed, is never given to another. */
  readonly number: number;
  readonly name: string;
  readonly type: number;
  readonly modifier: number;
  /** `format_type`: `numeric(10,2)`. */
  readonly formatted: string;
  readonly not_null: boolean;
  /** `''`, `s`tored or `v`irtual. */
  readonly generated: string;
  /** `atthasmissing`: rows from before the column show a value that was written nowhere. */
  readonly filled: boolean;
  /** The transaction that last wrote the column's row in the catalog: DDL that rewrites a column's values does, VACUUM FULL does not. */
  readonly version: string;
}

/** A unique index that can tell rows apart, if its columns are not null. */
export interface IndexFacts {
  readonly name: string;
  readonly primary: boolean;
  readonly replica_identity: boolean;
  readonly columns: readonly string[];
  /** The operator by which each column is compared, so that a search by key uses the index whatever the search path is. */
  readonly equality: readonly { readonly namespace: string; readonly operator: string }[];
}

export interface RelationFacts {
  readonly oid: number;
  readonly namespace: string;
  readonly name: string;
  /** `pg_class.relkind`. */
  readonly kind: string;
  /** `p`ermanent, `u`nlogged or `t`emporary. */
  readonly persistence: string;
  readonly partition: boolean;
  readonly identity: 'd' | 'n' | 'f' | 'i';
  /** The tables asked for that it is, or belongs to as a partition or by inheritance. */
  readonly roots: readonly number[];
  /** `pg_relation_filenode`: another one after a rewrite or TRUNCATE; null for what has no storage. */
  readonly file: number | null;
  /** As the publication sends it: columns (null before PostgreSQL 15, where all are) and row filter. null when it does not. */
  readonly published: { readonly columns: readonly string[] | null; readonly filter: string | null } | null;
  /** The partitioned table above it under whose name the publication sends its rows. */
  readonly published_as: string | null;
  /**
   * OIDs of the rows in `pg_publication_rel` by which it, or a table above it, is in the publication: others after it was taken out and put back,
   * or got another column list or row filter. null where the publication names no tables.
   */
  readonly membership: readonly number[] | null;
  readonly columns: readonly ColumnFacts[];
  readonly indexes: readonly IndexFacts[] | null;
}

interface PublicationFacts {
  readonly name: string;
  readonly insert: boolean;
  readonly update: boolean;
  readonly delete: boolean;
  readonly truncate: boolean;
  /** `publish_via_partition_root`. */
  readonly via_root: boolean;
  readonly all_tables: boolean;
}

export interface TypeFacts {
  readonly oid: number;
  readonly namespace: string;
  readonly name: string;
  /** `pg_type.typtype`: base, composite, domain, enum, pseudo, range, multirange. */
  readonly kind: string;
  readonly category: string;
  readonly length: number;
  readonly element: number;
  readonly delimiter: string;
  readonly base: number;
  readonly modifier: number;
  readonly extension: string | null;
  readonly subtype: number | null;
  readonly fields: readonly { readonly name: string; readonly type: number; readonly modifier: number }[] | null;
}

export interface CatalogDocument {
  readonly version: number;
  readonly publication: PublicationFacts | null;
  readonly relations: readonly RelationFacts[];
  readonly types: readonly TypeFacts[];
}

export interface CatalogReading {
  readonly document: CatalogDocument;
  readonly digest: string;
  /** `pg_class.reltuples` by OID; -1 when the server never counted. */
  readonly estimates: Readonly<Record<string, number>>;
}

export async function readDocument(query: Query, tables: readonly string[], publication: string, signal: AbortSignal): Promise<CatalogReading> {
  const [row] = await pastCatalogRaces(() => query(documentSql, [tables, publication], signal));
  invariant(typeof row?.['document'] === 'string' && typeof row['digest'] === 'string', 'the catalog statement returns one document');
  return {
    document: JSON.parse(row['document']) as CatalogDocument,
    digest: row['digest'],
    estimates: JSON.parse(row['estimates'] ?? '{}') as Record<string, number>,
  };
}

/** The digest that `readDocument` would return now. */
export async function readDigest(query: Query, tables: readonly string[], publication: string, signal: AbortSignal): Promise<string> {
  const [row] = await pastCatalogRaces(() => query(digestSql, [tables, publication], signal));
  invariant(typeof row?.['digest'] === 'string', 'the catalog statement returns one digest');
  return row['digest'];
}

/** `schema.table`, quoted nowhere: how tables are named in configs, logs and messages. */
export function fullName(relation: Pick<RelationFacts, 'namespace' | 'name'>): string {
  return `${relation.namespace}.${relation.name}`;
}

/** Columns that the publication sends of a relation, in attribute order. Generated ones only where the server knows how to send them. */
export function publishedColumns(relation: RelationFacts, published: RelationFacts['published'], version: number): readonly ColumnFacts[] {
  const names = published?.columns ?? null;
  const sendsGenerated = version >= GENERATED_COLUMNS_VERSION && names !== null;
  return relation.columns.filter(({ name, generated }) => {
    if (generated !== '' && !(sendsGenerated && generated === STORED)) return false;
    return names === null || names.includes(name);
  });
}

/** `publish_generated_columns` came with PostgreSQL 18; before it, 15 lists generated columns in `attnames` and does not send them. */
export const GENERATED_COLUMNS_VERSION = 180_000;
const STORED = 's';
