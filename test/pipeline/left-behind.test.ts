import { expect, test } from 'vitest';
import { dropLeft, leftAt } from '../../src/pipeline/left-behind.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import { MemoryStorage, MemoryTarget } from '../sim/memory-target.ts';
import { recordOf } from '../state/generation-record.ts';

const signal = new AbortController().signal;

/** A target with two generations of `items`, of which readers see the second, and one of `old`. */
function scene(): { readonly storage: MemoryStorage; readonly target: MemoryTarget } {
  const storage = new MemoryStorage({ atomicCursor: true });
  const binding = { logId: 'l', epoch: 1, fingerprint: 'f' };
  for (const [index, generation] of [['items', 1], ['items', 2], ['old', 1]] as const) storage.index(index).generations.set(generation, storage.make(binding));
  storage.index('items').promoted = 2;
  return { storage, target: new MemoryTarget('memory', storage) };
}

const isConfigured = (index: string): boolean => index === 'items';

test('what no record knows, and what is of an index that the config has no more, is left behind', async () => {
  const { target } = scene();
  const records = [recordOf({ index: 'items', generation: 2 }), recordOf({ index: 'old', generation: 1 })];
  expect(leftAt('memory', await target.generations(signal), { records, isConfigured })).toEqual([
    { index: 'items', generation: 1, target: 'memory', promoted: false, documents: 0, known: false },
    { index: 'old', generation: 1, target: 'memory', promoted: false, documents: 0, known: true },
  ]);
});

test('it is removed by command, with what is known of it', async () => {
  const { storage, target } = scene();
  using state = openSqliteState({ path: ':memory:' });
  state.putGenerations(recordOf({ index: 'items', generation: 2 }), recordOf({ index: 'old', generation: 1 }));
  await dropLeft(target, { index: 'items', generation: 1 }, isConfigured, state, signal);
  await dropLeft(target, { index: 'old', generation: 1 }, isConfigured, state, signal);
  expect([[...storage.index('items').generations.keys()], [...storage.index('old').generations.keys()], state.generations().map(({ index }) => index)]).toEqual([[2], [], ['items']]);
});

test('what belongs to the pipeline, what readers see and what is not there is refused, each with the way out', async () => {
  const { storage, target } = scene();
  using state = openSqliteState({ path: ':memory:' });
  state.putGenerations(recordOf({ index: 'items', generation: 1 }));
  const drop = async (index: string, generation: number): Promise<void> => dropLeft(target, { index, generation }, isConfigured, state, signal);
  await expect(drop('items', 1)).rejects.toMatchObject({ code: 'USAGE', message: 'Generation 1 of index items belongs to this pipeline.', hint: '`tailrace generations drop items 1`, without `--at`.' });
  await expect(drop('items', 2)).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining('Readers of items see generation 2 at target memory') as unknown });
  await expect(drop('items', 7)).rejects.toMatchObject({ code: 'USAGE', message: 'Target memory holds no generation 7 of items.' });
  expect(storage.index('items').generations.size).toBe(2);
});
