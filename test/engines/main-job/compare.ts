/**
 * Compares an index with its table, row by row, by means that share nothing with tailrace: the server's own `to_jsonb`, and SQLite read as
 * any program would. Numbers are compared by their digits as they stand in the JSON text.
 */
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';

export interface Comparison {
  readonly rows: number;
  readonly documents: number;
  readonly missing: readonly string[];
  readonly extra: readonly string[];
  readonly different: readonly string[];
}

export interface CompareOptions {
  readonly url: string;
  readonly table: string;
  /** SQL expression for the document id. */
  readonly id: string;
  readonly databasePath: string;
  readonly index: string;
}

export async function compare({ url, table, id, databasePath, index }: CompareOptions): Promise<Comparison> {
  const client = new Client({ connectionString: url });
  // A server that ends meanwhile is told by the query that fails.
  client.on('error', () => {});
  await client.connect();
  const database = new DatabaseSync(databasePath, { readOnly: true });
  try {
    const { rows } = await client.query<{ id: string; row: string }>(`SELECT ${id} AS id, to_jsonb(t)::text AS row FROM ${table} t`);
    const documents = new Map<string, string>();
    for (const found of database.prepare(`SELECT id, document FROM "${index}"`).iterate()) documents.set(String(found['id']), String(found['document']));
    const result = { rows: rows.length, documents: documents.size, missing: [] as string[], extra: [] as string[], different: [] as string[] };
    for (const row of rows) {
      const document = documents.get(row.id);
      documents.delete(row.id);
      if (document === undefined) result.missing.push(row.id);
      else if (canonical(document) !== canonical(row.row)) result.different.push(row.id);
    }
    result.extra.push(...documents.keys());
    return result;
  } finally {
    database.close();
    await client.end();
  }
}

/** JSON text with sorted names, numbers as they were written, and moments in one form. */
export function canonical(json: string): string {
  const withDigits = JSON.parse(json, (_, value: unknown, context?: { source?: string }) => {
    if (typeof value === 'number' && context?.source !== undefined) return `#${context.source}`;
    if (typeof value === 'string' && moment.test(value)) return `@${new Date(value).toISOString()}`;
    return value;
  }) as unknown;
  return JSON.stringify(sorted(withDigits));
}

const moment = /^\d{4,}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([name, item]) => [name, sorted(item)] as const);
  return Object.fromEntries(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
