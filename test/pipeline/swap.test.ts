import { describe, expect, test } from 'vitest';
import { fileBytes } from '../../cmd/daemon/file-bytes.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { GenerationRecord } from '../../src/state/state-store.ts';
import { ScriptedServer, ScriptedStage, type ScriptedOptions } from './scripted-server.ts';

const within = (): AbortSignal => AbortSignal.timeout(20_000);

function phases(pipeline: Pipeline): string[] {
  return pipeline.generations('items').map(({ generation, phase }) => `${generation} ${phase}`);
}

function settled(pipeline: Pipeline, ...expected: readonly string[]): Promise<void> {
  return expect.poll(() => phases(pipeline), { timeout: 10_000 }).toEqual(expected);
}

/** What the target has of a generation. */
function documents(stage: ScriptedStage, generation: number): Record<string, string> {
  const kept = stage.storage.index('items').generations.get(generation)?.documents ?? [];
  return Object.fromEntries([...kept].flatMap(([id, { document }]) => (document === null ? [] : [[id, (JSON.parse(document) as { name?: string; title?: string }).name ?? document]])));
}

function records(stage: ScriptedStage): GenerationRecord[] {
  using state = openSqliteState({ path: `${stage.directory}/data/state.db`, readOnly: { bytesOf: fileBytes } });
  return state.generations();
}

interface Scene extends AsyncDisposable {
  readonly stage: ScriptedStage;
  readonly server: ScriptedServer;
  start(more?: Readonly<Record<string, unknown>>, options?: Partial<ScriptedOptions>): Promise<Pipeline>;
}

/** An index `items` of a table with one row. */
async function scene(): Promise<Scene> {
  const server = new ScriptedServer();
  server.write('public.items', 'a', 'first');
  const stage = await ScriptedStage.make();
  const start = async (more: Readonly<Record<string, unknown>> = {}, options: Partial<ScriptedOptions> = {}): Promise<Pipeline> =>
    stage.start({ servers: { shop: server }, indices: { items: { from: 'shop.public.items', ...more } }, ...options });
  return { stage, server, start, [Symbol.asyncDispose]: async () => stage[Symbol.asyncDispose]() };
}

describe('an index whose definition changes', () => {
  test('is fed in both generations while the new one is built and afterwards, and readers see one whole one after the other', async () => {
    await using at = await scene();
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

  test('keeps nothing of the generation before when nobody wants to go back', async () => {
    await using at = await scene();
    {
      await using pipeline = await at.start();
      await pipeline.caughtUp(within());
    }
    await using pipeline = await at.start({ fields: ['id'], rollback_hours: 0 });
    await pipeline.caughtUp(within());
    expect([phases(pipeline), [...at.stage.storage.index('items').generations.keys()]]).toEqual([['2 serving'], [2]]);
  });

  test('gives the generation before up when its time is over, also while no daemon ran', async () => {
    await using at = await scene();
    for (const more of [{}, { fields: ['id'] }]) {
      await using pipeline = await at.start(more);
      await pipeline.caughtUp(within());
    }
    expect(records(at.stage).map(({ phase }) => phase)).toEqual(['retired', 'serving']);
    await using pipeline = await at.start({ fields: ['id'], rollback_hours: 0.000_001 });
    await settled(pipeline, '2 serving');
    expect([...at.stage.storage.index('items').generations.keys()]).toEqual([2]);
  });
});

describe('a resync of an index', () => {
  test('builds another generation beside the one that serves, and is done when readers see it', async () => {
    await using at = await scene();
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    const job = pipeline.resync('items', false);
    expect(job).toMatchObject({ index: 'items', kind: 'resync', phase: 'running', what: { rows: 'all', generation: 2, swap: true } });
    await pipeline.caughtUp(within());
    expect(phases(pipeline)).toEqual(['1 retired', '2 serving']);
    expect(pipeline.jobs()).toMatchObject([{ phase: 'done', outcome: 'Readers got generation 2.' }]);
  });

  test('stops before the swap when asked to, stays in step there, over a restart too, and is promoted by command', async () => {
    await using at = await scene();
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
    await using at = await scene();
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
    await using at = await scene();
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
  await using at = await scene();
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

describe('going back', () => {
  test('to a generation that served shows readers one that is in step, and it stays there over a restart', async () => {
    await using at = await scene();
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

  test('and dropping are refused where readers would lose by it', async () => {
    await using at = await scene();
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
    await using at = await scene();
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

describe('a check before the swap', () => {
  test('that says no holds the generation back, until somebody promotes it all the same', async () => {
    await using at = await scene();
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
    await using at = await scene();
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

  test('in the middle of dropping a generation does not make it anew', async () => {
    await using at = await scene();
    {
      await using pipeline = await at.start();
      await pipeline.caughtUp(within());
      pipeline.resync('items', false);
      await pipeline.caughtUp(within());
    }
    {
      using state = openSqliteState({ path: `${at.stage.directory}/data/state.db` });
      state.putGenerations({ ...(state.generations()[0] as GenerationRecord), phase: 'dropping' });
      at.stage.storage.index('items').generations.delete(1);
    }
    await using pipeline = await at.start();
    await pipeline.caughtUp(within());
    expect([phases(pipeline), [...at.stage.storage.index('items').generations.keys()]]).toEqual([['2 serving'], [2]]);
  });
});

test('what serves by the records is what readers see again, when the target was put back to a time before', async () => {
  await using at = await scene();
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
  await using at = await scene();
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
