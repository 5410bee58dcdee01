/** Tables that change, and tables that are wide, up to the mapping of a real server: it does not explode, and nothing stops without need. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { AcceptanceScene, CATCH_UP_MS, within } from './opensearch-acceptance-scene.ts';
import { describeOpenSearch, startTimeoutMs, type OpenSearchServer } from './opensearch.ts';
import { startPostgres, type PostgresServer } from './postgres.ts';

const items = { items: { from: 'shop.public.items' } };

/** Most columns of one table that Postgres takes rows of, with texts of a few bytes in them. */
const WIDE_COLUMNS = 1_500;

describeOpenSearch(['3.6.0'], (openSearch) => {
  let node: OpenSearchServer;
  let postgres: PostgresServer;
  const scene = async (): Promise<AcceptanceScene> => AcceptanceScene.open(node, postgres);
  const properties = async (name: string): Promise<Record<string, Record<string, unknown>>> => {
    const [one] = Object.values((await node.ask('GET', `/${name}/_mapping`)) as Record<string, { readonly mappings: { readonly properties: Record<string, Record<string, unknown>> } }>);
    return one?.mappings.properties ?? {};
  };
  const nothingParked = (pipeline: Pipeline): void => expect(pipeline.deadLetters({ index: 'items', limit: 5 }).letters).toEqual([]);

  beforeAll(async () => {
    [node, postgres] = await Promise.all([openSearch.server(), startPostgres({ major: 18 })]);
  }, startTimeoutMs);
  afterAll(async () => postgres[Symbol.asyncDispose]());

  test('a new column is in the mapping before the first document that has it, and nothing stops', async () => {
    await using at = await scene();
    await at.sql.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'one')");
    await using pipeline = await at.start(items);
    await pipeline.caughtUp(within());
    await at.sql.query(`ALTER TABLE items ADD COLUMN price numeric(10,2), ADD COLUMN made timestamptz DEFAULT '2026-01-02'; INSERT INTO items VALUES (2, 'two', 1.50, '2026-01-03'); UPDATE items SET name = 'uno' WHERE id = 1`);
    await pipeline.caughtUp(within());
    nothingParked(pipeline);
    expect(pipeline.status().indices[0]).toMatchObject({ generation: 1, phase: 'serving', error: null });
    expect([(await properties('items'))['price']?.['type'], (await properties('items'))['made']?.['type']]).toEqual(['double', 'date']);
    expect(await at.documents('items')).toMatchObject({ 1: { name: 'uno', price: null }, 2: { price: 1.5 } });
    await at.sql.query("ALTER TABLE items DROP COLUMN price; INSERT INTO items (id, name) VALUES (3, 'three')");
    await pipeline.caughtUp(within());
    expect((await at.documents('items'))['3']).not.toHaveProperty('price');
    nothingParked(pipeline);
  });

  test('a column of another type makes another generation by itself, while readers go on with what they have', async () => {
    await using at = await scene();
    await at.sql.query("CREATE TABLE items (id int PRIMARY KEY, code int); INSERT INTO items VALUES (1, 100), (2, 200)");
    await using pipeline = await at.start(items);
    await pipeline.caughtUp(within());
    const held = Promise.withResolvers<void>();
    at.proxy.rule = ({ isWrite, path }) => (isWrite && path.includes('g0002') ? { kind: 'hold', until: held.promise } : undefined);
    await at.sql.query("ALTER TABLE items ALTER COLUMN code TYPE text; INSERT INTO items VALUES (3, 'A300')");
    await expect.poll(() => pipeline.status().indices[0]?.generations.map(({ generation }) => generation), { timeout: CATCH_UP_MS }).toEqual([1, 2]);
    expect(Object.keys(await at.documents('items'))).toEqual(['1', '2']);
    held.resolve();
    await pipeline.caughtUp(within());
    nothingParked(pipeline);
    expect(await at.documents('items')).toEqual(await at.rows('items'));
    expect([(await properties('items'))['code']?.['type'], pipeline.status().indices[0]?.generation]).toEqual(['text', 2]);
  });

  test('a type that changes without another mapping changes nothing else', async () => {
    await using at = await scene();
    await at.sql.query("CREATE TABLE items (id int PRIMARY KEY, n int); INSERT INTO items VALUES (1, 1)");
    await using pipeline = await at.start(items);
    await pipeline.caughtUp(within());
    await at.sql.query('ALTER TABLE items ALTER COLUMN n TYPE bigint; INSERT INTO items VALUES (2, 9007199254740993)');
    await pipeline.caughtUp(within());
    const text = await (await fetch(`${node.url}/items/_doc/2`)).text();
    expect(text).toContain('"n":9007199254740993}');
    expect(pipeline.status().indices[0]?.generation).toBe(1);
    nothingParked(pipeline);
  });

  test('a table as wide as Postgres has them, and JSON with thousands of names, do not make the mapping explode', { timeout: 300_000 }, async () => {
    await using at = await scene();
    const names = Array.from({ length: WIDE_COLUMNS }, (_, i) => `c${i}`);
    await at.sql.query(`CREATE TABLE items (id int PRIMARY KEY, free jsonb, ${names.map((name) => `${name} text`).join(', ')})`);
    await at.sql.query(`INSERT INTO items (id, c0, c${WIDE_COLUMNS - 1}) VALUES (1, 'first', 'last')`);
    await using pipeline = await at.start(items);
    await pipeline.caughtUp(within());
    await at.sql.query("INSERT INTO items (id, free) SELECT i, (SELECT jsonb_object_agg('name ' || (i * 1000 + j), jsonb_build_object('deep', jsonb_build_array(j, jsonb_build_object('er', j)))) FROM generate_series(1, 1000) j) FROM generate_series(2, 5) i");
    await pipeline.caughtUp(within());
    nothingParked(pipeline);
    const mapped = await properties('items');
    expect([Object.keys(mapped).length, mapped['free']]).toEqual([WIDE_COLUMNS + 2, { type: 'object', enabled: false }]);
    const documents = await at.documents('items');
    expect([Object.keys(documents), documents['1']?.['c0'], documents['1']?.[`c${WIDE_COLUMNS - 1}`], Object.keys(documents['5']?.['free'] as object).length]).toEqual([['1', '2', '3', '4', '5'], 'first', 'last', 1_000]);
  });

  test('more fields than the config allows stop the index with what to do, and not its source', async () => {
    await using at = await scene();
    await at.sql.query(`CREATE TABLE items (id int PRIMARY KEY, ${Array.from({ length: 40 }, (_, i) => `c${i} int`).join(', ')}); INSERT INTO items (id) VALUES (1)`);
    await using pipeline = await at.start({ items: { from: 'shop.public.items', settings: { 'mapping.total_fields.limit': 30 } } });
    await expect.poll(() => pipeline.status().indices[0]?.phase, { timeout: CATCH_UP_MS }).toBe('stopped');
    expect(pipeline.status().indices[0]?.error).toMatchObject({ code: 'TGT_MAPPING', hint: expect.stringMatching(/`fields`.*total_fields/) as unknown });
    expect(pipeline.status().sources[0]?.phase).toBe('streaming');
  });
});
