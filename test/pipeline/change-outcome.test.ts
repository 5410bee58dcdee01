import { describe, expect, test } from 'vitest';
import { Op } from '../../src/change/operation.ts';
import { versionOf } from '../../src/change/seq.ts';
import { decisive, outcomesOf, type Made, type OutcomeScene } from '../../src/pipeline/change-outcome.ts';
import type { RowChange } from '../../src/pipeline/row-changes.ts';
import { snapshot } from './logged-rows.ts';

const EPOCH = 3;
const scene: OutcomeScene = { epoch: EPOCH, startSeq: 0, generation: 'items-g0001', cursor: 100, storedVersion: null, parked: new Set(), snapshots: [] };

/** Changes of the stream, or with a snapshot's number of that snapshot. */
function change(seq: number, op: Op = Op.update, number: number | null = null): RowChange {
  return { seq, op, keyChanged: false, rowBytes: 10, snapshot: number, transaction: null };
}

const at = (seq: number): bigint => versionOf(EPOCH, seq);
const became = (changes: readonly RowChange[], more: Partial<OutcomeScene>, made: Made = 'document'): string[] => outcomesOf(changes, { ...scene, ...more }, made);

describe('what became of a change', () => {
  const two = [change(10), change(20)];

  test('that the target holds, or a later one', () => {
    expect(became(two, { storedVersion: at(20) })).toEqual(['superseded', 'applied']);
    expect(became([...two, change(30, Op.delete)], {})).toEqual(['superseded', 'superseded', 'applied']);
    expect(became([...two, change(30, Op.truncate)], {})).toEqual(['superseded', 'superseded', 'applied']);
  });

  test('that the index has not come to, unless the target has it already', () => {
    expect(became(two, { cursor: 15, storedVersion: at(10) })).toEqual(['applied', 'pending']);
    expect(became(two, { cursor: 5 })).toEqual(['pending', 'pending']);
    expect(became(two, { cursor: 15, storedVersion: at(20) })).toEqual(['superseded', 'applied']);
  });

  test('that made no document', () => {
    expect(became(two, {}, 'nothing')).toEqual(['superseded', 'filtered']);
    expect(became(two, { storedVersion: at(10) }, 'nothing')).toEqual(['applied', 'lost']);
    expect(became(two, { parked: new Set([20]) })).toEqual(['superseded', 'parked']);
    expect(became(two, { parked: new Set([10]), storedVersion: at(20) })).toEqual(['parked', 'applied']);
  });

  test('that the target has lost, or never took', () => {
    expect(became(two, {})).toEqual(['superseded', 'lost']);
    expect(became(two, { storedVersion: at(10) })).toEqual(['applied', 'lost']);
    expect(became([change(10), change(20, Op.delete)], { storedVersion: at(10) })).toEqual(['applied', 'lost']);
  });

  test('that a version from elsewhere stands before', () => {
    expect(became(two, { storedVersion: versionOf(EPOCH + 1, 2) })).toEqual(['superseded', 'stale']);
    expect(became([change(10), change(20, Op.delete)], { storedVersion: at(99) })).toEqual(['superseded', 'stale']);
  });

  test('whose document a snapshot did not find again', () => {
    const swept = { snapshots: [snapshot({ number: 2, startSeq: 25, doneSeq: 40, for: ['*'] })] };
    expect(became(two, swept)).toEqual(['superseded', 'swept']);
    expect(became(two, { ...swept, cursor: 39 })).toEqual(['superseded', 'lost']);
    for (const other of [{ sweep: false }, { phase: 'reading' as const }, { for: ['items-g0002'] }, { startSeq: 19 }]) {
      expect(became(two, { snapshots: [snapshot({ number: 2, startSeq: 25, doneSeq: 40, ...other })] }), JSON.stringify(other)).toEqual(['superseded', 'lost']);
    }
  });

  test('that another generation read, or that is older than this one', () => {
    const snapshots = [snapshot({ number: 1, for: ['items-g0001'] }), snapshot({ number: 2, for: ['items-g0002'] })];
    const changes = [change(5), change(10, Op.read, 1), change(20, Op.read, 2)];
    expect(became(changes, { snapshots, startSeq: 7, storedVersion: at(10) })).toEqual(['before_generation', 'applied', 'not_taken']);
    expect(decisive(changes, { ...scene, snapshots, startSeq: 7 })?.seq).toBe(10);
    expect(became([change(5)], { startSeq: 7 })).toEqual(['before_generation']);
  });

  test('is not guessed while the target does not answer, or its row cannot be read', () => {
    expect(became(two, { storedVersion: undefined, cursor: null, parked: new Set([10]) })).toEqual(['parked', 'unknown']);
    expect(became(two, {}, 'unknown')).toEqual(['superseded', 'unknown']);
    expect(decisive(two, { ...scene, cursor: null })).toBeUndefined();
  });
});
