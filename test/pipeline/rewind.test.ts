import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Seq } from '../../src/change/seq.ts';
import { rewind, type RewindReport } from '../../src/pipeline/rewind.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { ScriptedServer, ScriptedStage } from './scripted-server.ts';

const within = (): AbortSignal => AbortSignal.timeout(20_000);
const settings = (server: ScriptedServer) => ({ servers: { shop: server }, indices: { items: 'shop.public.items' } });

/** An index of four rows, written one by one after it was built; its cursor. */
async function built(stage: ScriptedStage, server: ScriptedServer): Promise<Seq> {
  await using pipeline = await stage.start(settings(server));
  await pipeline.caughtUp(within());
  for (const id of ['a', 'b', 'c', 'd']) {
    server.write('public.items', id, 'x');
    await pipeline.caughtUp(within());
  }
  return pipeline.log.durableSeq;
}

function back(stage: ScriptedStage, seq: Seq, cursor: Seq, dryRun = false): Promise<RewindReport> {
  return rewind(join(stage.directory, 'data'), { index: 'items', seq, dryRun }, async () => cursor, nodeRuntime(silentLogger));
}

test('an index that was rewound applies again what its target has lost, once', async () => {
  const server = new ScriptedServer();
  await using stage = await ScriptedStage.make();
  const cursor = await built(stage, server);
  expect(cursor).toBe(4);
  for (const id of ['b', 'd']) stage.storage.promoted('items')?.documents.delete(id);
  expect(await back(stage, 1, cursor, true)).toEqual({ index: 'items', generation: 1, cursor: 4, rewound_to: 1, changes: 3, dry_run: true });
  {
    await using pipeline = await stage.start(settings(server));
    await pipeline.caughtUp(within());
    expect(Object.keys(stage.documents('items')).toSorted()).toEqual(['a', 'c']);
  }
  expect(await back(stage, 1, cursor)).toMatchObject({ rewound_to: 1, dry_run: false });
  {
    await using pipeline = await stage.start(settings(server));
    await pipeline.caughtUp(within());
    expect(Object.keys(stage.documents('items')).toSorted()).toEqual(['a', 'b', 'c', 'd']);
    expect(pipeline.status().indices[0]?.counters).toMatchObject({ read: 3, applied: 2, stale: 1 });
  }
  await using pipeline = await stage.start(settings(server));
  await pipeline.caughtUp(within());
  expect(pipeline.status().indices[0]?.counters.read).toBe(0);
});

test('a rewind is refused while a daemon runs, ahead of the index, and to where nothing can be replayed from', async () => {
  const server = new ScriptedServer();
  await using stage = await ScriptedStage.make();
  const cursor = await built(stage, server);
  await expect(back(stage, 5, cursor)).rejects.toMatchObject({ code: 'USAGE', message: 'Index items has applied changes up to seq 4 only; going on to 5 would leave some out.' });
  {
    await using _ = await stage.start(settings(server));
    await expect(back(stage, 1, cursor)).rejects.toMatchObject({ code: 'LOCK_HELD' });
  }
  await using pipeline = await stage.start({ ...settings(server), rebuild: ['shop'] });
  await pipeline.caughtUp(within());
  await pipeline.stop();
  await expect(back(stage, 3, cursor)).rejects.toMatchObject({ code: 'USAGE', message: 'Index items cannot go back to seq 3: the oldest it can go back to is 4.' });
});
