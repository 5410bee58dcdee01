/**
 * The statements that look rows up by key, with the values in them as text: keys are what the stream brought, bytes that need not be UTF-8.
 *
 * A key is compared by the operator of the index that holds it, so that the index is used and the search path does not matter; the caller
 * then compares the bytes, because `1.0` and `1.00` are equal and not the same.
 */
import { isUtf8 } from 'node:buffer';
import { invariant } from '../../../../src/errors/invariant.ts';
import type { RowSite } from '../catalog/catalog.ts';
import type { ColumnFacts } from '../catalog/document.ts';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../connection/identifier.ts';

/** A value in PostgreSQL's text form; null for null. */
export type TextValue = Uint8Array | null;

/**
 * Rows by key: each result is the number of the key it belongs to, and `columns`. All `keys` have their nulls in the same places.
 */
export function selectByKey(site: RowSite, keyColumns: readonly string[], keys: readonly (readonly TextValue[])[], columns: readonly string[]): string {
  const [first] = keys;
  invariant(first !== undefined, 'at least one key is looked up');
  const present = keyColumns.filter((_, i) => first[i] !== null);
  const values = keys.map((key, n) => `(${[String(n), ...keyColumns.flatMap((name, i) => literalOf(key[i] ?? null, site, name))].join(', ')})`);
  const matches = keyColumns.map((name, i) => (first[i] === null ? `t.${quoteIdentifier(name)} IS NULL` : `t.${quoteIdentifier(name)} ${equalityOf(site, name)} v.k${present.indexOf(name)}`));
  const selected = columns.map((name) => `, t.${quoteIdentifier(name)}`).join('');
  const names = ['n', ...present.map((_, i) => `k${i}`)].join(', ');
  return `SELECT v.n${selected} FROM (VALUES ${values.join(', ')}) AS v(${names}) JOIN (${rowsOf(site, '*')}) AS t ON ${matches.join(' AND ')}`;
}

/** Fails when a value of the keys is none of its column's type, and returns nothing of interest. */
export function castKeys(site: RowSite, keyColumns: readonly string[], keys: readonly (readonly TextValue[])[]): string {
  return `VALUES ${keys.map((key, n) => `(${[String(n), ...keyColumns.flatMap((name, i) => literalOf(key[i] ?? null, site, name))].join(', ')})`).join(', ')}`;
}

/** Which of whole rows are there: each result is the number of one that is. `columns` name the values of each row. */
export function selectIdentical(site: RowSite, columns: readonly string[], rows: readonly (readonly TextValue[])[]): string {
  // What is null is told by the value itself: of a composite value whose fields are all null, IS NULL would be true as well.
  const texts = columns.map((name) => `CASE WHEN ${quoteIdentifier(name)} IS NOT DISTINCT FROM NULL THEN NULL ELSE format('%s', ${quoteIdentifier(name)}) END`);
  const values = rows.map((row, n) => `(${n}, ARRAY[${row.map((value) => (value === null ? 'NULL' : textLiteral(value))).join(', ')}]::text[])`);
  const identity = rowsOf(site, `ARRAY[${texts.join(', ')}]::text[] AS identity`);
  return `SELECT v.n FROM (VALUES ${values.join(', ')}) AS v(n, identity) WHERE EXISTS (SELECT FROM (${identity}) AS t WHERE t.identity = v.identity)`;
}

function rowsOf(site: RowSite, columns: string): string {
  const filter = site.filter === null ? '' : ` WHERE (${site.filter})`;
  return `SELECT ${columns} FROM ${site.only ? 'ONLY ' : ''}${quoteQualified(site.relation.namespace, site.relation.name)}${filter}`;
}

/** The key's value as a literal of its column's type; nothing for a null, which is matched otherwise. */
function literalOf(value: TextValue, site: RowSite, name: string): string[] {
  return value === null ? [] : [`${textLiteral(value)}::${columnOf(site, name).formatted}`];
}

function columnOf(site: RowSite, name: string): ColumnFacts {
  const column = site.relation.columns.find((own) => own.name === name);
  invariant(column !== undefined, `the key's column ${name} is one of ${site.relation.name}`);
  return column;
}

function equalityOf(site: RowSite, name: string): string {
  for (const index of site.relation.indexes ?? []) {
    const equality = index.equality[index.columns.indexOf(name)];
    if (equality !== undefined) return `OPERATOR(${quoteIdentifier(equality.namespace)}.${equality.operator})`;
  }
  return '=';
}

/** Text that is UTF-8 goes as it is; other bytes, which only a SQL_ASCII database has, as a conversion that leaves them alone. */
function textLiteral(value: Uint8Array): string {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  if (isUtf8(bytes)) return quoteLiteral(bytes.toString('utf8'));
  return `convert_from('\\x${bytes.toString('hex')}'::bytea, 'SQL_ASCII')`;
}
