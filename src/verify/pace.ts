/** Keeps a reading at a rate. */
import type { Clock } from '../runtime/clock.ts';

/** What was not used up is not saved for later beyond this. */
const SAVED_MS = 1_000;

export class Pace {
  readonly #clock: Clock;
  readonly #perSecond: number | null;
  #nextMs = -Infinity;

  /** Null: as fast as it goes. */
  constructor(perSecond: number | null, clock: Clock) {
    this.#perSecond = perSecond;
    this.#clock = clock;
  }

  /** Resolves when so many more may be read. Rejects with the signal's reason. */
  async take(count: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#perSecond === null) return;
    const nowMs = this.#clock.monotonicMs();
    this.#nextMs = Math.max(this.#nextMs, nowMs - SAVED_MS) + (count / this.#perSecond) * 1000;
    if (this.#nextMs > nowMs) await this.#clock.sleep(this.#nextMs - nowMs, signal);
  }
}
