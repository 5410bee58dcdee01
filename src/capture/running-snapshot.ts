/**
 * A snapshot that is not over: which of its ranges are left, and which are being read. Whoever reads one goes by the attempt in which it was
 * claimed: when that ends, because the snapshot is paused, planned again or over, what is being read counts no more.
 */
import type { RegisterUpdate } from '../connector/log-store.ts';
import { removeRange, setRange, setSnapshot, type Range, type Snapshot, type SnapshotFailure } from './snapshot-state.ts';

/** Progress of one snapshot as the status shows it. */
export interface SnapshotProgress {
  readonly snapshot: Snapshot;
  readonly rows: number;
  readonly rangesLeft: number;
  /** Over the time since this process began to read it, or was told to go on; null while it is not being read. */
  readonly rowsPerSecond: number | null;
}

export class RunningSnapshot {
  snapshot: Snapshot;
  /** Raised when what is being read counts no more. */
  attempt = 0;
  /** False while it is asked for but not in the log: until then nothing is read for it. */
  isDurable: boolean;
  isBeingPlanned = false;
  /** What is left of the ranges that are not read to their end, as the log has it when everything handed over is in it. */
  readonly #left = new Map<number, Range>();
  /** Numbers of the ranges that are being read. */
  readonly #claimed = new Set<number>();
  /** Numbers of the ranges that have a register in the log, or are about to. */
  readonly #registered: Set<number>;
  #reading = new AbortController();
  /** When reading began in this process, and what had been read by then. */
  #since: { readonly atMs: number; readonly rows: number } | null = null;

  constructor(snapshot: Snapshot, ranges: readonly Range[], isDurable: boolean) {
    this.snapshot = snapshot;
    this.isDurable = isDurable;
    for (const range of ranges) this.#left.set(range.number, range);
    this.#registered = new Set(this.#left.keys());
  }

  /** Aborted when the present attempt ends. */
  get reading(): AbortSignal {
    return this.#reading.signal;
  }

  get rows(): number {
    let { rows } = this.snapshot;
    for (const range of this.#left.values()) rows += range.rows;
    return rows;
  }

  progress(monotonicMs: number): SnapshotProgress {
    const { rows } = this;
    const elapsedMs = this.#since === null ? 0 : monotonicMs - this.#since.atMs;
    const rowsPerSecond = this.#since === null || elapsedMs <= 0 ? null : ((rows - this.#since.rows) * 1000) / elapsedMs;
    return { snapshot: this.snapshot, rows, rangesLeft: this.#left.size, rowsPerSecond };
  }

  /** Bytes of what is left of its ranges. */
  get leftBytes(): number {
    let bytes = 0;
    for (const { next } of this.#left.values()) bytes += next.length;
    return bytes;
  }

  get isToBePlanned(): boolean {
    return this.isDurable && this.snapshot.phase === 'planned' && !this.isBeingPlanned && !this.snapshot.paused;
  }

  get hasUnclaimed(): boolean {
    return this.isDurable && this.snapshot.phase === 'reading' && !this.snapshot.paused && this.#left.size > this.#claimed.size;
  }

  /** Every range is read to its end, and its last row durable. */
  get isRead(): boolean {
    return this.isDurable && this.snapshot.phase === 'reading' && this.#left.size === 0 && this.#claimed.size === 0;
  }

  /** The ranges as they are planned. Like all that change the snapshot it returns what the log is to be told of it. */
  planned(snapshot: Snapshot, ranges: readonly Range[]): RegisterUpdate[] {
    this.snapshot = snapshot;
    const outdated = this.#registered.difference(new Set(ranges.map(({ number }) => number)));
    for (const range of ranges) {
      this.#left.set(range.number, range);
      this.#registered.add(range.number);
    }
    return [setSnapshot(snapshot), ...ranges.map((range) => setRange(snapshot, range)), ...this.#forget(outdated)];
  }

  /** The ranges mean nothing any more: the table is planned again, and whatever was read of it is read again. */
  planAgain(): void {
    this.#endAttempt();
    this.#left.clear();
    this.snapshot = { ...this.snapshot, phase: 'planned', rows: 0 };
  }

  /** A range for whoever reads it to its end. */
  claim(monotonicMs: number): Range | undefined {
    for (const range of this.#left.values()) {
      if (this.#claimed.has(range.number)) continue;
      this.#claimed.add(range.number);
      this.#since ??= { atMs: monotonicMs, rows: this.rows };
      return range;
    }
    return undefined;
  }

  /** A part of the range is handed over to the log: `rest` is what is left, with all rows that were read of it. */
  merged(rest: Range): RegisterUpdate[] {
    this.#left.set(rest.number, rest);
    return [setRange(this.snapshot, rest)];
  }

  /** The last part of the range is handed over, with which it has `rows` rows. */
  mergedLast(number: number, rows: number): RegisterUpdate[] {
    this.#left.delete(number);
    this.snapshot = { ...this.snapshot, rows: this.snapshot.rows + rows };
    return [...this.#forget([number]), setSnapshot(this.snapshot)];
  }

  /** The range is read to its end, and its last row durable. */
  release(number: number): void {
    this.#claimed.delete(number);
  }

  pause(): RegisterUpdate[] {
    this.#endAttempt();
    this.snapshot = { ...this.snapshot, paused: true };
    return [setSnapshot(this.snapshot)];
  }

  resume(): RegisterUpdate[] {
    this.snapshot = { ...this.snapshot, paused: false };
    return [setSnapshot(this.snapshot)];
  }

  /** Nothing more is read of it. */
  end(phase: 'done' | 'cancelled' | 'failed', doneSeq: number | null, failure: SnapshotFailure | null): RegisterUpdate[] {
    const { rows } = this;
    this.#endAttempt();
    this.#left.clear();
    this.snapshot = { ...this.snapshot, phase, rows, paused: false, doneSeq, failure };
    return [setSnapshot(this.snapshot), ...this.#forget([...this.#registered])];
  }

  #endAttempt(): void {
    this.attempt += 1;
    this.#claimed.clear();
    this.#since = null;
    this.#reading.abort();
    this.#reading = new AbortController();
  }

  #forget(numbers: Iterable<number>): RegisterUpdate[] {
    return Array.from(numbers, (number) => {
      this.#registered.delete(number);
      return removeRange(this.snapshot, number);
    });
  }
}
