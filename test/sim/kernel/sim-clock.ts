/** Virtual time as one process sees it. */
import type { Clock } from '../../../src/runtime/clock.ts';
import type { SimProcess } from './sim-process.ts';
import { never } from './sim-process.ts';

/** 2026-03-29T00:00:00Z: a day on which wall clocks jump. */
const EPOCH_MS = 1_774_742_400_000;

/** How wrong the machine's wall clock is, and how that changes, is nobody's business but the status's. */
export interface WallClock {
  offsetMs: number;
}

export class SimClock implements Clock {
  readonly #process: SimProcess;
  readonly #wall: WallClock;

  constructor(process: SimProcess, wall: WallClock) {
    this.#process = process;
    this.#wall = wall;
  }

  nowMs(): number {
    return Math.floor(EPOCH_MS + this.#process.executor.nowMs + this.#wall.offsetMs);
  }

  monotonicMs(): number {
    return this.#process.executor.nowMs;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (!this.#process.seam('sleep')) return never();
    const over = Promise.withResolvers<void>();
    const cancel = this.#process.after(ms, 'slept', over.resolve);
    const onAbort = (): void => {
      cancel();
      over.reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await over.promise;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  schedule(ms: number, task: () => void): () => void {
    return this.#process.after(ms, 'timer', task);
  }
}

/** The wall clock of a source: right, unlike that of the machine perhaps. */
export function sourceNowMs(virtualMs: number): number {
  return Math.floor(EPOCH_MS + virtualMs);
}
