/** An applier of the index `things` on a real log and a real state store, with the simulator's target: what it makes of changes given in short. */
import { expect } from 'vitest';
import { Applier, type ApplierDeps, type ApplySettings, type ApplyStatus } from '../../src/apply/applier.ts';
import { setSnapshot, type Snapshot } from '../../src/capture/snapshot-state.ts';
import { ENTRY_OVERHEAD_BYTES, writeEntry } from '../../src/change/entry.ts';
import { encodeKey } from '../change/encode-key.ts';
import { Op } from '../../src/change/operation.ts';
import { seqOf } from '../../src/change/seq.ts';
import { FrameKind, type LogStore } from '../../src/connector/log-store.ts';
import type { DocumentBuilder } from '../../src/document/builder.ts';
import { newCounters } from '../../src/apply/counters.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { openLog } from '../../src/log/open.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { StateStore } from '../../src/state/state-store.ts';
import { never, optionsOf, registersOf } from '../log/fixtures.ts';
import { simRuntime, type SimRuntime } from '../log/sim-runtime.ts';
import type { TestClock } from '../log/test-clock.ts';
import { MemoryStorage, MemoryTarget, type TargetFaults } from '../sim/memory-target.ts';

const table = 'public.things';

/** The schema that no document can be made of. */
const UNFIT = 2;

/** Key and row; a row of null is a delete. */
export type Write = readonly [key: string, row: string | null] | 'truncate' | 'unfit';

/** What is wrong with rows and documents, until it is mended. */
export interface Flaws {
  /** A row with this text makes no document. */
  unbuildable: string | null;
  /** A document with this text is refused by the target. */
  refused: string | null;
}

export class ApplierScene implements AsyncDisposable {
  readonly flaws: Flaws = { unbuildable: 'unbuildable', refused: 'refused' };
  readonly counters = newCounters();
  readonly storage: MemoryStorage;
  readonly log: LogStore;
  readonly state: StateStore = openSqliteState({ path: ':memory:' });
  readonly #runtime: SimRuntime;

  private constructor(log: LogStore, runtime: SimRuntime, atomicCursor: boolean) {
    this.log = log;
    this.#runtime = runtime;
    this.storage = new MemoryStorage({ atomicCursor });
  }

  /** It stands still until a test moves it. */
  get clock(): TestClock {
    return this.#runtime.clock;
  }

  static async open(atomicCursor: boolean): Promise<ApplierScene> {
    const runtime = simRuntime();
    const log = await openLog(optionsOf('/log'), runtime);
    const scene = new ApplierScene(log, runtime, atomicCursor);
    const registers = registersOf(Object.fromEntries([1, UNFIT].map((id) => [`schema:${id}`, JSON.stringify({ id, source: 'shop', table, format: 'sim/1', columns: [] })])));
    await log.append({ kind: FrameKind.control, source: 'shop', snapshot: 0, entries: Buffer.alloc(0), count: 0, transactions: [], registers }, never);
    return scene;
  }

  /** Appends one frame. */
  async write(...writes: readonly Write[]): Promise<void> {
    await this.#append(FrameKind.stream, 0, writes);
  }

  /** A snapshot that says which rows there are: whatever the log had before `startSeq` and it has not is gone. */
  async snapshot(number: number, startSeq: number, ...rows: readonly Write[]): Promise<void> {
    const base: Snapshot = { source: 'shop', number, table, for: ['*'], reason: 'resync', selection: { kind: 'all' }, sweep: true, startSeq, phase: 'reading', paused: false, failure: null, rows: 0, estimatedRows: null, doneSeq: null };
    await this.#append(FrameKind.control, 0, [], [setSnapshot(base)]);
    await this.#append(FrameKind.snapshot, number, rows);
    await this.#append(FrameKind.control, 0, [], [setSnapshot({ ...base, phase: 'done', doneSeq: this.log.durableSeq })]);
  }

  /** Applies until the log is applied to its end, or the applier fails. */
  async apply(more: { readonly settings?: Partial<ApplySettings>; readonly faults?: TargetFaults } = {}): Promise<ApplyStatus> {
    const stop = new AbortController();
    const { applier, running } = await this.start(stop.signal, more);
    const ended = running.then(() => undefined, (error: unknown) => error);
    const caughtUp = expect.poll(() => applier.status().cursor, { interval: 1 }).toBe(this.log.durableSeq).then(() => 'caught up');
    const end = await Promise.race([ended, caughtUp]);
    stop.abort();
    await ended;
    if (end !== 'caught up') throw end;
    return applier.status();
  }

  /** Starts an applier on what is in the log. Its target refuses what the flaws say; `faults` may do more. */
  async start(signal: AbortSignal, { settings = {}, faults = {} }: { readonly settings?: Partial<ApplySettings>; readonly faults?: TargetFaults } = {}): Promise<{ applier: Applier; running: Promise<void> }> {
    const target = new MemoryTarget('memory', this.storage, { before: (batch) => this.#refusals(batch), ...faults });
    const generation = await target.open({ index: 'things', generation: 1, binding: { logId: this.log.logId, epoch: this.log.epoch, fingerprint: 'f' }, fields: [], isBuilding: false, options: {} }, never);
    await generation.promote(never);
    const deps: ApplierDeps = {
      index: 'things',
      generation: 1,
      source: 'shop',
      table,
      startSeq: 0,
      atomicCursor: this.storage.atomicCursor,
      log: this.log,
      target: generation,
      documents: this.#documents(),
      state: this.state,
      runtime: this.#runtime,
      settings: { batchOperations: 100, batchBytes: 1_000_000, concurrency: 2, onError: 'dead_letter', deadLettersMax: 10, ...settings },
      counters: this.counters,
      isBuilding: () => false,
      onSnapshotApplied: async ({ startSeq }) => void (await generation.sweep((BigInt(this.log.epoch) << 48n) + BigInt(startSeq + 1), never)),
    };
    const applier = new Applier(deps);
    return { applier, running: applier.run(signal) };
  }

  /** The cursor is put back, as when the target, or the data directory, is of yesterday. */
  putBack(seq: number): void {
    const kept = this.storage.index('things').generations.get(1);
    if (kept !== undefined && this.storage.atomicCursor) kept.cursor = seq;
    this.state.putCursor('things', 1, seq);
  }

  /** `key=row seq` of every document. */
  documents(): string[] {
    const kept = this.storage.index('things').generations.get(1)?.documents ?? [];
    return [...kept].flatMap(([id, { document, version }]) => (document === null ? [] : [`${id}=${(JSON.parse(document) as { row: string }).row} ${seqOf(version)}`])).toSorted();
  }

  /** `key CODE seq` of every dead letter. */
  letters(): string[] {
    return this.state.deadLetters('things').map(({ id, code, seq }) => `${id} ${code} ${seq}`).toSorted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.log[Symbol.asyncDispose]();
    this.state[Symbol.dispose]();
  }

  async #append(kind: FrameKind, snapshot: number, writes: readonly Write[], registers: readonly (readonly [string, Uint8Array | null])[] = []): Promise<void> {
    const entries = Buffer.concat(writes.map((write) => entryOf(write, kind)));
    await this.log.append({ kind, source: 'shop', snapshot, entries, count: writes.length, transactions: [], registers }, never);
  }

  #documents(): DocumentBuilder {
    const build = (bytes: Uint8Array): { kind: 'document'; json: string } | { kind: 'filtered'; reason: 'where' } => {
      const row = Buffer.from(bytes).toString();
      if (row === this.flaws.unbuildable) throw new TailraceError('DOC_FAILED', { message: 'The row makes no document.' });
      return row === 'hidden' ? { kind: 'filtered', reason: 'where' } : { kind: 'document', json: JSON.stringify({ row }) };
    };
    const forSchema = ({ id }: { readonly id: number }): { build: typeof build } => {
      if (id === UNFIT) throw new TailraceError('SRC_DDL', { message: 'The table lacks a column.' });
      return { build };
    };
    return { forSchema, fields: [], fieldsOf: () => [] } as unknown as DocumentBuilder;
  }

  #refusals: NonNullable<TargetFaults['before']> = ({ operations }) => {
    const poison = { outcome: 'poison', code: 'TGT_REJECTED', reason: 'The target refuses it.' } as const;
    const isRefused = (document: string): boolean => this.flaws.refused !== null && document === JSON.stringify({ row: this.flaws.refused });
    const results = new Map(operations.flatMap((operation, place) => (operation.kind === 'put' && isRefused(operation.document) ? [[place, poison] as const] : [])));
    return results.size === 0 ? undefined : { kind: 'items', results };
  };
}

function entryOf(write: Write, kind: FrameKind): Buffer {
  const [keyText, row, schemaId] = write === 'truncate' ? ['', null, 1] : write === 'unfit' ? ['unfit', '', UNFIT] : [write[0], write[1], 1];
  const key = encodeKey([Buffer.from(keyText)]);
  const bytes = Buffer.from(row ?? '');
  const op = write === 'truncate' ? Op.truncate : row === null ? Op.delete : kind === FrameKind.snapshot ? Op.read : Op.insert;
  const entry = Buffer.alloc(ENTRY_OVERHEAD_BYTES + key.length + bytes.length);
  writeEntry(entry, 0, op, 0, schemaId, key, 0, key.length, bytes, 0, bytes.length);
  return entry;
}
