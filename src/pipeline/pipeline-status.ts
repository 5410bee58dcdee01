/** How the pipeline stands, from what its runners know. */
import { hintFor } from '../errors/named-source.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { GenerationRecord, StateStore } from '../state/state-store.ts';
import { dropAtMs } from './generations.ts';
import type { IndexRunner } from './index-runner.ts';
import type { SourceRunner } from './source-runner.ts';
import type { VerifyStatus } from './verify-status.ts';
import type { GenerationStatus, IndexStatus, JobStatus, PipelineStatus, SourceStatus, StatusError } from './status.ts';

export interface StatusDeps {
  readonly version: string;
  readonly pid: number;
  readonly startedMs: number;
  readonly readyWithinMs: number;
  readonly runtime: Runtime;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly sources: readonly SourceRunner[];
  readonly indices: readonly IndexRunner[];
  readonly verifyStatus: (index: string) => VerifyStatus | null;
  readonly jobs: readonly JobStatus[];
}

export function pipelineStatus(deps: StatusDeps): PipelineStatus {
  const sources = deps.sources.map((runner) => sourceStatus(runner));
  const indices = deps.indices.map((runner) => indexStatus(runner, deps));
  const { holds: _, ...log } = deps.log.stats();
  const problems = problemsOf(log.condition, sources, indices, deps.readyWithinMs);
  return {
    version: deps.version,
    pid: deps.pid,
    started_ms: deps.startedMs,
    now_ms: deps.runtime.clock.nowMs(),
    ready: problems.length === 0,
    problems,
    log,
    sources,
    indices,
    jobs: deps.jobs,
  };
}

/** Of a source, or of an index that is made from it. */
export function statusError(error: unknown, source: string): StatusError | null {
  if (error === null || error === undefined) return null;
  if (codeOf(error) !== undefined && error instanceof Error && 'did' in error && 'hint' in error) {
    return { code: codeOf(error) as string, message: error.message, did: String(error.did), hint: hintFor(String(error.hint), source) };
  }
  const unknown = new TailraceError('UNKNOWN', { message: error instanceof Error ? error.message : `Something was thrown that is no error: ${typeof error}.` });
  return { code: unknown.code, message: unknown.message, did: unknown.did, hint: unknown.hint };
}

function sourceStatus(runner: SourceRunner): SourceStatus {
  const { source, head } = runner;
  const status = runner.capture;
  const { counters, position } = status;
  const lagBytes = runner.lagBytes;
  return {
    name: source.name,
    type: runner.type,
    phase: status.phase,
    // What it waits or stopped with comes before what it does not say of itself.
    error: statusError(status.error ?? (status.phase === 'streaming' ? runner.headError : null), source.name),
    retry_in_ms: status.retryInMs,
    // The head is asked for now and then; what was logged since is a part of the history, too.
    head: head === null ? null : source.formatPosition(position !== null && lagBytes === 0 ? position : head.position),
    logged: position === null ? null : source.formatPosition(position),
    lag_bytes: lagBytes,
    lag_seconds: lagBytes === 0 ? 0 : secondsSince(runner.inStepMs, status.lastCommitMs, runner.nowMs),
    retained_bytes: head?.retainedBytes ?? null,
    bytes_until_loss: head?.bytesUntilLoss ?? null,
    seconds_until_loss: runner.secondsUntilLoss,
    notes: [...(head?.notes ?? []), ...status.notes],
    transactions: counters.transactions,
    changes: counters.changes,
    bytes: counters.bytes,
    changes_per_second: runner.changesPerSecond,
    in_flight_bytes: status.inFlightBytes,
    snapshots: status.snapshots.map(({ snapshot, rows, rangesLeft, rowsPerSecond }) => ({
      number: snapshot.number,
      table: snapshot.table,
      reason: snapshot.reason,
      selection: snapshot.selection.kind,
      phase: snapshot.phase,
      paused: snapshot.paused,
      rows,
      estimated_rows: snapshot.estimatedRows,
      rows_per_second: rowsPerSecond,
      ranges_left: rangesLeft,
    })),
  };
}

function indexStatus(runner: IndexRunner, deps: StatusDeps): IndexStatus {
  const { applied, record, cursor } = runner;
  const source = deps.sources.find(({ source: { name } }) => name === runner.definition.from.source);
  const lagChanges = cursor === null ? null : Math.max(0, deps.log.durableSeq - cursor);
  const inStep = lagChanges === 0 && source?.lagBytes === 0;
  // Asked first: what is in step has everything up to now or a moment later.
  const nowMs = source?.nowMs ?? null;
  return {
    name: runner.definition.name,
    target: runner.definition.to,
    generation: record.generation,
    phase: runner.phase,
    error: statusError(runner.error, runner.definition.from.source),
    cursor,
    lag_changes: lagChanges,
    lag_seconds: inStep ? 0 : secondsSince(cursor === null ? null : (source?.inStepMsAt(cursor) ?? null), applied.appliedCommitMs, nowMs),
    changes_per_second: runner.changesPerSecond,
    dead_letters: deps.state.deadLetterCount(record.index, record.generation),
    counters: applied.counters,
    verify: deps.verifyStatus(record.index),
    generations: generationStatuses(runner, deps),
  };
}

export function generationStatuses({ definition, generations }: Pick<IndexRunner, 'definition' | 'generations'>, { state, log }: Pick<StatusDeps, 'state' | 'log'>): GenerationStatus[] {
  return generations.map(({ record, target, condition, error, cursor }) => ({
    ...recordStatus(record, target.name, definition.rollback_hours, state),
    condition,
    error: statusError(error, definition.from.source),
    cursor,
    lag_changes: cursor === null ? null : Math.max(0, log.durableSeq - cursor),
  }));
}

/** What the record itself says of a generation. */
export function recordStatus(record: GenerationRecord, target: string, rollbackHours: number, state: StateStore): Omit<GenerationStatus, 'condition' | 'error' | 'cursor' | 'lag_changes'> {
  const { index, generation, phase, reason, held, createdAtMs, retiredAtMs } = record;
  return {
    index,
    generation,
    target,
    phase,
    reason,
    held,
    created_ms: createdAtMs,
    retired_ms: retiredAtMs,
    drop_ms: dropAtMs(record, rollbackHours),
    dead_letters: state.deadLetterCount(index, generation),
  };
}

/** Seconds from the later of two moments of the source's clock until now; null while neither is known. */
function secondsSince(a: number | null, b: number | null, nowMs: number | null): number | null {
  if (nowMs === null || (a === null && b === null)) return null;
  return Math.max(0, nowMs - Math.max(a ?? 0, b ?? 0)) / 1000;
}

function problemsOf(condition: string, sources: readonly SourceStatus[], indices: readonly IndexStatus[], readyWithinMs: number): string[] {
  const problems: string[] = [];
  for (const { name, phase, error } of sources) {
    if (phase !== 'streaming') problems.push(`Source ${name} is ${phase}${error === null ? '' : `: ${error.message}`}`);
    else if (error !== null) problems.push(`Where the head of source ${name} is, is not known: ${error.message}`);
  }
  if (condition !== 'ok') problems.push(condition === 'full' ? 'The change log has reached its size limit and waits for the slowest index.' : 'The disk of the change log is full.');
  for (const { name, phase, error, lag_seconds } of indices) {
    if (phase !== 'serving') problems.push(`Index ${name} is ${phase}${error === null ? '' : `: ${error.message}`}`);
    else if (lag_seconds === null || lag_seconds * 1000 > readyWithinMs) problems.push(`Index ${name} is ${lag_seconds === null ? 'an unknown time' : `${lag_seconds.toFixed(1)} s`} behind its source.`);
  }
  return problems;
}

