/**
 * Proof that a snapshot of the database shows every transaction that was pushed into the sink.
 *
 * A transaction may be in the stream before other connections see it: its commit record is written, and with synchronous replication
 * acknowledged, before it leaves the server's list of running transactions. A row that is read meanwhile is older than what the log
 * holds already. So a read counts only when its own snapshot proves every pushed transaction visible.
 *
 * Transaction ids are 64 bits wide here, as in `pg_current_snapshot()`. The stream tells only the lower 32; the upper ones come from the
 * newest id known, from which no id that can still be streamed is 2^31 away. 64-bit ids are plain numbers: they stay below 2^53.
 */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';

const XID_RANGE = 2 ** 32;
const HALF_RANGE = 2 ** 31;

/** PostgreSQL's `pg_snapshot`: ids below `xmin` have ended, from `xmax` on have not, between them those of `running` have not. */
export interface Snapshot {
  readonly xmin: number;
  readonly xmax: number;
  readonly running: ReadonlySet<number>;
}

/** Reads `pg_current_snapshot()::text`: `xmin:xmax:xip,xip,...`. */
export function parseSnapshot(text: string): Snapshot {
  const match = /^(\d+):(\d+):([\d,]*)$/.exec(text);
  if (match === null) throw new TailraceError('SRC_PROTOCOL', { message: `The server gave ${JSON.stringify(text)} as its current snapshot.` });
  const [, xmin, xmax, list] = match as unknown as [string, string, string, string];
  return { xmin: Number(xmin), xmax: Number(xmax), running: new Set(list === '' ? [] : list.split(',').map(Number)) };
}

/** True when the transaction had ended as the snapshot was taken, so that its rows are seen. */
export function isVisible(snapshot: Snapshot, xid: number): boolean {
  return xid < snapshot.xmin || (xid < snapshot.xmax && !snapshot.running.has(xid));
}

/** True when `later` shows everything that `earlier` shows. */
function includes(later: Snapshot, earlier: Snapshot): boolean {
  if (later.xmax < earlier.xmax) return false;
  for (const xid of later.running) if (isVisible(earlier, xid)) return false;
  return true;
}

export class VisibilityTracker {
  /** Ids pushed and not yet forgotten, in the order of their push; `#ordinals` holds how many had been pushed with each. */
  #xids: number[] = [];
  #ordinals: number[] = [];
  #pushed = 0;
  #newest: number;
  /** Everything forgotten is visible in it. */
  #floor: Snapshot;

  /**
   * `first` is a snapshot that was taken when the session began. `unproven` are the transactions that the log held by then and that
   * it does not show: they count as pushed before everything else.
   */
  constructor(first: Snapshot, unproven: Iterable<number>) {
    this.#floor = first;
    this.#newest = first.xmax;
    for (const xid of unproven) this.#push(xid);
  }

  /** How many transactions are remembered. */
  get size(): number {
    return this.#xids.length;
  }

  /** The 64-bit id of a transaction that the stream, or a lock, tells the lower 32 bits of. */
  widen(xid32: number): number {
    return widenXid(xid32, this.#newest);
  }

  /** Records the transaction of a Begin as it is pushed into the sink, and returns its 64-bit id. */
  record(xid32: number): number {
    const xid = this.widen(xid32);
    if (xid > this.#newest) this.#newest = xid;
    this.#push(xid);
    return xid;
  }

  /** Stands for what was pushed so far: to be taken before the snapshot that `sees` is asked about. */
  mark(): number {
    return this.#pushed;
  }

  /** True when a snapshot (`pg_current_snapshot()::text`) that was taken after `mark` shows every transaction pushed before it. */
  sees(snapshotText: string, mark: number): boolean {
    const snapshot = parseSnapshot(snapshotText);
    if (snapshot.xmax > this.#newest) this.#newest = snapshot.xmax;
    return includes(snapshot, this.#floor) && this.#unseen(snapshot, mark) === undefined;
  }

  /** A transaction that was pushed before `mark` and that the snapshot does not show, for messages; undefined when there is none. */
  hiddenXid(snapshotText: string, mark: number): number | undefined {
    return this.#unseen(parseSnapshot(snapshotText), mark);
  }

  /**
   * Forgets what a snapshot taken after `mark` shows. What it does not show is kept: at most the transactions that run at one time.
   * Snapshots older than it prove nothing any more and `sees` refuses them.
   */
  prune(snapshotText: string, mark: number): void {
    const snapshot = parseSnapshot(snapshotText);
    if (!includes(snapshot, this.#floor)) return;
    const xids: number[] = [];
    const ordinals: number[] = [];
    for (let i = 0; i < this.#xids.length; i += 1) {
      const xid = this.#xids[i] as number;
      const ordinal = this.#ordinals[i] as number;
      if (ordinal <= mark && isVisible(snapshot, xid)) continue;
      xids.push(xid);
      ordinals.push(ordinal);
    }
    this.#xids = xids;
    this.#ordinals = ordinals;
    this.#floor = snapshot;
  }

  #push(xid: number): void {
    this.#pushed += 1;
    this.#xids.push(xid);
    this.#ordinals.push(this.#pushed);
  }

  #unseen(snapshot: Snapshot, mark: number): number | undefined {
    for (let i = 0; i < this.#xids.length && (this.#ordinals[i] as number) <= mark; i += 1) {
      if (!isVisible(snapshot, this.#xids[i] as number)) return this.#xids[i];
    }
    return undefined;
  }
}

/** The id with these lower 32 bits that is nearest to `newest`. */
export function widenXid(xid32: number, newest: number): number {
  const candidate = newest - (newest % XID_RANGE) + xid32;
  if (candidate > newest + HALF_RANGE && candidate >= XID_RANGE) return candidate - XID_RANGE;
  if (candidate < newest - HALF_RANGE) return candidate + XID_RANGE;
  return candidate;
}
