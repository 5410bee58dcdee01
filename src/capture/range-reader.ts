/**
 * Reads one range of a snapshot to its end: chunk after chunk, each merged into the log at the moment the stream has passed it. The next chunk
 * is read while the one before waits for the stream and the disk.
 */
import type { ChunkReader, OpenChunk } from './chunk-reader.ts';
import type { FrameBufferPool } from './frame-builder.ts';
import type { Intake } from './intake.ts';
import type { RunningSnapshot } from './running-snapshot.ts';
import { framesOfChunk, rowsIn } from './snapshot-frames.ts';
import type { Range } from './snapshot-state.ts';

export interface RangeReaderDeps {
  readonly chunks: ChunkReader;
  readonly intake: Intake;
  readonly pool: FrameBufferPool;
}

/** A chunk that waits to be merged. */
interface ReadChunk extends OpenChunk {
  /** What was left of its range before it. */
  readonly range: Range;
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
   * Reads a range that was claimed. `replan`: the ranges mean nothing any more; `outdated`: the attempt in which it was claimed is over.
   * The range's last rows are durable when it resolves to `read`.
   */
  async read(running: RunningSnapshot, range: Range, signal: AbortSignal): Promise<'read' | 'replan' | 'outdated'> {
    const { attempt } = running;
    try {
      return await this.#read(running, range, AbortSignal.any([signal, running.reading]));
    } catch (error) {
      // What was being read is broken off when the attempt ends, and how that failed is of no interest.
      if (!signal.aborted && running.attempt !== attempt) return 'outdated';
      throw error;
    }
  }

  async #read(running: RunningSnapshot, range: Range, signal: AbortSignal): Promise<'read' | 'replan' | 'outdated'> {
    const { chunks } = this.#deps;
    const { attempt } = running;
    let unread: Range | null = range;
    let before: Merging | null = null;
    for (;;) {
      const read: ReadChunk | 'replan' | null = unread === null ? null : await this.#readChunk(running, unread, signal);
      const merged: 'merged' | 'again' = before === null ? 'merged' : await this.#mergedBefore(before, read);
      const isOutdated = running.attempt !== attempt;
      if (read !== null && read !== 'replan' && (isOutdated || merged === 'again')) chunks.close(read);
      if (isOutdated) return 'outdated';
      if (read === 'replan') return 'replan';
      if (before !== null && merged === 'again') {
        unread = before.range;
        before = null;
        await chunks.pauseBeforeAgain(signal);
        continue;
      }
      if (read === null) return 'read';
      before = { range: read.range, merged: this.#mergeChunk(running, read, attempt, signal) };
      // Awaited only when the next chunk is read, or never when that fails: it then fails for the same reason.
      before.merged.catch(() => {});
      const { chunk }: ReadChunk = read;
      unread = chunk.next === null ? null : { ...read.range, next: chunk.next, rows: read.range.rows + rowsIn(chunk) };
    }
  }

  async #readChunk(running: RunningSnapshot, range: Range, signal: AbortSignal): Promise<ReadChunk | 'replan'> {
    const read = await this.#deps.chunks.read(running.snapshot.table, range.next, signal);
    return read === 'replan' ? read : { ...read, range };
  }

  async #mergedBefore(before: Merging, read: ReadChunk | 'replan' | null): Promise<'merged' | 'again'> {
    try {
      return await before.merged;
    } catch (error) {
      if (read !== null && read !== 'replan') this.#deps.chunks.close(read);
      throw error;
    }
  }

  /** Resolves when the chunk's frames are durable, or when it has to be read again. */
  async #mergeChunk(running: RunningSnapshot, read: ReadChunk, attempt: number, signal: AbortSignal): Promise<'merged' | 'again'> {
    return this.#deps.chunks.settle(read, () => (running.attempt === attempt ? this.#insertChunk(running, read) : 'again'), signal);
  }

  /** Hands the chunk over together with its progress; resolves when it is durable. */
  async #insertChunk(running: RunningSnapshot, { range, window, chunk }: ReadChunk): Promise<'merged'> {
    const { intake, pool } = this.#deps;
    const durable = Promise.withResolvers<'merged'>();
    const schemaId = intake.declare(chunk.schema);
    const rows = range.rows + rowsIn(chunk);
    const progress = chunk.next === null ? running.mergedLast(range.number, rows) : running.merged({ ...range, next: chunk.next, rows });
    const frames = framesOfChunk(chunk, schemaId, window, progress, pool);
    for (const [i, frame] of frames.entries()) {
      const isLast = i === frames.length - 1;
      intake.insertSnapshotFrame(running.snapshot.number, frame, isLast ? () => durable.resolve('merged') : undefined);
    }
    return durable.promise;
  }
}
