import { describe, expect, test } from 'vitest';
import { itemsScene, phases, settled, within } from './items-scene.ts';

describe('going back', () => {
  test('to a generation that served shows readers one that is in step, and it stays there over a restart', async () => {
    await using at = await itemsScene();
    {
      await using pipeline = await at.start();
      await pipeline.caughtUp(within());
      pipeline.resync('items', false);
      await pipeline.caughtUp(within());
      at.server.write('public.items', 'b', 'second');
      pipeline.promote('items', 1);
      await pipeline.caughtUp(within());
      expect([phases(pipeline), at.stage.documents('items')]).toEqual([['1 serving', '2 retired'], { a: { id: 'a', name: 'first' }, b: { id: 'b', name: 'second' } }]);
    }
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    expect([phases(pipeline), at.stage.storage.index('items').promoted]).toEqual([['1 serving', '2 retired'], 1]);
  });

  test('calls off what was on its way to readers: it waits, whole and in step, for a person', async () => {
    await using at = await itemsScene();
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    pipeline.resync('items', false);
    await pipeline.caughtUp(within());
    const gate = Promise.withResolvers<void>();
    at.stage.beforeApply = async (_, generation) => (generation === 3 ? gate.promise : undefined);
    pipeline.resync('items', false);
    pipeline.promote('items', 1);
    await settled(pipeline, '1 serving', '2 retired', '3 building');
    gate.resolve();
    await settled(pipeline, '1 serving', '2 retired', '3 ready');
    expect(pipeline.generations('items').map(({ held }) => held)).toEqual([false, false, true]);
    expect(at.stage.storage.index('items').promoted).toBe(1);
    pipeline.promote('items', 3);
    await settled(pipeline, '1 retired', '2 retired', '3 serving');
  });

  test('and dropping are refused where readers would lose by it', async () => {
    await using at = await itemsScene();
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    const refusal = (pattern: RegExp): unknown => expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(pattern) as unknown });
    expect(() => pipeline.drop('items', 1)).toThrow(refusal(/Readers of index items see generation 1/));
    expect(() => pipeline.promote('items', 1)).toThrow(refusal(/see generation 1 already/));
    expect(() => pipeline.promote('items', 7)).toThrow(refusal(/has no generation 7; it has: 1/));
    expect(() => pipeline.drop('nothing', 1)).toThrow(refusal(/There is no index nothing/));
    at.stage.beforeApply = async () => new Promise(() => {});
    pipeline.resync('items', false);
    expect(() => pipeline.promote('items', 2)).toThrow(refusal(/is not built yet/));
  });

  test('is no longer possible once a generation is dropped by hand', async () => {
    await using at = await itemsScene();
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    pipeline.resync('items', false);
    await pipeline.caughtUp(within());
    pipeline.drop('items', 1);
    await settled(pipeline, '2 serving');
    expect([...at.stage.storage.index('items').generations.keys()]).toEqual([2]);
    expect(pipeline.log.stats().holds.map(({ name }) => name)).toEqual(['items-g0002']);
  });
});
