/**
 * The change log as the engine sees it. The embedded one is in `src/log`; others live in `connectors/logs`.
 *
 * Contract of every implementation (numbers are the invariants that the shared kit tests):
 *  1. an append that resolved is in the log for ever after, byte for byte, whatever crashes (until retention removes it);
 *  2. after a crash the log is a prefix of what was appended, cut at a frame;
 *  3. seqs run from 1 without a gap across frames, segments and restarts; 4. a seq that a reader saw never means another change;
 *  5. readers see durable frames only; 8. registers equal the fold over all durable frames.
 */
import type { Seq } from '../change/seq.ts';

/** What a frame holds: changes of a source's stream, rows of a snapshot, or registers only. */
export const FrameKind = { stream: 1, snapshot: 2, control: 3 } as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

/** One source transaction, or the part of one, that has changes in a frame. */
export interface FrameTransaction {
  /** The source's number for it: an xid on Postgres. */
  readonly id: bigint;
  /** The source's position of its commit. */
  readonly position: Uint8Array;
  /** Wall clock of the source at commit, milliseconds since 1970. */
  readonly commitTimeMs: number;
  /** Index within the frame of its first entry here. */
  readonly firstEntry: number;
  /** How many of its changes are in earlier frames. */
  readonly entriesBefore: number;
  /** True when its last change is in this frame. */
  readonly complete: boolean;
}

/** Sets a named piece of state that is folded along the log, or removes it (`null`). Durable together with the frame. */
export type RegisterUpdate = readonly [name: string, value: Uint8Array | null];

export interface FrameDraft {
  readonly kind: FrameKind;
  /** Name of the source that the changes come from; empty for control frames of the engine's own. */
  readonly source: string;
  /** Snapshot number of a snapshot frame, 0 otherwise. */
  readonly snapshot: number;
  /** Entries back to back (see `src/change/entry.ts`). In a draft the bytes are the log's until the append has settled; then they are the caller's again. */
  readonly entries: Uint8Array;
  readonly count: number;
  readonly transactions: readonly FrameTransaction[];
  readonly registers: readonly RegisterUpdate[];
}

export interface Frame extends FrameDraft {
  /** Seq of the first entry. A frame without entries has the seq that the next entry will get. */
  readonly firstSeq: Seq;
  /** Seq of the last entry; `firstSeq - 1` when there is none. */
  readonly lastSeq: Seq;
  readonly epoch: number;
  /** Wall clock at append, milliseconds since 1970. */
  readonly appendTimeMs: number;
}

/** What a frame says of itself. */
export type FrameHeader = Omit<Frame, 'entries'>;

export interface LogReader extends AsyncDisposable {
  /** The next durable frame, waiting until there is one. Rejects with the signal's reason, LOG_GAP or LOG_CORRUPT. */
  next(signal: AbortSignal): Promise<Frame>;
  /** The next durable frame if there is one now. */
  poll(): Promise<Frame | undefined>;
}

/** `ok`; `full`: the size limit is reached and appends wait for the slowest hold; `disk_full`: appends wait for space on the disk. */
export type LogCondition = 'ok' | 'full' | 'disk_full';

export interface LogStats {
  readonly logId: string;
  readonly epoch: number;
  readonly firstSeq: Seq;
  readonly durableSeq: Seq;
  readonly bytes: number;
  readonly segments: number;
  readonly oldestMs: number | null;
  readonly condition: LogCondition;
  readonly holds: readonly { readonly name: string; readonly seq: Seq }[];
}

export interface LogStore extends AsyncDisposable {
  readonly logId: string;
  readonly epoch: number;
  /** Oldest seq that can still be read; `durableSeq + 1` when the log holds no changes. */
  readonly firstSeq: Seq;
  /** Last seq that is durable and visible to readers; 0 before the first. */
  readonly durableSeq: Seq;
  /** Registers as of the last durable frame. */
  readonly registers: ReadonlyMap<string, Uint8Array>;
  readonly condition: LogCondition;

  /**
   * Appends a frame; the order of calls is the order in the log. Resolves when it is durable, with the seqs it got.
   * While the log is `full` or `disk_full` it waits. Rejects with DISK_FAILED when the disk failed: from then on every append does.
   */
  append(draft: FrameDraft, signal: AbortSignal): Promise<{ readonly firstSeq: Seq; readonly lastSeq: Seq }>;

  /**
   * Reads on from behind `after`. The first frame may begin before `after + 1`: the reader of a frame skips what it has. No register update is missed:
   * where frames without changes have been removed, a control frame without a source stands for them, with all registers that are in force there.
   */
  reader(after: Seq): LogReader;

  /**
   * The headers of all durable frames; entries are neither read nor checked. Within a segment, whatever part of the log that is, they come in the
   * order of the log. What retention removes meanwhile is left out. Rejects with LOG_CORRUPT.
   */
  frameHeaders(order: 'oldest_segment_first' | 'newest_segment_first'): AsyncIterable<FrameHeader>;

  /** Keeps everything behind `seq` from retention, under a name (a cursor or a pin). Later calls move it. */
  hold(name: string, seq: Seq): void;
  release(name: string): void;
  /** Called when `on_full: evict` gave up a hold, once for each. */
  onEvicted(listener: (name: string) => void): () => void;

  stats(): LogStats;
}
