/** `tailrace run`: the daemon; with `--once`, until everything is in step. */
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { untilAborted } from '../../src/runtime/abort.ts';
import { sentence, suggestion } from '../../src/config/nearest.ts';
import type { LoadedConfig } from '../config-file.ts';
import type { Daemon } from '../daemon/daemon.ts';
import { endOf } from '../daemon/end.ts';
import type { Stop } from '../daemon/stop-signals.ts';
import { configOptions, everywhereOptions } from '../options.ts';
import { standardError } from '../terminal/output.ts';
import type { MeasuredItem, ProgressBars } from '../terminal/progress.ts';
import { defineVerb } from '../verb.ts';

const BARS_EVERY_MS = 100;
const LINES_EVERY_MS = 5_000;

export const runVerb = defineVerb({
  command: 'run',
  describe: 'Keep the indices in step: the daemon',
  staysUp: true,
  options: {
    ...configOptions,
    ...everywhereOptions,
    once: { type: 'boolean', default: false, describe: 'Stop when everything that is committed now is searchable' },
    rebuild: { type: 'array', string: true, requiresArg: true, default: [] as string[], describe: 'Build the indices of this source again from a new snapshot; may be repeated' },
  },
  examples: [
    ['$0 run', 'Run until SIGTERM or Ctrl-C; a second one ends it at once'],
    ['$0 run --rebuild shop', 'After the history of the source `shop` was lost'],
  ],
  run: async (args) => {
    const { readConfig } = await import('../config-file.ts');
    const loaded = await readConfig(args);
    refuseUnknown(args.rebuild, loaded);
    try {
      return await runDaemon(loaded, { once: args.once, rebuild: args.rebuild, debug: args.debug });
    } catch (error) {
      throw args.rebuild.length === 0 ? error : rebuildRefused(error, args.rebuild);
    }
  },
});

function refuseUnknown(rebuild: readonly string[], { config }: LoadedConfig): void {
  const known = config.sources.map(({ name }) => name);
  const unknown = rebuild.find((name) => !known.includes(name));
  if (unknown !== undefined) throw new TailraceError('USAGE', { message: sentence(`The config has no source \`${unknown}\`${suggestion(unknown, known)}`), hint: `Name one of: ${known.join(', ')}.` });
}

/** Who asks for a rebuild has most often read so in the status of the daemon that runs. */
function rebuildRefused(error: unknown, rebuild: readonly string[]): unknown {
  if (!(error instanceof TailraceError) || error.code !== 'LOCK_HELD') return error;
  const { message, did, entity, cause } = error;
  const command = ['tailrace run', ...rebuild.map((name) => `--rebuild ${name}`)].join(' ');
  return new TailraceError('LOCK_HELD', { message, did, entity, cause, hint: `Stop that daemon first (SIGTERM; \`tailrace status\` tells its pid), then \`${command}\`.` });
}

interface RunOptions {
  readonly once: boolean;
  readonly rebuild: readonly string[];
  readonly debug: boolean;
}

async function runDaemon(loaded: LoadedConfig, { once, rebuild, debug }: RunOptions): Promise<ExitCode> {
  const [{ startDaemon }, { listenForStop }, { ProgressBars: Bars }] = await Promise.all([import('../daemon/daemon.ts'), import('../daemon/stop-signals.ts'), import('../terminal/progress.ts')]);
  const { config } = loaded;
  const bars = standardError.isTerminal ? new Bars(standardError, process.stderr) : null;
  const write = (line: string): void => (bars === null ? standardError.write(line) : bars.above(line));
  const pretty = config.logging.format === 'pretty' || (config.logging.format === 'auto' && standardError.isTerminal);
  let daemon: Daemon | null = null;
  using stop = listenForStop({
    withinMs: config.shutdown_within_ms,
    onStop: (reason) => daemon?.logger.info('stopping', { reason }),
    onGivenUp: (reason) => {
      bars?.clear();
      daemon?.logger.warn('stop_given_up', { reason });
      daemon?.logger.flush();
    },
  });
  const startedMs = performance.now();
  await using started = await startDaemon(loaded, {
    logging: { format: pretty ? 'pretty' : 'json', colour: standardError.hasColours, debug, write },
    rebuild,
    onStopRequested: () => stop.request('admin'),
  });
  daemon = started;
  const ended = new AbortController();
  try {
    await Promise.race([work(started, stop, once, startedMs), showProgress(started, bars, AbortSignal.any([stop.signal, ended.signal]))]);
    ended.abort();
    bars?.clear();
    // From here on the deadline of a stop holds, whatever brought it about.
    stop.request('caught_up');
    await started.pipeline.stop();
    started.logger.info('stopped');
  } catch (error) {
    throw endOf(error, stop.signal.aborted);
  } finally {
    ended.abort();
    bars?.clear();
    started.logger.flush();
  }
  return ExitCode.ok;
}

/** Until the daemon is told to stop, has caught up (`--once`), or ends with an error. */
async function work({ pipeline, logger }: Daemon, stop: Stop, once: boolean, startedMs: number): Promise<void> {
  const stopped = untilAborted(new Promise<never>(() => {}), stop.signal).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  if (!once) return Promise.race([pipeline.finished, stopped]);
  const caughtUp = async (): Promise<void> => {
    await pipeline.caughtUp(stop.signal);
    const { indices } = pipeline.status();
    const sum = (of: (index: (typeof indices)[number]) => number): number => indices.reduce((total, index) => total + of(index), 0);
    logger.info('caught_up', { indices: indices.length, applied: sum(({ counters }) => counters.applied), dead_letters: sum(({ dead_letters: parked }) => parked), ms: Math.round(performance.now() - startedMs) });
  };
  // `stopped` first: a stop also ends the waiting, with an error that says so.
  await Promise.race([stopped, pipeline.finished, caughtUp()]);
}

/** Never resolves. */
async function showProgress({ pipeline, logger }: Daemon, bars: ProgressBars | null, signal: AbortSignal): Promise<never> {
  const { watchProgress } = await import('../daemon/watch-progress.ts');
  const log = (items: readonly MeasuredItem[]): void => {
    for (const { label, unit, done, total, perSecond, etaSeconds } of items) {
      logger.info('progress', { what: label, unit, done, total, per_second: Math.round(perSecond), eta_seconds: etaSeconds === null ? null : Math.round(etaSeconds) });
    }
  };
  await watchProgress(pipeline, bars === null ? LINES_EVERY_MS : BARS_EVERY_MS, bars === null ? log : (items) => bars.show(items), signal);
  return new Promise(() => {});
}
