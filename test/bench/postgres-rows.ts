/** The table that the Postgres benches share: eight columns, about 350 bytes a row on the wire. */
import { realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Client } from 'pg';
import { findPostgres } from '../engines/postgres-find.ts';

export async function withClient<T>(url: string, work: (client: Client) => Promise<T>): Promise<T> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

export async function createItems(url: string): Promise<void> {
  await withClient(url, async (client) => {
    await client.query('CREATE TABLE items (id bigint PRIMARY KEY, name text, body text, price numeric(12,2), at timestamptz, ok boolean, tags text[], extra jsonb)');
  });
}

/** Inserts rows in transactions of `perTransaction`, or all of them in one. */
export async function insertItems(url: string, from: number, count: number, perTransaction: number): Promise<void> {
  await withClient(url, async (client) => {
    const insert = `INSERT INTO items SELECT i, 'item number ' || i, repeat(md5(i::text), 5), (i % 100000) / 7.0, '2026-01-01'::timestamptz + i * interval '1 second', i % 3 = 0,
      ARRAY['red', 'tag' || i % 100], jsonb_build_object('n', i, 'w', 'word' || i % 1000) FROM generate_series($1::bigint, $2::bigint) i`;
    for (let at = from; at < from + count; at += perTransaction) await client.query(insert, [at, Math.min(at + perTransaction, from + count) - 1]);
  });
}

/** A client program beside the installed server; the npm package has none, and any version's speaks to any server. */
export async function clientProgram(name: string): Promise<string> {
  const place = await findPostgres(15);
  if (place.kind !== 'binaries') throw new Error(`${name} is needed, from an installed PostgreSQL 15`);
  return join(dirname(realpathSync(join(place.binFolder, 'postgres'))), name);
}
