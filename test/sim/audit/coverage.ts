/** What happened at least once: a rare thing that no seed brings about is not tested, however many seeds there are. */

export class Coverage {
  readonly #counts = new Map<string, number>();

  saw(what: string, times = 1): void {
    if (times > 0) this.#counts.set(what, (this.#counts.get(what) ?? 0) + times);
  }

  counts(): Record<string, number> {
    return Object.fromEntries([...this.#counts].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }
}
