/** Rows that are read again, as users have it done: by keys, by a condition, a table, paused and killed; beside writers, and held against an independent query. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { askDaemon } from '../../cmd/daemon/admin-client.ts';
import type { StatusReport } from '../../src/observe/status-report.ts';
import type { JobReport } from '../../src/observe/reports.ts';
import { runCli, type CliResult } from '../cmd/run-cli.ts';
import { documentsIn } from './indexed-documents.ts';
import type { PostgresServer } from './postgres-client.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './servers.ts';
import { spawnTailrace, type TailraceProcess } from './tailrace.ts';

const ROWS = 3_000;
/** So slow that somebody can come in between. */
const SNAPSHOT = { parallel: 2, chunk_bytes: 65_536, max_bytes_per_second: 300_000 };

type Documents = Record<string, unknown>;

describePostgres([15, 18], (postgres) => {
  let folder: string;
  let server: PostgresServer;
  let database: string;
  let daemon: TailraceProcess;

  const cli = async (...args: readonly string[]): Promise<CliResult> => runCli(args, { cwd: folder });
  const sql = async (text: string): Promise<Record<string, unknown>[]> => server.query(text, database);
  const json = async <T>(...args: readonly string[]): Promise<T> => JSON.parse((await cli(...args, '--json')).stdout) as T;
  /** At once: to run the command takes longer than some of what is looked at. */
  const ask = async <T>(path: string): Promise<T> => JSON.parse(await askDaemon(join(folder, 'tailrace-data', 'admin.sock'), { path })) as T;
  const status = async (): Promise<StatusReport> => ask('/v1/status');
  const documents = (index: string): Documents => documentsIn(join(folder, 'tailrace-data'), index);
  const inStep = async (): Promise<unknown> => eventually('everything is in step', 60_000, async () => {
    const { running, sources, indices } = await status();
    return running && sources.every(({ lag_bytes: lag }) => lag === 0) && indices.every(({ phase, lag_changes: lag }) => phase === 'serving' && lag === 0);
  });
  const begin = async (...args: readonly string[]): Promise<JobReport[]> => (await cli('resync', ...args, '--json')).stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as JobReport);
  const ended = async (id: number): Promise<JobReport> => (await eventually('the job has ended', 60_000, async () => {
    const { jobs } = await status();
    return jobs.every((job) => job.id !== id) ? (await allJobs()).find((job) => job.id === id) : undefined;
  })) as JobReport;
  const allJobs = async (): Promise<JobReport[]> => (await ask<{ jobs: JobReport[] }>('/v1/jobs')).jobs;
  const reading = async (id: number): Promise<unknown> => eventually('some of it is read', 60_000, async () => {
    const { jobs } = await status();
    return jobs.find((job) => job.id === id && job.stage === 'reading' && job.done > 0);
  });
  const start = async (...args: readonly string[]): Promise<void> => {
    daemon = await spawnTailrace(['run', ...args], { cwd: folder });
    await daemon.event('source_connected');
  };
  const stop = async (signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> => {
    daemon.kill(signal);
    await daemon.exit();
  };

  /** What the indices hold when all is well, by a query of its own. */
  const expected = async (): Promise<{ products: Documents; cheap: Documents; plain: Documents }> => {
    const rows = async (query: string): Promise<Documents> => Object.fromEntries((await sql(query)).map(({ id, document }) => [String(id), document]));
    return {
      products: await rows(`SELECT sku || ':' || shop AS id, json_build_object('shop', shop, 'sku', sku, 'price', price, 'note', note) AS document FROM products`),
      cheap: await rows(`SELECT sku || ':' || shop AS id, json_build_object('sku', sku, 'price', price) AS document FROM products WHERE price < 10`),
      plain: await rows(`SELECT id, json_build_object('id', id, 'name', name) AS document FROM plain`),
    };
  };
  const found = (): Awaited<ReturnType<typeof expected>> => ({ products: documents('products'), cheap: documents('cheap'), plain: documents('plain') });

  /** All indices become what they are expected to be; the head is looked at now and then only, so that a lag of 0 may be from before the last change. */
  const becomesEqual = async (): Promise<unknown> => eventually('the indices are the tables', 60_000, async () => isDeepStrictEqual(found(), await expected()));

  /** Changes the source while nobody hears of it: the publication leaves them out, as a history that is lost does. */
  const silently = async (text: string): Promise<void> => {
    await inStep();
    await stop();
    await sql(`ALTER PUBLICATION tailrace_shop SET (publish = '')`);
    await sql(text);
    await sql(`ALTER PUBLICATION tailrace_shop SET (publish = 'insert, update, delete, truncate')`);
    await start();
    await inStep();
  };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tailrace-resync-'));
    server = await postgres.server();
    database = await server.createDatabase();
    await sql(`CREATE TABLE products (shop int, sku text, price int, note text, PRIMARY KEY (sku, shop)); CREATE TABLE plain (id bigint PRIMARY KEY, name text);
      INSERT INTO products SELECT i % 7, 'sku-' || i, i % 100, repeat(md5(i::text), 8) FROM generate_series(1, ${ROWS}) AS i;
      INSERT INTO plain SELECT i, 'name ' || i FROM generate_series(1, 100) AS i`);
    const indices = { products: { from: 'shop.public.products' }, cheap: { from: 'shop.public.products', where: 'price < 10', fields: ['sku', 'price'] }, plain: { from: 'shop.public.plain' } };
    writeFileSync(join(folder, 'tailrace.yaml'), JSON.stringify({ sources: { shop: { type: 'postgres', url: server.url(database) } }, snapshot: SNAPSHOT, indices }));
    await start();
    await inStep();
  });
  afterAll(async () => {
    await daemon[Symbol.asyncDispose]();
    await sql(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '${database}'`);
    rmSync(folder, { recursive: true, force: true });
  });

  describe('what cannot be asked for', () => {
    test.each([
      ['a key of another shape', ['products', '--key', '57'], "has 1 value; the table's key is (sku, shop)."],
      ['a key that names a column which is not there', ['products', '--key', '{"sku": "a", "shp": 1}'], 'names the column shp, which the table does not have'],
      ['a condition on a column that is not there', ['products', '--where', 'prize > 3'], 'at character 1: column "prize" does not exist'],
      ['a condition that is none', ['products', '--where', 'price >'], 'The condition for public.products is refused'],
      ['a statement behind a condition', ['products', '--where', 'true); DELETE FROM products; --'], 'The condition for public.products is refused'],
      ['a condition that writes', ['products', '--where', 'pg_create_restore_point(sku) IS NOT NULL OR writes()'], 'The condition for public.products is refused'],
      ['a table of no index', ['--table', 'shop.public.product'], 'did you mean `shop.public.products`?'],
    ])('is refused by name, before anything begins: %s', async (_, args, message) => {
      await sql(`CREATE OR REPLACE FUNCTION writes() RETURNS bool LANGUAGE plpgsql AS 'BEGIN DELETE FROM plain; RETURN true; END'`);
      const result = await cli('resync', ...args);
      expect(result).toMatchObject({ code: 64, stdout: '' });
      expect(result.stderr).toContain(message);
      expect((await status()).jobs).toEqual([]);
      expect(await allJobs()).toEqual([]);
    });

    test('and what could be is told of beforehand, with about how much it is', async () => {
      expect(await json('resync', 'products', '--dry-run', '--key', '["sku-1", 1]', '--key', '["nobody", 0]')).toEqual({ index: 'products', table: 'shop.public.products', rows: 'keys', generations: [1], estimated_rows: 2 });
      await sql('ANALYZE products');
      const { estimated_rows: rows } = await json<{ estimated_rows: number }>('resync', 'products', '--dry-run', '--where', 'price < 10');
      expect(rows).toBeGreaterThan(100);
      expect(rows).toBeLessThan(900);
      expect((await cli('resync', 'products', '--dry-run')).stdout).toMatch(/^Index products would be built again as generation 2, from a snapshot of shop\.public\.products/);
      expect(await allJobs()).toEqual([]);
    });
  });

  describe('rows that changed while history was lost', () => {
    test('are as they are after a resync by their keys; those that are gone are gone', async () => {
      await silently(`DELETE FROM products WHERE sku IN ('sku-10', 'sku-107'); UPDATE products SET price = 5, note = 'changed' WHERE sku = 'sku-55'; INSERT INTO products VALUES (1, 'new', 3, 'new')`);
      expect(Object.keys(documents('products'))).toContain('sku-10:3');
      writeFileSync(join(folder, 'keys.ndjson'), '["sku-10", 3]\n\n{"shop": 2, "sku": "sku-107"}\n["sku-55", 6]\n["new", 1]\n["never", 0]\n');
      const [job] = await begin('products', '--keys-file', 'keys.ndjson');
      expect(await ended(job?.id as number)).toMatchObject({ phase: 'done', outcome: '5 keys were looked up again.' });
      expect(documents('products')).toEqual((await expected()).products);
      expect(documents('cheap')).not.toEqual((await expected()).cheap);
      const watched = await cli('resync', 'cheap', '--key', '["sku-10",3]', '--key', '["sku-107",2]', '--key', '["sku-55",6]', '--key', '["new",1]', '--watch');
      expect(watched).toMatchObject({ code: 0, stdout: expect.stringMatching(/^4 rows of index cheap are read again, in place\.\nIndex cheap: done\. 4 keys were looked up again\.\n$/) as unknown });
      expect(found()).toEqual(await expected());
    });

    test('are as they are after a resync by a condition, which leaves the others alone', async () => {
      await silently(`UPDATE products SET note = 'by condition' WHERE price >= 50; UPDATE products SET note = 'not by condition' WHERE sku = 'sku-1'`);
      const [job] = await begin('products', '--where', 'price >= 50');
      expect(await ended(job?.id as number)).toMatchObject({ phase: 'done' });
      const { products } = await expected();
      expect(documents('products')).toEqual({ ...products, 'sku-1:1': expect.not.objectContaining({ note: 'not by condition' }) as unknown });
      await sql(`UPDATE products SET note = 'heard of' WHERE sku = 'sku-1'`);
      expect(await becomesEqual()).toBe(true);
    });

    test('are as they are after a resync of the whole table, all indices of it from one snapshot, while it is written to', async () => {
      await silently(`DELETE FROM products WHERE price IN (3, 77); UPDATE products SET price = price + 1 WHERE price = 8`);
      const from = daemon.lines.length;
      let goesOn = true;
      const writer = (async () => {
        for (let i = 0; goesOn; i += 1) await sql(`UPDATE products SET note = 'written ${i}' WHERE sku = 'sku-${(i * 37) % ROWS}'; DELETE FROM products WHERE sku = 'sku-${(i * 91) % ROWS}' AND shop < 2; INSERT INTO products VALUES (9, 'extra-${i}', ${i % 20}, 'x')`);
      })();
      try {
        const jobs = await begin('--table', 'shop.public.products');
        expect(jobs.map(({ index, what }) => [index, what['generation']])).toEqual([['products', 2], ['cheap', 2]]);
        for (const { id } of jobs) expect(await ended(id)).toMatchObject({ phase: 'done', outcome: 'Readers got generation 2.' });
        expect(daemon.lines.slice(from).filter(({ msg }) => msg === 'snapshot_requested')).toMatchObject([{ table: 'public.products', selection: 'all' }]);
      } finally {
        goesOn = false;
        await writer;
      }
      expect(await becomesEqual()).toBe(true);
    });

    test('are gone after the slot was dropped, when the source is read anew', async () => {
      await inStep();
      await stop();
      await sql("SELECT pg_drop_replication_slot('tailrace_shop')");
      await sql(`DELETE FROM products WHERE price IN (5, 60); DELETE FROM plain WHERE id < 20`);
      await start('--rebuild', 'shop');
      await inStep();
      await eventually('all are built again', 60_000, async () => Object.keys(documents('plain')).length === 81);
      expect(await becomesEqual()).toBe(true);
    });
  });

  describe('what is being read', () => {
    test('waits over a kill and a restart, and goes on: nothing is missing', async () => {
      await silently(`UPDATE products SET note = md5(note) || repeat('p', 200)`);
      const [job] = await begin('products', '--where', 'true');
      const id = job?.id as number;
      await reading(id);
      expect(await cli('resync', 'products', '--pause')).toMatchObject({ code: 0, stdout: expect.stringContaining('for: `tailrace resync products --resume') as unknown });
      expect((await cli('status')).stdout).toMatch(/\nJOBS\n {2}resync of products: paused, [\d,]+ of about [\d,]+ rows \(\d+ %\), go on: `tailrace resync products --resume(?: --[^`]*)?`\n/);
      await stop('SIGKILL');
      expect((await json<StatusReport>('status')).jobs).toMatchObject([{ id, stage: 'paused' }]);
      await start();
      await sql(`UPDATE plain SET name = 'heard of beside it' WHERE id = 50`);
      await eventually('the stream goes on', 30_000, () => JSON.stringify(documents('plain')).includes('heard of beside it'));
      expect((await status()).jobs).toMatchObject([{ id, stage: 'paused' }]);
      expect(await cli('resync', 'products', '--resume')).toMatchObject({ code: 0, stdout: 'Reading shop.public.products for index products goes on.\n' });
      expect(await ended(id)).toMatchObject({ phase: 'done' });
      expect(documents('products')).toEqual((await expected()).products);
    });

    test.each(['rows in place', 'a whole index'])('is finished after the daemon was killed in its middle, twice: %s', async (kind) => {
      await silently(`UPDATE products SET note = md5(note) || repeat('k', 200); DELETE FROM products WHERE sku LIKE 'sku-1_'`);
      const [job] = kind === 'a whole index' ? await begin('products') : await begin('products', '--where', 'true');
      const id = job?.id as number;
      for (let kill = 0; kill < 2; kill += 1) {
        await reading(id);
        await stop('SIGKILL');
        await start();
      }
      await sql(`UPDATE products SET note = 'meanwhile' WHERE sku LIKE 'sku-2_'`);
      expect(await ended(id)).toMatchObject({ phase: 'done' });
      await eventually('the stream goes on', 30_000, () => JSON.stringify(documents('products')).includes('meanwhile'));
      await inStep();
      const { products } = await expected();
      if (kind === 'a whole index') expect(documents('products')).toEqual(products);
      // A condition does not know of rows that are gone.
      else expect(documents('products')).toEqual({ ...products, ...Object.fromEntries(Object.entries(documents('products')).filter(([document]) => /^sku-1\d:/.test(document))) });
    });

    test('is given up when it is told to: readers keep what they have, and everything else goes on', async () => {
      await inStep();
      const before = documents('products');
      const [job] = await begin('products');
      await reading(job?.id as number);
      expect(await cli('resync', 'products', '--cancel')).toMatchObject({ code: 0, stdout: 'What was being built for index products is given up. Readers keep what they have.\n' });
      expect((await allJobs()).at(-1)).toMatchObject({ phase: 'cancelled' });
      await eventually('nothing more is read', 30_000, async () => (await status()).sources[0]?.snapshots.length === 0);
      const [rows] = await begin('cheap', '--where', 'true');
      await reading(rows?.id as number);
      expect(await cli('resync', 'cheap', '--cancel')).toMatchObject({ code: 0, stdout: expect.stringContaining('What was read by then stays.') as unknown });
      await eventually('nothing more is read', 30_000, async () => (await status()).sources[0]?.snapshots.length === 0);
      await inStep();
      expect(documents('products')).toEqual(before);
      expect(await cli('resync', 'products', '--cancel')).toMatchObject({ code: 64, stderr: expect.stringContaining('No `tailrace resync` of index products goes on.') as unknown });
    });
  });
});
