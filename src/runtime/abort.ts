/** Waiting that ends when work is told to stop. */

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

/** Wakes whoever waits for something to change. A wake without a waiter is not kept: look first, then wait. */
export class Notifier {
  #waiting = Promise.withResolvers<void>();

  notify(): void {
    const waiting = this.#waiting;
    this.#waiting = Promise.withResolvers();
    waiting.resolve();
  }

  /** Resolves at the next `notify`; rejects with the signal's reason when that is aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    await untilAborted(this.#waiting.promise, signal);
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
