/** A status in which everything has a value: for tests of what is made from it. */
import type { IndexStatus, JobStatus, PipelineStatus, SourceStatus } from '../../src/pipeline/status.ts';

export const sourceStatus: SourceStatus = {
  name: 'shop',
  type: 'postgres',
  phase: 'streaming',
  error: null,
  retry_in_ms: null,
  head: '0/1A2B3C8',
  logged: '0/1A2B000',
  lag_bytes: 968,
  lag_seconds: 0.25,
  retained_bytes: 4_096,
  bytes_until_loss: 1_000_000_000,
  seconds_until_loss: 86_400,
  notes: ['A transaction has been open for 3 h.'],
  transactions: 12,
  changes: 3_456,
  bytes: 789_000,
  changes_per_second: 42.5,
  in_flight_bytes: 128,
  snapshots: [{ number: 1, table: 'public.products', reason: 'build', selection: 'all', phase: 'reading', paused: false, rows: 1_000, estimated_rows: 4_000, rows_per_second: 500, ranges_left: 1 }],
};

export const indexStatus: IndexStatus = {
  name: 'products',
  target: 'search',
  generation: 1,
  phase: 'serving',
  error: null,
  cursor: 3_400,
  lag_changes: 56,
  lag_seconds: 1.5,
  changes_per_second: 40,
  dead_letters: 2,
  counters: { read: 3_400, applied: 3_000, stale: 10, superseded: 300, filtered: 88, dead_lettered: 2, batches: 20, document_bytes: 600_000 },
  verify: {
    running: { index: 'products', generation: 1, reason: 'continuous', phase: 'comparing', started_ms: 1_800_000_000_000, rows: 1_200, estimated_rows: 4_000, rows_per_second: 20, documents: 1_100, differences: 1, parked: 0, error: null },
    last: { index: 'products', generation: 1, reason: 'continuous', equal: false, started_ms: 1_800_000_000_000, ended_ms: 1_800_000_030_000, from_seq: 3_000, to_seq: 3_100, rows: 3_300, documents: 3_200, share: 1, differences: 3, kinds: { missing: 1, altered: 2 }, parked: 2, unsettled: 0, repair: { repaired: 2, remaining: 1, kinds: { missing: 1 }, untried: 0, beyond: 0 } },
    passes: 2,
    rows: 6_600,
    differences: 4,
    repaired: 2,
  },
  generations: [
    { index: 'products', generation: 1, target: 'search', phase: 'serving', condition: 'working', reason: 'new', held: false, error: null, cursor: 3_400, lag_changes: 56, created_ms: 1_800_000_000_000, retired_ms: null, drop_ms: null, dead_letters: 2 },
  ],
};

export const jobStatus: JobStatus = {
  id: 3, index: 'products', kind: 'resync', what: { rows: 'all', generation: 2, swap: true }, stage: 'reading', error: null, unit: 'rows', done: 1_000, total: 4_000, per_second: 500, eta_seconds: 6, created_ms: 1_800_000_000_000,
};

export const pipelineStatus: PipelineStatus = {
  version: '1.2.3',
  pid: 4711,
  started_ms: 1_800_000_000_000,
  now_ms: 1_800_000_060_000,
  ready: true,
  problems: [],
  log: { logId: 'a1b2', epoch: 1, firstSeq: 1, durableSeq: 3_456, bytes: 1_234_567, segments: 2, oldestMs: 1_800_000_000_000, condition: 'ok' },
  sources: [sourceStatus],
  indices: [indexStatus],
  jobs: [jobStatus],
};
