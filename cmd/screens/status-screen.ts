/** `tailrace status` for people: what there is, how it is, what to do now. One screen. */
import type { IndexReport, LogReport, SourceReport, StatusReport } from '../../src/observe/status-report.ts';
import type { StatusError } from '../../src/pipeline/status.ts';
import { inText } from '../terminal/given-options.ts';
import { printable } from '../terminal/printable.ts';
import { table, type Paint } from '../terminal/table.ts';
import { bytes, count, counted, duration, known, percent, rate } from '../terminal/units.ts';
import { jobLine } from './job-screen.ts';
import { errorBelow, phaseText } from './phase.ts';

/** `complete` makes the commands that are shown ones of this pipeline. */
export function statusScreen(report: StatusReport, paint: Paint, complete: (command: string) => string = (command) => command): string[] {
  const hinted = <T extends { readonly error: StatusError | null }>(part: T): T => (part.error === null ? part : { ...part, error: { ...part.error, hint: hintHere(part.error.hint, report.running, complete) } });
  const status = { ...report, sources: report.sources.map(hinted), indices: report.indices.map(hinted) };
  return [headline(status, paint), ...problemLines(status), '', ...sourceLines(status, paint), '', logLine(status.log, status.now_ms, paint), '', ...[...indexLines(status, paint), ...jobLines(status, paint)].map((line) => inText(line, complete)), ...nextLines(status, paint, complete)];
}

function hintHere(hint: string, running: boolean, complete: (command: string) => string): string {
  // Two daemons cannot work in one data directory.
  const first = running && hint.includes('`tailrace run ') ? ' Stop this daemon before that.' : '';
  return inText(hint, complete) + first;
}

function headline({ version, pid, started_ms: startedMs, now_ms: nowMs, running, ready, problems }: StatusReport, paint: Paint): string {
  if (!running || startedMs === null) return `${paint('bold', `tailrace ${version}`)} is ${paint('yellow', 'not running')}; this is what its data directory says.`;
  const state = ready ? paint('green', 'in step') : paint('yellow', `not in step: ${counted(problems.length, 'problem')}`);
  return `${paint('bold', `tailrace ${version}`)}, pid ${pid}, up ${duration((nowMs - startedMs) / 1000)}: ${state}`;
}

const PROBLEMS_SHOWN_MAX = 5;

/** What is in the way of being in step, unless an error below says the same. */
function problemLines({ running, problems, sources, indices }: StatusReport): string[] {
  if (!running) return [];
  const errors = [...sources, ...indices].flatMap(({ error }) => (error === null ? [] : [error.message]));
  const others = problems.filter((problem) => !errors.some((message) => problem.includes(message)));
  const more = others.length > PROBLEMS_SHOWN_MAX ? [`  and ${others.length - PROBLEMS_SHOWN_MAX} more`] : [];
  return [...others.slice(0, PROBLEMS_SHOWN_MAX).map((problem) => `  ${printable(problem)}`), ...more];
}

function sourceLines({ sources, running }: StatusReport, paint: Paint): string[] {
  const columns = [{ title: 'source' }, { title: 'type' }, { title: 'state' }, { title: 'behind' }, { title: 'changes/s', align: 'right' as const }, { title: 'logged' }, { title: 'head' }];
  const rows = sources.map((source) => [source.name, source.type, phaseText(source.phase, paint), behindHead(source), running ? rate(source.changes_per_second) : '-', source.logged ?? '-', source.head ?? '?']);
  return [...table(columns, rows, paint), ...sources.flatMap((source) => belowSource(source, paint))];
}

/** How far the log is behind the source's head. */
export function behindHead({ lag_bytes: lagBytes, lag_seconds: lagSeconds }: SourceReport): string {
  if (lagBytes === 0) return '0';
  return [known(lagBytes, bytes), ...(lagSeconds === null ? [] : [duration(lagSeconds)])].join(', ');
}

/** Below this much the end of the source's history is near enough to be said unasked. */
const LOSS_NEAR_BYTES = 1024 ** 3;
const LOSS_NEAR_SECONDS = 24 * 3600;

function belowSource(source: SourceReport, paint: Paint): string[] {
  const { name, snapshots, notes, error, retry_in_ms: retryInMs, bytes_until_loss: bytesLeft, seconds_until_loss: secondsLeft } = source;
  const lines = snapshots
    .filter(({ phase }) => phase !== 'done')
    .map(({ table: tableName, rows, estimated_rows: total }) => `  reading ${name}.${printable(tableName)}: ${total === null ? counted(rows, 'row') : `${count(rows)} of about ${counted(total, 'row')} (${percent(rows, total)})`}`);
  for (const note of notes) lines.push(`  ${paint('yellow', 'note:')} ${printable(note)}`);
  if (bytesLeft !== null && (bytesLeft < LOSS_NEAR_BYTES || (secondsLeft !== null && secondsLeft < LOSS_NEAR_SECONDS))) {
    lines.push(`  ${paint('yellow', 'note:')} ${name} drops what tailrace still needs after ${bytes(bytesLeft)} more of its history${secondsLeft === null ? '' : `, in about ${duration(secondsLeft)}`}.`);
  }
  if (retryInMs !== null) lines.push(`  ${name} is tried again in ${duration(retryInMs / 1000)}.`);
  return [...lines, ...errorBelow(name, error, paint)];
}

function logLine(log: LogReport, nowMs: number, paint: Paint): string {
  const held = Math.max(0, log.durable_seq - log.first_seq + 1);
  const age = log.oldest_ms === null ? '' : `, the oldest ${duration(Math.max(0, nowMs - log.oldest_ms) / 1000)} old`;
  const condition = { ok: paint('green', 'ok'), full: paint('red', 'full: sources wait for the slowest index'), disk_full: paint('red', 'the disk is full: sources wait for space') }[log.condition];
  return `${paint('dim', 'CHANGE LOG')}  ${counted(held, 'change')} up to seq ${count(log.durable_seq)}, ${bytes(log.bytes)} in ${counted(log.segments, 'file')}${age}: ${condition}`;
}

function indexLines({ indices, running }: StatusReport, paint: Paint): string[] {
  const right = 'right' as const;
  const columns = [{ title: 'index' }, { title: 'target' }, { title: 'state' }, { title: 'behind' }, { title: 'changes/s', align: right }, { title: 'applied', align: right }, { title: 'dead letters', align: right }];
  const rows = indices.map((index) => [
    index.name,
    index.target,
    phaseText(index.phase, paint),
    behindLog(index),
    running ? rate(index.changes_per_second) : '-',
    running ? count(index.counters.applied) : '-',
    index.dead_letters === 0 ? '0' : paint('yellow', count(index.dead_letters)),
  ]);
  return [...table(columns, rows, paint), ...indices.flatMap((index) => [...errorBelow(index.name, index.error, paint), ...generationLines(index), ...verifyLines(index, paint)])];
}

/** Generations beside the one that stands for the index, where somebody may wait for them or has to look at them. */
function generationLines({ name, generation: main, generations }: IndexReport): string[] {
  return generations.flatMap(({ generation, phase, held, condition, lag_changes: behind, error }) => {
    if (generation === main || phase === 'retired' || phase === 'dropping') return [];
    const what = phase === 'building' ? 'is being built' : held ? `is ready: \`tailrace generations promote ${name} ${generation}\`` : 'is about to be shown to readers';
    const where = behind === null || behind === 0 ? '' : `, ${counted(behind, 'change')} behind`;
    return [`  ${name}: generation ${generation} ${condition === 'stopped' ? 'has stopped' : what}${where}${error === null ? '' : `: ${printable(error.message)} (${error.code})`}`];
  });
}

/** A comparison that goes on, or the last one where it found what is not mended. */
function verifyLines({ name, verify }: IndexReport, paint: Paint): string[] {
  if (verify === null) return [];
  const { running, last } = verify;
  if (running !== null) {
    const { generation, rows, estimated_rows: total, differences } = running;
    const amount = total === null ? counted(rows, 'row') : `${count(rows)} of about ${counted(total, 'row')}`;
    return [`  ${name}: generation ${generation} is being verified: ${amount}${differences === 0 ? '' : `, ${paint('yellow', counted(differences, 'difference'))}`}`];
  }
  if (last === null || last.equal) return [];
  const remaining = last.repair === null ? last.differences : last.repair.remaining + last.repair.untried;
  return [`  ${name}: ${paint('yellow', `${counted(remaining, 'difference')} when it was last verified`)}: \`tailrace verify ${name} --repair\``];
}

/** Long work that somebody asked for. */
function jobLines({ jobs }: StatusReport, paint: Paint): string[] {
  return jobs.length === 0 ? [] : ['', paint('dim', 'JOBS'), ...jobs.map((job) => `  ${printable(jobLine(job))}`)];
}

/** How far an index is behind: changes that wait in the log, and time behind the source. */
export function behindLog({ lag_changes: changes, lag_seconds: seconds }: IndexReport): string {
  if (changes === null) return '?';
  if (changes === 0 && seconds === 0) return '0';
  return seconds === null ? counted(changes, 'change') : `${counted(changes, 'change')}, ${duration(seconds)}`;
}

/** The commands that somebody who sees this screen wants next; empty when all is well. */
function nextLines({ running, sources, indices, log }: StatusReport, paint: Paint, complete: (command: string) => string): string[] {
  const found: [string, string][] = [];
  if (!running) found.push(['tailrace run', 'start the daemon']);
  for (const { name, dead_letters: parked } of indices) if (parked > 0) found.push([`tailrace dlq list ${name}`, `see why ${counted(parked, 'document is', 'documents are')} parked`]);
  if (sources.some(({ error }) => error !== null) || indices.some(({ error }) => error !== null)) found.push(['tailrace check', 'see what sources and targets lack, with the statements that mend it']);
  if (log.condition !== 'ok') found.push(['tailrace lag', 'see which index is the slowest']);
  if (found.length === 0) return [];
  const next = found.map(([command, why]): [string, string] => [complete(command), why]);
  const width = Math.max(...next.map(([command]) => command.length));
  return ['', paint('dim', 'NEXT'), ...next.map(([command, why]) => `${paint('cyan', command.padEnd(width))}  ${why}`)];
}
