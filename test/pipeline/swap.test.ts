import { describe, expect, test } from 'vitest';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { GenerationRecord } from '../../src/state/state-store.ts';
import { documents, itemsScene, phases, settled, within } from './items-scene.ts';
import { ScriptedStage } from './scripted-server.ts';

describe('an index whose definition changes', () => {
  test('is fed in both generations while the new one is built and afterwards, and readers see one whole one after the other', async () => {
    await using at = await itemsScene();
    const { stage, server } = at;
    {
      await using pipeline = await at.start();
      await pipeline.caughtUp(within());
    }
    const held = Promise.withResolvers<void>();
    stage.beforePromote = async (generation) => (generation === 2 ? held.promise : undefined);
    await using pipeline = await at.start({ fields: ['id', 'name'] });
    await settled(pipeline, '1 serving', '2 ready');
    server.write('public.items', 'b', 'second');
    await expect.poll(() => [Object.keys(documents(stage, 1)), Object.keys(documents(stage, 2))]).toEqual([['a', 'b'], ['a', 'b']]);
    expect(pipeline.status().indices[0]).toMatchObject({ phase: 'serving', generation: 1 });
    held.resolve();
    await pipeline.caughtUp(within());
    expect(phases(pipeline)).toEqual(['1 retired', '2 serving']);
    server.write('public.items', 'c', 'third');
    await expect.poll(() => [Object.keys(documents(stage, 1)), Object.keys(documents(stage, 2))]).toEqual([['a', 'b', 'c'], ['a', 'b', 'c']]);
    expect(stage.storage.index('items').promoted).toBe(2);
  });
});

describe('a resync of an index', () => {
  test('builds another generation beside the one that serves, and is done when readers see it', async () => {
    await using at = await itemsScene();
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    const job = pipeline.resync('items', false);
    expect(job).toMatchObject({ index: 'items', kind: 'resync', phase: 'running', what: { rows: 'all', generation: 2, swap: true } });
    await pipeline.caughtUp(within());
    expect(phases(pipeline)).toEqual(['1 retired', '2 serving']);
    expect(pipeline.jobs()).toMatchObject([{ phase: 'done', outcome: 'Readers got generation 2.' }]);
  });

  test('stops before the swap when asked to, stays in step there, over a restart too, and is promoted by command', async () => {
    await using at = await itemsScene();
    {
      await using pipeline = await at.start();
      await pipeline.caughtUp(within());
      pipeline.resync('items', true);
      await settled(pipeline, '1 serving', '2 ready');
      expect(pipeline.jobs()).toMatchObject([{ phase: 'done', outcome: 'Generation 2 is ready to be promoted.' }]);
    }
    await using pipeline = await at.start();
    at.server.write('public.items', 'b', 'second');
    await pipeline.caughtUp(within());
    await expect.poll(() => Object.keys(documents(at.stage, 2))).toEqual(['a', 'b']);
    expect([phases(pipeline), at.stage.storage.index('items').promoted]).toEqual([['1 serving', '2 ready'], 1]);
    pipeline.promote('items', 2);
    await pipeline.caughtUp(within());
    expect([phases(pipeline), at.stage.storage.index('items').promoted]).toEqual([['1 retired', '2 serving'], 2]);
  });

  test('can be given up while it is built: nothing of it is left, and its number is never used again', async () => {
    await using at = await itemsScene();
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    at.stage.beforeApply = async () => new Promise((resolve) => void setTimeout(resolve, 50));
    pipeline.resync('items', false);
    await expect.poll(() => at.stage.storage.index('items').generations.size).toBe(2);
    pipeline.cancelResync('items');
    await settled(pipeline, '1 serving');
    expect([...at.stage.storage.index('items').generations.keys()]).toEqual([1]);
    expect(pipeline.jobs()).toMatchObject([{ phase: 'cancelled' }]);
    expect(pipeline.log.stats().holds.map(({ name }) => name)).toEqual(['items-g0001']);
    expect(() => pipeline.cancelResync('items')).toThrow(expect.objectContaining({ code: 'USAGE' }));
    at.stage.beforeApply = () => {};
    expect(pipeline.resync('items', false).what).toMatchObject({ generation: 3 });
    await pipeline.caughtUp(within());
    expect(phases(pipeline)).toEqual(['1 retired', '3 serving']);
  });

  test('that another one is asked for during it is given up for that', async () => {
    await using at = await itemsScene();
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    pipeline.resync('items', false);
    pipeline.resync('items', false);
    await pipeline.caughtUp(within());
    expect(phases(pipeline)).toEqual(['1 retired', '3 serving']);
    expect(pipeline.jobs().map(({ phase }) => phase)).toEqual(['cancelled', 'done']);
  });
});

test('what is read for a resync that is given up is read no further', async () => {
  await using at = await itemsScene();
  await using pipeline = await at.start();
  await pipeline.caughtUp(within());
  const held = Promise.withResolvers<void>();
  at.server.chunkAfter = held.promise;
  pipeline.resync('items', false);
  await expect.poll(() => pipeline.status().sources[0]?.snapshots).toMatchObject([{ reason: 'build' }]);
  pipeline.cancelResync('items');
  await expect.poll(() => pipeline.status().sources[0]?.snapshots).toEqual([]);
  held.resolve();
  await pipeline.caughtUp(within());
  expect(phases(pipeline)).toEqual(['1 serving']);
});

describe('a check before the swap', () => {
  test('that says no holds the generation back, until somebody promotes it all the same', async () => {
    await using at = await itemsScene();
    const checked: number[] = [];
    const beforeSwap = async ({ generation }: GenerationRecord): Promise<void> => {
      checked.push(generation);
      if (checked.length === 2) throw new TailraceError('TGT_SCHEMA', { message: 'It differs.' });
    };
    await using pipeline = await at.start({}, { beforeSwap });
    await pipeline.caughtUp(within());
    pipeline.resync('items', false);
    await settled(pipeline, '1 serving', '2 ready');
    await expect.poll(() => pipeline.generations('items')[1]?.held).toBe(true);
    expect(at.stage.storage.index('items').promoted).toBe(1);
    pipeline.promote('items', 2);
    await pipeline.caughtUp(within());
    expect([checked, at.stage.storage.index('items').promoted]).toEqual([[1, 2, 2], 2]);
  });
});

describe('a run that ended in the middle of a swap', () => {
  test.each([
    ['before its target heard of it', 1],
    ['before it noted that readers see the other one', 2],
  ])('%s goes through with it', async (_, promoted) => {
    await using at = await itemsScene();
    {
      await using pipeline = await at.start();
      await pipeline.caughtUp(within());
      pipeline.resync('items', true);
      await settled(pipeline, '1 serving', '2 ready');
    }
    {
      using state = openSqliteState({ path: `${at.stage.directory}/data/state.db` });
      state.putGenerations(...state.generations().map((record) => ({ ...record, held: false })));
      at.stage.storage.index('items').promoted = promoted;
    }
    const seen: (number | null)[] = [];
    at.stage.beforePromote = () => void seen.push(at.stage.storage.index('items').promoted);
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    expect([phases(pipeline), at.stage.storage.index('items').promoted, seen[0], seen.slice(1).filter((one) => one !== 2)]).toEqual([['1 retired', '2 serving'], 2, promoted, []]);
  });
});

test('what serves by the records is what readers see again, when the target was put back to a time before', async () => {
  await using at = await itemsScene();
  {
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    pipeline.resync('items', false);
    await pipeline.caughtUp(within());
  }
  at.stage.storage.index('items').promoted = 1;
  await using pipeline = await at.start();
  await expect.poll(() => at.stage.storage.index('items').promoted).toBe(2);
  expect(phases(pipeline)).toEqual(['1 retired', '2 serving']);
});

test('a data directory that begins anew does not take over what another one has built', async () => {
  await using at = await itemsScene();
  {
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    pipeline.resync('items', false);
    await pipeline.caughtUp(within());
    pipeline.drop('items', 1);
    await settled(pipeline, '2 serving');
  }
  await using other = await ScriptedStage.make();
  const kept = at.stage.storage.index('items');
  for (const [number, generation] of kept.generations) other.storage.index('items').generations.set(number, generation);
  other.storage.index('items').promoted = 2;
  await using pipeline = await other.start({ servers: { shop: at.server }, indices: { items: 'shop.public.items' } });
  await expect.poll(() => pipeline.status().indices[0]?.error).toMatchObject({ code: 'TGT_IDENTITY', message: expect.stringContaining('was not built from this data directory') as unknown });
  expect([...other.storage.index('items').generations.keys()]).toEqual([2]);
});
