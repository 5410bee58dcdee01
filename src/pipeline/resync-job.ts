/** What the jobs of a resync say, and when they are at their end: of a whole index, which is built in a generation of its own, or of rows in place. */
import type { Snapshot } from '../capture/snapshot-state.ts';
import type { Seq } from '../change/seq.ts';
import { generationName, type GenerationRecord, type JobRecord } from '../state/state-store.ts';
import { isFed } from './generations.ts';
import type { JobEnd } from './jobs.ts';

export const RESYNC = 'resync';

/** Of a whole index: the generation that is built for it. */
export interface WholeResync {
  readonly rows: 'all';
  readonly generation: number;
  readonly swap: boolean;
}

/** Of rows in place. The condition itself is not kept: it may say what rows hold. */
export interface RowsResync {
  readonly rows: 'keys' | 'where';
  readonly source: string;
  readonly table: string;
  /** How many were asked for; null of a condition. */
  readonly keys: number | null;
  /** Those that take the rows. */
  readonly generations: readonly number[];
  /** Number of the snapshot that reads them; null until it is durable that they are to be read. */
  readonly snapshot: number | null;
}

export type ResyncWhat = WholeResync | RowsResync;

/** A job keeps what it is about as plain JSON: here it gets its type back. */
export function whatOf({ what }: Pick<JobRecord, 'what'>): ResyncWhat {
  return what as unknown as ResyncWhat;
}

export function asJson(what: ResyncWhat): JobRecord['what'] {
  return { ...what };
}

const REASON = /^resync (\d+)$/;

/** By which the snapshot of a job is known again, whatever ended in between. */
export function reasonOf({ id }: Pick<JobRecord, 'id'>): string {
  return `${RESYNC} ${id}`;
}

/** The job that a snapshot was asked for by; undefined when it was no resync of rows. */
export function jobOfReason(reason: string): number | undefined {
  const [, id] = REASON.exec(reason) ?? [];
  return id === undefined ? undefined : Number(id);
}

/** The snapshot that reads the rows of a job; undefined when there is none yet, or the log has forgotten it. */
export function snapshotOf(job: JobRecord, snapshots: readonly Snapshot[]): Snapshot | undefined {
  const what = whatOf(job);
  if (what.rows !== 'all') return snapshots.find((one) => one.source === what.source && one.reason === reasonOf(job));
  const name = generationName(job.index, what.generation);
  return snapshots.findLast((one) => one.selection.kind === 'all' && one.for.includes(name));
}

/** Null while it goes on. `record`: of its generation, undefined when that is gone. */
export function wholeEnd(record: GenerationRecord | undefined): JobEnd | null {
  if (record === undefined || record.phase === 'dropping') return { phase: 'cancelled', outcome: 'The generation was dropped before readers saw it.' };
  if (record.phase === 'ready' && record.held) return { phase: 'done', outcome: `Generation ${record.generation} is ready to be promoted.` };
  if (record.phase === 'serving' || record.phase === 'retired') return { phase: 'done', outcome: `Readers got generation ${record.generation}.` };
  return null;
}

/** One of the generations that take the rows. */
export interface Taker {
  readonly record: GenerationRecord;
  /** Null while only the target knows. */
  readonly cursor: Seq | null;
  /** It goes on only when a person has done something. */
  readonly isStopped: boolean;
}

/** What is known of the snapshot: `asking` while it is yet to be asked for by this process. */
export type JobSnapshot = Snapshot | 'asking' | undefined;

/** Null while it goes on. */
export function rowsEnd(what: RowsResync, snapshot: JobSnapshot, takers: readonly Taker[]): JobEnd | null {
  const fed = takers.filter(({ record }) => isFed(record));
  if (fed.length === 0) return { phase: 'cancelled', outcome: 'The generations that the rows were for are no more.' };
  if (snapshot === 'asking') return null;
  if (snapshot === undefined) {
    if (what.snapshot === null) return { phase: 'failed', outcome: 'tailrace ended before the rows were asked for: ask again.' };
    // The log forgets a snapshot when all have passed its end.
    return { phase: 'done', outcome: 'The rows were read again.' };
  }
  if (snapshot.phase === 'cancelled') return { phase: 'cancelled', outcome: `It was given up when ${snapshot.rows} rows had been read.` };
  if (snapshot.phase === 'failed') return { phase: 'failed', outcome: snapshot.failure?.message ?? 'The rows cannot be read.' };
  const { doneSeq } = snapshot;
  if (snapshot.phase !== 'done' || doneSeq === null) return null;
  // What readers have gone back from, and has stopped, is never applied to again; what readers see is waited for, however long it takes.
  const waitedFor = fed.filter(({ record, isStopped }) => !(isStopped && record.phase === 'retired'));
  if (waitedFor.some(({ cursor }) => cursor === null || cursor < doneSeq)) return null;
  return { phase: 'done', outcome: what.keys === null ? `${snapshot.rows} ${snapshot.rows === 1 ? 'row was' : 'rows were'} read again.` : `${snapshot.rows} ${snapshot.rows === 1 ? 'key was' : 'keys were'} looked up again.` };
}
