import { expect, test } from 'vitest';
import type { SnapshotRequest } from '../../src/capture/snapshot-runner.ts';
import { retryLetters, type RetryReport } from '../../src/pipeline/retry-letters.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { DeadLetter, DeadLetterFilter, GenerationRecord, StateStore } from '../../src/state/state-store.ts';
import { encodeKey } from '../change/encode-key.ts';
import { recordOf } from '../state/generation-record.ts';
import { definition, snapshot } from './logged-rows.ts';

const record = (generation: number, more: Partial<GenerationRecord> = {}): GenerationRecord => recordOf({ index: 'items', generation, phase: 'serving', ...more });

function park(state: StateStore, ...letters: readonly (readonly [generation: number, id: string, code: DeadLetter['code']])[]): void {
  state.park(letters.map(([generation, id, code], i) => ({ index: 'items', generation, id, seq: i + 1, code, reason: 'r', parkedAtMs: 0 })));
}

async function retried(state: StateStore, filter: Omit<DeadLetterFilter, 'index'>): Promise<[RetryReport, (readonly [string, SnapshotRequest])[]]> {
  const asked: (readonly [string, SnapshotRequest])[] = [];
  const report = await retryLetters(filter, { state, definition, request: async (source, request) => Promise.resolve(snapshot({ number: asked.push([source, request]) })) });
  return [report, asked];
}

const key = (...parts: string[]): Buffer => encodeKey(parts.map((part) => Buffer.from(part)));

test('rows of parked documents are asked for by their keys, for the generation that lacks them, of the table that it is made from', async () => {
  using state = openSqliteState({ path: ':memory:' });
  state.putGenerations(record(1, { phase: 'retired', definition: JSON.stringify({ ...definition, from: { source: 'old', table: 'public.things' } }) }), record(2));
  park(state, [1, 'a', 'DOC_FAILED'], [2, 'b:c%3A', 'DOC_FAILED'], [2, 'd', 'TGT_REJECTED']);
  const both = { sweep: false, reason: 'retry' };
  expect(await retried(state, { code: 'DOC_FAILED' })).toEqual([
    { index: 'items', asked: 2, snapshots: [1, 2] },
    [
      ['old', { ...both, table: 'public.things', selection: { kind: 'keys', keys: [key('a')] }, for: ['items-g0001'] }],
      ['shop', { ...both, table: 'public.items', selection: { kind: 'keys', keys: [key('b', 'c:')] }, for: ['items-g0002'] }],
    ],
  ]);
  expect((await retried(state, {}))[0]).toEqual({ index: 'items', asked: 3, snapshots: [1, 2] });
  expect(state.deadLetterTotal({})).toBe(3);
});

test('nothing is asked for what is being built, or is fed no more, and nothing at all is an error', async () => {
  using state = openSqliteState({ path: ':memory:' });
  state.putGenerations(record(1, { phase: 'dropping' }), record(2, { abandoned: true }), record(3), record(4, { phase: 'building' }));
  park(state, [1, 'a', 'DOC_FAILED'], [2, 'b', 'DOC_FAILED'], [4, 'c', 'DOC_FAILED']);
  await expect(retried(state, {})).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining('generation 1, 2, 4 of index items') as string, hint: expect.stringContaining('`tailrace resync items`') as string });
  await expect(retried(state, { code: 'TGT_REJECTED' })).rejects.toMatchObject({ code: 'USAGE', message: 'No such document of items is parked.' });
});
