/** Rare things that log lines and disk operations give away: for the coverage. */
import type { Coverage } from '../audit/coverage.ts';
import type { SimOperation } from '../sim-disk.ts';
import type { LogLine } from './sim-logger.ts';

const LINES: Readonly<Record<string, string>> = {
  log_tail_healed: 'a torn tail healed',
  log_segment_removed: 'retention removed a segment',
  log_full: 'the log was full',
  log_disk_full: 'the disk was full',
  log_failed: 'the disk failed',
  snapshot_replanned: 'a snapshot was planned again',
  snapshot_done: 'a snapshot was done',
  snapshot_requested: 'a snapshot was requested',
  index_swept: 'an index was swept',
  index_serving: 'a generation was promoted',
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
