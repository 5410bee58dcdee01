import { describe, expect, test } from 'vitest';
import { builds, EVERYONE, isFor, isOver, setSnapshot, snapshotOfRegister, type Snapshot } from '../../src/capture/snapshot-state.ts';

const own = 'items-g0001';
const snapshot: Snapshot = { source: 's', number: 1, table: 't', for: [own], reason: 'build', selection: { kind: 'all' }, sweep: true, startSeq: 0, phase: 'reading', paused: false, failure: null, rows: 0, estimatedRows: null, doneSeq: null };

describe('a snapshot', () => {
  test('makes a generation whole only with all rows, addressed to it, and not when it was given up', () => {
    expect([snapshot, { ...snapshot, phase: 'done' as const }].map((one) => builds(one, own))).toEqual([true, true]);
    const others: Partial<Snapshot>[] = [{ for: [EVERYONE] }, { selection: { kind: 'keys', keys: 3 } }, { selection: { kind: 'where', predicate: 'true' } }, { phase: 'cancelled' }, { phase: 'failed' }];
    expect(others.map((other) => builds({ ...snapshot, ...other }, own))).toEqual(others.map(() => false));
    expect(isFor({ ...snapshot, for: [EVERYONE] }, own)).toBe(true);
  });

  test('is over when it is done, cancelled or failed', () => {
    expect((['planned', 'reading', 'done', 'cancelled', 'failed'] as const).map((phase) => isOver({ phase }))).toEqual([false, false, true, true, true]);
  });

  test('of a log from before there were selections is one of all rows', () => {
    const { selection, paused, failure, ...before } = snapshot;
    expect(snapshotOfRegister(['snapshot:s:1', Buffer.from(JSON.stringify(before))])).toEqual({ ...before, selection, paused, failure });
    expect(snapshotOfRegister(setSnapshot(snapshot))).toEqual(snapshot);
  });
});
