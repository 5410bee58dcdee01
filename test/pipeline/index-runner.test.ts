import { describe, expect, test } from 'vitest';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import type { IndexStatus } from '../../src/pipeline/status.ts';
import { ScriptedServer, ScriptedStage } from './scripted-server.ts';

const within = (): AbortSignal => AbortSignal.timeout(20_000);

function items(pipeline: Pipeline): IndexStatus {
  const status = pipeline.status().indices.find(({ name }) => name === 'items');
  if (status === undefined) throw new Error('there is an index of that name');
  return status;
}

describe('an index that is opened', () => {
  test('is at no known place until its target says where, not at the beginning', async () => {
    const server = new ScriptedServer();
    server.write('public.items', '1', 'first');
    await using stage = await ScriptedStage.make();
    const settings = { servers: { shop: server }, indices: { items: 'shop.public.items' } };
    {
      await using pipeline = await stage.start(settings);
      await pipeline.caughtUp(within());
    }
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
    const server = new ScriptedServer();
    server.write('public.items', '1', 'first');
    await using stage = await ScriptedStage.make();
    const settings = { servers: { shop: server }, indices: { items: 'shop.public.items' } };
    {
      await using pipeline = await stage.start(settings);
      await pipeline.caughtUp(within());
    }
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
    expect(stage.lines.filter(({ event }) => event === 'index_waiting')).toHaveLength(1);
    expect(items(pipeline).counters).toMatchObject({ read: 10, applied: 10 });
  });
});
