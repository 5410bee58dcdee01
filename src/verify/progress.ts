/** How far a comparison is, for whoever looks on; and what came of it. */
import type { Seq } from '../change/seq.ts';
import type { Difference, DifferenceKind } from './difference.ts';

/** `hashing`: all of both sides is summed up; `comparing`: documents are compared one by one, after that only those that the sums tell apart. */
export type VerifyPhase = 'hashing' | 'comparing' | 'looking_for_extras' | 'repairing' | 'waiting';

export interface VerifyProgress {
  phase: VerifyPhase;
  /** Rows that were read at the source, in the pass that goes on. */
  rows: number;
  estimatedRows: number | null;
  /** Documents that were compared. */
  documents: number;
  differences: number;
  parked: number;
  /** What it waits with, while it waits. */
  trouble: unknown;
}

export interface VerifyOutcome {
  /** The log was up to this when it began, and when it ended. */
  readonly fromSeq: Seq;
  readonly toSeq: Seq;
  readonly rows: number;
  readonly documents: number;
  /** Share of all ids that was looked at, 0 to 1. */
  readonly share: number;
  readonly differences: number;
  readonly kinds: Readonly<Partial<Record<DifferenceKind, number>>>;
  /** Most of them one by one. */
  readonly found: readonly Difference[];
  readonly parked: number;
  /** Documents that changed whenever they were looked at, so that nothing can be said of them. */
  readonly unsettled: number;
}
