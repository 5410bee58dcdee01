import { describe, expect, test, vi } from 'vitest';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import type { IndexStatus } from '../../src/pipeline/status.ts';
import { MemoryTarget } from '../sim/memory-target.ts';
import { ScriptedServer, ScriptedStage, type ScriptedOptions } from './scripted-server.ts';

const within = (): AbortSignal => AbortSignal.timeout(20_000);

function items(pipeline: Pipeline): IndexStatus {
  const status = pipeline.status().indices.find(({ name }) => name === 'items');
  if (status === undefined) throw new Error('there is an index of that name');
  return status;
}

/** An index that a daemon has brought to serving, and then ended: what to start the next one with. */
async function served(stage: ScriptedStage): Promise<ScriptedOptions> {
  const server = new ScriptedServer();
  server.write('public.items', '1', 'first');
  const settings = { servers: { shop: server }, indices: { items: 'shop.public.items' } };
  await using pipeline = await stage.start(settings);
  await pipeline.caughtUp(within());
  return settings;
}

describe('an index that is opened', () => {
  test('is at no known place until its target says where, not at the beginning', async () => {
    await using stage = await ScriptedStage.make();
    const settings = await served(stage);
    const asked = Promise.withResolvers<void>();
    const answered = Promise.withResolvers<void>();
    stage.beforeCursor = async () => {
      asked.resolve();
      await answered.promise;
    };
    await using pipeline = await stage.start(settings);
    await asked.promise;
    expect([items(pipeline).cursor, items(pipeline).lag_changes, items(pipeline).lag_seconds]).toEqual([null, null, null]);
    expect(pipeline.positions().indices.map(({ cursor }) => cursor)).toEqual([null]);
    answered.resolve();
    await pipeline.caughtUp(within());
    expect(items(pipeline).cursor).toBe(pipeline.log.durableSeq);
  });

  test('and does not say where it is, is still at no known place while it waits', async () => {
    await using stage = await ScriptedStage.make();
    const settings = await served(stage);
    stage.beforeCursor = () => Promise.reject(new TailraceError('TGT_CONN', { message: 'It is away.' }));
    await using pipeline = await stage.start(settings);
    await expect.poll(() => items(pipeline).phase).toBe('waiting');
    expect(items(pipeline).cursor).toBeNull();
  });

  test('again, goes on counting what it read and applied', async () => {
    const server = new ScriptedServer();
    for (let i = 0; i < 10; i += 1) server.write('public.items', String(i), 'x');
    await using stage = await ScriptedStage.make();
    let refusals = 1;
    stage.beforePromote = () => {
      refusals -= 1;
      if (refusals >= 0) throw new TailraceError('TGT_BLOCKED', { message: 'Not now.' });
    };
    await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' } });
    await pipeline.caughtUp(within());
    expect(stage.lines.filter(({ event }) => event === 'generations_waiting')).toHaveLength(1);
    expect(items(pipeline).counters).toMatchObject({ read: 10, applied: 10 });
  });
});

test('a search that its target does not answer names the target, before whoever asks loses patience with the daemon', { timeout: 20_000 }, async () => {
  await using stage = await ScriptedStage.make();
  await using pipeline = await stage.start(await served(stage));
  using _away = vi.spyOn(MemoryTarget.prototype, 'search').mockReturnValue(new Promise(() => {}));
  await expect(pipeline.search({ index: 'items', text: 'first', limit: 1 }, within())).rejects.toMatchObject({ code: 'TIMED_OUT', message: 'Target memory did not answer within 8 s.' });
});

test('a generation keeps nothing of rows that went without a change of their own before its snapshot was read', async () => {
  const server = new ScriptedServer();
  server.write('public.items', 'stays', 'x');
  await using stage = await ScriptedStage.make();
  const settings = { servers: { shop: server }, indices: { items: 'shop.public.items' } };
  {
    // The snapshot is asked for when the head is known: the stream goes on until the daemon is stopped.
    server.headAfter = new Promise(() => {});
    await using pipeline = await stage.start(settings);
    await expect.poll(() => server.connects).toBe(1);
    server.write('public.items', 'of a partition', 'x');
    await expect.poll(() => pipeline.log.durableSeq).toBe(1);
    expect(items(pipeline).phase).toBe('building');
  }
  server.tables.get('public.items')?.delete('of a partition');
  server.headAfter = Promise.resolve();
  await using pipeline = await stage.start(settings);
  await pipeline.caughtUp(within());
  expect(Object.keys(stage.documents('items'))).toEqual(['stays']);
});

describe('an index that the log gave up', () => {
  const small = { max_bytes: 64 * 1024, segment_bytes: 16 * 1024, on_full: 'evict' } as const;
  const settings = (server: ScriptedServer, log: Partial<typeof small> = small) => ({ servers: { shop: server }, indices: { items: 'shop.public.items', others: 'shop.public.others' }, log });

  /** Writes until the index has stopped, while none of its batches is applied. */
  async function giveUp(stage: ScriptedStage, pipeline: Pipeline, server: ScriptedServer): Promise<void> {
    const held = Promise.withResolvers<void>();
    stage.beforeApply = async (index) => (index === 'items' ? held.promise : undefined);
    for (let i = 0; !stage.lines.some(({ event }) => event === 'log_hold_evicted'); i += 1) {
      server.write('public.items', String(i), 'x'.repeat(500));
      await new Promise((resolve) => void setTimeout(resolve, 1));
    }
    held.resolve();
    await expect.poll(() => items(pipeline).phase).toBe('stopped');
  }

  test('before it was built says that the next build ends the same way, and what to change', async () => {
    const server = new ScriptedServer();
    server.write('public.items', 'first', 'x');
    await using stage = await ScriptedStage.make();
    const hint = expect.stringMatching(/^Raise `log\.max_bytes` above the size of the table public\.items, .*restart, then `tailrace resync items`/) as string;
    {
      await using pipeline = await stage.start(settings(server));
      await giveUp(stage, pipeline, server);
      expect(items(pipeline).error).toMatchObject({ code: 'LOG_EVICTED', did: 'The index was not built; the others go on.', hint });
    }
    stage.beforeApply = () => {};
    await using pipeline = await stage.start(settings(server));
    await expect.poll(() => items(pipeline).phase).toBe('stopped');
    expect(items(pipeline).error).toMatchObject({ code: 'LOG_GAP', hint });
    // It is not kept for it, to be given up again when the log is full.
    expect(pipeline.log.stats().holds.map(({ name }) => name)).not.toContain('items-g0001');
  });

  test('when it served is told to be built again, by its name, and is, while the others go on', async () => {
    const server = new ScriptedServer();
    server.write('public.items', 'first', 'x');
    await using stage = await ScriptedStage.make();
    await using pipeline = await stage.start(settings(server));
    await pipeline.caughtUp(within());
    await giveUp(stage, pipeline, server);
    expect(items(pipeline).error).toMatchObject({ code: 'LOG_EVICTED', hint: 'The index fell behind `log.max_bytes` with `on_full: evict`. Build it again, beside the others: `tailrace resync items`.' });
    await expect(pipeline.caughtUp(within())).rejects.toMatchObject({ hint: expect.stringContaining('resync items') as string });
    stage.beforeApply = () => {};
    pipeline.resync('items', false);
    await expect.poll(() => pipeline.jobs(), { timeout: 10_000 }).toMatchObject([{ phase: 'done' }]);
    expect(new Set(Object.keys(stage.documents('items')))).toEqual(new Set(server.tables.get('public.items')?.keys()));
  });
});

test('what somebody orders is done at once, however long the pause after a failure is', { timeout: 30_000 }, async () => {
  const server = new ScriptedServer();
  server.write('public.items', '1', 'first');
  await using stage = await ScriptedStage.make();
  await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' } });
  await pipeline.caughtUp(within());
  stage.beforePromote = (generation) => {
    if (generation === 2) throw new TailraceError('TGT_BLOCKED', { message: 'Not now.' });
  };
  pipeline.resync('items', false);
  const pauses = (): number[] => stage.lines.filter(({ event }) => event === 'generations_waiting').map((line) => Number(line['retry_in_ms']));
  await expect.poll(() => pauses().at(-1) ?? 0, { timeout: 20_000 }).toBeGreaterThan(2_000);
  const orderedAtMs = performance.now();
  pipeline.drop('items', 2);
  await expect.poll(() => pipeline.generations('items').map(({ generation }) => generation), { timeout: 20_000, interval: 10 }).toEqual([1]);
  expect(performance.now() - orderedAtMs).toBeLessThan(1_500);
});

test('a generation that was looked at is not looked at again because its target cannot promote it, and the pauses grow', async () => {
  const server = new ScriptedServer();
  server.write('public.items', '1', 'first');
  await using stage = await ScriptedStage.make();
  let looks = 0;
  const beforeSwap = async (): Promise<void> => {
    looks += 1;
    await new Promise((resolve) => void setTimeout(resolve, 5));
  };
  let refusals = 3;
  stage.beforePromote = () => {
    refusals -= 1;
    if (refusals >= 0) throw new TailraceError('TGT_BLOCKED', { message: 'Not now.' });
  };
  await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' }, beforeSwap });
  await pipeline.caughtUp(within());
  const pauses = stage.lines.filter(({ event }) => event === 'generations_waiting').map((line) => Number(line['retry_in_ms']));
  expect([looks, pauses.length]).toEqual([1, 3]);
  expect(pauses[2]).toBeGreaterThanOrEqual(400);
});

test('pauses grow while looking at a generation fails, as they do when promoting it fails', async () => {
  const server = new ScriptedServer();
  server.write('public.items', '1', 'first');
  await using stage = await ScriptedStage.make();
  let failures = 3;
  const beforeSwap = async (): Promise<void> => {
    await new Promise((resolve) => void setTimeout(resolve, 5));
    failures -= 1;
    if (failures >= 0) throw new TailraceError('TGT_CONN', { message: 'It is away.' });
  };
  await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' }, beforeSwap });
  await pipeline.caughtUp(within());
  const pauses = stage.lines.filter(({ event }) => event === 'generations_waiting').map((line) => Number(line['retry_in_ms']));
  expect(pauses).toHaveLength(3);
  expect(pauses[2]).toBeGreaterThanOrEqual(400);
});
