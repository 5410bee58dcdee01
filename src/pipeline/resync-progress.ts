/** How far a resync is: first its rows are read, then what was read is applied. */
import type { SnapshotProgress } from '../capture/running-snapshot.ts';
import type { Snapshot } from '../capture/snapshot-state.ts';
import type { Seq } from '../change/seq.ts';
import type { JobRecord } from '../state/state-store.ts';
import type { GenerationRunner } from './generation-runner.ts';
import { whatOf } from './resync-job.ts';
import type { JobStatus, StatusError } from './status.ts';

export interface ResyncScene {
  /** The one that reads the job's rows; undefined before it is asked for. */
  readonly snapshot: Snapshot | undefined;
  /** The same as its reader knows it; undefined when it is over. */
  readonly live: SnapshotProgress | undefined;
  /** The one that is built, or that readers see; undefined when it is gone. */
  readonly generation: Pick<GenerationRunner, 'record' | 'cursor' | 'changesPerSecond' | 'condition'> | undefined;
  /** Why that has stopped, if it has. */
  readonly error: StatusError | null;
  readonly durableSeq: Seq;
}

export function resyncStatus(job: JobRecord, { snapshot, live, generation, error, durableSeq }: ResyncScene): JobStatus {
  const { id, index, kind, createdAtMs } = job;
  const isStopped = generation?.condition === 'stopped';
  const shown = { id, index, kind, what: job.what, error: isStopped ? error : null, created_ms: createdAtMs };
  if (snapshot === undefined) return { ...shown, stage: isStopped ? 'stopped' : 'waiting', unit: 'rows', done: 0, total: null, per_second: null, eta_seconds: null };
  const { phase, doneSeq, startSeq } = snapshot;
  if (phase === 'planned' || phase === 'reading') {
    const done = live?.rows ?? snapshot.rows;
    const perSecond = snapshot.paused ? null : (live?.rowsPerSecond ?? null);
    const total = snapshot.estimatedRows;
    const stage = isStopped ? 'stopped' : snapshot.paused ? 'paused' : phase === 'planned' ? 'waiting' : 'reading';
    return { ...shown, stage, unit: 'rows', done, total, per_second: perSecond, eta_seconds: etaSeconds(done, total, perSecond) };
  }
  // A generation that is whole has to come as far as the end of the log before readers get it.
  const goal = whatOf(job).rows === 'all' && generation?.record.phase === 'ready' ? durableSeq : (doneSeq ?? durableSeq);
  const total = Math.max(0, goal - startSeq);
  const done = Math.min(total, Math.max(0, (generation?.cursor ?? startSeq) - startSeq));
  const perSecond = generation === undefined || generation.condition === 'idle' ? null : generation.changesPerSecond;
  return { ...shown, stage: isStopped ? 'stopped' : 'applying', unit: 'changes', done, total, per_second: perSecond, eta_seconds: etaSeconds(done, total, perSecond) };
}

function etaSeconds(done: number, total: number | null, perSecond: number | null): number | null {
  if (total === null || perSecond === null || perSecond <= 0) return null;
  return Math.max(0, total - done) / perSecond;
}
