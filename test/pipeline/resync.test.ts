import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { snapshotsIn } from '../../src/capture/snapshot-state.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import type { WantedRows } from '../../src/pipeline/resync.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { JobRecord } from '../../src/state/state-store.ts';
import { NAME_IS, ScriptedServer, ScriptedStage, type ScriptedOptions } from './scripted-server.ts';

const within = (): AbortSignal => AbortSignal.timeout(20_000);

let server: ScriptedServer;
let stage: ScriptedStage;

beforeEach(async () => {
  server = new ScriptedServer();
  for (const id of ['a', 'b', 'c']) server.write('public.items', id, 'first');
  stage = await ScriptedStage.make();
});
afterEach(async () => stage[Symbol.asyncDispose]());

const start = async (indices: ScriptedOptions['indices'] = { items: 'shop.public.items' }, more: Partial<ScriptedOptions> = {}): Promise<Pipeline> => stage.start({ servers: { shop: server }, indices, ...more });

async function started(...args: Parameters<typeof start>): Promise<Pipeline> {
  const pipeline = await start(...args);
  await pipeline.caughtUp(within());
  return pipeline;
}

const keys = (...ids: readonly string[]): WantedRows => ({ kind: 'keys', keys: ids.map((id) => JSON.stringify(id)) });
const where = (name: string): WantedRows => ({ kind: 'where', predicate: `${NAME_IS}${name}` });

/** What no change tells of: the table is another, and the stream is silent. */
function silently(id: string, name: string | null): void {
  const rows = server.tables.get('public.items');
  if (name === null) rows?.delete(id);
  else rows?.set(id, name);
}

async function ended(pipeline: Pipeline, { id }: Pick<JobRecord, 'id'>): Promise<JobRecord | undefined> {
  await expect.poll(() => pipeline.jobs().find((job) => job.id === id)?.phase, { timeout: 10_000 }).not.toBe('running');
  return pipeline.jobs().find((job) => job.id === id);
}

function documents(index = 'items'): Record<string, string> {
  return Object.fromEntries(Object.entries(stage.documents(index)).map(([id, document]) => [id, (document as { name: string }).name]));
}

describe('rows that are read again in place', () => {
  test('by their keys are as the source has them, those that are gone are gone, and no other row is read', async () => {
    await using pipeline = await started();
    silently('a', 'second');
    silently('b', null);
    silently('c', 'second');
    const job = await pipeline.resyncs.rows('items', keys('a', 'b', 'nobody'), within());
    expect(job).toMatchObject({ index: 'items', kind: 'resync', phase: 'running', what: { rows: 'keys', source: 'shop', table: 'public.items', keys: 3, generations: [1], snapshot: null } });
    expect(await ended(pipeline, job)).toMatchObject({ phase: 'done', outcome: '3 keys were looked up again.' });
    expect(documents()).toEqual({ a: 'second', c: 'first' });
    expect(pipeline.generations('items').map(({ generation }) => generation)).toEqual([1]);
  });

  test('by a condition are the rows for which it holds', async () => {
    await using pipeline = await started();
    silently('a', 'second');
    silently('b', 'third');
    const job = await pipeline.resyncs.rows('items', where('second'), within());
    expect(await ended(pipeline, job)).toMatchObject({ phase: 'done', what: { rows: 'where', keys: null } });
    expect(documents()).toEqual({ a: 'second', b: 'first', c: 'first' });
    expect(JSON.stringify(pipeline.jobs())).not.toContain('second');
  });

  test('reach every generation that is fed, so that going back brings nothing back', async () => {
    await using pipeline = await started();
    await ended(pipeline, pipeline.resync('items', false));
    silently('a', 'second');
    const job = await pipeline.resyncs.rows('items', keys('a'), within());
    expect(job.what).toMatchObject({ generations: [1, 2] });
    await ended(pipeline, job);
    pipeline.promote('items', 1);
    await expect.poll(() => stage.storage.index('items').promoted).toBe(1);
    expect(documents()).toMatchObject({ a: 'second' });
  });

  test('that cannot be asked for are refused by name, and nothing begins', async () => {
    await using pipeline = await started();
    const { chunksRead } = server;
    for (const wanted of [{ kind: 'keys', keys: ['["a", 1]'] }, { kind: 'keys', keys: ['{"nme": "x"}'] }, { kind: 'where', predicate: 'DROP TABLE items' }] as const) {
      await expect(pipeline.resyncs.rows('items', wanted, within())).rejects.toMatchObject({ code: 'SRC_SELECTION' });
      await expect(pipeline.resyncs.plan({ index: 'items', held: false, wanted }, within())).rejects.toMatchObject({ code: 'SRC_SELECTION' });
    }
    const many: WantedRows = { kind: 'keys', keys: Array.from({ length: 300 }, (_, i) => JSON.stringify(`${i}${'x'.repeat(30_000)}`)) };
    await expect(pipeline.resyncs.rows('items', many, within())).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining('together they may have 8388608') as unknown });
    await expect(pipeline.resyncs.rows('nothing', keys('a'), within())).rejects.toMatchObject({ code: 'USAGE', message: 'There is no index nothing; there are: items.' });
    expect([pipeline.jobs(), pipeline.status().sources[0]?.snapshots, server.chunksRead]).toEqual([[], [], chunksRead]);
  });

  test('are told of beforehand, and nothing is done', async () => {
    await using pipeline = await started();
    silently('a', 'second');
    expect(await pipeline.resyncs.plan({ index: 'items', held: false, wanted: where('second') }, within())).toEqual([{ index: 'items', table: 'shop.public.items', rows: 'where', generations: [1], estimated_rows: 1 }]);
    expect(await pipeline.resyncs.plan({ index: 'items', held: true, wanted: null }, within())).toEqual([{ index: 'items', table: 'shop.public.items', rows: 'all', generation: 2, gives_up: null, swap: false, estimated_rows: null }]);
    expect([pipeline.jobs(), documents()]).toEqual([[], { a: 'first', b: 'first', c: 'first' }]);
  });

  test('are refused at once while the source is away, with what it waits with', async () => {
    await using pipeline = await started();
    server.breakWith(new Error('gone'));
    await expect.poll(() => pipeline.status().sources[0]?.phase).not.toBe('streaming');
    await expect(pipeline.resyncs.rows('items', keys('a'), within())).rejects.toThrow('gone');
    expect(pipeline.jobs()).toEqual([]);
  });

  test('are asked for again when the connection ends in the middle of asking', async () => {
    await using pipeline = await started();
    silently('a', 'second');
    server.headAfter = new Promise(() => {});
    const job = await pipeline.resyncs.rows('items', keys('a'), within());
    expect(pipeline.status().jobs).toMatchObject([{ id: job.id, stage: 'waiting' }]);
    const { connects } = server;
    server.headAfter = Promise.resolve();
    server.dropConnections();
    await expect.poll(() => server.connects).toBeGreaterThan(connects);
    expect(await ended(pipeline, job)).toMatchObject({ phase: 'done' });
    expect(documents()).toMatchObject({ a: 'second' });
  });
});

describe('a table', () => {
  test('is read once for all indices that are made from it', async () => {
    await using pipeline = await started({ items: 'shop.public.items', names: { from: 'shop.public.items', fields: ['id', 'name'] }, others: 'shop.public.others' });
    const before = snapshotsIn(pipeline.log.registers).length;
    const jobs = pipeline.resyncs.table('shop.public.items', false);
    expect(jobs).toMatchObject([{ index: 'items', what: { generation: 2 } }, { index: 'names', what: { generation: 2 } }]);
    for (const job of jobs) expect(await ended(pipeline, job)).toMatchObject({ phase: 'done', outcome: 'Readers got generation 2.' });
    const snapshots = snapshotsIn(pipeline.log.registers);
    expect(snapshots).toHaveLength(before + 1);
    expect(snapshots.at(-1)?.for).toEqual(['items-g0002', 'names-g0002']);
  });

  test('that no index is made from, or that is none, is refused, as is one of which an index could not be held', async () => {
    await using pipeline = await started();
    expect(() => pipeline.resyncs.table('shop.public.item', false)).toThrow(expect.objectContaining({ code: 'USAGE', message: 'No index is made from `shop.public.item`; did you mean `shop.public.items`?' }));
    expect(() => pipeline.resyncs.table('items', false)).toThrow(expect.objectContaining({ code: 'USAGE', message: expect.stringContaining('`items` is no table') as unknown }));
    expect(pipeline.jobs()).toEqual([]);
  });
});

describe('what is being read', () => {
  /** A resync of rows whose chunk is held. */
  async function held(pipeline: Pipeline): Promise<{ readonly job: JobRecord; readonly release: () => void }> {
    const gate = Promise.withResolvers<void>();
    server.chunkAfter = gate.promise;
    silently('a', 'second');
    const job = await pipeline.resyncs.rows('items', where('second'), within());
    await expect.poll(() => pipeline.status().jobs[0]?.stage).toBe('reading');
    return { job, release: gate.resolve };
  }

  test('waits when it is told to, over a restart, and goes on when it is told to', async () => {
    let job: JobRecord;
    {
      await using pipeline = await started();
      const reading = await held(pipeline);
      ({ job } = reading);
      expect(await pipeline.resyncs.steer('items', true, within())).toEqual([{ source: 'shop', table: 'public.items', snapshot: 2, paused: true, indices: ['items'] }]);
      expect(pipeline.status().jobs).toMatchObject([{ id: job.id, index: 'items', kind: 'resync', stage: 'paused', unit: 'rows' }]);
      server.chunkAfter = Promise.resolve();
      reading.release();
    }
    await using pipeline = await start();
    await expect.poll(() => pipeline.status().sources[0]?.phase).toBe('streaming');
    const { chunksRead } = server;
    expect(pipeline.status().jobs).toMatchObject([{ id: job.id, stage: 'paused' }]);
    server.write('public.items', 'd', 'first');
    await expect.poll(() => documents()).toEqual({ a: 'first', b: 'first', c: 'first', d: 'first' });
    expect(server.chunksRead).toBe(chunksRead);
    await pipeline.resyncs.steer('items', false, within());
    expect(await ended(pipeline, job)).toMatchObject({ phase: 'done' });
    expect(documents()).toMatchObject({ a: 'second' });
    expect(pipeline.status().jobs).toEqual([]);
  });

  test('is given up when it is told to: nothing more of it is applied, and its job says so', async () => {
    await using pipeline = await started();
    const { job, release } = await held(pipeline);
    expect(pipeline.resyncs.cancel('items')).toMatchObject([{ id: job.id, phase: 'cancelled' }]);
    await expect.poll(() => pipeline.status().sources[0]?.snapshots).toEqual([]);
    release();
    await pipeline.caughtUp(within());
    expect(documents()).toMatchObject({ a: 'first' });
    expect(() => pipeline.resyncs.cancel('items')).toThrow(expect.objectContaining({ code: 'USAGE' }));
    await expect(pipeline.resyncs.steer('items', true, within())).rejects.toMatchObject({ code: 'USAGE', message: 'Nothing is being read for index items at the moment.' });
  });

  test('is given up also while the source is away: it is read no further when that is back', async () => {
    await using pipeline = await started();
    const { release } = await held(pipeline);
    server.breakWith(new Error('gone'));
    await expect.poll(() => pipeline.status().sources[0]?.phase).not.toBe('streaming');
    pipeline.resyncs.cancel('items');
    await pipeline.stop();
    release();
    server.chunkAfter = Promise.resolve();
    server.breakWith(null);
    await using again = await started();
    expect(snapshotsIn(again.log.registers).map(({ phase }) => phase)).toEqual(['done', 'cancelled']);
    expect(documents()).toMatchObject({ a: 'first' });
  });

  test('goes on after a restart, and so does its job', async () => {
    let job: JobRecord;
    {
      await using pipeline = await started();
      const reading = await held(pipeline);
      ({ job } = reading);
      server.chunkAfter = Promise.resolve();
    }
    await using pipeline = await start();
    expect(await ended(pipeline, job)).toMatchObject({ phase: 'done', what: { snapshot: 2 } });
    expect(documents()).toMatchObject({ a: 'second' });
  });
});

describe('a job', () => {
  const put = (job: Pick<JobRecord, 'what'>): JobRecord => {
    using state = openSqliteState({ path: `${stage.directory}/data/state.db` });
    return state.addJob({ index: 'items', kind: 'resync', phase: 'running', outcome: null, createdAtMs: 1, endedAtMs: null, ...job });
  };
  const rows = { rows: 'keys', source: 'shop', table: 'public.items', keys: 1, generations: [1], snapshot: null };

  test('whose rows were not asked for when the process ended says so', async () => {
    await (await started()).stop();
    const job = put({ what: rows });
    await using pipeline = await start();
    expect(pipeline.jobs()).toMatchObject([{ id: job.id, phase: 'failed', outcome: 'tailrace ended before the rows were asked for: ask again.' }]);
  });

  test('for generations that are gone is over, as is one of an index that is gone', async () => {
    await (await started({ items: 'shop.public.items', other: 'shop.public.items' })).stop();
    const ids = [put({ what: { ...rows, generations: [7] } }).id, put({ what: { rows: 'all', generation: 9, swap: true } }).id];
    await using pipeline = await start({ other: 'shop.public.items' });
    expect(pipeline.jobs().map(({ id, phase }) => [id, phase])).toEqual(ids.map((id) => [id, 'cancelled']));
  });

  test('waits for the index to have applied what was read, and says how far that is', async () => {
    await using pipeline = await started();
    silently('a', 'second');
    const gate = Promise.withResolvers<void>();
    stage.beforeApply = async () => gate.promise;
    const job = await pipeline.resyncs.rows('items', keys('a'), within());
    await expect.poll(() => pipeline.status().jobs).toMatchObject([{ id: job.id, stage: 'applying', unit: 'changes' }]);
    expect(pipeline.jobs()).toMatchObject([{ phase: 'running' }]);
    gate.resolve();
    expect(await ended(pipeline, job)).toMatchObject({ phase: 'done' });
  });

  test('says that it has stopped, and why, when what it is read for waits for a person', async () => {
    await using pipeline = await started();
    stage.beforeOpen = ({ generation }) => {
      if (generation === 2) throw new TailraceError('TGT_MAPPING', { message: 'No such field can be.' });
    };
    const job = pipeline.resyncs.whole('items', false);
    await expect.poll(() => pipeline.status().jobs).toMatchObject([{ id: job.id, stage: 'stopped', error: { code: 'TGT_MAPPING', message: 'No such field can be.' } }]);
  });

  test('of another kind is left alone', async () => {
    await (await started()).stop();
    {
      using state = openSqliteState({ path: `${stage.directory}/data/state.db` });
      state.addJob({ index: 'items', kind: 'other', what: {}, phase: 'running', outcome: null, createdAtMs: 1, endedAtMs: null });
    }
    await using pipeline = await started();
    expect(pipeline.jobs()).toMatchObject([{ kind: 'other', phase: 'running' }]);
  });
});
