/** The whole corridor on real servers, in one process: what happens around it (kills, cut connections) is in test/chaos. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { connectors } from '../../connectors/index.ts';
import type { ConfigInput } from '../../src/config/config-schema.ts';
import type { DocumentTransform } from '../../src/document/transform.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { GenerationRecord } from '../../src/state/state-store.ts';
import { documentsIn } from './indexed-documents.ts';
import { describePostgres } from './postgres.ts';
import { CATCH_UP_MS, catchUpShop, startShop } from './shop-pipeline.ts';

type IndexConfig = ConfigInput['indices'][string];

describePostgres([15, 18], ({ server }) => {
  let folder = '';
  let url = '';
  let database: Client;

  beforeEach(async () => {
    const running = await server();
    url = running.url(await running.createDatabase());
    database = new Client({ connectionString: url });
    await database.connect();
    folder = await mkdtemp(join(tmpdir(), 'tailrace-pipeline-'));
  });
  afterEach(async () => {
    await database.query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND database = current_database()");
    await database.end();
    await rm(folder, { recursive: true });
  });

  async function start(indices: Record<string, IndexConfig>, rebuild?: string[], transform?: DocumentTransform): Promise<Pipeline> {
    return startShop({ folder, url, indices, rebuild, transform });
  }

  async function catchUp(indices: Record<string, IndexConfig>, rebuild?: string[]): Promise<void> {
    await catchUpShop({ folder, url, indices, rebuild });
  }

  function documents(index: string): Record<string, unknown> {
    return documentsIn(folder, index);
  }

  function generations(index: string): Record<string, unknown>[] {
    const file = new DatabaseSync(join(folder, 'search.db'), { readOnly: true });
    try {
      return file.prepare('SELECT generation, promoted, documents FROM tailrace_generations WHERE index_name = ? ORDER BY generation').all(index).map((row) => ({ ...row }));
    } finally {
      file.close();
    }
  }

  const items = { items: { from: 'shop.public.items' } };

  describe('an index', () => {
    test('holds the rows that were there before and every change since, in step when told', async () => {
      await database.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT i, 'n' || i FROM generate_series(1, 500) i");
      await using pipeline = await start(items);
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      expect(Object.keys(documents('items'))).toHaveLength(500);
      await database.query("UPDATE items SET name = 'changed' WHERE id = 1; DELETE FROM items WHERE id = 2; INSERT INTO items VALUES (501, 'new'); UPDATE items SET id = 1003 WHERE id = 3");
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      const found = documents('items');
      expect([found['1'], found['2'], found['501'], found['3'], found['1003']]).toEqual([{ id: 1, name: 'changed' }, undefined, { id: 501, name: 'new' }, undefined, { id: 1003, name: 'n3' }]);
      expect(await pipeline.search({ index: 'items', text: 'changed', limit: 5 }, AbortSignal.timeout(5_000))).toMatchObject([{ id: '1' }]);
    });

    test('goes on where it stopped, and takes what happened meanwhile', async () => {
      await database.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'a'), (2, 'b')");
      await catchUp(items);
      await database.query("DELETE FROM items WHERE id = 1; UPDATE items SET name = 'b2' WHERE id = 2; INSERT INTO items VALUES (3, 'c')");
      await catchUp(items);
      expect(documents('items')).toEqual({ 2: { id: 2, name: 'b2' }, 3: { id: 3, name: 'c' } });
    });

    test('is emptied by TRUNCATE, and takes what comes behind it', async () => {
      await database.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT i, 'x' FROM generate_series(1, 50) i");
      await using pipeline = await start(items);
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      await database.query("BEGIN; INSERT INTO items VALUES (60, 'gone'); TRUNCATE items; INSERT INTO items VALUES (61, 'kept'); COMMIT");
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      expect(documents('items')).toEqual({ 61: { id: 61, name: 'kept' } });
    });

    test('keeps values that an update did not touch and the server therefore did not send', async () => {
      await database.query("CREATE TABLE items (id int PRIMARY KEY, name text, long text); ALTER TABLE items ALTER long SET STORAGE EXTERNAL; INSERT INTO items VALUES (1, 'a', repeat('long', 5000))");
      await using pipeline = await start(items);
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      await database.query("UPDATE items SET name = 'b' WHERE id = 1");
      await database.query('UPDATE items SET id = 2 WHERE id = 1');
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      expect(documents('items')).toEqual({ 2: { id: 2, name: 'b', long: 'long'.repeat(5000) } });
    });

    test('of a table without a key counts rows as the table does: one of two equal rows may go', async () => {
      await database.query("CREATE TABLE items (name text); ALTER TABLE items REPLICA IDENTITY FULL; INSERT INTO items VALUES ('twin'), ('twin'), ('single')");
      await using pipeline = await start(items);
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      await database.query("DELETE FROM items WHERE ctid = (SELECT min(ctid) FROM items WHERE name = 'twin')");
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      expect(Object.values(documents('items'))).toHaveLength(2);
      await database.query("DELETE FROM items WHERE name = 'twin'");
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      expect(Object.values(documents('items'))).toEqual([{ name: 'single' }]);
    });
  });

  describe('several indices', () => {
    const both = { items: { from: 'shop.public.items' }, cheap: { from: 'shop.public.items', where: 'price < 10', fields: { title: 'name', price: true } } };

    test('are made of one tail, each with its own documents and cursor', async () => {
      await database.query("CREATE TABLE items (id int PRIMARY KEY, name text, price int); INSERT INTO items VALUES (1, 'a', 5), (2, 'b', 50)");
      await using pipeline = await start(both);
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      expect(documents('cheap')).toEqual({ 1: { title: 'a', price: 5 } });
      await database.query('UPDATE items SET price = 55 WHERE id = 1; UPDATE items SET price = 1 WHERE id = 2');
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      expect(documents('cheap')).toEqual({ 2: { title: 'b', price: 1 } });
      expect(documents('items')).toEqual({ 1: { id: 1, name: 'a', price: 55 }, 2: { id: 2, name: 'b', price: 1 } });
    });

    test('may come later: a new index of a table that is followed already is filled from a snapshot of its own', async () => {
      await database.query("CREATE TABLE items (id int PRIMARY KEY, name text, price int); INSERT INTO items VALUES (1, 'a', 5), (2, 'b', 50)");
      await catchUp({ items: both.items });
      await database.query("INSERT INTO items VALUES (3, 'c', 7)");
      await catchUp(both);
      expect(documents('cheap')).toEqual({ 1: { title: 'a', price: 5 }, 3: { title: 'c', price: 7 } });
    });

    test('may be of a table that was not followed before', async () => {
      await database.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'a'); CREATE TABLE others (id int PRIMARY KEY); INSERT INTO others VALUES (7)");
      await catchUp(items);
      await database.query('INSERT INTO others VALUES (8)');
      await using pipeline = await start({ ...items, others: { from: 'shop.public.others' } });
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      await database.query('INSERT INTO others VALUES (9); DELETE FROM others WHERE id = 7');
      await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
      expect(Object.keys(documents('others'))).toEqual(['8', '9']);
    });
  });

  test('a definition that makes other documents builds a new generation while the old one serves, and takes its place', async () => {
    await database.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'a')");
    await catchUp(items);
    await catchUp({ items: { from: 'shop.public.items', fields: { title: 'name' } } });
    expect(documents('items')).toEqual({ 1: { title: 'a' } });
    expect(generations('items')).toEqual([{ generation: 1, promoted: 0, documents: 1 }, { generation: 2, promoted: 1, documents: 1 }]);
  });

  test('search looks into the text fields that the config names, and into no others, what a module adds included', async () => {
    await database.query("CREATE TABLE items (id int PRIMARY KEY, name text, part int, secret text); INSERT INTO items VALUES (1, 'amber', 4711, 'cobalt')");
    const named = { items: { from: 'shop.public.items', text_fields: ['name', 'part'] }, made: { from: 'shop.public.items', text_fields: ['title'], transform: './made.mjs' } };
    const transform = { path: './made.mjs', contentHash: 'made', apply: (document: Readonly<Record<string, unknown>>) => ({ title: [document['name'], 'lamp'], note: document['secret'] }) };
    await using pipeline = await start(named, undefined, transform);
    await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
    const found = async (index: string, text: string): Promise<number> => (await pipeline.search({ index, text, limit: 5 }, AbortSignal.timeout(5_000))).length;
    expect([await found('items', 'amber'), await found('items', '4711'), await found('items', 'cobalt')]).toEqual([1, 1, 0]);
    expect([await found('made', 'amber lamp'), await found('made', 'cobalt')]).toEqual([1, 0]);
    expect(documents('made')).toEqual({ 1: { title: ['amber', 'lamp'], note: 'cobalt' } });
    const file = new DatabaseSync(join(folder, 'search.db'), { readOnly: true });
    expect(file.prepare("SELECT id FROM items_text WHERE items_text MATCH 'amber'").all()).toHaveLength(1);
    expect(file.prepare("SELECT id FROM items_text WHERE items_text MATCH 'cobalt'").all()).toHaveLength(0);
    file.close();
  });

  test('a generation that a killed run left behind is dropped at the next start, without touching the one that serves', async () => {
    await database.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'a')");
    await catchUp(items);
    // As if it had ended right behind the swap: the superseded generation is in the file and in the state still.
    using state = openSqliteState({ path: join(folder, 'state.db') });
    const [served] = state.generations();
    expect(served).toMatchObject({ index: 'items', generation: 1, phase: 'serving' });
    const file = new DatabaseSync(join(folder, 'search.db'));
    file.exec("UPDATE tailrace_generations SET generation = 2");
    file.close();
    state.putGenerations({ ...(served as GenerationRecord), phase: 'dropping' }, { ...(served as GenerationRecord), generation: 2 });
    {
      const left = connectors.targets.sqlite.create(connectors.targets.sqlite.configSchema.parse({ type: 'sqlite' }), { name: 'embedded', runtime: nodeRuntime(silentLogger), dataDirectory: folder });
      await using target = left;
      await target.open({ index: 'items', generation: 1, binding: { logId: state.logId ?? '', epoch: 1, fingerprint: 'old' }, fields: [], isBuilding: false, options: {} }, AbortSignal.timeout(5_000));
    }
    await database.query("INSERT INTO items VALUES (2, 'b')");
    await catchUp(items);
    expect(documents('items')).toEqual({ 1: { id: 1, name: 'a' }, 2: { id: 2, name: 'b' } });
    expect(generations('items')).toEqual([{ generation: 2, promoted: 1, documents: 2 }]);
    expect(state.generations()).toMatchObject([{ generation: 2, phase: 'serving' }]);
  });

  test('an index that names a column which older changes lack is built all the same: the snapshot brings it', async () => {
    await database.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'a')");
    await catchUp(items);
    await database.query("UPDATE items SET name = 'b'; INSERT INTO items VALUES (2, 'c'); ALTER TABLE items ADD COLUMN price int DEFAULT 5; UPDATE items SET price = 6 WHERE id = 2");
    await catchUp({ items: { from: 'shop.public.items', fields: ['name', 'price'] } });
    expect(documents('items')).toEqual({ 1: { name: 'b', price: 5 }, 2: { name: 'c', price: 6 } });
  });

  test('a rebuild after lost history drops documents of rows that were deleted meanwhile', async () => {
    await database.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'a'), (2, 'b')");
    await catchUp(items);
    await database.query("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()");
    await database.query('DELETE FROM items WHERE id = 1');
    await expect(catchUp(items)).rejects.toMatchObject({ code: 'SRC_HISTORY_LOST' });
    expect(Object.keys(documents('items'))).toEqual(['1', '2']);
    await catchUp(items, ['shop']);
    expect(documents('items')).toEqual({ 2: { id: 2, name: 'b' } });
  });

  test('every change that was read is accounted for', async () => {
    await database.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT i, 'x' FROM generate_series(1, 100) i");
    await using pipeline = await start({ items: { from: 'shop.public.items', where: 'id % 2 == 0' } });
    await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
    await database.query("UPDATE items SET name = 'y'; DELETE FROM items WHERE id < 10");
    await pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS));
    const counters = pipeline.status().indices[0]?.counters;
    expect(counters?.read).toBe(209);
    expect((counters?.applied ?? 0) + (counters?.stale ?? 0) + (counters?.superseded ?? 0) + (counters?.filtered ?? 0) + (counters?.dead_lettered ?? 0)).toBe(209);
  });
});
