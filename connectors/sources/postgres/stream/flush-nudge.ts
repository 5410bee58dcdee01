/**
 * Brings the stream to positions that it would reach only later by itself.
 *
 * A stream reads what the server has flushed. The end of the log may stay unflushed for up to 15 seconds on a server where nothing
 * commits: records of a transaction that is still open, hint bits that a reader set. A snapshot's chunk that waits for the end of the log
 * would wait as long. So when the end that was seen a moment ago is still not flushed, a transaction id is taken and its empty
 * transaction committed, which makes the server flush its log within a fraction of a second. No table is touched.
 */
import type { Clock } from '../../../../src/runtime/clock.ts';
import type { Query } from '../connection/query.ts';
import { parseLsn } from '../position.ts';

/** How long somebody must have been waiting before the server is asked. */
const WAITED_MS = 100;

/** Pause between two looks; an end that is not flushed at the second either is stuck. */
const LOOK_EVERY_MS = 100;

/** Nudges that are further apart are no longer one wait. */
const SAME_WAIT_MS = 1_000;

export class FlushNudge {
  readonly #clock: Clock;
  readonly #query: Query;
  readonly #signal: AbortSignal;
  #waitingSinceMs = -Infinity;
  #nudgedMs = -Infinity;
  #lookedMs = -Infinity;
  #looking = false;
  #unflushedEnd: bigint | null = null;

  constructor(clock: Clock, query: Query, signal: AbortSignal) {
    this.#clock = clock;
    this.#query = query;
    this.#signal = signal;
  }

  /** Somebody waits. Resolves when a look, if one was due, is done. */
  async nudge(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#nudgedMs > SAME_WAIT_MS) {
      this.#waitingSinceMs = nowMs;
      this.#unflushedEnd = null;
    }
    this.#nudgedMs = nowMs;
    if (this.#looking || nowMs - this.#waitingSinceMs < WAITED_MS || nowMs - this.#lookedMs < LOOK_EVERY_MS) return;
    this.#looking = true;
    try {
      await this.#look();
    } finally {
      this.#lookedMs = this.#clock.monotonicMs();
      this.#looking = false;
    }
  }

  /** The stream moved: whoever waited has what was awaited, or is about to get it. */
  moved(): void {
    this.#waitingSinceMs = this.#clock.monotonicMs();
  }

  async #look(): Promise<void> {
    const [row] = await this.#query('SELECT pg_catalog.pg_current_wal_flush_lsn() AS flushed, pg_catalog.pg_current_wal_insert_lsn() AS inserted', [], this.#signal);
    const flushed = parseLsn(row?.['flushed'] ?? '');
    const inserted = parseLsn(row?.['inserted'] ?? '');
    const stuck = this.#unflushedEnd !== null && flushed < this.#unflushedEnd;
    this.#unflushedEnd = flushed < inserted ? inserted : null;
    if (stuck) await this.#query('SELECT pg_catalog.pg_current_xact_id()', [], this.#signal);
  }
}
