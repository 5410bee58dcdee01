/** `tailrace lag`: how far everything is behind; once, again and again, or as an alert's exit status. */
import type { TailraceConfig } from '../../src/config/definition.ts';
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { configOptions, jsonOption } from '../options.ts';
import { behindMoreThan, lagLine, lagReport, lagScreen, type LagReport } from '../screens/lag-screen.ts';
import { standardOutput } from '../terminal/output.ts';
import { defineVerb } from '../verb.ts';

const REDRAW_EVERY_MS = 1_000;
const APPEND_EVERY_MS = 5_000;
const HOME_AND_CLEAR = '\u001B[H\u001B[J';

export const lagVerb = defineVerb({
  command: 'lag',
  describe: 'Show how far log and indices are behind their sources, and when the sources\' history runs out',
  options: {
    ...configOptions,
    ...jsonOption,
    watch: { type: 'boolean', default: false, describe: 'Go on until Ctrl-C: drawn anew each second on a terminal, else a line every 5 seconds' },
    'max-seconds': { type: 'string', requiresArg: true, describe: 'Exit with 1 when an index is further behind, or is not serving, or a source is stopped' },
  },
  examples: [
    ['$0 lag --watch', 'Look on'],
    ['$0 lag --max-seconds 60', 'For an alert: exit status 1 when any index is more than a minute behind'],
  ],
  run: async (args) => {
    const maxSeconds = secondsOf(args['max-seconds']);
    if (args.watch && maxSeconds !== undefined) throw new TailraceError('USAGE', { message: '`--watch` goes on until it is stopped, `--max-seconds` looks once: give one of them.' });
    const { readConfig } = await import('../config-file.ts');
    const { config } = await readConfig(args);
    if (args.watch) await watch(config, args.json);
    const lag = await look(config);
    if (args.json) standardOutput.write(`${JSON.stringify(lag)}\n`);
    else standardOutput.lines(lagScreen(lag, standardOutput.paint));
    return maxSeconds === undefined ? ExitCode.ok : verdict(lag, maxSeconds);
  },
});

function secondsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (text.trim() === '' || !Number.isFinite(seconds) || seconds < 0) throw new TailraceError('USAGE', { message: '`--max-seconds` is a number of seconds, 0 or more.' });
  return seconds;
}

async function look(config: TailraceConfig): Promise<LagReport> {
  const { openReading } = await import('../daemon/reading.ts');
  await using reading = await openReading(config);
  return lagReport(await reading.status());
}

/** Says what is behind, as an error that an alert's log will show. */
function verdict(lag: LagReport, maxSeconds: number): ExitCode {
  const reasons = behindMoreThan(lag, maxSeconds);
  if (reasons.length > 0) throw new TailraceError(lag.running ? 'BEHIND' : 'NOT_RUNNING', { message: reasons.join(' ') });
  return ExitCode.ok;
}

/** Until Ctrl-C, or until nobody reads what is printed. */
async function watch(config: TailraceConfig, json: boolean): Promise<never> {
  const redraw = standardOutput.isTerminal && !json;
  for (;;) {
    const lag = await look(config);
    if (json) standardOutput.write(`${JSON.stringify(lag)}\n`);
    else if (redraw) standardOutput.write(`${HOME_AND_CLEAR}${[...lagScreen(lag, standardOutput.paint), '', standardOutput.paint('dim', `${new Date(lag.now_ms).toLocaleTimeString()}  Ctrl-C ends this.`)].join('\n')}\n`);
    else standardOutput.write(`${lagLine(lag)}\n`);
    await nodeClock.sleep(redraw ? REDRAW_EVERY_MS : APPEND_EVERY_MS, standardOutput.closed);
  }
}
