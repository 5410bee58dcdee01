/** When the next chunk may be read: when there is room for it in memory, and not faster than the config allows. */
import { untilAborted } from '../runtime/abort.ts';
import type { ByteBudget } from '../runtime/byte-budget.ts';
import type { Clock } from '../runtime/clock.ts';

export interface ReadPaceDeps {
  readonly budget: ByteBudget;
  readonly clock: Clock;
  /** Over all ranges together; null for no limit. */
  readonly bytesPerSecondMax: number | null;
}

export class ReadPace {
  readonly #deps: ReadPaceDeps;
  /** Monotonic time before which no chunk is read. */
  #readAgainMs = 0;

  constructor(deps: ReadPaceDeps) {
    this.#deps = deps;
  }

  async mayRead(signal: AbortSignal): Promise<void> {
    const { budget, clock } = this.#deps;
    await untilAborted(budget.available(), signal);
    const waitMs = this.#readAgainMs - clock.monotonicMs();
    if (waitMs > 0) await clock.sleep(waitMs, signal);
  }

  noteRead(bytes: number): void {
    const { clock, bytesPerSecondMax } = this.#deps;
    if (bytesPerSecondMax === null) return;
    this.#readAgainMs = Math.max(this.#readAgainMs, clock.monotonicMs()) + (bytes / bytesPerSecondMax) * 1000;
  }
}
