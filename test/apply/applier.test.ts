/** The applier on a real log, with the simulator's target: what the end of a snapshot leads to, whenever the process ends. */
import { expect, test } from 'vitest';
import { Applier, type ApplierDeps } from '../../src/apply/applier.ts';
import { newCounters } from '../../src/apply/counters.ts';
import { setSnapshot, type Snapshot } from '../../src/capture/snapshot-state.ts';
import { ENTRY_OVERHEAD_BYTES, writeEntry } from '../../src/change/entry.ts';
import { encodeKey } from '../change/encode-key.ts';
import { Op } from '../../src/change/operation.ts';
import { FrameKind, type FrameDraft, type LogStore, type RegisterUpdate } from '../../src/connector/log-store.ts';
import type { DocumentBuilder } from '../../src/document/builder.ts';
import { openLog } from '../../src/log/open.ts';
import { untilAborted } from '../../src/runtime/abort.ts';
import type { StateStore } from '../../src/state/state-store.ts';
import { never, optionsOf, registersOf } from '../log/fixtures.ts';
import { simRuntime, type SimRuntime } from '../log/sim-runtime.ts';
import { MemoryStorage, MemoryTarget } from '../sim/memory-target.ts';
import { ApplierScene } from './applier-scene.ts';

const table = 'public.things';
const snapshot: Snapshot = { source: 'shop', number: 1, table, for: ['things-g0001'], reason: 'build', selection: { kind: 'all' }, sweep: false, startSeq: 0, phase: 'done', paused: false, failure: null, rows: 3, estimatedRows: null, doneSeq: 0 };
const schema = { id: 1, source: 'shop', table, format: 'sim/1', columns: [] };
const documents: DocumentBuilder = { fields: [], fieldsOf: () => [], forSchema: () => ({ build: () => ({ kind: 'document', json: '{}' }) }) } as unknown as DocumentBuilder;

/** A frame of the stream with one row for each key. */
function frameOf(keys: readonly string[], registers: readonly RegisterUpdate[]): FrameDraft {
  const entries = keys.map((text) => {
    const key = encodeKey([Buffer.from(text)]);
    const entry = Buffer.alloc(ENTRY_OVERHEAD_BYTES + key.length);
    writeEntry(entry, 0, Op.insert, 0, 1, key, 0, key.length, key, 0, 0);
    return entry;
  });
  return { kind: FrameKind.stream, source: 'shop', snapshot: 0, entries: Buffer.concat(entries), count: keys.length, transactions: [], registers };
}

/** A state store that keeps cursors and nothing else. */
function cursorsOnly(): StateStore {
  const cursors = new Map<string, number>();
  return {
    cursor: (index: string) => cursors.get(index) ?? null,
    putCursor: (index: string, _: number, seq: number) => void cursors.set(index, seq),
    deadLetters: () => [],
  } as unknown as StateStore;
}

/** Runs an applier until the end of its snapshot is told, where the process may end; else until it has come to the end of the log. Resolves to its cursor. */
async function runUntilTold(deps: Omit<ApplierDeps, 'onSnapshotApplied' | 'target'>, storage: MemoryStorage, log: LogStore, endsThere: boolean): Promise<number> {
  const stop = new AbortController();
  await using target = new MemoryTarget('m', storage);
  await using generation = await target.open({ index: 'things', generation: 1, binding: { logId: log.logId, epoch: log.epoch, fingerprint: 'f' }, fields: [], isBuilding: false, options: {} }, never);
  const told = Promise.withResolvers<void>();
  const onSnapshotApplied = async (): Promise<void> => {
    told.resolve();
    if (endsThere) await untilAborted(new Promise<never>(() => {}), stop.signal);
  };
  const applier = new Applier({ ...deps, target: generation, onSnapshotApplied });
  const running = applier.run(stop.signal);
  await Promise.race([told.promise, running]);
  if (!endsThere) await expect.poll(() => applier.status().cursor).toBe(log.durableSeq);
  stop.abort();
  await running.catch(() => {});
  return applier.status().cursor ?? Number.NaN;
}

test.each([true, false])('a snapshot whose end was read, but not acted upon, when the process ended is found again by the next (atomic cursor: %s)', async (atomicCursor) => {
  const runtime: SimRuntime = simRuntime();
  await using log = await openLog(optionsOf('/log'), runtime);
  await log.append(frameOf(['a', 'b', 'c'], registersOf({ 'schema:1': JSON.stringify(schema) })), never);
  // The end of a snapshot stands in one frame with changes that were pushed just before it.
  await log.append(frameOf(['d', 'e'], [setSnapshot({ ...snapshot, doneSeq: 3 })]), never);
  const storage = new MemoryStorage({ atomicCursor });
  const settings = { batchOperations: 100, batchBytes: 1_000_000, concurrency: 2, onError: 'dead_letter', deadLettersMax: 1 } as const;
  const deps = { index: 'things', generation: 1, source: 'shop', table, startSeq: 0, atomicCursor, log, documents, state: cursorsOnly(), runtime, settings, counters: newCounters(), isBuilding: () => true };
  expect(await runUntilTold(deps, storage, log, true)).toBe(4);
  expect(await runUntilTold(deps, storage, log, false)).toBe(5);
});

test('an error that ends an index does not wait for a target that never answers', async () => {
  await using scene = await ApplierScene.open(false);
  await scene.write(['a', 'good']);
  const sent = Promise.withResolvers<void>();
  const faults = {
    before: () => {
      sent.resolve();
      return new Promise<undefined>(() => {});
    },
  };
  const { running } = await scene.start(never, { faults });
  const ended = running.then(() => 'ended', (error: unknown) => error);
  await sent.promise;
  // No document can be made of a row with this schema.
  await scene.write('unfit');
  expect(await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 5_000, 'still waiting'))])).toMatchObject({ code: 'SRC_DDL' });
});
