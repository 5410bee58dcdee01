/**
 * What a search target has to bear, each from the rows of a real Postgres to the documents of a real server: faults are provoked there where that
 * can be done, and at the proxy before it where not.
 */
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import type { IndexStatus } from '../../src/pipeline/status.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import { startProxy } from '../chaos/proxy.ts';
import { heapBytes } from './heap.ts';
import { AcceptanceScene, CATCH_UP_MS, within } from './opensearch-acceptance-scene.ts';
import type { Fault } from './opensearch-fault-proxy.ts';
import { describeOpenSearch, startTimeoutMs, type OpenSearchServer } from './opensearch.ts';
import { startPostgres, type PostgresServer } from './postgres.ts';

const items = { items: { from: 'shop.public.items' } };
/** A row whose `flag` is no truth value makes a document that the server refuses. */
const flagged = { items: { from: 'shop.public.items', mapping: { flag: { type: 'boolean' } } } };
const physical = 'items-g0001';
const noRoom: Fault = { kind: 'answer', status: 429, body: '{"error":{"type":"rejected_execution_exception","reason":"no room"},"status":429}' };

function itemsOf(pipeline: Pipeline): IndexStatus {
  const [status] = pipeline.status().indices;
  if (status === undefined) throw new Error('there is an index');
  return status;
}

function letters(pipeline: Pipeline): string[] {
  return pipeline.deadLetters({ index: 'items', limit: 100 }).letters.map(({ id }) => id).toSorted();
}

describeOpenSearch(['3.6.0'], (openSearch) => {
  let node: OpenSearchServer;
  let postgres: PostgresServer;
  const scene = async (): Promise<AcceptanceScene> => AcceptanceScene.open(node, postgres);

  beforeAll(async () => {
    [node, postgres] = await Promise.all([openSearch.server(), startPostgres({ major: 18 })]);
  }, startTimeoutMs);
  afterAll(async () => postgres[Symbol.asyncDispose]());

  test('a mixed batch: puts, deletes, stale, refused and put off, each is what it is, nothing is lost and nothing counted twice', async () => {
    await using at = await scene();
    await at.sql.query("CREATE TABLE items (id int PRIMARY KEY, name text, flag text); INSERT INTO items SELECT i, 'n' || i, 'true' FROM generate_series(1, 400) i");
    await using pipeline = await at.start(flagged);
    await pipeline.caughtUp(within());
    let writes = 0;
    // One answer is lost, so that what it was for is stale when it comes again; then the server has no room for every fourth operation.
    at.proxy.rule = ({ isWrite }) => {
      if (!isWrite) return undefined;
      writes += 1;
      return writes === 1 ? { kind: 'lose the answer' } : writes === 2 ? noRoom : writes < 6 ? { kind: 'refuse operations', isRefused: (at) => at % 4 === 1 } : undefined;
    };
    await at.sql.query(`BEGIN;
      UPDATE items SET name = 'changed' WHERE id % 3 = 0; DELETE FROM items WHERE id % 7 = 0; UPDATE items SET flag = 'perhaps' WHERE id IN (1, 100, 398);
      INSERT INTO items SELECT i, 'new', 'false' FROM generate_series(1001, 1200) i; UPDATE items SET id = id + 5000 WHERE id IN (10, 20, 40); COMMIT`);
    await pipeline.caughtUp(within());
    expect(writes).toBeGreaterThan(5);
    expect(letters(pipeline)).toEqual(['1', '100', '398']);
    const { 1: _one, 100: _hundred, 398: _last, ...rows } = await at.rows('items');
    expect(await at.documents('items')).toEqual(rows);
    const { counters } = itemsOf(pipeline);
    expect(counters.read).toBe(counters.applied + counters.stale + counters.superseded + counters.filtered + counters.dead_lettered);
    expect(counters.stale).toBeGreaterThan(0);
    expect(counters.dead_lettered).toBe(letters(pipeline).length);
  });

  test('a server slower than every interval, for five minutes: nothing hangs, memory stays bounded, and a commit is as soon there as before', { timeout: 180_000 }, async () => {
    await using at = await scene();
    await at.sql.query('CREATE TABLE items (id int PRIMARY KEY, name text)');
    const index = { items: { from: 'shop.public.items', batch: { max_bytes: 1_000_000 } } };
    const timesFaster = 60;
    await using pipeline = await at.start(index, { timesFaster, target: { max_request_bytes: 500_000 } });
    await pipeline.caughtUp(within());
    const slowest = async (ids: number): Promise<number> => {
      const times: number[] = [];
      for (let id = ids; id < ids + 40; id += 1) {
        const startMs = performance.now();
        await at.sql.query('INSERT INTO items VALUES ($1, $2)', [id, 'one']);
        await pipeline.caughtUp(within());
        times.push(performance.now() - startMs);
      }
      return times.toSorted((a, b) => a - b)[38] ?? 0;
    };
    const before = await slowest(1);
    const heapBefore = heapBytes();
    let isSlow = true;
    at.proxy.rule = ({ isWrite }) => (isWrite && isSlow ? { kind: 'hold the answer', until: pause(400) } : undefined);
    const endMs = performance.now() + (5 * 60_000) / timesFaster;
    let heapMost = 0;
    for (let from = 1_000; performance.now() < endMs; from += 1_000) {
      await at.sql.query(`INSERT INTO items SELECT i, (SELECT string_agg(md5((i * 100 + j)::text), ' ') FROM generate_series(1, 150) j) FROM generate_series(${from}, ${from + 999}) i`);
      heapMost = Math.max(heapMost, heapBytes());
    }
    const behind = itemsOf(pipeline);
    // Tens of megabytes wait in the log by now, and nowhere else.
    expect(pipeline.log.stats().bytes).toBeGreaterThan(15_000_000);
    expect(behind.lag_changes).toBeGreaterThan(500);
    expect(heapMost - heapBefore).toBeLessThan(25_000_000);
    isSlow = false;
    await pipeline.caughtUp(within());
    await node.ask('POST', `/${physical}/_refresh`);
    expect(await node.ask('GET', `/${physical}/_count`)).toMatchObject({ count: Object.keys(await at.rows('items')).length });
    expect(await slowest(500)).toBeLessThan(Math.max(5 * before, 1_500));
    expect([itemsOf(pipeline).phase, letters(pipeline)]).toEqual(['serving', []]);
  });

  test('a deleted row stays deleted when the node has forgotten the delete: what was parked is tried again, and the log is gone over again', { timeout: 300_000 }, async () => {
    await using at = await scene();
    await at.sql.query("CREATE TABLE items (id int PRIMARY KEY, name text, flag text); INSERT INTO items VALUES (1, 'one', 'true'), (2, 'two', 'true'), (3, 'three', 'true')");
    {
      await using pipeline = await at.start(flagged);
      await pipeline.caughtUp(within());
      await at.sql.query("UPDATE items SET name = 'uno' WHERE id = 1");
      await at.sql.query("UPDATE items SET flag = 'perhaps' WHERE id = 2");
      await pipeline.caughtUp(within());
      expect(letters(pipeline)).toEqual(['2']);
      await at.sql.query('DELETE FROM items WHERE id = 1');
      await pipeline.caughtUp(within());
    }
    node.kill('SIGKILL');
    await node.ended();
    await node.start();
    {
      using state = openSqliteState({ path: join(at.folder, 'data', 'state.db') });
      const { index, generation, startSeq } = state.generations()[0] ?? { index: '', generation: 0, startSeq: 0 };
      state.putCursor(index, generation, startSeq);
    }
    // The delete of 2 and the reading of 2 for another try are on their way at the same time.
    let isHeld = true;
    const released = Promise.withResolvers<void>();
    at.proxy.rule = ({ isWrite }) => (isWrite && isHeld ? { kind: 'hold', until: released.promise } : undefined);
    await using pipeline = await at.start(flagged);
    await at.sql.query('DELETE FROM items WHERE id = 2');
    await expect.poll(() => pipeline.status().sources[0]?.phase, { timeout: CATCH_UP_MS }).toBe('streaming');
    expect(await pipeline.retryDeadLetters({ index: 'items' }, within())).toMatchObject({ asked: 1 });
    isHeld = false;
    released.resolve();
    await pipeline.caughtUp(within());
    expect([await at.documents('items'), letters(pipeline)]).toEqual([{ 3: { id: 3, name: 'three', flag: 'true' } }, []]);
  });

  test('two appliers of one generation, one of them paused for two minutes: that one is fenced, and the index is what the log says', async () => {
    await using at = await scene();
    await at.sql.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items SELECT i, 'n' || i FROM generate_series(1, 50) i");
    const timesFaster = 60;
    const awake = Promise.withResolvers<void>();
    let isPaused = false;
    let held = 0;
    at.proxy.rule = () => (isPaused && (held += 1) > 0 ? { kind: 'hold', until: awake.promise } : undefined);
    await using link = await startProxy(postgres.port);
    const zombie = await at.start(items, { timesFaster, sourcePort: link.port, target: { request_timeout_ms: 600_000 } });
    await using _ended = { [Symbol.asyncDispose]: async () => zombie.stop().catch(() => {}) };
    await zombie.caughtUp(within());
    isPaused = true;
    await at.sql.query("UPDATE items SET name = 'changed' WHERE id <= 20; DELETE FROM items WHERE id > 40");
    await expect.poll(() => held, { timeout: CATCH_UP_MS }).toBeGreaterThan(0);
    // What it confirmed to its source from now on, the copy would not have.
    await link.set({ kind: 'cut' });
    // The same log and state in another place: as when a machine that was thought dead is started again from a backup.
    const copy = join(at.folder, 'copy');
    await cp(join(at.folder, 'data'), copy, { recursive: true, filter: (path) => !path.endsWith('lock.db') && !path.endsWith('.sock') });
    await using owner = await at.start(items, { folder: copy, search: node.url });
    await expect.poll(() => owner.log.durableSeq === itemsOf(owner).cursor && itemsOf(owner).phase, { timeout: CATCH_UP_MS }).toBe('serving');
    await pause((2 * 60_000) / timesFaster);
    awake.resolve();
    await expect(zombie.finished).rejects.toMatchObject({ code: 'TGT_FENCED' });
    await at.sql.query("INSERT INTO items VALUES (100, 'after')");
    await owner.caughtUp(within());
    expect(await at.documents('items')).toEqual(await at.rows('items'));
    const indices = (await node.ask('GET', '/_cat/indices?format=json&h=index')) as { readonly index: string }[];
    expect(indices).toEqual([{ index: physical }]);
  });

  test('keys too long, empty or odd, and values too long for their field: only rows that cannot be had are parked, each with its reason', async () => {
    await using at = await scene();
    await at.sql.query('CREATE TABLE items (id text PRIMARY KEY, code text, name text)');
    await using pipeline = await at.start({ items: { from: 'shop.public.items', mapping: { code: { type: 'keyword' } } } });
    await pipeline.caughtUp(within());
    const long = 'x'.repeat(513);
    await at.sql.query(
      `INSERT INTO items VALUES ('a', 'c', 'first'), ('', 'c', 'empty key'), ($1, 'c', '513 bytes'), ($2, 'c', '512 bytes'), ('ü"\\ /?#' || chr(1), 'c', 'odd'), ('immense', repeat('x', 33000), 'its code'), ('text', 'c', repeat('x', 33000) || chr(1)), ('z', 'c', 'last')`,
      [long, long.slice(1)],
    );
    await pipeline.caughtUp(within());
    const parked = pipeline.deadLetters({ index: 'items', limit: 10 }).letters;
    const held = await at.documents('items');
    expect(parked.toSorted((a, b) => a.id.length - b.id.length).map(({ id, code, reason }) => [id, code, reason])).toEqual([
      ['immense', 'TGT_REJECTED', expect.stringContaining('field "code"') as unknown],
      [long, 'TGT_REJECTED', 'The id is longer than 512 bytes.'],
    ]);
    expect(parked.every(({ reason }) => !reason.includes('xxx'))).toBe(true);
    // An id has a word for the empty key.
    const { '': empty, immense: _immense, [long]: _long, ...rows } = await at.rows('items');
    expect(held).toEqual({ '%E': empty, ...rows });
    expect(Object.keys(held)).toHaveLength(6);
  });

  test('a log that was begun anew is not taken for the one that built the index: it is refused, with the way out, and nothing is touched', async () => {
    await using at = await scene();
    await at.sql.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'one')");
    {
      await using pipeline = await at.start(items);
      await pipeline.caughtUp(within());
    }
    const held = await at.documents('items');
    await rm(join(at.folder, 'data'), { recursive: true });
    await at.sql.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()');
    await at.sql.query("UPDATE items SET name = 'uno'");
    await using pipeline = await at.start(items);
    await expect.poll(() => itemsOf(pipeline).phase, { timeout: CATCH_UP_MS }).toBe('stopped');
    expect(itemsOf(pipeline).error).toMatchObject({ code: 'TGT_IDENTITY', hint: expect.stringContaining('data directory') as unknown });
    expect(itemsOf(pipeline).counters).toMatchObject({ read: 0, stale: 0 });
    expect(await at.documents('items')).toEqual(held);
  });

  describe('a pause with its reason, no parked row, and work that goes on by itself', () => {
    const broken: readonly (readonly [string, string, (at: AcceptanceScene) => Promise<() => Promise<unknown>>])[] = [
      ['the flood stage of the disk', 'TGT_BLOCKED', async () => {
        await node.ask('PUT', `/${physical}/_settings`, { 'index.blocks.read_only_allow_delete': true });
        return () => node.ask('PUT', `/${physical}/_settings`, { 'index.blocks.read_only_allow_delete': null });
      }],
      ['a right that was taken away', 'TGT_BLOCKED', async (at) => {
        at.proxy.rule = () => ({ kind: 'answer', status: 403, body: '{"error":{"type":"security_exception","reason":"no permissions for [indices:data/write/bulk]"},"status":403}' });
        return async () => void (at.proxy.rule = () => undefined);
      }],
      ['a password that was changed', 'TGT_AUTH', async (at) => {
        at.proxy.rule = () => ({ kind: 'answer', status: 401, body: '{"error":{"type":"security_exception","reason":"missing authentication credentials"},"status":401}' });
        return async () => void (at.proxy.rule = () => undefined);
      }],
      ['a server that has no room for anything', 'TGT_CONN', async (at) => {
        at.proxy.rule = ({ isWrite }) => (isWrite ? noRoom : undefined);
        return async () => void (at.proxy.rule = () => undefined);
      }],
      ['a closed index', 'TGT_BLOCKED', async () => {
        await node.ask('POST', `/${physical}/_close`);
        return () => node.ask('POST', `/${physical}/_open`);
      }],
    ];

    test.each(broken)('%s: %s', async (_, code, breaking) => {
      await using at = await scene();
      await at.sql.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'one')");
      await using pipeline = await at.start(items, { timesFaster: 10 });
      await pipeline.caughtUp(within());
      const mend = await breaking(at);
      await at.sql.query("UPDATE items SET name = 'uno'; INSERT INTO items VALUES (2, 'two')");
      await expect.poll(() => itemsOf(pipeline).error?.code, { timeout: CATCH_UP_MS }).toBe(code);
      expect(pipeline.status()).toMatchObject({ ready: false, indices: [{ phase: 'waiting' }] });
      await mend();
      await pipeline.caughtUp(within());
      expect([await at.documents('items'), letters(pipeline), itemsOf(pipeline).error]).toEqual([await at.rows('items'), [], null]);
    });

    test('an index that was deleted: nothing is made in its place, and building it again is all that it takes', async () => {
      await using at = await scene();
      await at.sql.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'one')");
      await using pipeline = await at.start(items, { timesFaster: 10 });
      await pipeline.caughtUp(within());
      await node.ask('DELETE', `/${physical}`);
      await at.sql.query("DELETE FROM items WHERE id = 1; INSERT INTO items VALUES (2, 'two')");
      await expect.poll(() => itemsOf(pipeline).error?.code, { timeout: CATCH_UP_MS }).toBe('TGT_MISSING');
      expect([letters(pipeline), await node.ask('GET', '/_cat/indices?format=json&h=index')]).toEqual([[], []]);
      pipeline.resync('items', false);
      await pipeline.caughtUp(within());
      expect([await at.documents('items'), letters(pipeline), itemsOf(pipeline).error]).toEqual([await at.rows('items'), [], null]);
    });

    test('an index that a write of somebody else made in the place of ours: it is not written to', async () => {
      await using at = await scene();
      await at.sql.query("CREATE TABLE items (id int PRIMARY KEY, name text); INSERT INTO items VALUES (1, 'one')");
      await using pipeline = await at.start(items, { timesFaster: 10 });
      await pipeline.caughtUp(within());
      await node.ask('DELETE', `/${physical}`);
      await node.ask('PUT', `/${physical}/_doc/theirs?refresh=true`, { their: 'document' });
      await at.sql.query("INSERT INTO items VALUES (2, 'two')");
      await expect.poll(() => itemsOf(pipeline).error?.code, { timeout: CATCH_UP_MS }).toBe('TGT_IDENTITY');
      expect([letters(pipeline), await at.documents(physical)]).toEqual([[], { theirs: { their: 'document' } }]);
    });
  });
});
