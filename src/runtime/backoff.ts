/** Pauses that double up to a limit, with equal jitter (half of a pause is fixed, half is chance), so that many clients that lost one server do not come back in step. */
import type { Random } from './random.ts';

export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

export class Backoff {
  #attempt = 0;
  readonly #limits: BackoffLimits;
  readonly #random: Random;

  constructor(limits: BackoffLimits, random: Random) {
    this.#limits = limits;
    this.#random = random;
  }

  /** The next pause in milliseconds: between half of the grown delay and all of it. */
  nextMs(): number {
    const grown = Math.min(this.#limits.maxMs, this.#limits.firstMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    return Math.round(grown / 2 + (grown / 2) * this.#random.fraction());
  }

  /** To be called when the work that failed has made progress again. */
  reset(): void {
    this.#attempt = 0;
  }
}
