/**
 * Rows of a table as they are at a position of the log, read like those of a snapshot and handed out instead of appended. Nothing is written,
 * neither to the source nor to the log.
 */
import type { Seq } from '../change/seq.ts';
import type { Chunk, Selection, SourceSession } from '../connector/source.ts';
import { Notifier, together } from '../runtime/abort.ts';
import type { ChunkReader } from './chunk-reader.ts';
import type { ChunkWindow } from './chunk-window.ts';
import type { Intake } from './intake.ts';

export interface ReadAtRequest {
  readonly table: string;
  readonly selection: Selection;
}

/**
 * A chunk that holds true at `seq`: for every key of its rows and of its absent keys that is not in `changed`, the last change in the log that is no
 * newer than `seq` says the same, provided that a snapshot or the stream brought the row there.
 */
export interface RowsAt {
  readonly chunk: Chunk;
  readonly seq: Seq;
  /** Keys of the table that changed, or whose changes were completed, while the chunk was read, as `windowKey` writes them; the chunk may show them older or newer than `seq`. */
  readonly changed: ReadonlySet<string>;
}

export interface RowsAtReaderDeps {
  readonly session: Pick<SourceSession, 'snapshots'>;
  readonly chunks: ChunkReader;
  readonly intake: Pick<Intake, 'placed'>;
  /** Ranges read at the same time, and chunks held at the same time for each reading. */
  readonly parallel: number;
  /** Resolves when the log has what the stream only said to be read again. */
  readonly whole: (table: string, signal: AbortSignal) => Promise<void>;
  /** There is nothing of that kind that the log lacks at this moment. */
  readonly isWhole: (table: string) => boolean;
}

/** The ranges mean nothing any more: ends the work on all of them. */
class Outdated extends Error {}

export class RowsAtReader {
  readonly #deps: RowsAtReaderDeps;

  constructor(deps: RowsAtReaderDeps) {
    this.#deps = deps;
  }

  /**
   * Every selected row that is there from beginning to end of the reading, at least once; twice when the table is rewritten meanwhile. A row that
   * changes in between two chunks may be in neither: the stream has it. What the stream only said to be read again is waited for, unless somebody
   * paused that: then the log lacks it still. The next chunk of a range is read when the one before was taken. Rejects with SRC_SELECTION, with the
   * signal's reason, and with whatever ends the connection.
   */
  async *read(request: ReadAtRequest, signal: AbortSignal): AsyncGenerator<RowsAt, void, undefined> {
    const ended = new AbortController();
    const either = AbortSignal.any([signal, ended.signal]);
    const handover = new Handover<RowsAt>();
    const reading = this.#readAll(request, handover, either).then(
      () => handover.close(null),
      (error: unknown) => handover.close({ error }),
    );
    try {
      for (let rows = await handover.take(either); rows !== null; rows = await handover.take(either)) yield rows;
    } finally {
      ended.abort();
      await reading;
    }
  }

  async #readAll({ table, selection }: ReadAtRequest, handover: Handover<RowsAt>, signal: AbortSignal): Promise<void> {
    const { session, parallel } = this.#deps;
    await session.snapshots.checkSelection(table, selection, signal);
    for (;;) {
      const ranges = await session.snapshots.planRanges(table, parallel, selection, signal);
      const worker = async (s: AbortSignal): Promise<void> => {
        for (let range = ranges.shift(); range !== undefined; range = ranges.shift()) await this.#readRange(table, range, handover, s);
      };
      try {
        await together(signal, Array.from({ length: parallel }, () => worker));
        return;
      } catch (error) {
        if (!(error instanceof Outdated)) throw error;
      }
    }
  }

  async #readRange(table: string, first: Uint8Array, handover: Handover<RowsAt>, signal: AbortSignal): Promise<void> {
    const { chunks, intake, whole, isWhole } = this.#deps;
    for (let next: Uint8Array | null = first; next !== null; ) {
      await whole(table, signal);
      const open = await chunks.read(table, next, signal);
      if (open === 'replan') throw new Outdated();
      const { chunk, window } = open;
      const rows = await chunks.settle(open, async () => rowsAt(chunk, await intake.placed(), window), signal);
      // The stream may have said so just while the chunk was read, which shows it then.
      if (rows === 'again' || !isWhole(table)) {
        await chunks.pauseBeforeAgain(signal);
        continue;
      }
      await handover.give(rows, signal);
      next = chunk.next;
    }
  }
}

/** What was completed by the time that the chunk has its place is in the log as it was then, which the chunk need not show. */
function rowsAt(chunk: Chunk, seq: Seq, { keys, completed }: ChunkWindow): RowsAt | 'again' {
  return completed === null ? 'again' : { chunk, seq, changed: completed.size === 0 ? keys : keys.union(completed) };
}

/** Gives things from several hands into one, each waiting until its own was taken. */
class Handover<T> {
  readonly #offered: T[] = [];
  readonly #changed = new Notifier();
  #closed: { readonly failure: { readonly error: unknown } | null } | null = null;

  async give(item: T, signal: AbortSignal): Promise<void> {
    this.#offered.push(item);
    this.#changed.notify();
    while (this.#offered.includes(item)) await this.#changed.wait(signal);
  }

  /** No more comes. */
  close(failure: { readonly error: unknown } | null): void {
    this.#closed = { failure };
    this.#changed.notify();
  }

  /** Null when it was closed; rejects with the failure that it was closed with. */
  async take(signal: AbortSignal): Promise<T | null> {
    for (;;) {
      const [item] = this.#offered;
      if (item !== undefined) {
        this.#offered.shift();
        this.#changed.notify();
        return item;
      }
      if (this.#closed !== null) {
        if (this.#closed.failure !== null) throw this.#closed.failure.error;
        return null;
      }
      await this.#changed.wait(signal);
    }
  }
}
