/** Long work that goes on, as people see it: a line in the status, a bar where it is watched. */
import type { JobStatus } from '../../src/pipeline/status.ts';
import type { ProgressItem } from '../terminal/progress.ts';
import { count, counted, duration, percent, rate } from '../terminal/units.ts';

const stages: Readonly<Record<JobStatus['stage'], string>> = { waiting: 'waits to be read', reading: 'reading', paused: 'paused', applying: 'applying', stopped: 'stopped' };

/** `resync of products: reading, 1,680 of about 4,000 rows (42 %), 12,345 rows/s, 3 s left` */
export function jobLine(job: JobStatus): string {
  const { index, kind, stage, unit, done, total, per_second: perSecond, eta_seconds: etaSeconds, error } = job;
  const parts = [stages[stage]];
  if (stage !== 'waiting') parts.push(total === null ? counted(done, unit.slice(0, -1)) : `${count(done)} of ${unit === 'rows' ? 'about ' : ''}${count(total)} ${unit} (${percent(done, total)})`);
  if (perSecond !== null && perSecond > 0) parts.push(`${rate(perSecond)} ${unit}/s`);
  if (error !== null) parts.push(`${error.code}: ${error.message}`);
  if (etaSeconds !== null) parts.push(`${duration(etaSeconds)} left`);
  if (stage === 'paused') parts.push(`go on: \`tailrace resync ${index} --resume\``);
  return `${kind} of ${index}: ${parts.join(', ')}`;
}

/** For a bar; each stage is one of its own. */
export function jobItem({ index, kind, id, stage, unit, done, total }: JobStatus): ProgressItem {
  return { label: `${kind} ${id} of ${index}, ${stage === 'applying' || stage === 'stopped' ? stage : 'reading'}`, unit, done, total };
}
