/** Waiting that ends when work is told to stop. */
import type { Clock } from './clock.ts';

/** The promise's outcome, or a rejection with the signal's reason as soon as that is aborted. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * Wakes whoever waits for something to change. A wake without a waiter is not kept: look first, then wait; or, when looking takes its time, note
 * `times` before, and wait for what came since then. Who gives up waiting leaves nothing behind, however long nothing changes.
 */
export class Notifier {
  readonly #waiting = new Set<() => void>();
  #times = 0;

  /** How often something has changed. */
  get times(): number {
    return this.#times;
  }

  notify(): void {
    this.#times += 1;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Resolves at the next `notify`, at once when there was one since `times` had that value; rejects with the signal's reason when that is aborted. */
  async wait(signal: AbortSignal, times = this.#times): Promise<void> {
    signal.throwIfAborted();
    if (times !== this.#times) return;
    const woken = Promise.withResolvers<void>();
    this.#waiting.add(woken.resolve);
    try {
      await untilAborted(woken.promise, signal);
    } finally {
      this.#waiting.delete(woken.resolve);
    }
  }

  /** How many wait now. */
  get waiting(): number {
    return this.#waiting.size;
  }
}

/** Runs tasks beside each other until one of them ends: its outcome counts, and the others are aborted and not waited for. */
export async function first(signal: AbortSignal, tasks: readonly ((signal: AbortSignal) => Promise<void>)[]): Promise<void> {
  const ended = new AbortController();
  const either = AbortSignal.any([signal, ended.signal]);
  try {
    await Promise.race(tasks.map(async (task) => task(either)));
  } finally {
    ended.abort();
  }
}

/** The outcome of work that does not take longer than `ms`; else undefined, and the work is aborted and not waited for. */
export async function within<T>(ms: number, clock: Pick<Clock, 'sleep'>, work: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<{ readonly result: T } | undefined> {
  let done: { readonly result: T } | undefined;
  const working = async (either: AbortSignal): Promise<void> => void (done = { result: await work(either) });
  await first(signal, [working, async (either) => clock.sleep(ms, either)]);
  return done;
}

/**
 * Runs tasks beside each other until all have ended. The first that fails aborts the others, and its error is thrown when all have ended.
 * Tasks get a signal that is aborted with `signal` too.
 */
export async function together(signal: AbortSignal, tasks: readonly ((signal: AbortSignal) => Promise<void>)[]): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  let first: { readonly error: unknown } | null = null;
  await Promise.all(
    tasks.map(async (task) => {
      try {
        await task(either);
      } catch (error) {
        first ??= { error };
        failed.abort(error);
      }
    }),
  );
  if (first !== null) throw (first as { readonly error: unknown }).error;
}
