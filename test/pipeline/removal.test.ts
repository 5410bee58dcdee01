import { describe, expect, test } from 'vitest';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { GenerationRecord } from '../../src/state/state-store.ts';
import { itemsScene, phases, records, settled, within } from './items-scene.ts';

describe('a generation that readers went from', () => {
  test('is removed at once when nobody wants to go back', async () => {
    await using at = await itemsScene();
    {
      await using pipeline = await at.start();
      await pipeline.caughtUp(within());
    }
    await using pipeline = await at.start({ fields: ['id'], rollback_hours: 0 });
    await pipeline.caughtUp(within());
    expect([phases(pipeline), [...at.stage.storage.index('items').generations.keys()]]).toEqual([['2 serving'], [2]]);
  });

  test('is removed when its time is over, also while no daemon ran', async () => {
    await using at = await itemsScene();
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

test('a run that ended in the middle of removing a generation does not make it anew', async () => {
  await using at = await itemsScene();
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
