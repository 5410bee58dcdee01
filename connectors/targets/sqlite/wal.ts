/**
 * Keeps the write-ahead log (`<file>-wal`) small.
 *
 * SQLite copies it into the file every few thousand pages (`writerPragmas`) and begins it anew when no reader is in it. Readers that overlap without
 * end would let it grow for ever; so beyond a soft limit we wait a moment for the readers and empty it, and beyond a hard limit
 * writing pauses until the reader that holds it is gone.
 */
import { statSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { isPassing } from './failure.ts';

export interface WalLimits {
  readonly softBytes: number;
  readonly hardBytes: number;
}

export const walLimits: WalLimits = { softBytes: 64 * 1024 * 1024, hardBytes: 1024 * 1024 * 1024 };

export class WalBound {
  readonly #db: DatabaseSync;
  readonly #wal: string;
  readonly #limits: WalLimits;
  #nextTryBytes: number;

  constructor(db: DatabaseSync, path: string, limits: WalLimits) {
    this.#db = db;
    this.#wal = `${path}-wal`;
    this.#limits = limits;
    this.#nextTryBytes = limits.softBytes;
  }

  /** Before a write: throws TGT_BLOCKED while the log is beyond its hard limit and a reader holds it. */
  ensureRoom(): void {
    if (this.#size() <= this.#limits.hardBytes || this.#empty()) return;
    throw new TailraceError('TGT_BLOCKED', {
      message: `A program that reads ${this.#wal.slice(0, -'-wal'.length)} keeps ${this.#wal} from being emptied; it has grown to ${this.#size()} bytes.`,
      hint: 'End the read transaction that has been open for long; work goes on by itself.',
      entity: this.#wal,
    });
  }

  /** After a write. */
  tidy(): void {
    const size = this.#size();
    if (size <= this.#nextTryBytes) return;
    // Waiting for readers costs up to a lock slice, so it is tried again only when the log has grown by a good part.
    this.#nextTryBytes = this.#empty() ? this.#limits.softBytes : size + this.#limits.softBytes / 4;
  }

  #size(): number {
    return statSync(this.#wal, { throwIfNoEntry: false })?.size ?? 0;
  }

  /** True when the log was copied into the file and cut to nothing. */
  #empty(): boolean {
    try {
      return this.#db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.['busy'] === 0;
    } catch (error) {
      // What was committed stays in the log; a full disk or a lock is met again, and reported, by the next write.
      if (isPassing(error)) return false;
      throw error;
    }
  }
}
