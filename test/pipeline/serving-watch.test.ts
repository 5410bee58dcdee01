/** What serves by the records is looked for at the target: names are moved by hand, and no write notices. */
import { expect, test, vi } from 'vitest';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { documents, itemsScene, phases, settled, within, type ItemsScene } from './items-scene.ts';

vi.setConfig({ testTimeout: 20_000 });

/** A look every 100 ms. */
const TIMES_FASTER = 100;

async function serving(at: ItemsScene): Promise<Pipeline> {
  at.stage.timesFaster = TIMES_FASTER;
  const pipeline = await at.start();
  await pipeline.caughtUp(within());
  return pipeline;
}

const lines = ({ stage }: ItemsScene, event: string): unknown[] => stage.lines.filter((line) => line.event === event);
const statusOf = (pipeline: Pipeline): { phase: string; code: string | null; ready: boolean } => {
  const { indices, ready } = pipeline.status();
  return { phase: indices[0]?.phase ?? '', code: indices[0]?.error?.code ?? null, ready };
};

test('readers from whom the name was taken away get it back, without a write, and it is said', async () => {
  await using at = await itemsScene();
  await using pipeline = await serving(at);
  at.stage.storage.index('items').promoted = null;
  await expect.poll(() => at.stage.storage.index('items').promoted, { timeout: 10_000 }).toBe(1);
  await expect.poll(() => statusOf(pipeline)).toEqual({ phase: 'serving', code: null, ready: true });
  expect([lines(at, 'readers_lost'), lines(at, 'readers_found')]).toMatchObject([[{ index: 'items', generation: 1, error: { code: 'TGT_IDENTITY' } }], [{ index: 'items' }]]);
});

test('while they cannot be given it back, the status says so, and why', async () => {
  await using at = await itemsScene();
  await using pipeline = await serving(at);
  at.stage.beforePromote = () => {
    throw new TailraceError('TGT_CONN', { message: 'Not now.' });
  };
  at.stage.storage.index('items').promoted = null;
  await expect.poll(() => statusOf(pipeline), { timeout: 10_000 }).toEqual({ phase: 'waiting', code: 'TGT_IDENTITY', ready: false });
  expect(pipeline.generations('items')).toMatchObject([{ condition: 'waiting', error: { message: 'Readers of index items find nothing at target memory: the name was taken from generation 1, which is there.' } }]);
  at.stage.beforePromote = () => {};
  await pipeline.caughtUp(within());
});

test('readers who were led to another generation by hand are led back; there is a command for that', async () => {
  await using at = await itemsScene();
  await using pipeline = await serving(at);
  pipeline.resync('items', false);
  await pipeline.caughtUp(within());
  at.stage.storage.index('items').promoted = 1;
  await expect.poll(() => at.stage.storage.index('items').promoted, { timeout: 10_000 }).toBe(2);
  expect(phases(pipeline)).toEqual(['1 retired', '2 serving']);
});

test('a name that somebody has given to something else is never taken from it: the index is fed, and its status says so until the name is free', async () => {
  await using at = await itemsScene();
  await using pipeline = await serving(at);
  Object.assign(at.stage.storage.index('items'), { promoted: null, foreign: true });
  await expect.poll(() => statusOf(pipeline), { timeout: 10_000 }).toEqual({ phase: 'waiting', code: 'TGT_IDENTITY', ready: false });
  at.server.write('public.items', 'b', 'second');
  await expect.poll(() => Object.keys(documents(at.stage, 1)), { timeout: 10_000 }).toEqual(['a', 'b']);
  expect([at.stage.storage.index('items').promoted, lines(at, 'readers_lost').length]).toEqual([null, 1]);
  at.stage.storage.index('items').foreign = false;
  await pipeline.caughtUp(within());
  expect([statusOf(pipeline), at.stage.storage.index('items').promoted]).toEqual([{ phase: 'serving', code: null, ready: true }, 1]);
});

test('and the same is said by a start that finds it so', async () => {
  await using at = await itemsScene();
  {
    await using _first = await serving(at);
  }
  Object.assign(at.stage.storage.index('items'), { promoted: null, foreign: true });
  await using pipeline = await at.start();
  await expect.poll(() => statusOf(pipeline), { timeout: 10_000 }).toEqual({ phase: 'waiting', code: 'TGT_IDENTITY', ready: false });
  at.stage.storage.index('items').foreign = false;
  await pipeline.caughtUp(within());
});

test('readers who find nothing are not kept waiting for a generation that is on its way to them', async () => {
  await using at = await itemsScene();
  at.stage.timesFaster = TIMES_FASTER;
  const compared = Promise.withResolvers<void>();
  await using pipeline = await at.start({}, { beforeSwap: async ({ generation }) => (generation === 2 ? compared.promise : undefined) });
  await pipeline.caughtUp(within());
  pipeline.resync('items', false);
  await settled(pipeline, '1 serving', '2 ready');
  at.stage.storage.index('items').promoted = null;
  await expect.poll(() => at.stage.storage.index('items').promoted, { timeout: 10_000 }).toBe(1);
  await expect.poll(() => statusOf(pipeline)).toEqual({ phase: 'serving', code: null, ready: true });
  // One that is half shown already, as a crash or a lost answer leaves it, is left to its swap.
  at.stage.storage.index('items').promoted = 2;
  let looks = 0;
  at.stage.beforeSeen = () => {
    looks += 1;
  };
  await expect.poll(() => looks, { timeout: 10_000 }).toBeGreaterThan(4);
  expect([statusOf(pipeline).phase, at.stage.storage.index('items').promoted, lines(at, 'readers_lost').length]).toEqual(['serving', 2, 1]);
  compared.resolve();
  await pipeline.caughtUp(within());
  expect([phases(pipeline), at.stage.storage.index('items').promoted]).toEqual([['1 retired', '2 serving'], 2]);
});

test('a generation that is gone stops the index that has nothing to write, and says so', async () => {
  await using at = await itemsScene();
  await using pipeline = await serving(at);
  at.stage.storage.index('items').generations.clear();
  await expect.poll(() => statusOf(pipeline), { timeout: 10_000 }).toEqual({ phase: 'stopped', code: 'TGT_IDENTITY', ready: false });
});

test.each([
  ['that is away says nothing of what readers find', 'TGT_CONN', { phase: 'serving', code: null, ready: true }],
  ['that misses the generation says it of an index without a write, too', 'TGT_MISSING', { phase: 'waiting', code: 'TGT_MISSING', ready: false }],
] as const)('a target %s', async (_, code, expected) => {
  await using at = await itemsScene();
  await using pipeline = await serving(at);
  let looks = 0;
  at.stage.beforeSeen = () => {
    looks += 1;
    throw new TailraceError(code, { message: 'So it is.' });
  };
  await expect.poll(() => looks, { timeout: 10_000 }).toBeGreaterThan(2);
  expect(statusOf(pipeline)).toEqual(expected);
  at.stage.beforeSeen = () => {};
  await pipeline.caughtUp(within());
  await expect.poll(() => statusOf(pipeline), { timeout: 10_000 }).toEqual({ phase: 'serving', code: null, ready: true });
});

test('a look that its target never answers holds up nothing, not even the end', async () => {
  await using at = await itemsScene();
  await using pipeline = await serving(at);
  const asked = Promise.withResolvers<void>();
  at.stage.beforeSeen = async () => {
    asked.resolve();
    return new Promise(() => {});
  };
  await asked.promise;
  pipeline.resync('items', false);
  await pipeline.caughtUp(within());
  expect(phases(pipeline)).toEqual(['1 retired', '2 serving']);
});

test('a daemon whose place another one has taken ends, also when it writes nothing', async () => {
  await using at = await itemsScene();
  const pipeline = await serving(at);
  at.stage.beforeSeen = () => {
    throw new TailraceError('TGT_FENCED', { message: 'Another process has opened it.' });
  };
  await expect(pipeline.finished).rejects.toMatchObject({ code: 'TGT_FENCED' });
});
