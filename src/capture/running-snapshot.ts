/** A snapshot that is not done: which of its ranges are left, and which are being read. */
import type { Range, Snapshot } from './snapshot-state.ts';

/** Progress of one snapshot as the status shows it. */
export interface SnapshotProgress {
  readonly snapshot: Snapshot;
  readonly rows: number;
  readonly rangesLeft: number;
}

export class RunningSnapshot {
  snapshot: Snapshot;
  /** Raised when the table has to be planned again: what is being read then counts no more. */
  attempt = 0;
  /** False while it is asked for but not in the log: until then nothing is read for it. */
  isDurable: boolean;
  isBeingPlanned = false;
  #unclaimed: Range[];
  /** What is left of the ranges that are being read, by their numbers. */
  readonly #claimed = new Map<number, Range>();

  constructor(snapshot: Snapshot, ranges: readonly Range[], isDurable: boolean) {
    this.snapshot = snapshot;
    this.#unclaimed = [...ranges];
    this.isDurable = isDurable;
  }

  get progress(): SnapshotProgress {
    const left = [...this.#unclaimed, ...this.#claimed.values()];
    return { snapshot: this.snapshot, rows: this.snapshot.rows + left.reduce((sum, range) => sum + range.rows, 0), rangesLeft: left.length };
  }

  get isToBePlanned(): boolean {
    return this.isDurable && this.snapshot.phase === 'planned' && !this.isBeingPlanned;
  }

  get hasUnclaimed(): boolean {
    return this.#unclaimed.length > 0;
  }

  /** Every range is read to its end. */
  get isRead(): boolean {
    return this.snapshot.phase === 'reading' && this.#unclaimed.length === 0 && this.#claimed.size === 0;
  }

  planned(snapshot: Snapshot, ranges: readonly Range[]): void {
    this.snapshot = snapshot;
    this.#unclaimed = [...ranges];
  }

  /** The ranges mean nothing any more: whatever was read of them is read again. */
  planAgain(): void {
    this.attempt += 1;
    this.#unclaimed = [];
    this.#claimed.clear();
    this.snapshot = { ...this.snapshot, phase: 'planned', rows: 0 };
  }

  /** A range for whoever reads it to its end. */
  claim(): Range | undefined {
    const range = this.#unclaimed.shift();
    if (range !== undefined) this.reach(range);
    return range;
  }

  /** This is left of a range that is being read. */
  reach(range: Range): void {
    this.#claimed.set(range.number, range);
  }

  /** A range is read to its end. */
  release(range: Range): void {
    this.#claimed.delete(range.number);
  }
}
