import { expect, test } from 'vitest';
import { DeadLetters } from '../../src/apply/dead-letters.ts';
import { dropLetters } from '../../src/pipeline/drop-letters.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { DeadLetter } from '../../src/state/state-store.ts';
import { simRuntime } from '../log/sim-runtime.ts';

const letter: DeadLetter = { index: 'items', generation: 1, id: 'a', seq: 1, code: 'DOC_FAILED', reason: 'It fails.', parkedAtMs: 5 };

test('letters that the filter takes are dropped, in every generation, and no other', () => {
  using state = openSqliteState({ path: ':memory:' });
  const many = Array.from({ length: 1_500 }, (_, i): DeadLetter => ({ ...letter, id: `many ${i}`, seq: 10 + i, code: 'TGT_REJECTED' }));
  state.park([letter, { ...letter, generation: 2, seq: 9 }, { ...letter, index: 'others' }, { ...letter, id: 'b', seq: 2 }, ...many]);
  expect(dropLetters(state, { index: 'items', id: 'a' })).toBe(2);
  expect(dropLetters(state, { index: 'items', id: 'a' })).toBe(0);
  expect(dropLetters(state, { code: 'TGT_REJECTED' })).toBe(1_500);
  expect(state.deadLetters().map(({ index, id }) => `${index} ${id}`)).toEqual(['items b', 'others a']);
});

test('an index whose letters were dropped has room for as many again', () => {
  using state = openSqliteState({ path: ':memory:' });
  const letters = new DeadLetters({ index: 'items', generation: 1, state, runtime: simRuntime(), settings: { onError: 'dead_letter', deadLettersMax: 2 } });
  letters.load();
  const park = (...seqs: number[]): void => letters.park(seqs.map((seq) => ({ id: `id ${seq}`, seq, code: 'DOC_FAILED', reason: 'It fails.' })));
  park(1, 2);
  expect(dropLetters(state, { index: 'items' })).toBe(2);
  park(3, 4);
  expect(() => park(5)).toThrow('Index items has 3 parked documents, more than the 2 allowed.');
});
