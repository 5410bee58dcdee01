/** `tailrace lag`: how far everything is behind, for people and as the JSON of `--json`. */
import type { IndexReport, SourceReport, StatusReport } from '../../src/observe/status-report.ts';
import { table, type Paint } from '../terminal/table.ts';
import { bytes, count, duration, known } from '../terminal/units.ts';
import { phaseText } from './phase.ts';

export interface LagReport {
  readonly running: boolean;
  readonly now_ms: number;
  /** The largest of the indices; null when one of them is not known. */
  readonly max_lag_seconds: number | null;
  readonly sources: readonly Pick<SourceReport, 'name' | 'phase' | 'head' | 'logged' | 'lag_bytes' | 'lag_seconds' | 'retained_bytes' | 'bytes_until_loss' | 'seconds_until_loss'>[];
  readonly log: { readonly durable_seq: number };
  readonly indices: readonly Pick<IndexReport, 'name' | 'phase' | 'cursor' | 'lag_changes' | 'lag_seconds'>[];
}

export function lagReport({ running, now_ms, sources, indices, log }: StatusReport): LagReport {
  const seconds = indices.map(({ lag_seconds: lag }) => lag);
  return {
    running,
    now_ms,
    max_lag_seconds: seconds.every((lag) => lag !== null) ? Math.max(0, ...seconds) : null,
    sources: sources.map(({ name, phase, head, logged, lag_bytes, lag_seconds, retained_bytes, bytes_until_loss, seconds_until_loss }) => ({ name, phase, head, logged, lag_bytes, lag_seconds, retained_bytes, bytes_until_loss, seconds_until_loss })),
    log: { durable_seq: log.durable_seq },
    indices: indices.map(({ name, phase, cursor, lag_changes, lag_seconds }) => ({ name, phase, cursor, lag_changes, lag_seconds })),
  };
}

export function lagScreen(lag: LagReport, paint: Paint): string[] {
  const right = 'right' as const;
  const sources = table(
    [{ title: 'source' }, { title: 'state' }, { title: 'not logged', align: right }, { title: 'behind', align: right }, { title: 'logged' }, { title: 'head' }, { title: 'kept for us', align: right }, { title: 'history runs out' }],
    lag.sources.map((source) => [
      source.name,
      phaseText(source.phase, paint),
      known(source.lag_bytes, bytes),
      known(source.lag_seconds, duration),
      source.logged ?? '-',
      source.head ?? '?',
      known(source.retained_bytes, bytes),
      historyLeft(source),
    ]),
    paint,
  );
  const indices = table(
    [{ title: 'index' }, { title: 'state' }, { title: 'not applied', align: right }, { title: 'behind', align: right }, { title: 'applied', align: right }, { title: 'logged', align: right }],
    lag.indices.map((index) => [index.name, phaseText(index.phase, paint), known(index.lag_changes, count), known(index.lag_seconds, duration), index.cursor === null ? '-' : count(index.cursor), count(lag.log.durable_seq)]),
    paint,
  );
  return [...sources, '', ...indices];
}

function historyLeft(source: LagReport['sources'][number]): string {
  const { bytes_until_loss: left, seconds_until_loss: seconds } = source;
  if (left === null) return source.retained_bytes === null ? '?' : 'never';
  return seconds === null ? `after ${bytes(left)}` : `after ${bytes(left)}, about ${duration(seconds)}`;
}

/** One line, for `--watch` where nothing can be drawn over. */
export function lagLine(lag: LagReport): string {
  const sources = lag.sources.map(({ name, lag_bytes: behind, lag_seconds: seconds }) => `${name} ${known(behind, bytes)} ${known(seconds, duration)}`);
  const indices = lag.indices.map(({ name, lag_changes: behind, lag_seconds: seconds }) => `${name} ${known(behind, count)} changes ${known(seconds, duration)}`);
  return `${new Date(lag.now_ms).toISOString()}  ${[...sources, ...indices].join('  ')}`;
}

/** Why an alert should go off, one sentence each: the sources that have stopped, and the indices that are not serving or further behind than allowed. */
export function behindMoreThan(lag: LagReport, maxSeconds: number): string[] {
  if (!lag.running) return ['tailrace is not running.'];
  // What waits for a person falls behind until somebody comes, however little it is behind now.
  const stopped = lag.sources.flatMap(({ name, phase }) => (phase === 'stopped' ? [`Source ${name} is stopped.`] : []));
  const behind = lag.indices.flatMap(({ name, phase, lag_seconds: seconds }) => {
    if (phase !== 'serving') return [`Index ${name} is ${phase ?? 'not running'}.`];
    if (seconds === null) return [`How far index ${name} is behind is not known.`];
    return seconds > maxSeconds ? [`Index ${name} is ${duration(seconds)} behind, more than ${duration(maxSeconds)}.`] : [];
  });
  return [...stopped, ...behind];
}
