/** A clock that tests move by hand. */
import type { Clock } from '../../src/runtime/clock.ts';

export interface ManualClock extends Clock {
  /** Moves time on and runs what became due on the way, in its order. */
  advance(ms: number): void;
}

export function manualClock(startMs = 1_800_000_000_000): ManualClock {
  let elapsed = 0;
  let tasks: { readonly atMs: number; readonly task: () => void }[] = [];
  const schedule = (ms: number, task: () => void): (() => void) => {
    const entry = { atMs: elapsed + ms, task };
    tasks.push(entry);
    return () => (tasks = tasks.filter((other) => other !== entry));
  };
  return {
    nowMs: () => startMs + elapsed,
    monotonicMs: () => elapsed,
    schedule,
    sleep: (ms) => new Promise((resolve) => schedule(ms, resolve)),
    advance(ms) {
      const until = elapsed + ms;
      for (;;) {
        const [next] = tasks.filter(({ atMs }) => atMs <= until).toSorted((a, b) => a.atMs - b.atMs);
        if (next === undefined) break;
        elapsed = next.atMs;
        tasks = tasks.filter((other) => other !== next);
        next.task();
      }
      elapsed = until;
    },
  };
}
