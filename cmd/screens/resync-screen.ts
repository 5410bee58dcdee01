/** What `tailrace resync` says to people: what would be done, what is begun, how it ended. */
import type { JobReport } from '../../src/observe/reports.ts';
import type { SteeredSnapshot } from '../../src/pipeline/resync.ts';
import { whatOf } from '../../src/pipeline/resync-job.ts';
import type { JobStatus, ResyncPlan, RowsResyncPlan, WholeResyncPlan } from '../../src/pipeline/status.ts';
import { printable } from '../terminal/printable.ts';
import { counted } from '../terminal/units.ts';

export function begunLines(jobs: readonly JobReport[], watched: boolean): string[] {
  return [...jobs.map(begunLine), ...(watched ? [] : ['See how far it is: `tailrace status`'])];
}

function begunLine(job: JobReport): string {
  const what = whatOf(job);
  const { index } = job;
  if (what.rows !== 'all') {
    if (what.keys === null) return `The rows of index ${index} for which the condition holds are read again, in place.`;
    return `${counted(what.keys, 'row')} of index ${index} ${what.keys === 1 ? 'is' : 'are'} read again, in place.`;
  }
  const end = what.swap ? 'Readers get it when it is in step.' : `Readers get it with: \`tailrace generations promote ${index} ${what.generation}\``;
  return `Index ${index} is built again as generation ${what.generation}. ${end}`;
}

export function planLines(plans: readonly ResyncPlan[]): string[] {
  return [...plans.flatMap((plan) => (plan.rows === 'all' ? wholeLines(plan) : rowsLines(plan))), 'Nothing was changed.'];
}

function wholeLines({ index, table, generation, gives_up: givesUp, swap, estimated_rows: rows }: WholeResyncPlan): string[] {
  return [
    `Index ${index} would be built again as generation ${generation}, from a snapshot of ${table}${about(rows)}. Readers would ${swap ? 'get it when it is in step' : 'not get it by themselves'}.`,
    ...(givesUp === null ? [] : [`Generation ${givesUp}, which is being built, would be given up for it.`]),
  ];
}

function rowsLines({ index, table, rows, generations, estimated_rows: estimated }: RowsResyncPlan): string[] {
  const which = rows === 'keys' ? counted(estimated ?? 0, 'key') : `the rows of the condition${about(estimated)}`;
  const who = generations.length === 1 ? `generation ${generations[0]}` : `generations ${generations.join(', ')}`;
  return [`Index ${index}: ${which} of ${table} would be read again, and applied to ${who} in place.${rows === 'keys' ? ' A key that no row has would take its document with it.' : ''}`];
}

function about(rows: number | null): string {
  return rows === null ? '' : `, about ${counted(rows, 'row')}`;
}

export function cancelledLines(index: string, jobs: readonly JobReport[]): string[] {
  const isBuilt = jobs.some((job) => whatOf(job).rows === 'all');
  return [isBuilt ? `What was being built for index ${index} is given up. Readers keep what they have.` : `Nothing more is read for index ${index}. What was read by then stays.`];
}

export function steeredLines(index: string, snapshots: readonly SteeredSnapshot[]): string[] {
  return snapshots.map(({ source, table, paused, indices }) => {
    const others = indices.filter((one) => one !== index);
    const also = others.length === 0 ? '' : ` The same rows are read for ${others.join(', ')}.`;
    return paused ? `Reading ${source}.${printable(table)} for index ${index} waits, also over restarts, for: \`tailrace resync ${index} --resume\`${also && `\n${also.trim()}`}` : `Reading ${source}.${printable(table)} for index ${index} goes on.${also}`;
  });
}

export function endedLines(jobs: readonly JobReport[]): string[] {
  return jobs.map(({ index, phase, outcome }) => `Index ${index}: ${phase}. ${printable(outcome ?? '')}`.trimEnd());
}

/** Of a job that waits for a person. */
export function stoppedLines({ index, error }: JobStatus): string[] {
  const why = error === null ? [] : [printable(error.message), `  → ${printable(error.hint)}`];
  return [`Index ${index}: stopped. ${why[0] ?? ''}`.trimEnd(), ...why.slice(1)];
}
