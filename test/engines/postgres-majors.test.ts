/** The essentials on the versions that the large suites leave out: what differs between servers is in catalogs, settings and plans. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { checkPostgres } from '../../connectors/sources/postgres/check/check-postgres.ts';
import { scanPlaces } from '../../connectors/sources/postgres/snapshot/place-scan.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { never, testConfig } from './postgres-control.ts';
import { openReading, readTable } from './postgres-reading.ts';
import { openClient } from './postgres-stream-harness.ts';
import { describePostgres, type PostgresServer } from './postgres.ts';
import { eventually } from './servers.ts';
import { CATCH_UP_MS, startShop } from './shop-pipeline.ts';

/** Columns whose documents are what `to_jsonb` makes of them. */
const values: readonly (readonly [type: string, value: string])[] = [
  ['bool', 'true'],
  ['int2', '-7'],
  ['int8', '9007199254740991'],
  ['float8', '0.1'],
  ['numeric(20,4)', '-12345.6700'],
  ['text', "E'tab\\t \"quoted\" é🙂'"],
  ['varchar(10)', "'short'"],
  ['char(4)', "'ab'"],
  ['uuid', "'6f1c1b1e-5c0e-4a63-8a83-0d0f6b0f6a11'"],
  ['date', "'2026-02-28'"],
  ['time', "'23:59:59.5'"],
  ['json', '\'{"a":[1,null,{"b":"c"}]}\''],
  ['jsonb', '\'{"deep":{"list":[true,"x"]}}\''],
  ['int[]', "'{1,2,NULL}'"],
  ['text[]', "'{\"a,b\",NULL,\"\"}'"],
  ['inet', "'10.0.0.1/8'"],
  ['mood', "'sad'"],
  ['positive', '4.5'],
  ['pair', "ROW(1, 'x')"],
];

const setup = `
  CREATE TABLE items (id int PRIMARY KEY, name text, long text); ALTER TABLE items ALTER long SET STORAGE EXTERNAL;
  INSERT INTO items SELECT i, 'n' || i, repeat('long', 1000) FROM generate_series(1, 1500) i;
  CREATE TABLE logs (id int PRIMARY KEY, line text); INSERT INTO logs SELECT i, 'l' || i FROM generate_series(1, 200) i;
  CREATE TABLE orders (id int, region int, note text, PRIMARY KEY (id, region)) PARTITION BY RANGE (region);
  CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM (0) TO (10);
  CREATE TABLE orders_2 (note text, gone int, region int NOT NULL, id int NOT NULL, PRIMARY KEY (id, region)); ALTER TABLE orders_2 DROP COLUMN gone;
  ALTER TABLE orders ATTACH PARTITION orders_2 FOR VALUES FROM (10) TO (20);
  INSERT INTO orders SELECT i, i % 20, 'o' || i FROM generate_series(1, 300) i;
  CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN positive AS numeric CHECK (value > 0); CREATE TYPE pair AS (a int, b text);
  CREATE TABLE typed (id int PRIMARY KEY, ${values.map(([type], i) => `c${i} ${type}`).join(', ')});
  INSERT INTO typed VALUES (1, ${values.map(([, value]) => value).join(', ')}), (2${', NULL'.repeat(values.length)});`;

const changes = [
  "INSERT INTO items VALUES (2001, 'new', repeat('fresh', 1000)); UPDATE items SET name = 'touched' WHERE id % 7 = 0; DELETE FROM items WHERE id % 11 = 0",
  "UPDATE items SET id = id + 5000, name = 'moved' WHERE id BETWEEN 100 AND 110",
  "BEGIN; INSERT INTO logs VALUES (900, 'gone'); TRUNCATE logs; INSERT INTO logs VALUES (901, 'kept'); COMMIT",
  "UPDATE orders SET region = 15 WHERE id <= 20 AND region < 10; DELETE FROM orders WHERE id % 13 = 0; UPDATE orders SET note = 'noted' WHERE id = 21",
  "CREATE TABLE orders_3 PARTITION OF orders FOR VALUES FROM (20) TO (30); INSERT INTO orders VALUES (1000, 25, 'later')",
  "BEGIN; UPDATE items SET name = 'before' WHERE id = 1; ALTER TABLE items ADD COLUMN price numeric DEFAULT 1.5; UPDATE items SET name = 'after' WHERE id = 2; COMMIT",
  "ALTER TABLE logs RENAME COLUMN line TO words; INSERT INTO logs VALUES (902, 'renamed')",
  `INSERT INTO typed VALUES (3, ${values.map(([, value]) => value).join(', ')}), (4${', NULL'.repeat(values.length)})`,
];

const indices = Object.fromEntries(['items', 'logs', 'orders', 'typed'].map((table) => [table, { from: `shop.public.${table}` }]));

describePostgres([13, 14, 16, 17], (postgres) => {
  let folder = '';
  let database = '';
  let server: PostgresServer;

  beforeEach(async () => {
    server = await postgres.server();
    database = await server.createDatabase();
    await server.query(setup, database);
    folder = await mkdtemp(join(tmpdir(), 'tailrace-majors-'));
  });
  afterEach(async () => {
    await server.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND database = current_database()', database);
    await rm(folder, { recursive: true });
  });

  const run = async (sql: string): Promise<void> => void (await server.query(sql, database));

  const start = async (): Promise<Pipeline> => startShop({ folder, url: server.url(database), indices });

  /** What the indices hold of everything that is committed now, and what the server itself says of it. */
  async function bothSides(pipeline: Pipeline): Promise<{ readonly indexed: unknown; readonly stored: unknown }> {
    await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
    using file = new DatabaseSync(join(folder, 'search.db'), { readOnly: true });
    const indexed: Record<string, unknown[]> = {};
    const stored: Record<string, unknown[]> = {};
    for (const table of Object.keys(indices)) {
      const found = file.prepare(`SELECT document FROM "${table}"`).all().map((row) => JSON.parse(String(row['document'])) as Record<string, unknown>);
      const there = await server.query(`SELECT to_jsonb(t) AS row FROM ${table} t`, database);
      indexed[table] = sorted(found);
      stored[table] = sorted(there.map(({ row }) => row as Record<string, unknown>));
    }
    return { indexed, stored };
  }

  /** Waits until both sides are the same. Asking the source fails while its session is made anew. */
  async function becomesSame(pipeline: Pipeline): Promise<true> {
    return await eventually('the indices hold what the server has', CATCH_UP_MS, async () => {
      const { indexed, stored } = await bothSides(pipeline);
      return isDeepStrictEqual(indexed, stored);
    });
  }

  describe.each([false, true])('with publish_via_partition_root = %s', (viaRoot) => {
    test('tables are loaded beside writers, and follow every kind of change, also after a break', async () => {
      await run(`CREATE PUBLICATION tailrace_shop FOR TABLE items, logs, orders, typed WITH (publish_via_partition_root = ${viaRoot})`);
      await using client = await openClient(server.url(database));
      const loading = new AbortController();
      const writing = (async () => {
        for (let i = 1; !loading.signal.aborted; i += 1) {
          await client.query(`UPDATE items SET name = 'w${i}' WHERE id % 50 = ${i % 50}; INSERT INTO orders VALUES (${5000 + i}, ${i % 20}, 'w'); DELETE FROM logs WHERE id = ${i}`);
        }
      })();
      {
        await using pipeline = await start();
        await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
        loading.abort();
        await writing;
        const { indexed, stored } = await bothSides(pipeline);
        expect(indexed).toEqual(stored);
        for (const change of changes.slice(0, 4)) await run(change);
        await server.query(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND database = '${database}'`);
        expect(await becomesSame(pipeline)).toBe(true);
      }
      for (const change of changes.slice(4, 6)) await run(change);
      await using pipeline = await start();
      for (const change of changes.slice(6)) await run(change);
      // What a new column's default gave to old rows is not in the stream: it is there when the catalog has been compared.
      expect(await becomesSame(pipeline)).toBe(true);
    });
  });

  test('the check finds nothing amiss before the first start, and names the version', async () => {
    const findings = await checkPostgres({ config: testConfig(server.url(database)), clock: nodeClock, errors: { source: 'shop', user: 'postgres', publication: 'pub', slot: 's' } }, [{ table: 'public.items' }, { table: 'public.orders' }], never);
    expect(findings.filter(({ level }) => level !== 'ok')).toEqual([]);
    expect(findings.find(({ subject }) => subject === 'version')?.message).toContain(`PostgreSQL ${postgres.major}.`);
  });

  test('chunks look at their own blocks only, and hold each row once wherever they are cut', async () => {
    const plain = `CREATE TABLE public.t (id int PRIMARY KEY, blocks text); INSERT INTO public.t SELECT i, 'b' || i FROM generate_series(1, 20000) i;
      DELETE FROM public.t WHERE id % 3 = 0; VACUUM public.t; INSERT INTO public.t SELECT i, repeat('x', i % 50) FROM generate_series(20001, 22000) i`;
    for (const statement of plain.split(';')) await run(statement);
    await using at = await openReading(server, 'CREATE PUBLICATION pub FOR TABLE public.t', { tables: ['public.t'], database });
    const { rows, chunks } = await readTable(at, 'public.t', { parallel: 2, rowBytesMax: 4096 });
    expect(rows.map(([id]) => Number(id)).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 22_000 }, (_, i) => i + 1).filter((id) => id > 20_000 || id % 3 !== 0));
    expect(chunks.length).toBeGreaterThan(20);
    const [leaf] = at.catalog.leavesOf('public.t');
    if (leaf === undefined) throw new Error('the table has a heap');
    await using client = await openClient(server.url(database));
    await client.query('BEGIN');
    const { settings, select } = scanPlaces({ leaf, from: { block: 3, line: 9 }, until: 5, rowsMax: null, predicate: null }, at.catalog.serverVersion);
    await client.query(settings);
    const { rows: plan } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN (ANALYZE, TIMING OFF) ${select}`);
    const text = plan.map((line) => line['QUERY PLAN']).join('\n');
    expect(text).toMatch(postgres.major === 13 ? /Tid Scan on t/ : /Tid Range Scan on t/);
    expect(text).not.toContain('Seq Scan');
  });
});

function sorted(documents: readonly Record<string, unknown>[]): unknown[] {
  return documents.toSorted((a, b) => Number(a['id']) - Number(b['id']) || Number(a['region']) - Number(b['region']));
}
