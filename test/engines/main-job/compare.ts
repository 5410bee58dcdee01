/**
 * Compares an index with its table, row by row, by means that share nothing with tailrace: the server's own `to_jsonb`, and the index read as
 * any program would. Numbers are compared by their digits as they stand in the JSON text.
 */
import { Client } from 'pg';
import type { IndexPlace } from '../index-place.ts';
import { canonical, withDigits } from './exact-json.ts';

export interface Comparison {
  readonly rows: number;
  /** Those that are there twice count twice. */
  readonly documents: number;
  readonly missing: readonly string[];
  readonly extra: readonly string[];
  readonly different: readonly string[];
  readonly doubled: readonly string[];
}

export interface CompareOptions {
  readonly url: string;
  readonly table: string;
  /** SQL expression for the document id. */
  readonly id: string;
  readonly place: IndexPlace;
  readonly index: string;
}

export async function compare({ url, table, id, place, index }: CompareOptions): Promise<Comparison> {
  const client = new Client({ connectionString: url });
  // A server that ends meanwhile is told by the query that fails.
  client.on('error', () => {});
  await client.connect();
  try {
    const { rows } = await client.query<{ id: string; row: string }>(`SELECT ${id} AS id, to_jsonb(t)::text AS row FROM ${table} t`);
    const wanted = new Map(rows.map((row) => [row.id, row.row]));
    const result = { rows: rows.length, documents: 0, missing: [] as string[], extra: [] as string[], different: [] as string[], doubled: [] as string[] };
    const seen = new Set<string>();
    for await (const found of place.documents(index)) {
      result.documents += 1;
      const row = wanted.get(found.id);
      if (seen.has(found.id)) result.doubled.push(found.id);
      else if (row === undefined) result.extra.push(found.id);
      else if (canonical(found.document) !== canonical(withDigits(row))) result.different.push(found.id);
      seen.add(found.id);
    }
    result.missing.push(...[...wanted.keys()].filter((one) => !seen.has(one)));
    return result;
  } finally {
    await client.end();
  }
}

/** True when the index and the table have the same rows. */
export function isEqual({ missing, extra, different, doubled }: Comparison): boolean {
  return missing.length === 0 && extra.length === 0 && different.length === 0 && doubled.length === 0;
}
