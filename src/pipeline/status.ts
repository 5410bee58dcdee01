/**
 * How a pipeline stands: the one shape behind `status --json`, `lag --json`, `/metrics`, `/readyz` and the screens made of them.
 * Plain JSON: no bigint, no Date; units at the end of the names; null where something is not known.
 */
import type { ApplyCounters } from '../apply/counters.ts';
import type { LogStats } from '../connector/log-store.ts';
import type { GenerationPhase, GenerationReason } from '../state/state-store.ts';
import type { VerifyStatus } from './verify-status.ts';
import type { GenerationCondition } from './generation-runner.ts';

export interface StatusError {
  readonly code: string;
  readonly message: string;
  readonly did: string;
  readonly hint: string;
}

export interface SnapshotStatus {
  readonly number: number;
  readonly table: string;
  readonly reason: string;
  /** Which rows it reads: all, those of a list of keys, or those of a condition. */
  readonly selection: 'all' | 'keys' | 'where';
  readonly phase: 'planned' | 'reading' | 'done' | 'cancelled' | 'failed';
  /** Told to wait. */
  readonly paused: boolean;
  readonly rows: number;
  readonly estimated_rows: number | null;
  /** Over the time since this process began to read it, or was told to go on; null while it is not being read. */
  readonly rows_per_second: number | null;
  readonly ranges_left: number;
}

export interface SourceStatus {
  readonly name: string;
  readonly type: string;
  /** `connecting`, `streaming`, `waiting` (for the next attempt), `stopped` (for a person). */
  readonly phase: 'connecting' | 'streaming' | 'waiting' | 'stopped';
  /** What it waits or stopped with; of one that streams, why its head is not known. */
  readonly error: StatusError | null;
  readonly retry_in_ms: number | null;
  /** Newest position of the source's history, as its own tools write it. */
  readonly head: string | null;
  /** Position up to which everything is in the log. */
  readonly logged: string | null;
  /** Bytes of source history between the two. */
  readonly lag_bytes: number | null;
  readonly lag_seconds: number | null;
  /** Bytes of history the source keeps because of tailrace, and how many more until it drops what is needed. */
  readonly retained_bytes: number | null;
  readonly bytes_until_loss: number | null;
  /** Estimated seconds until then at the present rate. */
  readonly seconds_until_loss: number | null;
  readonly notes: readonly string[];
  readonly transactions: number;
  readonly changes: number;
  readonly bytes: number;
  readonly changes_per_second: number;
  readonly in_flight_bytes: number;
  readonly snapshots: readonly SnapshotStatus[];
}

export interface GenerationStatus {
  readonly index: string;
  readonly generation: number;
  readonly target: string;
  /** Its way: `building`, `ready`, `serving`, `retired`, `dropping`. */
  readonly phase: GenerationPhase;
  /** What it does at the moment; null when no daemon runs. `idle`: it is not fed. */
  readonly condition: GenerationCondition | null;
  readonly reason: GenerationReason;
  /** It stays `ready` until somebody promotes it. */
  readonly held: boolean;
  readonly error: StatusError | null;
  readonly cursor: number | null;
  readonly lag_changes: number | null;
  readonly created_ms: number;
  readonly retired_ms: number | null;
  /** When it is dropped; null unless it is retired. */
  readonly drop_ms: number | null;
  readonly dead_letters: number;
}

/** What a resync would do. */
export type ResyncPlan = WholeResyncPlan | RowsResyncPlan;

/** Of a whole index, in another generation. */
export interface WholeResyncPlan {
  readonly index: string;
  readonly table: string;
  readonly rows: 'all';
  /** Number that the new one would have. */
  readonly generation: number;
  /** The one that is being built, and would be given up. */
  readonly gives_up: number | null;
  readonly swap: boolean;
  /** The source's own estimate; null when it has none, or is not connected. */
  readonly estimated_rows: number | null;
}

/** Of rows in place. */
export interface RowsResyncPlan {
  readonly index: string;
  readonly table: string;
  readonly rows: 'keys' | 'where';
  /** Those that would take the rows. */
  readonly generations: readonly number[];
  readonly estimated_rows: number | null;
}

/** Long work that somebody asked for and that goes on. */
export interface JobStatus {
  readonly id: number;
  readonly index: string;
  /** `resync` */
  readonly kind: string;
  /** As the job was asked for, in terms of its kind. */
  readonly what: Readonly<Record<string, unknown>>;
  /** `waiting` (nothing is read for it yet), `reading`, `paused`, `applying` (what was read, to the index), `stopped` (what it is read for: a person has to do something). */
  readonly stage: 'waiting' | 'reading' | 'paused' | 'applying' | 'stopped';
  /** Why it has stopped. */
  readonly error: StatusError | null;
  /** What `done` and `total` count: rows that are read, or changes of the log that are applied. */
  readonly unit: 'rows' | 'changes';
  readonly done: number;
  /** An estimate, which `done` may pass; null when nobody knows. */
  readonly total: number | null;
  readonly per_second: number | null;
  /** At the present rate, for this stage. */
  readonly eta_seconds: number | null;
  readonly created_ms: number;
}

export interface IndexStatus {
  readonly name: string;
  readonly target: string;
  readonly generation: number;
  /** `opening`, `building` (its snapshot is not applied yet), `serving`, `waiting` (for its target), `stopped` (for a person). */
  readonly phase: 'opening' | 'building' | 'serving' | 'waiting' | 'stopped';
  readonly error: StatusError | null;
  /** Null while only the target knows, and has not been opened yet. */
  readonly cursor: number | null;
  /** Changes in the log that it has not applied, and the seconds it is behind the source's head. */
  readonly lag_changes: number | null;
  readonly lag_seconds: number | null;
  readonly changes_per_second: number;
  readonly dead_letters: number;
  readonly counters: Readonly<ApplyCounters>;
  /** Null when it was not verified since the daemon began, or no daemon runs. */
  readonly verify: VerifyStatus | null;
  /** All that are kept, in the order of their numbers; the other figures are those of the one that stands for the index. */
  readonly generations: readonly GenerationStatus[];
}

export interface PipelineStatus {
  readonly version: string;
  readonly pid: number;
  readonly started_ms: number;
  readonly now_ms: number;
  /** Every source streams, every index serves, and none is behind by more than `ready_within_ms`. */
  readonly ready: boolean;
  /** What is in the way of that, one sentence each, the most urgent first. */
  readonly problems: readonly string[];
  readonly log: Omit<LogStats, 'holds'>;
  readonly sources: readonly SourceStatus[];
  readonly indices: readonly IndexStatus[];
  /** Those that go on. */
  readonly jobs: readonly JobStatus[];
}
