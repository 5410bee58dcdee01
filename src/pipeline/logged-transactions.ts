/** Which of some transactions of a source the log holds: asked when the source is connected, for the few that are in progress then. */
import type { Seq } from '../change/seq.ts';
import type { LogStore } from '../connector/log-store.ts';

/** What is looked at of a log. */
export type TransactionLog = Pick<LogStore, 'durableSeq' | 'frameHeaders'>;

/**
 * Of one source. The log is looked through from its newest part, without its entries, and no further than to where every transaction is found.
 * How old the commit of one can be that is in progress still, nothing says: it may wait for a standby for days. So a look that finds less goes
 * through all that is kept, but through no part twice: what an earlier question has passed holds none but those that it found. (A transaction
 * that was not asked for then, and is in progress now, had no commit in the log then.)
 */
export class LoggedTransactions {
  readonly #log: TransactionLog;
  readonly #source: string;
  /** Up to here the log has been looked through. */
  #lookedThrough: Seq = 0;
  /** Those of the last question that were found. */
  #found: ReadonlySet<bigint> = new Set();

  constructor(log: TransactionLog, source: string) {
    this.#log = log;
    this.#source = source;
  }

  /** Those of `ids` that the log holds. Rejects with LOG_CORRUPT, or with the signal's reason. */
  async among(ids: ReadonlySet<bigint>, signal: AbortSignal): Promise<ReadonlySet<bigint>> {
    const through = this.#log.durableSeq;
    const found = this.#found.intersection(ids);
    if (found.size < ids.size) await this.#look(ids, found, signal);
    this.#lookedThrough = through;
    this.#found = found;
    return found;
  }

  async #look(ids: ReadonlySet<bigint>, found: Set<bigint>, signal: AbortSignal): Promise<void> {
    let segmentStart = Infinity;
    for await (const { firstSeq, source, transactions } of this.#log.frameHeaders('newest_segment_first')) {
      signal.throwIfAborted();
      // Within a segment seqs grow: a lower one is the first of an older segment.
      if (firstSeq < segmentStart) {
        if (segmentStart <= this.#lookedThrough + 1) return;
        segmentStart = firstSeq;
      }
      if (source !== this.#source) continue;
      for (const { id } of transactions) if (ids.has(id)) found.add(id);
      if (found.size === ids.size) return;
    }
  }
}
