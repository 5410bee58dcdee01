/** Every metric that tailrace has: name, kind, labels, help. `docs/metrics.md` lists the same, and a test holds the two to each other. */

export interface MetricDefinition {
  readonly kind: 'gauge' | 'counter';
  readonly help: string;
  readonly labels: readonly string[];
}

const ofSource = ['source'];
const ofIndex = ['index'];

function gauge(help: string, labels: readonly string[] = []): MetricDefinition {
  return { kind: 'gauge', help, labels };
}

function counter(help: string, labels: readonly string[] = []): MetricDefinition {
  return { kind: 'counter', help, labels };
}

export const metricDefinitions = {
  tailrace_info: gauge('Always 1; the version is its label.', ['version']),
  tailrace_ready: gauge('1 while every source streams, every index serves, and none is further behind than `ready_within_ms`; else 0.'),
  tailrace_start_time_seconds: gauge('When the pipeline was started, in seconds since 1970.'),

  tailrace_source_phase: gauge('1 for the phase that the source is in, 0 for the others: connecting, streaming, waiting, stopped.', ['source', 'phase']),
  tailrace_source_lag_bytes: gauge('Bytes of the source\'s history that are not in the change log. Absent while the source\'s head is not known.', ofSource),
  tailrace_source_lag_seconds: gauge('Seconds that the change log is behind the source\'s head. Absent while that is not known.', ofSource),
  tailrace_source_retained_bytes: gauge('Bytes of history that the source keeps because of tailrace.', ofSource),
  tailrace_source_until_loss_bytes: gauge('Bytes of history until the source drops what tailrace still needs. Absent when it has no such limit.', ofSource),
  tailrace_source_until_loss_seconds: gauge('Seconds until then at the present rate. Absent while the distance does not shrink.', ofSource),
  tailrace_source_in_flight_bytes: gauge('Bytes of changes on their way from the source into the change log.', ofSource),
  tailrace_source_transactions_total: counter('Transactions read from the source.', ofSource),
  tailrace_source_changes_total: counter('Changes read from the source.', ofSource),
  tailrace_source_read_bytes_total: counter('Bytes of changes read from the source.', ofSource),
  tailrace_source_snapshots: gauge('Snapshots of tables that are not read to their end.', ofSource),
  tailrace_source_snapshot_rows: gauge('Rows read by the snapshots that are under way.', ['source', 'table']),
  tailrace_source_snapshot_estimated_rows: gauge('Rows that the source expects the table to have, while a snapshot of it is under way.', ['source', 'table']),

  tailrace_log_first_seq: gauge('Oldest change that the log holds.'),
  tailrace_log_durable_seq: gauge('Newest change that is durable in the log.'),
  tailrace_log_bytes: gauge('Size of the log on disk.'),
  tailrace_log_segments: gauge('Files of the log.'),
  tailrace_log_oldest_age_seconds: gauge('Age of the oldest change that the log holds. Absent when it holds none.'),
  tailrace_log_condition: gauge('1 for the condition that the log is in, 0 for the others: ok, full, disk_full.', ['condition']),

  tailrace_index_phase: gauge('1 for the phase that the index is in, 0 for the others: opening, building, serving, waiting, stopped.', ['index', 'phase']),
  tailrace_index_generation: gauge('Number of the generation that is fed.', ofIndex),
  tailrace_index_cursor_seq: gauge('Newest change that the index has applied, with everything before it.', ofIndex),
  tailrace_index_lag_changes: gauge('Changes in the log that the index has not applied.', ofIndex),
  tailrace_index_lag_seconds: gauge('Seconds that the index is behind its source\'s head. Absent while that is not known.', ofIndex),
  tailrace_index_dead_letters: gauge('Documents that are parked now.', ofIndex),
  tailrace_index_read_total: counter('Changes of the index\'s table that were read from the log. Equals the sum of applied, stale, superseded, filtered and dead-lettered ones.', ofIndex),
  tailrace_index_applied_total: counter('Changes that the target took.', ofIndex),
  tailrace_index_stale_total: counter('Changes that the target had already, in the same version or a newer one.', ofIndex),
  tailrace_index_superseded_total: counter('Changes that a later one of the same key replaced within a batch.', ofIndex),
  tailrace_index_filtered_total: counter('Changes of rows that do not belong to the index, by `where` or by its transform.', ofIndex),
  tailrace_index_dead_lettered_total: counter('Changes that were parked.', ofIndex),
  tailrace_index_batches_total: counter('Batches that were sent to the target.', ofIndex),
  tailrace_index_document_bytes_total: counter('Bytes of documents that were sent to the target.', ofIndex),

  tailrace_verify_passes_total: counter('Verifications of the index that ended, since the daemon began. Absent for an index that was not verified.', ofIndex),
  tailrace_verify_rows_total: counter('Rows that they read.', ofIndex),
  tailrace_verify_differences_total: counter('Differences that they found.', ofIndex),
  tailrace_verify_repaired_total: counter('Differences that were repaired.', ofIndex),
  tailrace_verify_differences: gauge('Differences that the last one found and that were not repaired, and documents of which it could not tell.', ofIndex),
  tailrace_verify_ended_time_seconds: gauge('When the last one ended, in seconds since 1970.', ofIndex),
  tailrace_verify_running_rows: gauge('Rows that the one that goes on has read. Absent while none goes on.', ofIndex),

  tailrace_process_resident_memory_bytes: gauge('Memory of the process.'),
  tailrace_process_heap_used_bytes: gauge('Memory of JavaScript objects.'),
  tailrace_process_external_memory_bytes: gauge('Memory of buffers.'),
  tailrace_process_cpu_seconds_total: counter('Processor time of all threads.'),
  tailrace_process_event_loop_delay_seconds: gauge('How late timers fired since the last scrape, 99th percentile.'),
} as const satisfies Record<string, MetricDefinition>;

export type MetricName = keyof typeof metricDefinitions;
