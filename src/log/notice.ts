/** Something that happens again and again, to be waited for without polling and without missing one. */

export class Notice {
  #count = 0;
  #waiting = new Set<() => void>();

  /** How often it happened. Taken before a look at the state, it makes `since` safe against what happens during the look. */
  get count(): number {
    return this.#count;
  }

  happened(): void {
    this.#count += 1;
    if (this.#waiting.size === 0) return;
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const wake of waiting) wake();
  }

  /** Resolves when it has happened more often than `seen` times; rejects with the signal's reason. */
  since(seen: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason as Error);
        return;
      }
      if (this.#count > seen) {
        resolve();
        return;
      }
      const wake = (): void => {
        signal.removeEventListener('abort', abort);
        resolve();
      };
      const abort = (): void => {
        this.#waiting.delete(wake);
        reject(signal.reason as Error);
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', abort, { once: true });
    });
  }
}
