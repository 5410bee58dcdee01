/** What is told of verifications: while they go on, and when they have ended. Plain JSON in snake_case; a version is an int63, so as text. */
import { seqOf } from '../change/seq.ts';
import type { Difference, DifferenceKind } from '../verify/difference.ts';
import type { VerifyPhase, VerifyProgress } from '../verify/progress.ts';
import { isEqual, type Verified } from '../verify/verify.ts';
import { statusError } from './pipeline-status.ts';
import type { StatusError } from './status.ts';

/** Why it was begun: somebody asked; readers are about to see the generation; it is done again and again. */
export type VerifyReason = 'command' | 'swap' | 'continuous';

export interface DifferenceStatus {
  readonly id: string;
  readonly kind: DifferenceKind;
  readonly field: string | null;
  readonly stored_version: string | null;
  readonly stored_seq: number | null;
}

export interface VerifyProgressStatus {
  readonly index: string;
  readonly generation: number;
  readonly reason: VerifyReason;
  readonly phase: VerifyPhase;
  readonly started_ms: number;
  readonly rows: number;
  readonly estimated_rows: number | null;
  /** Since it began. */
  readonly rows_per_second: number;
  readonly documents: number;
  readonly differences: number;
  readonly parked: number;
  /** What it waits with, while it waits. */
  readonly error: StatusError | null;
}

export interface VerifyReport {
  readonly index: string;
  readonly generation: number;
  readonly reason: VerifyReason;
  /** False when anything was found, or could not be told; of a sample it says nothing of the rest. */
  readonly equal: boolean;
  readonly started_ms: number;
  readonly ended_ms: number;
  readonly from_seq: number;
  readonly to_seq: number;
  readonly rows: number;
  readonly documents: number;
  /** Of all ids, 0 to 1. */
  readonly share: number;
  readonly differences: number;
  readonly kinds: Readonly<Partial<Record<DifferenceKind, number>>>;
  /** Parked documents: rows that make none, or one that the target refused. They are no differences. */
  readonly parked: number;
  /** Documents that changed whenever they were looked at. */
  readonly unsettled: number;
  /** Null where nothing was to be repaired. */
  readonly repair: { readonly repaired: number; readonly remaining: number; readonly kinds: Readonly<Partial<Record<DifferenceKind, number>>>; readonly untried: number; readonly beyond: number } | null;
}

export interface VerifyStatus {
  readonly running: VerifyProgressStatus | null;
  readonly last: VerifyReport | null;
  /** Since the daemon began: verifications that ended, rows that they read, differences that they found, and that were repaired. */
  readonly passes: number;
  readonly rows: number;
  readonly differences: number;
  readonly repaired: number;
}

export interface VerifyStart {
  readonly index: string;
  readonly generation: number;
  readonly reason: VerifyReason;
  readonly startedMs: number;
}

export function progressStatus({ index, generation, reason, startedMs }: VerifyStart, progress: VerifyProgress, source: string, nowMs: number): VerifyProgressStatus {
  const { phase, rows, estimatedRows, documents, differences, parked, trouble } = progress;
  const seconds = (nowMs - startedMs) / 1000;
  return {
    index,
    generation,
    reason,
    phase,
    started_ms: startedMs,
    rows,
    estimated_rows: estimatedRows,
    rows_per_second: seconds <= 0 ? 0 : rows / seconds,
    documents,
    differences,
    parked,
    error: statusError(trouble, source),
  };
}

export function verifyReport({ index, generation, reason, startedMs }: VerifyStart, verified: Verified, nowMs: number): VerifyReport {
  const { fromSeq, toSeq, rows, documents, share, differences, kinds, parked, unsettled, repair } = verified;
  return {
    index,
    generation,
    reason,
    equal: isEqual(verified),
    started_ms: startedMs,
    ended_ms: nowMs,
    from_seq: fromSeq,
    to_seq: toSeq,
    rows,
    documents,
    share,
    differences,
    kinds,
    parked,
    unsettled,
    repair: repair === null ? null : { ...repair, remaining: repair.remaining.length },
  };
}

export function differenceStatus({ id, kind, field, storedVersion }: Difference): DifferenceStatus {
  return { id, kind, field, stored_version: storedVersion === null ? null : String(storedVersion), stored_seq: storedVersion === null ? null : seqOf(storedVersion) };
}
