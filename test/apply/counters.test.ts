/** G11 in numbers: what an index read is applied, superseded, filtered, stale or parked, through every failure and every new beginning. */
import { expect, test } from 'vitest';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { ApplierScene } from './applier-scene.ts';

test.each([true, false])('counters go on when an index is opened again, and a batch that was given up counts once (atomic cursor: %s)', async (atomicCursor) => {
  await using scene = await ApplierScene.open(atomicCursor);
  await scene.write(['a', '1'], ['a', '2'], ['b', 'hidden'], ['c', 'unbuildable'], ['d', 'refused'], ['e', null]);
  let given = 0;
  const faults = {
    before: () => {
      given += 1;
      throw new TailraceError('TGT_IDENTITY', { message: 'The index was replaced.' });
    },
  };
  await expect(scene.apply({ faults })).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
  expect(given).toBe(1);
  expect(scene.counters).toMatchObject({ read: 0, dead_lettered: 0, batches: 0 });
  await scene.apply();
  expect(scene.counters).toMatchObject({ read: 6, applied: 2, superseded: 1, filtered: 1, dead_lettered: 2, stale: 0, batches: 1 });
  scene.putBack(0);
  await scene.write(['f', '7']);
  const { counters } = await scene.apply();
  const { read, applied, superseded, filtered, dead_lettered, stale } = counters;
  expect(read).toBe(13);
  expect(applied + superseded + filtered + dead_lettered + stale).toBe(13);
});
