/**
 * The one way in which a part of a table is read beside the stream (architecture.md §5): a window is opened, the chunk is read, and as soon as
 * the stream has passed everything that it may show, and before anything else comes in, whoever wants it takes it together with the keys that
 * changed meanwhile. A snapshot puts it into the log there; a reading of rows as of a seq hands it out.
 */
import type { Chunk, SourceSession } from '../connector/source.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ChunkWindow, ChunkWindows } from './chunk-window.ts';
import type { ReadPace } from './read-pace.ts';
import type { StalledReads } from './stalled-reads.ts';
import type { StreamPosition } from './stream-position.ts';

/** Pause before a chunk whose window overflowed is read again. */
const OVERFLOW_PAUSE_MS = 100;

export interface ChunkReaderDeps {
  readonly session: Pick<SourceSession, 'snapshots'>;
  readonly windows: ChunkWindows;
  readonly place: StreamPosition;
  readonly pace: ReadPace;
  readonly stalled: StalledReads;
  readonly clock: Clock;
  /** Aimed size of a chunk's rows. */
  readonly chunkBytes: number;
}

/** A chunk that waits for the stream. Whoever has it settles or closes it. */
export interface OpenChunk {
  readonly window: ChunkWindow;
  readonly chunk: Chunk;
}

export class ChunkReader {
  readonly #deps: ChunkReaderDeps;

  constructor(deps: ChunkReaderDeps) {
    this.#deps = deps;
  }

  /** Reads one chunk with a window open. */
  async read(table: string, range: Uint8Array, signal: AbortSignal): Promise<OpenChunk | 'replan'> {
    const { pace, stalled } = this.#deps;
    signal.throwIfAborted();
    await pace.mayRead(signal);
    // A read that stalled begins anew with a window of its own: what changed meanwhile, which may be much, it shows.
    return stalled.read(`a snapshot of ${table}`, async () => this.#readOnce(table, range, signal), signal);
  }

  /**
   * Waits until the stream has passed the chunk, then calls `take` from within the stream. Resolves to what that resolves to, or to `again` when so
   * much changed that the chunk has to be read again, or `take` says so.
   */
  async settle<T>({ window, chunk }: OpenChunk, take: () => Promise<T | 'again'> | 'again', signal: AbortSignal): Promise<T | 'again'> {
    const { windows, place } = this.#deps;
    try {
      const passed = Promise.withResolvers<T | 'again'>();
      windows.awaitHigh(window, chunk.high, () => passed.resolve(window.overflowed ? 'again' : take()));
      return await place.nudging(passed.promise, signal);
    } finally {
      windows.close(window);
    }
  }

  close({ window }: OpenChunk): void {
    this.#deps.windows.close(window);
  }

  /** To be waited for before a chunk is read again: then the stream is closer to the source's head. */
  async pauseBeforeAgain(signal: AbortSignal): Promise<void> {
    await this.#deps.clock.sleep(OVERFLOW_PAUSE_MS, signal);
  }

  async #readOnce(table: string, range: Uint8Array, signal: AbortSignal): Promise<OpenChunk | 'replan'> {
    const { session, windows, pace, chunkBytes } = this.#deps;
    const window = windows.open(table);
    try {
      const chunk = await session.snapshots.readChunk({ table, range, rowBytesMax: chunkBytes }, signal);
      if (chunk !== 'replan') {
        pace.noteRead(chunk.bytes.length);
        return { window, chunk };
      }
    } catch (error) {
      windows.close(window);
      throw error;
    }
    windows.close(window);
    return 'replan';
  }
}
