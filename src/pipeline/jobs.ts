/**
 * Long work that somebody asked for, in the state store. What a job is about does the work by itself, from records of its own; the job says what
 * was asked, and how it ended, also to whoever asks after a restart. Each kind of job is settled where its work is known.
 */
import type { JobPhase, JobRecord, StateStore } from '../state/state-store.ts';

/** How a job came to its end. */
export interface JobEnd {
  readonly phase: Exclude<JobPhase, 'running'>;
  /** One sentence. */
  readonly outcome: string;
}

/** Durable when it returns. */
export function beginJob(state: StateStore, { index, kind, what }: Pick<JobRecord, 'index' | 'kind' | 'what'>, nowMs: number): JobRecord {
  return state.addJob({ index, kind, what, phase: 'running', outcome: null, createdAtMs: nowMs, endedAtMs: null });
}

export function endJob(state: StateStore, job: JobRecord, end: JobEnd, nowMs: number): JobRecord {
  const ended: JobRecord = { ...job, ...end, endedAtMs: nowMs };
  state.putJob(ended);
  return ended;
}

/** Of one kind, in the order in which they were asked for. */
export function runningJobs(state: StateStore, kind: string): JobRecord[] {
  return state.jobs().filter((job) => job.kind === kind && job.phase === 'running');
}
