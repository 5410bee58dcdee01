/**
 * Snapshots beside writers, through the whole corridor: whatever was written while tables were read in many small chunks, the index shows
 * in the end what the table shows.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { expect, test } from 'vitest';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { describePostgres } from './postgres.ts';
import { startShop } from './shop-pipeline.ts';

const tables = ['items', 'parts', 'grown', 'bag'];
const CATCH_UP_MS = 120_000;
const WRITERS = 3;

const setup = `
  CREATE TABLE public.items (id int PRIMARY KEY, v int, note text, big text); ALTER TABLE public.items ALTER big SET STORAGE EXTERNAL;
  INSERT INTO public.items SELECT i, 0, 'n' || i, repeat(chr(65 + i % 26), 2500 + i % 100) FROM generate_series(1, 3000) i;
  CREATE TABLE public.parts (id int, region int, v int, big text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
  CREATE TABLE public.parts_0 PARTITION OF public.parts FOR VALUES IN (0);
  CREATE TABLE public.parts_1 (big text, v int, region int NOT NULL, id int NOT NULL, PRIMARY KEY (id, region)); ALTER TABLE public.parts ATTACH PARTITION public.parts_1 FOR VALUES IN (1);
  ALTER TABLE public.parts ALTER big SET STORAGE EXTERNAL; ALTER TABLE public.parts_0 ALTER big SET STORAGE EXTERNAL; ALTER TABLE public.parts_1 ALTER big SET STORAGE EXTERNAL;
  INSERT INTO public.parts SELECT i, i % 2, 0, repeat(chr(97 + i % 26), 2200) FROM generate_series(1, 1000) i;
  CREATE TABLE public.grown (id int PRIMARY KEY, big text) PARTITION BY RANGE (id); CREATE TABLE public.grown_0 PARTITION OF public.grown FOR VALUES FROM (0) TO (1000);
  INSERT INTO public.grown SELECT i, 'g' || i FROM generate_series(1, 300) i;
  CREATE TABLE public.bag (a int, b text); ALTER TABLE public.bag REPLICA IDENTITY FULL; INSERT INTO public.bag SELECT i % 40, repeat('b', 300 * (i % 5)) FROM generate_series(1, 1200) i`;

/** Statements that a writer chooses from; `n` and `m` are random. */
const statements: readonly ((n: number, m: number) => string)[] = [
  (n) => `UPDATE items SET v = v + 1 WHERE id % 97 = ${n % 97}`,
  (n) => `UPDATE items SET v = v + 1 WHERE id = ${n % 3000}`,
  (n, m) => `UPDATE items SET big = repeat('${m % 10}', 2100 + ${n % 500}) WHERE id = ${n % 3000}`,
  (n) => `DELETE FROM items WHERE id = ${n % 3000}`,
  (n) => `DELETE FROM items WHERE id % 211 = ${n % 211}`,
  (n, m) => `INSERT INTO items VALUES (${n % 3000}, ${m % 100}, 'again', repeat('z', 2400)) ON CONFLICT (id) DO UPDATE SET note = 'met'`,
  (n, m) => `INSERT INTO items SELECT ${4000 + (m % 100_000)}, 7, NULL, repeat('y', ${n % 3000}) ON CONFLICT DO NOTHING`,
  (n, m) => `UPDATE items SET id = ${200_000 + m} WHERE id = ${n % 3000}`,
  (n) => `UPDATE parts SET v = v + 1 WHERE id % 53 = ${n % 53}`,
  (n) => `UPDATE parts SET region = 1 - region WHERE id = ${n % 1000}`,
  (n) => `DELETE FROM parts WHERE id = ${n % 1000}`,
  (n, m) => `INSERT INTO parts VALUES (${n % 1000}, ${m % 2}, 3, repeat('p', 2300)) ON CONFLICT (id, region) DO UPDATE SET v = parts.v + 10`,
  (n) => `DELETE FROM bag WHERE ctid = (SELECT ctid FROM bag WHERE a = ${n % 40} LIMIT 1)`,
  (n, m) => `INSERT INTO bag VALUES (${n % 40}, repeat('b', 300 * ${m % 5}))`,
  (n) => `UPDATE bag SET b = b || 'x' WHERE ctid = (SELECT ctid FROM bag WHERE a = ${n % 40} LIMIT 1)`,
  (n) => `BEGIN; UPDATE items SET v = 100 WHERE id = ${n % 3000}; SAVEPOINT s; DELETE FROM items WHERE id = ${n % 2999}; ROLLBACK TO s; INSERT INTO bag VALUES (${n % 40}, 'committed'); COMMIT`,
  (n) => `BEGIN; DELETE FROM items WHERE id % 7 = ${n % 7}; ROLLBACK`,
];

/** Writes until told to stop; statements that meet another writer's locks or rows fail, which is as good as any. */
async function write(url: string, seed: number, stop: AbortSignal): Promise<number> {
  const client = new Client({ connectionString: url });
  await client.connect();
  await client.query("SET deadlock_timeout = '10ms'; SET lock_timeout = '2s'");
  let state = seed;
  const random = (): number => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31);
  let done = 0;
  try {
    while (!stop.aborted) {
      const statement = (statements[(random() >> 8) % statements.length] as (typeof statements)[number])(random() >> 4, random() >> 4);
      try {
        await client.query(statement);
        done += 1;
      } catch {
        await client.query('ROLLBACK');
      }
    }
  } finally {
    await client.end();
  }
  return done;
}

async function writeFor(ms: number, url: string, seed: number): Promise<void> {
  await write(url, seed, AbortSignal.timeout(ms));
}

describePostgres([15, 18], ({ server }) => {
  async function withPipeline(bytesPerSecond: number | undefined, work: (scene: { readonly url: string; readonly database: Client; start: () => Promise<Pipeline>; documents: (index: string) => string[] }) => Promise<void>): Promise<void> {
    const running = await server();
    const url = running.url(await running.createDatabase());
    const folder = await mkdtemp(join(tmpdir(), 'tailrace-join-'));
    const database = new Client({ connectionString: url });
    await database.connect();
    await database.query(setup);
    const documents = (index: string): string[] => {
      const file = new DatabaseSync(join(folder, 'search.db'), { readOnly: true });
      try {
        return file.prepare(`SELECT document FROM "${index}"`).all().map((row) => String(row['document']));
      } finally {
        file.close();
      }
    };
    const indices = Object.fromEntries(tables.map((table) => [table, { from: `shop.public.${table}` }]));
    const start = async (): Promise<Pipeline> => startShop({ folder, url, indices, snapshot: { chunk_bytes: 65_536, parallel: 3, max_bytes_per_second: bytesPerSecond } });
    try {
      await work({ url, database, start, documents });
    } finally {
      await database.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND database = current_database()');
      await database.end();
      await rm(folder, { recursive: true });
    }
  }

  /** Rows in either that the other does not have, by the server's own comparison. */
  async function differences(database: Client, table: string, documents: readonly string[]): Promise<unknown[]> {
    const { rows } = await database.query<{ side: string; row: unknown }>(
      `WITH ours AS (SELECT value AS row FROM jsonb_array_elements($1::jsonb)), theirs AS (SELECT DISTINCT to_jsonb(t) AS row FROM ${table} t)
       SELECT 'extra' AS side, left(row::text, 60) AS row FROM (SELECT row FROM ours EXCEPT ALL SELECT row FROM theirs) e
       UNION ALL SELECT 'missing', left(row::text, 60) FROM (SELECT row FROM theirs EXCEPT ALL SELECT row FROM ours) m LIMIT 10`,
      [`[${documents.join(',')}]`],
    );
    return rows;
  }

  test('an index is what its table is, though all of it was read while it was written', async () => {
    await withPipeline(undefined, async ({ url, database, start, documents }) => {
      const stop = new AbortController();
      const writers = Array.from({ length: WRITERS }, async (_, i) => write(url, 1_000 + i * 77, stop.signal));
      let read = 0;
      {
        await using pipeline = await start();
        await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS)).catch(() => {});
        stop.abort();
        const done = await Promise.all(writers);
        read = done.reduce((sum, n) => sum + n, 0);
        await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      }
      expect(read).toBeGreaterThan(100);
      for (const index of tables) expect(await differences(database, index, documents(index)), index).toEqual([]);
    });
  });

  test('and though the table was rewritten and the daemon stopped while it was read', async () => {
    // Slowly enough that each of the rewrites below meets a table that is half read.
    await withPipeline(2 * 1024 * 1024, async ({ url, database, start, documents }) => {
      const stop = new AbortController();
      const writers = Array.from({ length: WRITERS }, async (_, i) => write(url, 5_000 + i * 31, stop.signal));
      for (const rewrite of ['VACUUM FULL items', 'CLUSTER items USING items_pkey', 'TRUNCATE bag']) {
        // Each start goes on where the one before was interrupted.
        await using pipeline = await start();
        await Promise.race([pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS)), new Promise((resolve) => setTimeout(resolve, 500))]);
        await database.query(rewrite);
      }
      await using pipeline = await start();
      stop.abort();
      await Promise.all(writers);
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      for (const index of tables) expect(await differences(database, index, documents(index)), index).toEqual([]);
    });
  });

  test('and though columns and partitions came and went, which no change in the stream tells', async () => {
    await withPipeline(undefined, async ({ url, database, start, documents }) => {
      await using pipeline = await start();
      await writeFor(1_000, url, 9_000);
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      const ddl = [
        "ALTER TABLE items ADD COLUMN added text DEFAULT 'filled'",
        "CREATE TABLE grown_1 (LIKE grown INCLUDING ALL); INSERT INTO grown_1 SELECT 1000 + i, 'attached' FROM generate_series(1, 50) i; ALTER TABLE grown ATTACH PARTITION grown_1 FOR VALUES FROM (1000) TO (2000)",
        'ALTER TABLE items DROP COLUMN note; ALTER TABLE items RENAME COLUMN big TO large; ALTER TABLE items RENAME COLUMN large TO big',
        'ALTER TABLE bag ADD COLUMN c int',
        'ALTER TABLE parts DETACH PARTITION parts_1; DROP TABLE parts_1',
      ];
      for (const statement of ddl) await database.query(statement);
      for (const index of tables) await expect.poll(async () => differences(database, index, documents(index)), { timeout: CATCH_UP_MS, interval: 500, message: index }).toEqual([]);
      await writeFor(1_000, url, 9_500);
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      for (const index of tables) expect(await differences(database, index, documents(index)), index).toEqual([]);
    });
  }, 4 * CATCH_UP_MS);
});
