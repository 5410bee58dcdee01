/** Waits for what a pause may mend, a source or a target that is away, and then does the work again. */
import { dispositionOf } from '../errors/policy.ts';
import { isAbort } from '../errors/tailrace-error.ts';
import { Backoff } from '../runtime/backoff.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { VerifyProgress } from './progress.ts';

const AGAIN = { firstMs: 200, maxMs: 10_000 };

export class Patience {
  readonly #runtime: Runtime;
  readonly #progress: VerifyProgress;

  constructor(runtime: Runtime, progress: VerifyProgress) {
    this.#runtime = runtime;
    this.#progress = progress;
  }

  /** Rejects with the signal's reason, and with what waiting does not mend. */
  async with<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const backoff = new Backoff(AGAIN, this.#runtime.random);
    for (;;) {
      const { phase } = this.#progress;
      try {
        const result = await work();
        this.#progress.trouble = null;
        return result;
      } catch (error) {
        if (signal.aborted || !passesByItself(error)) throw error;
        this.#progress.trouble = error;
        this.#progress.phase = 'waiting';
        await this.#runtime.clock.sleep(backoff.nextMs(), signal);
        this.#progress.phase = phase;
      }
    }
  }
}

function passesByItself(error: unknown): boolean {
  const disposition = dispositionOf(error);
  // What is asked of a connection that ends is called off: the next one is asked.
  return disposition === 'backoff' || disposition === 'pause' || isAbort(error);
}
