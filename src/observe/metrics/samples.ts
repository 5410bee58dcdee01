/** The values of all metrics at one moment, made from the pipeline's status. */
import type { IndexStatus, PipelineStatus, SourceStatus } from '../../pipeline/status.ts';
import type { VerifyStatus } from '../../pipeline/verify-status.ts';
import type { ProcessUsage } from '../../runtime/process-usage.ts';
import type { MetricName } from './names.ts';

export interface Sample {
  readonly name: MetricName;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const sourcePhases: readonly SourceStatus['phase'][] = ['connecting', 'streaming', 'waiting', 'stopped'];
const indexPhases: readonly IndexStatus['phase'][] = ['opening', 'building', 'serving', 'waiting', 'stopped'];
const logConditions: readonly PipelineStatus['log']['condition'][] = ['ok', 'full', 'disk_full'];

/** What is not known makes no sample. */
export function samplesOf(status: PipelineStatus, usage: ProcessUsage): Sample[] {
  return [
    ...known({ version: status.version }, { tailrace_info: 1 }),
    ...known({}, { tailrace_ready: status.ready ? 1 : 0, tailrace_start_time_seconds: status.started_ms / 1000 }),
    ...status.sources.flatMap((source) => sourceSamples(source)),
    ...logSamples(status),
    ...status.indices.flatMap((index) => indexSamples(index)),
    ...processSamples(usage),
  ];
}

function known(labels: Readonly<Record<string, string>>, values: Readonly<Partial<Record<MetricName, number | null>>>): Sample[] {
  return Object.entries(values).flatMap(([name, value]) => (value === null ? [] : [{ name: name as MetricName, labels, value }]));
}

function oneOf(name: MetricName, label: string, all: readonly string[], now: string, labels: Readonly<Record<string, string>>): Sample[] {
  return all.map((value) => ({ name, labels: { ...labels, [label]: value }, value: value === now ? 1 : 0 }));
}

function sourceSamples(source: SourceStatus): Sample[] {
  const labels = { source: source.name };
  const unfinished = source.snapshots.filter(({ phase }) => phase !== 'done');
  return [
    ...oneOf('tailrace_source_phase', 'phase', sourcePhases, source.phase, labels),
    ...known(labels, {
      tailrace_source_lag_bytes: source.lag_bytes,
      tailrace_source_lag_seconds: source.lag_seconds,
      tailrace_source_retained_bytes: source.retained_bytes,
      tailrace_source_until_loss_bytes: source.bytes_until_loss,
      tailrace_source_until_loss_seconds: source.seconds_until_loss,
      tailrace_source_in_flight_bytes: source.in_flight_bytes,
      tailrace_source_transactions_total: source.transactions,
      tailrace_source_changes_total: source.changes,
      tailrace_source_read_bytes_total: source.bytes,
      tailrace_source_snapshots: unfinished.length,
    }),
    ...[...Map.groupBy(unfinished, ({ table }) => table)].flatMap(([table, snapshots]) =>
      known(
        { ...labels, table },
        {
          tailrace_source_snapshot_rows: snapshots.reduce((sum, { rows }) => sum + rows, 0),
          tailrace_source_snapshot_estimated_rows: snapshots.reduce<number | null>((sum, { estimated_rows: rows }) => (sum === null || rows === null ? null : sum + rows), 0),
        },
      ),
    ),
  ];
}

function logSamples({ log, now_ms: nowMs }: PipelineStatus): Sample[] {
  return [
    ...known({}, {
      tailrace_log_first_seq: log.firstSeq,
      tailrace_log_durable_seq: log.durableSeq,
      tailrace_log_bytes: log.bytes,
      tailrace_log_segments: log.segments,
      tailrace_log_oldest_age_seconds: log.oldestMs === null ? null : Math.max(0, nowMs - log.oldestMs) / 1000,
    }),
    ...oneOf('tailrace_log_condition', 'condition', logConditions, log.condition, {}),
  ];
}

function indexSamples(index: IndexStatus): Sample[] {
  const labels = { index: index.name };
  const { counters, verify } = index;
  return [
    ...oneOf('tailrace_index_phase', 'phase', indexPhases, index.phase, labels),
    ...known(labels, {
      tailrace_index_generation: index.generation,
      tailrace_index_cursor_seq: index.cursor,
      tailrace_index_lag_changes: index.lag_changes,
      tailrace_index_lag_seconds: index.lag_seconds,
      tailrace_index_dead_letters: index.dead_letters,
      tailrace_index_read_total: counters.read,
      tailrace_index_applied_total: counters.applied,
      tailrace_index_stale_total: counters.stale,
      tailrace_index_superseded_total: counters.superseded,
      tailrace_index_filtered_total: counters.filtered,
      tailrace_index_dead_lettered_total: counters.dead_lettered,
      tailrace_index_batches_total: counters.batches,
      tailrace_index_document_bytes_total: counters.document_bytes,
    }),
    ...(verify === null ? [] : verifySamples(verify, labels)),
  ];
}

function verifySamples({ running, last, passes, rows, differences, repaired }: VerifyStatus, labels: Readonly<Record<string, string>>): Sample[] {
  return known(labels, {
    tailrace_verify_passes_total: passes,
    tailrace_verify_rows_total: rows,
    tailrace_verify_differences_total: differences,
    tailrace_verify_repaired_total: repaired,
    tailrace_verify_differences: last === null ? null : last.unsettled + (last.repair === null ? last.differences : last.repair.remaining + last.repair.untried),
    tailrace_verify_ended_time_seconds: last === null ? null : last.ended_ms / 1000,
    tailrace_verify_running_rows: running?.rows ?? null,
  });
}

function processSamples(usage: ProcessUsage): Sample[] {
  return known({}, {
    tailrace_process_resident_memory_bytes: usage.residentBytes,
    tailrace_process_heap_used_bytes: usage.heapUsedBytes,
    tailrace_process_external_memory_bytes: usage.externalBytes,
    tailrace_process_cpu_seconds_total: usage.cpuSeconds,
    tailrace_process_event_loop_delay_seconds: usage.eventLoopDelaySeconds,
  });
}
