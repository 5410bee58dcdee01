/**
 * From where on the server keeps its log for the slot (`restart_lsn`), as far as that is in the server's own files.
 *
 * The server writes it down before it takes it for true, so on one timeline it never goes back, crash or not: unless earlier files were put
 * back, as with a snapshot of a disk. Places in the log cannot tell that, once the log has grown beyond them again; this can.
 */
import type { Clock } from '../../../../src/runtime/clock.ts';

/** What was seen so long ago has been written down: between the two lies one small file, or its way to where a service keeps its files. */
const WRITTEN_WITHIN_MS = 5_000;

export class KeptLog {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  #from: bigint | null;
  #seen: { readonly lsn: bigint; readonly ms: number } | null = null;

  /** `first`: what the server said while nobody read from the slot; null when it said nothing. */
  constructor(clock: Pick<Clock, 'monotonicMs'>, first: bigint | null) {
    this.#clock = clock;
    this.#from = first;
  }

  /** The newest that is known to be in the server's files, or null. */
  get from(): bigint | null {
    return this.#from;
  }

  /** The server says so at this moment. */
  saw(restartLsn: bigint | null): void {
    const ms = this.#clock.monotonicMs();
    if (this.#seen !== null) {
      if (ms - this.#seen.ms < WRITTEN_WITHIN_MS) return;
      if (this.#from === null || this.#seen.lsn > this.#from) this.#from = this.#seen.lsn;
    }
    this.#seen = restartLsn === null ? null : { lsn: restartLsn, ms };
  }
}
