import { describe, expect, test } from 'vitest';
import { indexSettings, type IndexDefinition } from '../../src/config/index-settings.ts';
import { beginGeneration, generationsAtStart, recordOfIndex, recordsOf, served, type RunStart } from '../../src/pipeline/generations.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { GenerationPhase, GenerationRecord, StateStore } from '../../src/state/state-store.ts';
import { recordOf } from '../state/generation-record.ts';

const definition: IndexDefinition = { ...indexSettings.parse({ from: 'shop.public.products' }), name: 'products', to: 'search' };
const start = (more: Partial<RunStart> = {}): RunStart => ({ definition, fingerprint: 'f1', rebuild: false, hasTarget: (name) => name === 'search' || name === 'elsewhere', durableSeq: 41, nowMs: 7, ...more });

function phases(records: readonly GenerationRecord[]): [number, GenerationPhase][] {
  return records.map(({ generation, phase }) => [generation, phase]);
}

/** A state store in which the generations have the phases, in the order of their numbers. */
function stateWith(...records: readonly Partial<GenerationRecord>[]): StateStore {
  const state = openSqliteState({ path: ':memory:' });
  state.putGenerations(...records.map((more, i) => recordOf({ generation: i + 1, fingerprint: 'f1', definition: JSON.stringify(definition), ...more })));
  return state;
}

describe('a run begins', () => {
  test('with a first generation, behind what the log holds, for an index that is new', () => {
    using state = stateWith();
    const [record, ...others] = generationsAtStart(state, start());
    expect(record).toEqual(recordOf({ fingerprint: 'f1', startSeq: 41, createdAtMs: 7, definition: JSON.stringify(definition) }));
    expect([others, state.generations()]).toEqual([[], [record]]);
  });

  test('with what there is, while the definition makes the same documents', () => {
    using state = stateWith({ phase: 'retired' }, { phase: 'serving' });
    expect(phases(generationsAtStart(state, start()))).toEqual([[1, 'retired'], [2, 'serving']]);
  });

  test('with another generation when the definition makes other documents, or has another target', () => {
    using state = stateWith({ phase: 'serving' });
    expect(phases(generationsAtStart(state, start({ fingerprint: 'f2' })))).toEqual([[1, 'serving'], [2, 'building']]);
    expect(state.generations()[1]).toMatchObject({ reason: 'config', fingerprint: 'f2', startSeq: 41 });
    using other = stateWith({ phase: 'serving' });
    expect(phases(generationsAtStart(other, start({ definition: { ...definition, to: 'elsewhere' } })))).toEqual([[1, 'serving'], [2, 'building']]);
  });

  test('with what there is when its target was only renamed', () => {
    using state = stateWith({ phase: 'serving' });
    expect(phases(generationsAtStart(state, start({ definition: { ...definition, to: 'elsewhere' }, hasTarget: (name) => name === 'elsewhere' })))).toEqual([[1, 'serving']]);
  });

  test('without what was being built, when the definition is again that of the generation that serves', () => {
    using state = stateWith({ phase: 'serving' }, { phase: 'building', fingerprint: 'f2' });
    expect(phases(generationsAtStart(state, start()))).toEqual([[1, 'serving'], [2, 'dropping']]);
  });

  test('as it ended for an index that was put back to an older generation, though the newer one be dropped since, until the config changes', () => {
    using state = stateWith({ phase: 'serving', fingerprint: 'f0' }, { phase: 'retired' });
    expect(phases(generationsAtStart(state, start()))).toEqual([[1, 'serving'], [2, 'retired']]);
    state.forgetGeneration('products', 2);
    expect(phases(generationsAtStart(state, start()))).toEqual([[1, 'serving']]);
    expect(phases(generationsAtStart(state, start({ fingerprint: 'f3' })))).toEqual([[1, 'serving'], [3, 'building']]);
  });

  test('with the way of one back to its readers, whatever was being built', () => {
    using state = stateWith({ phase: 'ready', retiredAtMs: 5, fingerprint: 'f0' }, { phase: 'serving' });
    expect(phases(generationsAtStart(state, start()))).toEqual([[1, 'ready'], [2, 'serving']]);
  });

  test('with another generation when a rebuild is asked for, and nothing older is fed any more', () => {
    using state = stateWith({ phase: 'retired' }, { phase: 'serving' }, { phase: 'building' });
    generationsAtStart(state, start({ rebuild: true }));
    const records = recordsOf(state, 'products');
    expect(phases(records)).toEqual([[1, 'dropping'], [2, 'serving'], [3, 'dropping'], [4, 'building']]);
    expect(records.map(({ abandoned }) => abandoned)).toEqual([false, true, false, false]);
    expect(recordOfIndex(state, 'products')).toMatchObject({ generation: 4, reason: 'rebuild' });
  });
});

describe('a generation that is begun', () => {
  test('takes the place of what was being built, and never the number of another one', () => {
    using state = stateWith({ phase: 'serving' }, { phase: 'building' });
    state.forgetGeneration('products', 2);
    const begin = (): GenerationRecord => beginGeneration(state, { definition, fingerprint: 'f1', reason: 'resync', held: true, durableSeq: 50, nowMs: 9 });
    expect(begin()).toMatchObject({ generation: 3, held: true, startSeq: 50 });
    begin();
    expect(phases(recordsOf(state, 'products'))).toEqual([[1, 'serving'], [3, 'dropping'], [4, 'building']]);
  });
});

describe('the generation that readers see from now on', () => {
  test('sends the one that they saw before back, in one step', () => {
    using state = stateWith({ phase: 'serving' }, { phase: 'ready', wholeSeq: 9 });
    const [first, second] = state.generations() as [GenerationRecord, GenerationRecord];
    served(state, second, 24, 77);
    expect(state.generations()).toEqual([{ ...first, phase: 'retired', retiredAtMs: 77 }, { ...second, phase: 'serving' }]);
    expect(recordOfIndex(state, 'products')?.generation).toBe(2);
  });

  test('lets it go at once where nobody wants to go back, or nobody can', () => {
    using state = stateWith({ phase: 'serving' }, { phase: 'ready' });
    served(state, state.generations()[1] as GenerationRecord, 0, 77);
    expect(phases(state.generations())).toEqual([[1, 'dropping'], [2, 'serving']]);
    using rebuilt = stateWith({ phase: 'serving', abandoned: true }, { phase: 'ready' });
    served(rebuilt, rebuilt.generations()[1] as GenerationRecord, 24, 77);
    expect(phases(rebuilt.generations())).toEqual([[1, 'dropping'], [2, 'serving']]);
  });
});
