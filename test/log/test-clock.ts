/** A clock that stands still until the test moves it. */
import type { Clock } from '../../src/runtime/clock.ts';

interface Alarm {
  readonly atMs: number;
  readonly ring: () => void;
}

export class TestClock implements Clock {
  #nowMs: number;
  readonly #alarms = new Set<Alarm>();

  constructor(nowMs = 1_700_000_000_000) {
    this.#nowMs = nowMs;
  }

  /** How many sleeps and schedules have not rung yet. */
  get waiting(): number {
    return this.#alarms.size;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#nowMs;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const abort = (): void => {
        cancel();
        reject(signal?.reason as Error);
      };
      const cancel = this.schedule(ms, () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      });
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  schedule(ms: number, task: () => void): () => void {
    const alarm = { atMs: this.#nowMs + ms, ring: task };
    this.#alarms.add(alarm);
    return () => this.#alarms.delete(alarm);
  }

  /** Moves on and rings what is due, in order of time. */
  advance(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (;;) {
      const due = [...this.#alarms].filter(({ atMs }) => atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#alarms.delete(due);
      this.#nowMs = Math.max(this.#nowMs, due.atMs);
      due.ring();
    }
    this.#nowMs = untilMs;
  }
}
