/** Rates over the last seconds, from counters that only grow. */
import type { Clock } from '../runtime/clock.ts';

const WINDOW_MS = 5_000;
const SAMPLE_EVERY_MS = 500;

export class Rate {
  readonly #clock: Clock;
  readonly #samples: { readonly atMs: number; readonly total: number }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be told the counter whenever it is looked at; the answer is its growth per second over the last seconds. */
  perSecond(total: number): number {
    const atMs = this.#clock.monotonicMs();
    const last = this.#samples.at(-1);
    if (last === undefined || atMs - last.atMs >= SAMPLE_EVERY_MS) this.#samples.push({ atMs, total });
    while (this.#samples.length > 2 && atMs - (this.#samples[1] as { atMs: number }).atMs > WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0] as { atMs: number; total: number };
    const seconds = (atMs - first.atMs) / 1000;
    return seconds <= 0 ? 0 : (total - first.total) / seconds;
  }
}
