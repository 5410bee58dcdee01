/**
 * Reads tables beside the stream (architecture.md §5), several ranges at once. One runner serves one connection; what it has not finished, the
 * next one does.
 */
import type { Seq } from '../change/seq.ts';
import type { LogStore, RegisterUpdate } from '../connector/log-store.ts';
import type { Selection, SourceSession } from '../connector/source.ts';
import { invariant } from '../errors/invariant.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import { Notifier, together, untilAborted } from '../runtime/abort.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/logger.ts';
import { RangeReader, type RangeReaderDeps } from './range-reader.ts';
import { RunningSnapshot, type SnapshotProgress } from './running-snapshot.ts';
import { distinctKeys, keysWithin, noteOf } from './selected-keys.ts';
import { isOver, removeSnapshot, rereads, snapshotsIn, type Range, type Snapshot } from './snapshot-state.ts';

/** Name of the register that counts the snapshots of one source: sources run beside each other, and each knows its own count only. */
function counterRegister(source: string): string {
  return `snapshot-counter:${source}`;
}

export interface SnapshotRunnerDeps extends RangeReaderDeps {
  readonly source: string;
  readonly session: SourceSession;
  readonly log: LogStore;
  /** What the connection before left. */
  readonly unfinished: readonly RunningSnapshot[];
  /** Ranges read at the same time. */
  readonly parallel: number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly logger: Logger;
}

export interface SnapshotRequest {
  readonly table: string;
  readonly selection: Selection;
  readonly for: readonly string[];
  readonly reason: string;
  /** Only with the selection of all rows. */
  readonly sweep: boolean;
}

export class SnapshotRunner {
  readonly #deps: SnapshotRunnerDeps;
  readonly #reader: RangeReader;
  readonly #running = new Map<number, RunningSnapshot>();
  /** For each snapshot that is over a seq that is not before the frame that says so. */
  readonly #overBy = new Map<number, Seq>();
  #number: number;
  readonly #changed = new Notifier();

  constructor(deps: SnapshotRunnerDeps) {
    this.#deps = deps;
    this.#reader = new RangeReader(deps);
    const { registers } = deps.log;
    const counter = registers.get(counterRegister(deps.source));
    this.#number = counter === undefined ? 0 : Number(Buffer.from(counter).toString());
    for (const running of deps.unfinished) this.#running.set(running.snapshot.number, running);
    for (const snapshot of snapshotsIn(registers)) if (snapshot.source === deps.source && isOver(snapshot)) this.#overBy.set(snapshot.number, deps.log.durableSeq);
  }

  /** Snapshots that are not over, from the moment on that they are asked for. */
  progress(): SnapshotProgress[] {
    const nowMs = this.#deps.clock.monotonicMs();
    return [...this.#running.values()].map((running) => running.progress(nowMs));
  }

  /**
   * Asks for a snapshot; resolves to it when that is durable. Forgets old ones whose end every index has acted upon: the log holds nothing more of
   * the time when they ended. Whoever has yet to see an end finds it in the registers when retention was faster. Rejects with SRC_SELECTION, and
   * with USAGE for more keys than may wait at one time, before anything is put into the log.
   */
  async request(request: SnapshotRequest, signal: AbortSignal): Promise<Snapshot> {
    const { session, parallel } = this.#deps;
    const { table, selection } = request;
    invariant(!request.sweep || selection.kind === 'all', 'only a snapshot of all rows tells what is gone');
    // At once: the status knows of it from here on, and the stream may have asked for it.
    if (selection.kind === 'all') return this.#begin(request, session.tables.find((described) => described.table === table)?.estimatedRows ?? null, null, signal);
    const distinct = selection.kind === 'keys' ? distinctKeys(selection) : selection;
    const estimatedRows = await session.snapshots.checkSelection(table, distinct, signal);
    if (distinct.kind === 'where') return this.#begin({ ...request, selection: distinct }, estimatedRows, null, signal);
    // Ranges of keys need not be read for, and are the only place where the keys are durable.
    const ranges = await session.snapshots.planRanges(table, parallel, distinct, signal);
    keysWithin([...this.#running.values()].reduce((sum, running) => sum + (running.snapshot.selection.kind === 'keys' ? running.leftBytes : 0), 0), ranges);
    return this.#begin({ ...request, selection: distinct }, distinct.keys.length, ranges, signal);
  }

  /** Nothing is read of the snapshot until it is resumed; resolves to it when that is durable. Rejects with USAGE when there is none that is not over. */
  async pause(number: number, signal: AbortSignal): Promise<Snapshot> {
    return this.#steer(number, (running) => (running.snapshot.paused ? null : running.pause()), 'snapshot_paused', signal);
  }

  /** Takes back `pause`. */
  async resume(number: number, signal: AbortSignal): Promise<Snapshot> {
    return this.#steer(number, (running) => (running.snapshot.paused ? running.resume() : null), 'snapshot_resumed', signal);
  }

  /** Ends the snapshot; resolves to it when that is durable. Rejects with USAGE when there is none that is not over. */
  async cancel(number: number, signal: AbortSignal): Promise<Snapshot> {
    const running = this.#underWay(number);
    await this.#end(running, 'cancelled', running.end('cancelled', null, null), signal);
    return running.snapshot;
  }

  /** Resolves when no snapshot is under way by which the log gets what the stream only said to be read again. */
  async whole(table: string, signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#isWholeByNow(table)) return;
      await this.#changed.wait(signal);
    }
  }

  /** The same of what is asked for and not in the log yet, and of what the log has. */
  hasAll(table: string): boolean {
    return this.#isWholeByNow(table) && this.isWhole(table);
  }

  /** By the log as it is now: whether `whole` has nothing to wait for. */
  isWhole(table: string): boolean {
    const { log, source } = this.#deps;
    return snapshotsIn(log.registers).every((one) => one.source !== source || one.table !== table || isOver(one) || !rereads(one));
  }

  /** Works until the signal is aborted, then rejects with its reason; rejects earlier with the first error of a read. */
  async run(signal: AbortSignal): Promise<void> {
    // The daemon ended between the last chunk and the note that it was the last.
    for (const running of this.#running.values()) await this.#finishIfRead(running, signal);
    const worker = async (either: AbortSignal): Promise<void> => this.#work(either);
    await together(signal, Array.from({ length: this.#deps.parallel }, () => worker));
  }

  #isWholeByNow(table: string): boolean {
    return [...this.#running.values()].every(({ snapshot }) => snapshot.table !== table || !rereads(snapshot));
  }

  /** `ranges`: of keys; others are planned when a worker comes to it. */
  async #begin(request: SnapshotRequest, estimatedRows: number | null, ranges: readonly Uint8Array[] | null, signal: AbortSignal): Promise<Snapshot> {
    const { log, source, logger } = this.#deps;
    const { table, reason, sweep } = request;
    this.#number += 1;
    const snapshot: Snapshot = {
      source,
      number: this.#number,
      table,
      for: request.for,
      reason,
      selection: noteOf(request.selection),
      sweep,
      startSeq: log.durableSeq,
      phase: ranges === null ? 'planned' : 'reading',
      paused: false,
      failure: null,
      rows: 0,
      estimatedRows,
      doneSeq: null,
    };
    const running = new RunningSnapshot(snapshot, [], false);
    const asked = running.planned(snapshot, rangesOf(ranges ?? []));
    this.#running.set(snapshot.number, running);
    const forgotten = snapshotsIn(log.registers).filter((old) => old.source === source && (this.#overBy.get(old.number) ?? Infinity) + 1 < log.firstSeq);
    await this.#insert([[counterRegister(source), Buffer.from(String(this.#number))], ...asked, ...forgotten.map((old) => removeSnapshot(old))], signal);
    running.isDurable = true;
    logger.info('snapshot_requested', { table, snapshot: snapshot.number, reason, selection: snapshot.selection.kind });
    this.#changed.notify();
    await this.#finishIfRead(running, signal);
    return running.snapshot;
  }

  #underWay(number: number): RunningSnapshot {
    const running = this.#running.get(number);
    if (running === undefined || isOver(running.snapshot)) throw new TailraceError('USAGE', { message: `There is no snapshot ${number} of source ${this.#deps.source} under way.`, entity: this.#deps.source });
    return running;
  }

  /** `change`: null for nothing to do. */
  async #steer(number: number, change: (running: RunningSnapshot) => readonly RegisterUpdate[] | null, event: string, signal: AbortSignal): Promise<Snapshot> {
    const running = this.#underWay(number);
    const registers = change(running);
    if (registers !== null) {
      await this.#insert(registers, signal);
      this.#deps.logger.info(event, { table: running.snapshot.table, snapshot: number });
    }
    this.#changed.notify();
    // Its last rows may have been on their way when it was told to wait: they are durable now.
    await this.#finishIfRead(running, signal);
    return running.snapshot;
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const running = [...this.#running.values()].find(({ isToBePlanned, hasUnclaimed }) => isToBePlanned || hasUnclaimed);
      if (running === undefined) {
        await this.#changed.wait(signal);
        continue;
      }
      const { attempt } = running;
      try {
        if (running.isToBePlanned) await this.#plan(running, attempt, signal);
        else await this.#readRange(running, signal);
      } catch (error) {
        signal.throwIfAborted();
        // What was under way for an attempt that is over was broken off.
        if (running.attempt !== attempt) continue;
        if (codeOf(error) !== 'SRC_SELECTION') throw error;
        await this.#fail(running, error as TailraceError, signal);
      }
    }
  }

  async #plan(running: RunningSnapshot, attempt: number, signal: AbortSignal): Promise<void> {
    const { session, parallel, logger, log } = this.#deps;
    const { selection, table, number } = running.snapshot;
    invariant(selection.kind !== 'keys', 'ranges of keys are planned once, when they are asked for');
    running.isBeingPlanned = true;
    try {
      // What was on its way when the snapshot was asked for is durable by now, and the ranges are planned after it.
      const startSeq = log.durableSeq;
      const planned = await session.snapshots.planRanges(table, parallel * 4, selection, AbortSignal.any([signal, running.reading]));
      if (running.attempt !== attempt) return;
      const snapshot: Snapshot = { ...running.snapshot, startSeq, phase: 'reading', rows: 0 };
      await this.#insert(running.planned(snapshot, rangesOf(planned)), signal);
      logger.info('snapshot_planned', { table, snapshot: number, ranges: planned.length });
      await this.#finishIfRead(running, signal);
    } finally {
      running.isBeingPlanned = false;
      this.#changed.notify();
    }
  }

  async #readRange(running: RunningSnapshot, signal: AbortSignal): Promise<void> {
    const range = running.claim(this.#deps.clock.monotonicMs());
    if (range === undefined) return;
    const read = await this.#reader.read(running, range, signal);
    if (read === 'replan') this.#replan(running);
    if (read !== 'read') return;
    running.release(range.number);
    await this.#finishIfRead(running, signal);
  }

  #replan(running: RunningSnapshot): void {
    const { table, number } = running.snapshot;
    this.#deps.logger.warn('snapshot_replanned', { table, snapshot: number });
    running.planAgain();
    this.#changed.notify();
  }

  /** All rows are durable: whoever waits for the snapshot finds this behind them. */
  async #finishIfRead(running: RunningSnapshot, signal: AbortSignal): Promise<void> {
    if (!running.isRead) return;
    await this.#end(running, 'done', running.end('done', this.#deps.log.durableSeq, null), signal);
  }

  async #fail(running: RunningSnapshot, { code, message }: TailraceError, signal: AbortSignal): Promise<void> {
    await this.#end(running, 'failed', running.end('failed', null, { code, message }), signal);
  }

  async #end(running: RunningSnapshot, phase: 'done' | 'cancelled' | 'failed', registers: readonly RegisterUpdate[], signal: AbortSignal): Promise<void> {
    const { log, logger } = this.#deps;
    await this.#insert(registers, signal);
    const { table, number, rows, failure } = running.snapshot;
    this.#overBy.set(number, log.durableSeq);
    this.#running.delete(number);
    if (failure === null) logger.info(`snapshot_${phase}`, { table, snapshot: number, rows });
    else logger.warn('snapshot_failed', { table, snapshot: number, rows, code: failure.code, reason: failure.message });
    this.#changed.notify();
  }

  async #insert(registers: readonly RegisterUpdate[], signal: AbortSignal): Promise<void> {
    const durable = Promise.withResolvers<void>();
    this.#deps.intake.insertRegisters(registers, durable.resolve);
    await untilAborted(durable.promise, signal);
  }
}

function rangesOf(planned: readonly Uint8Array[]): Range[] {
  return planned.map((next, number) => ({ number, next, rows: 0 }));
}
