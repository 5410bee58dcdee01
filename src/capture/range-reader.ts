/**
 * Reads one range of a table to its end: chunk after chunk, each in a short consistent read of its own, merged into the log at the moment the
 * stream has passed it. The next chunk is read while the one before waits for the stream and the disk.
 */
import type { RegisterUpdate } from '../connector/log-store.ts';
import type { Chunk, SourceSession } from '../connector/source.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ChunkWindow, ChunkWindows } from './chunk-window.ts';
import type { FrameBufferPool } from './frame-builder.ts';
import type { Intake } from './intake.ts';
import type { ReadPace } from './read-pace.ts';
import type { RunningSnapshot } from './running-snapshot.ts';
import { framesOfChunk, rowsIn } from './snapshot-frames.ts';
import { removeRange, setRange, setSnapshot, type Range } from './snapshot-state.ts';
import type { StalledReads } from './stalled-reads.ts';
import type { StreamPosition } from './stream-position.ts';

/** Pause before a chunk whose window overflowed is read again. */
const OVERFLOW_PAUSE_MS = 100;

export interface RangeReaderDeps {
  readonly session: Pick<SourceSession, 'snapshots'>;
  readonly windows: ChunkWindows;
  readonly intake: Intake;
  readonly place: StreamPosition;
  readonly pool: FrameBufferPool;
  readonly pace: ReadPace;
  readonly stalled: StalledReads;
  readonly clock: Clock;
  /** Aimed size of a chunk's rows. */
  readonly chunkBytes: number;
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

export class RangeReader {
  readonly #deps: RangeReaderDeps;

  constructor(deps: RangeReaderDeps) {
    this.#deps = deps;
  }

  /**
   * Reads a range that was claimed. `replan`: the ranges mean nothing any more; `outdated`: somebody else found that, and they have been given up.
   * The range's last rows are durable when it resolves to `read`.
   */
  async read(running: RunningSnapshot, range: Range, signal: AbortSignal): Promise<'read' | 'replan' | 'outdated'> {
    const { attempt } = running;
    let unread: Range | null = range;
    let before: Merging | null = null;
    for (;;) {
      const read: ReadChunk | 'replan' | null = unread === null ? null : await this.#readChunk(running, unread, signal);
      const merged: 'merged' | 'again' = before === null ? 'merged' : await before.merged;
      const isOutdated = running.attempt !== attempt;
      if (read !== null && read !== 'replan' && (isOutdated || merged === 'again')) this.#deps.windows.close(read.window);
      if (isOutdated) return 'outdated';
      if (read === 'replan') return 'replan';
      if (before !== null && merged === 'again') {
        unread = before.range;
        before = null;
        await this.#deps.clock.sleep(OVERFLOW_PAUSE_MS, signal);
        continue;
      }
      if (read === null) return 'read';
      running.reach(read.range);
      before = { range: read.range, merged: this.#mergeChunk(running, read, attempt, signal) };
      // Awaited only when the next chunk is read, or never when that fails: it then fails for the same reason.
      before.merged.catch(() => {});
      const { chunk }: ReadChunk = read;
      unread = chunk.next === null ? null : { ...read.range, next: chunk.next, rows: read.range.rows + rowsIn(chunk) };
    }
  }

  /** Reads one chunk with a window open, which whoever gets the chunk has to close. */
  async #readChunk(running: RunningSnapshot, range: Range, signal: AbortSignal): Promise<ReadChunk | 'replan'> {
    const { pace, stalled } = this.#deps;
    const { table } = running.snapshot;
    signal.throwIfAborted();
    await pace.mayRead(signal);
    // A read that stalled begins anew with a window of its own: what changed meanwhile, which may be much, it shows.
    return stalled.read(`a snapshot of ${table}`, async () => this.#readOnce(table, range, signal), signal);
  }

  async #readOnce(table: string, range: Range, signal: AbortSignal): Promise<ReadChunk | 'replan'> {
    const { session, windows, pace, chunkBytes } = this.#deps;
    const window = windows.open(table);
    try {
      const chunk = await session.snapshots.readChunk({ table, range: range.next, rowBytesMax: chunkBytes }, signal);
      if (chunk !== 'replan') {
        pace.noteRead(chunk.bytes.length);
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
  async #mergeChunk(running: RunningSnapshot, read: ReadChunk, attempt: number, signal: AbortSignal): Promise<'merged' | 'again'> {
    const { windows, place } = this.#deps;
    const { window, chunk } = read;
    try {
      const passed = Promise.withResolvers<'merged' | 'again'>();
      windows.awaitHigh(window, chunk.high, () => {
        if (window.overflowed || running.attempt !== attempt) passed.resolve('again');
        else this.#insertChunk(running, read, () => passed.resolve('merged'));
      });
      return await place.nudging(passed.promise, signal);
    } finally {
      windows.close(window);
    }
  }

  #insertChunk(running: RunningSnapshot, { range, window, chunk }: ReadChunk, onDurable: () => void): void {
    const { intake } = this.#deps;
    const { snapshot } = running;
    const schemaId = intake.declare(chunk.schema);
    const rows = range.rows + rowsIn(chunk);
    const progress: RegisterUpdate[] = [];
    if (chunk.next === null) {
      running.snapshot = { ...snapshot, rows: snapshot.rows + rows };
      progress.push(removeRange(snapshot, range.number), setSnapshot(running.snapshot));
    } else progress.push(setRange(snapshot, { ...range, next: chunk.next, rows }));
    const frames = framesOfChunk(chunk, schemaId, window, progress, this.#deps.pool);
    for (const [i, frame] of frames.entries()) {
      const isLast = i === frames.length - 1;
      intake.insertSnapshotFrame(snapshot.number, frame, isLast ? onDurable : undefined);
    }
  }
}
