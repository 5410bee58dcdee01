/** The status as `tailrace status --json` and the admin surface give it: plain JSON in snake_case, with secrets scrubbed from its errors. */
import type { LogCondition, LogStats } from '../connector/log-store.ts';
import type { IndexStatus, PipelineStatus, SourceStatus } from '../pipeline/status.ts';
import type { Scrubber } from './logging/scrub.ts';

export interface LogReport {
  readonly id: string;
  readonly epoch: number;
  readonly first_seq: number;
  readonly durable_seq: number;
  readonly bytes: number;
  readonly segments: number;
  /** When the oldest change that is kept was appended. */
  readonly oldest_ms: number | null;
  readonly condition: LogCondition;
}

export interface LogStatReport extends LogReport {
  /** What keeps changes from being removed: each generation of an index with the last seq it does not need any more. */
  readonly holds: readonly { readonly name: string; readonly seq: number }[];
}

/** Null is what only a running daemon knows. */
export interface SourceReport extends Omit<SourceStatus, 'phase'> {
  readonly phase: SourceStatus['phase'] | null;
}

export interface IndexReport extends Omit<IndexStatus, 'phase'> {
  readonly phase: IndexStatus['phase'] | null;
}

export interface StatusReport extends Omit<PipelineStatus, 'log' | 'pid' | 'started_ms' | 'sources' | 'indices'> {
  /** False when the report was read from the data directory, without a daemon. */
  readonly running: boolean;
  readonly pid: number | null;
  readonly started_ms: number | null;
  readonly log: LogReport;
  readonly sources: readonly SourceReport[];
  readonly indices: readonly IndexReport[];
}

export function logReport(stats: Omit<LogStats, 'holds'>): LogReport {
  const { logId, epoch, firstSeq, durableSeq, bytes, segments, oldestMs, condition } = stats;
  return { id: logId, epoch, first_seq: firstSeq, durable_seq: durableSeq, bytes, segments, oldest_ms: oldestMs, condition };
}

export function logStatReport(stats: LogStats): LogStatReport {
  return { ...logReport(stats), holds: stats.holds };
}

/** Of a running daemon. */
export function statusReport(status: PipelineStatus, scrubber: Scrubber): StatusReport {
  const { log, problems, sources, indices, ...rest } = status;
  return {
    running: true,
    ...rest,
    problems: problems.map((problem) => scrubber.text(problem)),
    log: logReport(log),
    sources: sources.map((source) => ({ ...source, error: scrubbed(source.error, scrubber), notes: source.notes.map((note) => scrubber.text(note)) })),
    indices: indices.map((index) => ({ ...index, error: scrubbed(index.error, scrubber), verify: scrubbed(index.verify, scrubber) })),
  };
}

function scrubbed<T>(error: T, scrubber: Scrubber): T {
  return scrubber.value(error) as T;
}
