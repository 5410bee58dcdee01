/**
 * Reads tables beside the stream (architecture.md §5): several ranges at once, each chunk in a short consistent read of its own, merged
 * into the log at the moment the stream has passed it. One runner serves one connection; what it has not finished, the next one does.
 */
import type { Seq } from '../change/seq.ts';
import type { LogStore, RegisterUpdate } from '../connector/log-store.ts';
import type { Chunk, SourceSession } from '../connector/source.ts';
import { Notifier, together, untilAborted } from '../runtime/abort.ts';
import type { ByteBudget } from '../runtime/byte-budget.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/logger.ts';
import type { ChunkWindow, ChunkWindows } from './chunk-window.ts';
import type { FrameBufferPool } from './frame-builder.ts';
import type { Intake } from './intake.ts';
import { framesOfChunk, rowsIn } from './snapshot-frames.ts';
import { rangesIn, removeRange, removeSnapshot, setRange, setSnapshot, snapshotsIn, type Range, type Snapshot } from './snapshot-state.ts';

/** While a chunk waits for the stream to pass it, the source is asked this often where its stream is. */
const NUDGE_EVERY_MS = 20;

/** Pause before a chunk whose window overflowed is read again. */
const OVERFLOW_PAUSE_MS = 100;

/** Name of the register that counts the snapshots of one source: sources run beside each other, and each knows its own count only. */
function counterRegister(source: string): string {
  return `snapshot-counter:${source}`;
}

export interface SnapshotSettings {
  /** Ranges read at the same time. */
  readonly parallel: number;
  /** Aimed size of a chunk's rows. */
  readonly chunkBytes: number;
  /** Limit of reading, over all ranges together; null for none. */
  readonly bytesPerSecondMax: number | null;
}

export interface SnapshotRunnerDeps {
  readonly source: string;
  readonly session: SourceSession;
  readonly log: LogStore;
  readonly windows: ChunkWindows;
  readonly intake: Intake;
  readonly budget: ByteBudget;
  readonly pool: FrameBufferPool;
  readonly settings: SnapshotSettings;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface SnapshotRequest {
  readonly table: string;
  readonly for: readonly string[];
  readonly reason: string;
  readonly sweep: boolean;
}

/** Progress of one snapshot as the status shows it. */
export interface SnapshotProgress {
  readonly snapshot: Snapshot;
  readonly rows: number;
  readonly rangesLeft: number;
}

interface Running {
  snapshot: Snapshot;
  readonly unclaimed: Range[];
  readonly claimed: Map<number, Range>;
  /** Raised when the table has to be planned again: what is being read then counts no more. */
  attempt: number;
}

/** A chunk that waits to be merged. */
interface ReadChunk {
  /** What was left of its range before it. */
  readonly range: Range;
  readonly window: ChunkWindow;
  readonly chunk: Chunk;
}

interface Merging {
  readonly range: Range;
  readonly merged: Promise<'merged' | 'again'>;
}

export class SnapshotRunner {
  readonly #deps: SnapshotRunnerDeps;
  readonly #running = new Map<number, Running>();
  readonly #planning = new Set<Running>();
  /** For each snapshot that is done a seq that is not before the frame that says so. */
  readonly #doneBy = new Map<number, Seq>();
  /** Monotonic time before which no chunk is read, because of `bytesPerSecondMax`. */
  #readAgainMs = 0;
  #number: number;
  readonly #changed = new Notifier();

  constructor(deps: SnapshotRunnerDeps) {
    this.#deps = deps;
    const { registers } = deps.log;
    const counter = registers.get(counterRegister(deps.source));
    this.#number = counter === undefined ? 0 : Number(Buffer.from(counter).toString());
    for (const snapshot of snapshotsIn(registers)) {
      if (snapshot.source !== deps.source) continue;
      if (snapshot.phase === 'done') {
        this.#doneBy.set(snapshot.number, deps.log.durableSeq);
        continue;
      }
      this.#running.set(snapshot.number, { snapshot, unclaimed: rangesIn(registers, snapshot), claimed: new Map(), attempt: 0 });
    }
  }

  progress(): SnapshotProgress[] {
    return [...this.#running.values()].map(({ snapshot, unclaimed, claimed }) => ({
      snapshot,
      rows: snapshot.rows + [...unclaimed, ...claimed.values()].reduce((sum, range) => sum + range.rows, 0),
      rangesLeft: unclaimed.length + claimed.size,
    }));
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
    const forgotten = snapshotsIn(log.registers).filter((old) => old.source === source && (this.#doneBy.get(old.number) ?? Infinity) + 1 < log.firstSeq);
    await this.#insert([[counterRegister(source), Buffer.from(String(this.#number))], setSnapshot(snapshot), ...forgotten.map((old) => removeSnapshot(old))], signal);
    this.#running.set(snapshot.number, { snapshot, unclaimed: [], claimed: new Map(), attempt: 0 });
    this.#deps.logger.info('snapshot_requested', { table: request.table, snapshot: snapshot.number, reason: request.reason });
    this.#changed.notify();
    return snapshot;
  }

  /** Works until the signal is aborted, then rejects with its reason; rejects earlier with the first error of a read. */
  async run(signal: AbortSignal): Promise<void> {
    for (const running of this.#running.values()) {
      // The daemon ended between the last chunk and the note that it was the last.
      if (running.snapshot.phase === 'reading' && running.unclaimed.length === 0) await this.#finish(running, signal);
    }
    const worker = async (either: AbortSignal): Promise<void> => this.#work(either);
    await together(signal, Array.from({ length: this.#deps.settings.parallel }, () => worker));
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const running = this.#next();
      if (running === undefined) await this.#changed.wait(signal);
      else if (running.snapshot.phase === 'planned') await this.#plan(running, signal);
      else await this.#readRange(running, signal);
    }
  }

  #next(): Running | undefined {
    for (const running of this.#running.values()) {
      if (running.snapshot.phase === 'planned' && !this.#planning.has(running)) return running;
      if (running.unclaimed.length > 0) return running;
    }
    return undefined;
  }

  async #plan(running: Running, signal: AbortSignal): Promise<void> {
    const { session, settings, logger, log } = this.#deps;
    this.#planning.add(running);
    try {
      // What was on its way when the snapshot was asked for is durable by now, and the ranges are planned after it.
      const startSeq = log.durableSeq;
      const planned = await session.snapshots.planRanges(running.snapshot.table, settings.parallel * 4, signal);
      const ranges = planned.map((next, i) => ({ number: i, next, rows: 0 }));
      const snapshot: Snapshot = { ...running.snapshot, startSeq, phase: 'reading', rows: 0 };
      const outdated = rangesIn(log.registers, snapshot).filter(({ number }) => number >= ranges.length);
      await this.#insert([setSnapshot(snapshot), ...ranges.map((range) => setRange(snapshot, range)), ...outdated.map(({ number }) => removeRange(snapshot, number))], signal);
      running.snapshot = snapshot;
      running.unclaimed.push(...ranges);
      logger.info('snapshot_planned', { table: snapshot.table, snapshot: snapshot.number, ranges: ranges.length });
      this.#changed.notify();
      if (ranges.length === 0) await this.#finish(running, signal);
    } finally {
      this.#planning.delete(running);
    }
  }

  /** Reads one range to its end. The next chunk is read while the one before waits for the stream and the disk. */
  async #readRange(running: Running, signal: AbortSignal): Promise<void> {
    const first = running.unclaimed.shift() as Range;
    const { attempt } = running;
    running.claimed.set(first.number, first);
    let unread: Range | null = first;
    let before: Merging | null = null;
    for (;;) {
      const read: ReadChunk | 'replan' | null = unread === null ? null : await this.#readChunk(running, unread, signal);
      const merged: 'merged' | 'again' = before === null ? 'merged' : await before.merged;
      const isOutdated = running.attempt !== attempt;
      if (read !== null && read !== 'replan' && (isOutdated || merged === 'again')) this.#deps.windows.close(read.window);
      if (isOutdated) return;
      if (read === 'replan') return this.#replan(running);
      if (before !== null && merged === 'again') {
        unread = before.range;
        before = null;
        await this.#deps.clock.sleep(OVERFLOW_PAUSE_MS, signal);
        continue;
      }
      if (read === null) break;
      running.claimed.set(first.number, read.range);
      before = { range: read.range, merged: this.#mergeChunk(running, read, attempt, signal) };
      // Awaited only when the next chunk is read, or never when that fails: it then fails for the same reason.
      before.merged.catch(() => {});
      const { chunk }: ReadChunk = read;
      unread = chunk.next === null ? null : { ...read.range, next: chunk.next, rows: read.range.rows + rowsIn(chunk) };
    }
    running.claimed.delete(first.number);
    if (running.claimed.size === 0 && running.unclaimed.length === 0) await this.#finish(running, signal);
  }

  async #mayRead(signal: AbortSignal): Promise<void> {
    const { budget, clock } = this.#deps;
    await untilAborted(budget.available(), signal);
    const waitMs = this.#readAgainMs - clock.monotonicMs();
    if (waitMs > 0) await clock.sleep(waitMs, signal);
  }

  #noteRead(bytes: number): void {
    const { clock, settings } = this.#deps;
    if (settings.bytesPerSecondMax === null) return;
    this.#readAgainMs = Math.max(this.#readAgainMs, clock.monotonicMs()) + (bytes / settings.bytesPerSecondMax) * 1000;
  }

  #replan(running: Running): void {
    this.#deps.logger.warn('snapshot_replanned', { table: running.snapshot.table, snapshot: running.snapshot.number });
    running.attempt += 1;
    running.unclaimed.length = 0;
    running.claimed.clear();
    running.snapshot = { ...running.snapshot, phase: 'planned', rows: 0 };
    this.#changed.notify();
  }

  /** Reads one chunk with a window open, which whoever gets the chunk has to close. */
  async #readChunk(running: Running, range: Range, signal: AbortSignal): Promise<ReadChunk | 'replan'> {
    signal.throwIfAborted();
    await this.#mayRead(signal);
    const { session, windows, settings } = this.#deps;
    const window = windows.open(running.snapshot.table);
    try {
      const chunk = await session.snapshots.readChunk({ table: running.snapshot.table, range: range.next, rowBytesMax: settings.chunkBytes }, signal);
      if (chunk !== 'replan') {
        this.#noteRead(chunk.bytes.length);
        return { range, window, chunk };
      }
    } catch (error) {
      windows.close(window);
      throw error;
    }
    windows.close(window);
    return 'replan';
  }

  /** Waits until the stream has passed the chunk, and merges it. Resolves when its frames are durable, or when it has to be read again. */
  async #mergeChunk(running: Running, read: ReadChunk, attempt: number, signal: AbortSignal): Promise<'merged' | 'again'> {
    const { windows } = this.#deps;
    const { window, chunk } = read;
    try {
      const passed = Promise.withResolvers<'merged' | 'again'>();
      windows.awaitHigh(window, chunk.high, () => {
        if (window.overflowed || running.attempt !== attempt) passed.resolve('again');
        else this.#insertChunk(running, read, () => passed.resolve('merged'));
      });
      return await this.#nudging(passed.promise, signal);
    } finally {
      windows.close(window);
    }
  }

  #insertChunk(running: Running, { range, window, chunk }: ReadChunk, onDurable: () => void): void {
    const { intake } = this.#deps;
    const { snapshot } = running;
    const schemaId = intake.declare(chunk.schema);
    const rows = range.rows + rowsIn(chunk);
    const progress: RegisterUpdate[] = [];
    if (chunk.next === null) {
      running.snapshot = { ...snapshot, rows: snapshot.rows + rows };
      progress.push(removeRange(snapshot, range.number), setSnapshot(running.snapshot));
    } else progress.push(setRange(snapshot, { ...range, next: chunk.next, rows }));
    const { frames } = framesOfChunk(chunk, schemaId, window, progress, this.#deps.pool);
    for (const [i, frame] of frames.entries()) {
      const isLast = i === frames.length - 1;
      intake.insertSnapshotFrame(snapshot.number, frame, isLast ? onDurable : undefined);
    }
  }

  /** All rows are durable: whoever waits for the snapshot finds this behind them. */
  async #finish(running: Running, signal: AbortSignal): Promise<void> {
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

  async #nudging<T>(waited: Promise<T>, signal: AbortSignal): Promise<T> {
    let cancel = (): void => {};
    const nudge = (): void => {
      this.#deps.session.nudge();
      cancel = this.#deps.clock.schedule(NUDGE_EVERY_MS, nudge);
    };
    nudge();
    try {
      return await untilAborted(waited, signal);
    } finally {
      cancel();
    }
  }
}
