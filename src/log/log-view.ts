/** What a reader may know of a log: the same for the log that is being written and for one that is only looked at. */
import type { Seq } from '../change/seq.ts';
import type { Disk } from '../runtime/disk.ts';
import type { SegmentMarks } from './frame-scanner.ts';
import type { LogIdentity } from './identity.ts';
import { logTagOf } from './identity.ts';
import type { RecentFrames } from './recent-frames.ts';
import type { IndexEntry } from './segment-footer.ts';
import { INDEX_STEP_BYTES } from './format.ts';
import type { SegmentList } from './segment.ts';

export interface LogView {
  readonly disk: Disk;
  readonly directory: string;
  readonly identity: LogIdentity;
  readonly segments: SegmentList;
  /** Sparse index of the last segment, which has no footer yet. */
  readonly tailIndex: readonly IndexEntry[];
  readonly recent: RecentFrames | undefined;
  readonly closed: boolean;
  /** Grows with every durable append, and when the log is closed. */
  readonly appends: number;
  /** Resolves when `appends` is greater than `seen`; rejects with the signal's reason. */
  moreThan(seen: number, signal: AbortSignal): Promise<void>;
}

export function marksOf(identity: LogIdentity, ordinal: number): SegmentMarks {
  return { logTag: logTagOf(identity.logId), epoch: identity.epoch, ordinal };
}

/** Last seq that is durable. */
export function durableSeqOf(view: LogView): Seq {
  return view.segments.last.nextSeq - 1;
}

/** Notes a data frame in a segment's sparse index if the last note is far enough back. */
export function noteInIndex(index: IndexEntry[], entry: IndexEntry): void {
  const last = index.at(-1);
  if (last === undefined || entry.offset - last.offset >= INDEX_STEP_BYTES) index.push(entry);
}
