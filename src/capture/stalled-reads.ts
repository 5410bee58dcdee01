/**
 * Reads that the source cannot prove for now: a transaction that is in the stream already cannot be seen by others. Reading waits for that,
 * beside the stream, which is not concerned: breaking it off and coming back would change nothing. What is waited for is told once, and once
 * that it is over.
 */
import { codeOf, type TailraceError } from '../errors/tailrace-error.ts';
import { Backoff } from '../runtime/backoff.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../runtime/logger.ts';
import type { Random } from '../runtime/random.ts';

/** Pauses before a read that could not be proven, for which the source itself waited long, is tried again. */
const RETRY = { firstMs: 1_000, maxMs: 30_000 };

export interface StalledReadsDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

interface Stalled {
  /** As the source said it last. */
  error: TailraceError;
  /** Reads of the same that wait. */
  readers: number;
}

/** The reads of one connection. */
export class StalledReads {
  readonly #deps: StalledReadsDeps;
  readonly #stalled = new Map<string, Stalled>();

  constructor(deps: StalledReadsDeps) {
    this.#deps = deps;
  }

  /** What is waited for, one sentence for each kind of read. */
  get notes(): string[] {
    return [...this.#stalled.values()].map(({ error }) => error.message);
  }

  /** Reads until it can be proven. `what` is read, as it is told: reads of the same wait for the same. Rejects with every other error of the read. */
  async read<T>(what: string, read: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const { clock, random } = this.#deps;
    const backoff = new Backoff(RETRY, random);
    let stalled: Stalled | null = null;
    try {
      for (;;) {
        try {
          const result = await read();
          if (stalled?.readers === 1) this.#deps.logger.info('read_goes_on', { what });
          return result;
        } catch (error) {
          if (signal.aborted || codeOf(error) !== 'SRC_SNAPSHOT_STALLED') throw error;
          stalled = this.#note(what, error as TailraceError, stalled);
        }
        await clock.sleep(backoff.nextMs(), signal);
      }
    } finally {
      if (stalled !== null) this.#leave(what, stalled);
    }
  }

  #note(what: string, error: TailraceError, already: Stalled | null): Stalled {
    const known = already ?? this.#stalled.get(what);
    if (known === undefined) {
      const stalled = { error, readers: 1 };
      this.#stalled.set(what, stalled);
      this.#deps.logger.warn('read_stalled', { what, error });
      return stalled;
    }
    known.error = error;
    if (already === null) known.readers += 1;
    return known;
  }

  #leave(what: string, stalled: Stalled): void {
    stalled.readers -= 1;
    if (stalled.readers === 0) this.#stalled.delete(what);
  }
}
