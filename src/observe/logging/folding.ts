/**
 * Folds a warning that comes again and again: the first of its kind is written at once, those of the ten seconds that follow are counted, and
 * the last of them is written with the count when the time is up. Nothing is dropped without being counted.
 */
import type { Clock } from '../../runtime/clock.ts';

export const FOLD_MS = 10_000;

/** Kinds that are kept apart at once; one more and the oldest is written out. */
const KINDS_MAX = 500;

export interface FoldedLine {
  readonly kind: string;
  /** Writes the line; `repeated` is how many like it were not written since the last one that was. */
  readonly write: (repeated: number) => void;
}

interface Fold {
  held: FoldedLine | null;
  heldCount: number;
  readonly cancel: () => void;
}

export class Folding {
  readonly #clock: Clock;
  readonly #folds = new Map<string, Fold>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add(line: FoldedLine): void {
    const fold = this.#folds.get(line.kind);
    if (fold !== undefined) {
      fold.held = line;
      fold.heldCount += 1;
      return;
    }
    line.write(0);
    this.#open(line.kind);
  }

  /** Writes what is held back: before the process ends. */
  flush(): void {
    for (const kind of this.#folds.keys()) this.#close(kind);
  }

  #open(kind: string): void {
    const [oldest] = this.#folds.keys();
    if (this.#folds.size >= KINDS_MAX && oldest !== undefined) this.#close(oldest);
    const cancel = this.#clock.schedule(FOLD_MS, () => {
      // What still goes on is written once for each period, not once at once and once at the end of it.
      if (this.#close(kind)) this.#open(kind);
    });
    this.#folds.set(kind, { held: null, heldCount: 0, cancel });
  }

  /** True when something was held back. */
  #close(kind: string): boolean {
    const fold = this.#folds.get(kind);
    if (fold === undefined) return false;
    this.#folds.delete(kind);
    fold.cancel();
    fold.held?.write(fold.heldCount - 1);
    return fold.held !== null;
  }
}
