/** Rare things that log lines, disk operations and the status give away: for the coverage. */
import type { PipelineStatus } from '../../../src/pipeline/status.ts';
import type { Coverage, Happening } from '../audit/coverage.ts';
import type { SimOperation } from '../sim-disk.ts';
import type { LogLine } from './sim-logger.ts';

const LINES: Readonly<Record<string, Happening>> = {
  log_tail_healed: 'a torn tail healed',
  log_segment_removed: 'retention removed a segment',
  log_full: 'the log was full',
  log_disk_full: 'the disk was full',
  log_failed: 'the disk failed',
  log_hold_evicted: 'a hold was evicted',
  snapshot_replanned: 'a snapshot was planned again',
  snapshot_done: 'a snapshot was done',
  snapshot_requested: 'a snapshot was requested',
  snapshot_paused: 'a snapshot was paused',
  snapshot_resumed: 'a snapshot was resumed',
  snapshot_cancelled: 'a snapshot was cancelled',
  snapshot_failed: 'a snapshot failed',
  index_swept: 'an index was swept',
  index_serving: 'a generation was promoted',
  generation_dropped: 'a generation was dropped',
  documents_parked: 'documents were parked',
  source_disconnected: 'a source was disconnected',
  source_stopped: 'a source stopped for a person',
  index_stopped: 'an index stopped for a person',
  target_trouble: 'a target was in trouble',
  target_recovered: 'a target recovered',
};

export function noteLogLine({ event, fields }: LogLine, coverage: Coverage): void {
  const what = LINES[event];
  if (what !== undefined) coverage.saw(what);
  if (event === 'index_swept' && Number(fields['documents']) > 0) coverage.saw('a sweep removed documents');
}

export function noteDiskOperation({ kind }: SimOperation, coverage: Coverage): void {
  if (kind === 'truncate') coverage.saw('a segment was cut');
}

/** What the daemon was at when it was killed: its last status; null when it had none. */
export function noteKill(status: PipelineStatus | null, isStopping: boolean, coverage: Coverage): void {
  coverage.saw('a daemon was killed');
  if (status === null) return coverage.saw('killed while it started');
  const { sources, indices, log } = status;
  if (isStopping) coverage.saw('killed while it stopped');
  if (sources.some(({ snapshots }) => snapshots.length > 0)) coverage.saw('killed while a table was read');
  if (indices.some(({ phase }) => phase === 'building')) coverage.saw('killed while an index was built');
  if (sources.some(({ phase }) => phase === 'waiting' || phase === 'connecting')) coverage.saw('killed while a source was not connected');
  if (indices.some(({ phase }) => phase === 'waiting')) coverage.saw('killed while a target did not take what it was sent');
  if (log.condition === 'full') coverage.saw('killed while the log was full');
}
