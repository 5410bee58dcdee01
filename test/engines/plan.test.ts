/** What `tailrace plan` says, and what then comes of it, on a real Postgres and the embedded target. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { GenerationStatus } from '../../src/pipeline/status.ts';
import type { StartPlan } from '../../src/pipeline/plan.ts';
import { repository, runCli, shapeDifferences, type CliResult } from '../cmd/run-cli.ts';
import type { PostgresServer } from './postgres-client.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './servers.ts';
import { spawnTailrace, type TailraceProcess } from './tailrace.ts';

describePostgres([15, 18], (postgres) => {
  let folder: string;
  let server: PostgresServer;
  let database: string;

  const cli = async (...args: readonly string[]): Promise<CliResult> => runCli(args, { cwd: folder });
  const sql = async (text: string): Promise<Record<string, unknown>[]> => server.query(text, database);
  const plan = async (code = 0): Promise<StartPlan> => {
    const result = await cli('plan', '--json');
    expect(result).toMatchObject({ code, stderr: '' });
    return JSON.parse(result.stdout) as StartPlan;
  };
  const indexPlan = async (index: string): Promise<unknown> => (await plan()).indices.find((one) => one.index === index);
  const configure = (indices: Readonly<Record<string, unknown>>, more: Readonly<Record<string, unknown>> = {}): void =>
    writeFileSync(join(folder, 'tailrace.yaml'), JSON.stringify({ sources: { shop: { type: 'postgres', url: server.url(database) } }, indices, ...more }));
  const generations = async (): Promise<string[]> => {
    const { stdout } = await cli('generations', 'list', '--json');
    return stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as GenerationStatus).map(({ index, generation, phase, reason }) => `${index} ${generation} ${phase} ${reason}`);
  };
  const tables = async (): Promise<unknown[]> => (await sql("SELECT tablename FROM pg_publication_tables WHERE pubname = 'tailrace_shop' ORDER BY 1")).map(({ tablename }) => tablename);
  const slots = async (): Promise<unknown[]> => (await sql(`SELECT slot_name FROM pg_replication_slots WHERE database = '${database}'`)).map(({ slot_name: name }) => name);
  /** Starts a daemon until everything is in step. */
  const ran = async (work: (daemon: TailraceProcess) => Promise<void> = async () => {}): Promise<void> => {
    await using daemon = await spawnTailrace(['run'], { cwd: folder });
    await eventually('it is in step', 60_000, async () => (await cli('lag', '--max-seconds', '600')).code === 0 && (await generations()).every((line) => !/building|ready|dropping/.test(line)));
    await work(daemon);
    daemon.kill('SIGTERM');
    await daemon.exit();
  };

  const products = { from: 'shop.public.products' };

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tailrace-plan-'));
    server = await postgres.server();
    database = await server.createDatabase();
    await sql(`CREATE TABLE products (id bigint PRIMARY KEY, name text, price int); INSERT INTO products SELECT i, 'name ' || i, i FROM generate_series(1, 500) AS i;
      CREATE TABLE orders (id bigint PRIMARY KEY, note text); INSERT INTO orders VALUES (1, 'x'); ANALYZE`);
  });
  afterAll(async () => {
    await sql(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '${database}'`);
    rmSync(folder, { recursive: true, force: true });
  });

  test('before the first start: an index that is built, a slot and a publication that are made; and nothing is written by saying so', async () => {
    configure({ products });
    const first = await plan();
    expect(first.indices).toEqual([
      { index: 'products', table: 'shop.public.products', target: 'embedded', action: 'build', changed: [], generation: 1, serving: null, stands_still: null, drops: [], estimated_rows: 500, estimated_bytes: expect.any(Number) as unknown, problems: [] },
    ]);
    expect(first.sources).toMatchObject([{ source: 'shop', action: 'begin', tables_added: ['public.products'], statements: [expect.stringMatching(/^CREATE PUBLICATION "?tailrace_shop"? FOR TABLE .*products/), expect.stringContaining("'tailrace_shop'")] }]);
    expect([await slots(), await tables()]).toEqual([[], []]);
    expect(() => statSync(join(folder, 'tailrace-data'))).toThrow('ENOENT');
    await ran();
    expect([await slots(), await tables(), await generations()]).toEqual([['tailrace_shop'], ['products'], ['products 1 serving new']]);
    expect(await plan()).toMatchObject({ indices: [{ action: 'nothing' }], sources: [{ action: 'continue', tables_added: [], statements: [] }], left_behind: [], settings: null });
  });

  test('other fields: another generation beside the one that readers keep; another table: it is published', async () => {
    configure({ products: { ...products, fields: ['id', 'name'] }, orders: { from: 'shop.public.orders' } });
    const { indices, sources } = await plan();
    expect(indices).toMatchObject([
      { index: 'products', action: 'new_generation', changed: ['fields'], generation: 2, serving: 1, drops: [{ generation: 1, after_swap_hours: 24 }], estimated_rows: 500 },
      { index: 'orders', action: 'build', generation: 1 },
    ]);
    expect(sources).toMatchObject([{ tables_added: ['public.orders'], statements: [expect.stringMatching(/^ALTER PUBLICATION "?tailrace_shop"? ADD TABLE .*orders/)] }]);
    expect((await cli('plan')).stdout).toMatch(/\nproducts: built again as generation 2 at embedded, from shop\.public\.products, for fields\n {2}Read for it: about 500 rows, .*\n {2}Readers keep generation 1 until it is in step; it stays in step meanwhile\.\n {2}Generation 1 is dropped 24 h after readers get the new one\.\n/);
    expect(await tables()).toEqual(['products']);
    await ran();
    expect([await tables(), await generations()]).toEqual([['orders', 'products'], ['products 1 retired new', 'products 2 serving config', 'orders 1 serving new']]);
  });

  test('beside a daemon: its settings are compared, and no secret is shown', async () => {
    await ran(async () => {
      configure({ products: { ...products, fields: ['id', 'name'], batch: { max_operations: 7 } }, orders: { from: 'shop.public.orders' } }, { log: { max_bytes: 2 ** 30 } });
      const { indices, settings } = await plan();
      expect(indices.map(({ action }) => action)).toEqual(['nothing', 'nothing']);
      expect(settings).toEqual(expect.arrayContaining([{ setting: 'indices.products.batch.max_operations', from: 1000, to: 7 }, { setting: 'log.max_bytes', from: 64 * 2 ** 30, to: 2 ** 30 }]));
      expect(JSON.stringify(await plan())).not.toContain('postgres://');
    });
  });

  test('a column that the table gets: a field in place; one that an index needs and that is gone: it will stop', async () => {
    configure({ products, orders: { from: 'shop.public.orders' } });
    await ran();
    await sql('ALTER TABLE products ADD COLUMN colour text');
    expect(await indexPlan('products')).toMatchObject({ action: 'in_place', changed: ['field colour'], generation: 3 });
    await ran(async () => {
      await sql(`UPDATE products SET colour = 'red' WHERE id = 7`);
      await eventually('it is in the index', 30_000, async () => (await cli('search', 'products', 'red', '--json')).stdout.includes('"colour":"red"'));
    });
    expect(await generations()).toContain('products 3 serving config');
    expect(await indexPlan('products')).toMatchObject({ action: 'nothing' });
    configure({ products: { ...products, where: 'weight > 3' }, orders: { from: 'shop.public.orders' } });
    expect((await plan(1)).indices[0]).toMatchObject({ action: 'new_generation', problems: [expect.stringContaining('weight')] });
  });

  test('an index that is taken out: what it has stays, and so does its table in the publication', async () => {
    configure({ products: { ...products, rollback_hours: 0 } });
    const { indices, sources, left_behind: left } = await plan();
    expect(indices).toMatchObject([{ index: 'products', action: 'nothing', drops: [{ generation: 1, after_swap_hours: null }, { generation: 2, after_swap_hours: null }] }]);
    expect(sources).toMatchObject([{ tables_removed: ['public.orders'], statements: [] }]);
    expect(left).toEqual([{ index: 'orders', generation: 1, target: 'embedded', promoted: true, documents: 1, known: true }]);
    await ran();
    expect([await tables(), await generations()]).toEqual([['orders', 'products'], ['products 3 serving config']]);
    expect((await plan()).left_behind).toMatchObject([{ index: 'orders' }]);
    const listed = JSON.parse((await cli('generations', 'list', '--at', 'embedded', '--json')).stdout) as unknown;
    expect(listed).toEqual(left[0]);
    const documented = /<!-- shape: generations list --at -->\n```json\n([^]*?)\n```/.exec(readFileSync(join(repository, 'docs', 'cli.md'), 'utf8'))?.[1] ?? '';
    expect(shapeDifferences(JSON.parse(documented), listed)).toEqual([]);
    expect(await cli('generations', 'drop', 'orders', '1', '--at', 'embedded')).toMatchObject({ code: 64, stderr: expect.stringContaining('Readers of orders see generation 1 at target embedded') as unknown });
    expect(await cli('generations', 'drop', 'orders', '1', '--at', 'embeded')).toMatchObject({ code: 64, stderr: expect.stringContaining('did you mean `embedded`?') as unknown });
    configure({ products: { ...products, rollback_hours: 0 }, orders: { from: 'shop.public.orders' } });
    expect((await plan()).sources).toMatchObject([{ tables_added: ['public.orders'], tables_read_again: ['public.orders'], statements: [] }]);
  });

  test('what is left behind and readers do not see is removed by command', async () => {
    configure({ products, orders: { from: 'shop.public.orders' } });
    await ran();
    configure({ products, orders: { from: 'shop.public.orders', fields: ['id'] } });
    await ran();
    configure({ products });
    const left = (await plan()).left_behind.map(({ index, generation, promoted }) => [index, generation, promoted]);
    expect(left).toEqual([['orders', 1, false], ['orders', 2, true]]);
    await ran(async () => {
      expect(await cli('generations', 'drop', 'orders', '1', '--at', 'embedded')).toMatchObject({ code: 0, stdout: 'Generation 1 of orders is removed from embedded.\n' });
    });
    expect((await plan()).left_behind.map(({ index, generation }) => [index, generation])).toEqual([['orders', 2]]);
    expect(await cli('generations', 'drop', 'orders', '1', '--at', 'embedded')).toMatchObject({ code: 64, stderr: expect.stringContaining('Target embedded holds no generation 1 of orders.') as unknown });
  });

  test('another module, and another target: another generation, and what becomes of the one that readers keep', async () => {
    const pipeline = (to: string, more: Readonly<Record<string, unknown>> = {}): void => writeFileSync(join(folder, 'tailrace.yaml'), JSON.stringify({
      data_directory: 'other-data',
      sources: { second: { type: 'postgres', url: server.url(database), slot: `${database}_second`, publication: `${database}_second` } },
      targets: { near: { type: 'sqlite', path: 'near.db' }, far: { type: 'sqlite', path: 'far.db' } },
      indices: { orders: { from: 'second.public.orders', to, transform: './shape.mjs', ...more } },
    }));
    const module = (note: string): void => writeFileSync(join(folder, 'shape.mjs'), `export function transform(document) { return { id: document.id, note: '${note}' }; }\n`);
    module('first');
    pipeline('near');
    await ran();
    expect((await plan()).indices).toMatchObject([{ action: 'nothing', generation: 1 }]);
    module('second');
    expect((await plan()).indices).toMatchObject([{ action: 'new_generation', changed: ['transform'], generation: 2, serving: 1, stands_still: expect.stringContaining('makes other documents now') as unknown }]);
    await ran(async () => expect(await generations()).toEqual(['orders 1 retired new', 'orders 2 serving config']));
    pipeline('far');
    expect((await plan()).indices).toMatchObject([{ target: 'far', action: 'new_generation', changed: ['to'], generation: 3, serving: 2, stands_still: null }]);
    await ran(async () => expect((await generations()).at(-1)).toBe('orders 3 serving config'));
    expect(JSON.parse((await cli('search', 'orders', 'second', '--json')).stdout)).toMatchObject({ hits: [{ id: '1' }] });
  });

  test('a source that does not answer is said so, and the rest is planned', async () => {
    writeFileSync(join(folder, 'tailrace.yaml'), JSON.stringify({ sources: { shop: { type: 'postgres', url: 'postgres://nobody@127.0.0.1:1/none' } }, indices: { products: { ...products, fields: ['id'] } } }));
    expect(await plan()).toMatchObject({ indices: [{ action: 'new_generation', estimated_rows: null, problems: [] }], sources: [{ error: { code: 'SRC_CONN' } }] });
  });
});
