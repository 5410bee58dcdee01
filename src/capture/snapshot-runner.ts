/**
 * Reads tables beside the stream (architecture.md §5), several ranges at once. One runner serves one connection; what it has not finished, the
 * next one does.
 */
import type { Seq } from '../change/seq.ts';
import type { LogStore, RegisterUpdate } from '../connector/log-store.ts';
import type { SourceSession } from '../connector/source.ts';
import { Notifier, together, untilAborted } from '../runtime/abort.ts';
import type { Logger } from '../runtime/logger.ts';
import { RangeReader, type RangeReaderDeps } from './range-reader.ts';
import { RunningSnapshot, type SnapshotProgress } from './running-snapshot.ts';
import { rangesIn, removeRange, removeSnapshot, setRange, setSnapshot, snapshotsIn, type Snapshot } from './snapshot-state.ts';

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
  readonly logger: Logger;
}

export interface SnapshotRequest {
  readonly table: string;
  readonly for: readonly string[];
  readonly reason: string;
  readonly sweep: boolean;
}

export class SnapshotRunner {
  readonly #deps: SnapshotRunnerDeps;
  readonly #reader: RangeReader;
  readonly #running = new Map<number, RunningSnapshot>();
  /** For each snapshot that is done a seq that is not before the frame that says so. */
  readonly #doneBy = new Map<number, Seq>();
  #number: number;
  readonly #changed = new Notifier();

  constructor(deps: SnapshotRunnerDeps) {
    this.#deps = deps;
    this.#reader = new RangeReader(deps);
    const { registers } = deps.log;
    const counter = registers.get(counterRegister(deps.source));
    this.#number = counter === undefined ? 0 : Number(Buffer.from(counter).toString());
    for (const running of deps.unfinished) this.#running.set(running.snapshot.number, running);
    for (const { source, number, phase } of snapshotsIn(registers)) if (source === deps.source && phase === 'done') this.#doneBy.set(number, deps.log.durableSeq);
  }

  /** Snapshots that are not done, from the moment on that they are asked for. */
  progress(): SnapshotProgress[] {
    return [...this.#running.values()].map(({ progress }) => progress);
  }

  /**
   * Asks for a snapshot; resolves to it when that is durable. Forgets old ones whose end every index has acted upon: the log holds nothing more of
   * the time when they ended. Whoever has yet to see an end finds it in the registers when retention was faster.
   */
  async request(request: SnapshotRequest, signal: AbortSignal): Promise<Snapshot> {
    const { log, source, session } = this.#deps;
    this.#number += 1;
    const snapshot: Snapshot = {
      source,
      number: this.#number,
      table: request.table,
      for: request.for,
      reason: request.reason,
      sweep: request.sweep,
      startSeq: log.durableSeq,
      phase: 'planned',
      rows: 0,
      estimatedRows: session.tables.find((table) => table.table === request.table)?.estimatedRows ?? null,
      doneSeq: null,
    };
    const running = new RunningSnapshot(snapshot, [], false);
    this.#running.set(snapshot.number, running);
    const forgotten = snapshotsIn(log.registers).filter((old) => old.source === source && (this.#doneBy.get(old.number) ?? Infinity) + 1 < log.firstSeq);
    await this.#insert([[counterRegister(source), Buffer.from(String(this.#number))], setSnapshot(snapshot), ...forgotten.map((old) => removeSnapshot(old))], signal);
    running.isDurable = true;
    this.#deps.logger.info('snapshot_requested', { table: request.table, snapshot: snapshot.number, reason: request.reason });
    this.#changed.notify();
    return snapshot;
  }

  /** Works until the signal is aborted, then rejects with its reason; rejects earlier with the first error of a read. */
  async run(signal: AbortSignal): Promise<void> {
    for (const running of this.#running.values()) {
      // The daemon ended between the last chunk and the note that it was the last.
      if (running.isRead) await this.#finish(running, signal);
    }
    const worker = async (either: AbortSignal): Promise<void> => this.#work(either);
    await together(signal, Array.from({ length: this.#deps.parallel }, () => worker));
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const running = [...this.#running.values()].find(({ isToBePlanned, hasUnclaimed }) => isToBePlanned || hasUnclaimed);
      if (running === undefined) await this.#changed.wait(signal);
      else if (running.isToBePlanned) await this.#plan(running, signal);
      else await this.#readRange(running, signal);
    }
  }

  async #plan(running: RunningSnapshot, signal: AbortSignal): Promise<void> {
    const { session, parallel, logger, log } = this.#deps;
    running.isBeingPlanned = true;
    try {
      // What was on its way when the snapshot was asked for is durable by now, and the ranges are planned after it.
      const startSeq = log.durableSeq;
      const planned = await session.snapshots.planRanges(running.snapshot.table, parallel * 4, signal);
      const ranges = planned.map((next, i) => ({ number: i, next, rows: 0 }));
      const snapshot: Snapshot = { ...running.snapshot, startSeq, phase: 'reading', rows: 0 };
      const outdated = rangesIn(log.registers, snapshot).filter(({ number }) => number >= ranges.length);
      await this.#insert([setSnapshot(snapshot), ...ranges.map((range) => setRange(snapshot, range)), ...outdated.map(({ number }) => removeRange(snapshot, number))], signal);
      running.planned(snapshot, ranges);
      logger.info('snapshot_planned', { table: snapshot.table, snapshot: snapshot.number, ranges: ranges.length });
      this.#changed.notify();
      if (running.isRead) await this.#finish(running, signal);
    } finally {
      running.isBeingPlanned = false;
    }
  }

  async #readRange(running: RunningSnapshot, signal: AbortSignal): Promise<void> {
    const range = running.claim();
    if (range === undefined) return;
    const read = await this.#reader.read(running, range, signal);
    if (read === 'replan') this.#replan(running);
    if (read !== 'read') return;
    running.release(range);
    if (running.isRead) await this.#finish(running, signal);
  }

  #replan(running: RunningSnapshot): void {
    const { table, number } = running.snapshot;
    this.#deps.logger.warn('snapshot_replanned', { table, snapshot: number });
    running.planAgain();
    this.#changed.notify();
  }

  /** All rows are durable: whoever waits for the snapshot finds this behind them. */
  async #finish(running: RunningSnapshot, signal: AbortSignal): Promise<void> {
    const snapshot: Snapshot = { ...running.snapshot, phase: 'done', doneSeq: this.#deps.log.durableSeq };
    await this.#insert([setSnapshot(snapshot)], signal);
    this.#doneBy.set(snapshot.number, this.#deps.log.durableSeq);
    this.#running.delete(snapshot.number);
    this.#deps.logger.info('snapshot_done', { table: snapshot.table, snapshot: snapshot.number, rows: snapshot.rows });
  }

  async #insert(registers: readonly RegisterUpdate[], signal: AbortSignal): Promise<void> {
    const durable = Promise.withResolvers<void>();
    this.#deps.intake.insertRegisters(registers, durable.resolve);
    await untilAborted(durable.promise, signal);
  }
}
