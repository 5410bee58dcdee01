/**
 * Long work that somebody asked for, in the state store. What a job is about does the work by itself, from records of its own; the job says what
 * was asked, and how it ended, also to whoever asks after a restart.
 */
import type { GenerationRecord, JobPhase, JobRecord, StateStore } from '../state/state-store.ts';

/** Of a whole index: the generation that is built for it. */
export function resyncJob(state: StateStore, { index, generation, held }: GenerationRecord, nowMs: number): JobRecord {
  settleJobs(state, nowMs);
  return state.addJob({ index, kind: 'resync', what: { rows: 'all', generation, swap: !held }, phase: 'running', outcome: null, createdAtMs: nowMs, endedAtMs: null });
}

/** Ends the jobs whose generation has come to its end, whatever it was that happened between. Done again it changes nothing. */
export function settleJobs(state: StateStore, nowMs: number): void {
  const records = state.generations();
  for (const job of state.jobs()) {
    if (job.phase !== 'running' || job.kind !== 'resync' || job.what['rows'] !== 'all') continue;
    const ended = outcomeOf(records.find(({ index, generation }) => index === job.index && generation === job.what['generation']));
    if (ended !== null) state.putJob({ ...job, ...ended, endedAtMs: nowMs });
  }
}

function outcomeOf(record: GenerationRecord | undefined): { readonly phase: JobPhase; readonly outcome: string } | null {
  if (record === undefined || record.phase === 'dropping') return { phase: 'cancelled', outcome: 'The generation was dropped before readers saw it.' };
  if (record.phase === 'ready' && record.held) return { phase: 'done', outcome: `Generation ${record.generation} is ready to be promoted.` };
  if (record.phase === 'serving' || record.phase === 'retired') return { phase: 'done', outcome: `Readers got generation ${record.generation}.` };
  return null;
}
