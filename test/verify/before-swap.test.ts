/** What a new generation passes before readers get it, and what goes on again and again. */
import { describe, expect, test } from 'vitest';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { DamagedScene, verified, within } from './scene.ts';

const phases = (pipeline: Pipeline): string[] => pipeline.generations('items').map(({ generation, phase, held }) => `${generation} ${phase}${held ? ' held' : ''}`);

/** Meddles with every document that the generation is sent. */
function spoil(scene: DamagedScene, generation: number, change: (documents: Map<string, { version: bigint; document: string | null }>) => void): void {
  scene.stage.beforeApply = (_, applied) => {
    const held = scene.stage.storage.index('items').generations.get(applied);
    if (applied === generation && held !== undefined) change(held.documents);
  };
}

/** The generation takes the document, and has it no more. Returns what ends that. */
function neverHolds(scene: DamagedScene, generation: number, id: string): () => void {
  spoil(scene, generation, (documents) => {
    documents.set = (key, value) => (key === id ? documents : Map.prototype.set.call(documents, key, value) as typeof documents);
  });
  return () => {
    scene.stage.beforeApply = () => {};
    Reflect.deleteProperty(scene.stage.storage.index('items').generations.get(generation)?.documents ?? {}, 'set');
  };
}

async function resynced(scene: DamagedScene, pipeline: Pipeline): Promise<void> {
  await pipeline.resyncs.begin({ index: 'items', held: false, wanted: null }, within());
  await expect.poll(() => phases(pipeline).some((phase) => phase === '2 serving' || phase === '2 ready held'), { timeout: 15_000 }).toBe(true);
}

describe('a new generation', () => {
  test('is compared before readers get it', async () => {
    await using scene = await DamagedScene.make();
    await using pipeline = await scene.started();
    expect(pipeline.status().indices[0]?.verify).toMatchObject({ running: null, passes: 1, last: { reason: 'swap', generation: 1, equal: true, documents: 10 } });
    await resynced(scene, pipeline);
    expect(phases(pipeline)).toEqual(['1 retired', '2 serving']);
    expect(pipeline.status().indices[0]?.verify).toMatchObject({ passes: 2, last: { reason: 'swap', generation: 2, equal: true } });
  });

  test('is repaired where it differs, and shown then', async () => {
    await using scene = await DamagedScene.make();
    await using pipeline = await scene.started();
    let isSpoilt = false;
    spoil(scene, 2, (documents) => {
      if (isSpoilt) return;
      isSpoilt = true;
      documents.set('nobody', { version: 1n, document: '{}' });
    });
    await resynced(scene, pipeline);
    expect([phases(pipeline), isSpoilt]).toEqual([['1 retired', '2 serving'], true]);
    expect(pipeline.status().indices[0]?.verify?.last).toMatchObject({ reason: 'swap', generation: 2, equal: true, differences: 1, kinds: { extra: 1 }, repair: { repaired: 1, remaining: 0 } });
  });

  test('is held when it differs still, with what was found, until somebody promotes it', async () => {
    await using scene = await DamagedScene.make();
    await using pipeline = await scene.started();
    const mend = neverHolds(scene, 2, 'k3');
    await resynced(scene, pipeline);
    expect(phases(pipeline)).toEqual(['1 serving', '2 ready held']);
    expect(pipeline.generations('items')[1]).toMatchObject({ condition: 'working', error: { code: 'GEN_DIFFERS', message: 'Generation 2 of index items is not what its table says: 1 of 10 documents differ.' } });
    expect(scene.stage.lines.find(({ event }) => event === 'generation_held')).toMatchObject({ index: 'items', generation: 2 });
    mend();
    pipeline.promote('items', 2);
    await pipeline.caughtUp(within());
    expect(phases(pipeline)).toEqual(['1 retired', '2 serving']);
  });

  test('that is the first one, and is held, is waited for by nobody', async () => {
    await using scene = await DamagedScene.make();
    neverHolds(scene, 1, 'k3');
    await using pipeline = await scene.start();
    await expect(pipeline.caughtUp(within())).rejects.toMatchObject({ code: 'GEN_DIFFERS' });
  });

  test('is shown as it is where the config says so, and where it is gone back to', async () => {
    await using scene = await DamagedScene.make({ settings: { verify: { before_swap: false } } });
    await using pipeline = await scene.started();
    await resynced(scene, pipeline);
    scene.held(1).delete('k1');
    pipeline.promote('items', 1);
    await expect.poll(() => phases(pipeline), { timeout: 10_000 }).toEqual(['1 serving', '2 retired']);
    expect(pipeline.status().indices[0]?.verify).toBeNull();
  });

  test('can be given up while it is compared', async () => {
    await using scene = await DamagedScene.make();
    await using pipeline = await scene.started();
    const built = Promise.withResolvers<void>();
    scene.stage.beforeApply = (_, generation) => {
      if (generation !== 2) return;
      scene.server.chunkAfter = new Promise(() => {});
      built.resolve();
    };
    await pipeline.resyncs.begin({ index: 'items', held: false, wanted: null }, within());
    await built.promise;
    await expect.poll(() => pipeline.status().indices[0]?.verify?.running, { timeout: 10_000 }).toMatchObject({ reason: 'swap', generation: 2 });
    await expect(verified(pipeline)).rejects.toMatchObject({ code: 'USAGE', message: 'Generation 2 of index items is being verified, before readers get it: one verification of an index goes on at a time.' });
    pipeline.resyncs.cancel('items');
    await expect.poll(() => phases(pipeline), { timeout: 10_000 }).toEqual(['1 serving']);
    scene.server.chunkAfter = Promise.resolve();
    expect((await verified(pipeline)).report).toMatchObject({ equal: true });
  });

  test('waits for a source that has stopped, where readers see another one; where they see none they get it', async () => {
    await using scene = await DamagedScene.make();
    {
      scene.stage.beforeApply = () => scene.server.breakWith(new TailraceError('SRC_AUTH', { message: 'Who?' }));
      await using pipeline = await scene.start();
      await expect.poll(() => phases(pipeline), { timeout: 10_000 }).toEqual(['1 serving']);
      expect(scene.stage.lines.find(({ event }) => event === 'swap_unverified')).toMatchObject({ index: 'items', generation: 1 });
    }
    scene.stage.beforeApply = () => {};
    scene.server.breakWith(null);
    await using pipeline = await scene.started();
    scene.stage.beforeApply = (_, generation) => {
      if (generation === 2) scene.server.breakWith(new TailraceError('SRC_AUTH', { message: 'Who?' }));
    };
    await pipeline.resyncs.begin({ index: 'items', held: false, wanted: null }, within());
    await expect.poll(() => scene.stage.lines.some(({ event, error }) => event === 'generations_waiting' && error instanceof TailraceError && error.message.includes('cannot be verified')), { timeout: 10_000 }).toBe(true);
    expect(phases(pipeline)).toEqual(['1 serving', '2 ready']);
  });
});

describe('verification again and again', () => {
  test('tells of what it finds, repairs it where that is asked for, and steps aside for a command', async () => {
    await using scene = await DamagedScene.make({ settings: { verify: { rate: 10_000, repair: true } } });
    await using pipeline = await scene.started();
    await expect.poll(() => scene.stage.lines.some(({ event }) => event === 'index_verified'), { timeout: 20_000 }).toBe(true);
    scene.held().delete('k4');
    expect((await verified(pipeline)).words).toEqual(['k4 missing']);
    await expect.poll(() => scene.stage.lines.find(({ event }) => event === 'index_differs'), { timeout: 25_000 }).toMatchObject({ index: 'items', differences: 1, missing: 1, repaired: 1 });
    expect((await verified(pipeline)).report.equal).toBe(true);
    expect(pipeline.status().indices[0]?.verify).toMatchObject({ repaired: 1, last: { equal: true } });
  }, 60_000);
});
