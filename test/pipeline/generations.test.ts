import { describe, expect, test } from 'vitest';
import { chooseGeneration } from '../../src/pipeline/generations.ts';
import type { IndexDefinition } from '../../src/config/index-settings.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';

const index = { name: 'products' } as IndexDefinition;

describe('the generation that is fed', () => {
  test('is the first, behind what the log holds, for an index that is new', () => {
    using state = openSqliteState({ path: ':memory:' });
    const { record, superseded } = chooseGeneration(index, 'f1', state, 41, false);
    expect(record).toEqual({ index: 'products', generation: 1, phase: 'building', startSeq: 41, fingerprint: 'f1' });
    expect([superseded, state.generations()]).toEqual([[], [record]]);
  });

  test('stays the same while the definition makes the same documents', () => {
    using state = openSqliteState({ path: ':memory:' });
    const first = chooseGeneration(index, 'f1', state, 0, false).record;
    state.putGeneration({ ...first, phase: 'serving' });
    expect(chooseGeneration(index, 'f1', state, 99, false).record).toEqual({ ...first, phase: 'serving' });
    expect(state.generations()).toHaveLength(1);
  });

  test('is a new one when the definition makes others, or when a rebuild is asked for', () => {
    using state = openSqliteState({ path: ':memory:' });
    chooseGeneration(index, 'f1', state, 0, false);
    const changed = chooseGeneration(index, 'f2', state, 50, false);
    expect([changed.record.generation, changed.record.startSeq, changed.superseded.length]).toEqual([2, 50, 1]);
    const rebuilt = chooseGeneration(index, 'f2', state, 60, true);
    expect([rebuilt.record.generation, rebuilt.superseded.length]).toEqual([3, 2]);
  });
});
