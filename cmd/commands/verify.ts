/** `tailrace verify`: compares an index with its table row by row while both go on, and mends it where that is asked for. */
import type { TailraceConfig } from '../../src/config/definition.ts';
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { extentOf } from '../../src/observe/admin/verify-routes.ts';
import type { DifferenceStatus, VerifyProgressStatus, VerifyReport } from '../../src/pipeline/verify-status.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { refuseUnknownIndex } from '../index-name.ts';
import { configOptions, jsonOption } from '../options.ts';
import { differenceLines, progressItem, reportLines } from '../screens/verify-screen.ts';
import { typed } from '../terminal/given-options.ts';
import { standardError, standardOutput } from '../terminal/output.ts';
import { ProgressBars, ProgressMeter, progressText } from '../terminal/progress.ts';
import { defineVerb } from '../verb.ts';

/** Where no bar can be drawn, a line says how far it is this often. */
const LINE_EVERY_MS = 5_000;

const LIMIT_MAX = 50_000;

export const verifyVerb = defineVerb({
  command: 'verify <index>',
  describe: 'Compare an index with its table row by row; exits with 0 only when they are equal',
  options: {
    ...configOptions,
    ...jsonOption,
    generation: { type: 'number', requiresArg: true, describe: 'Another generation than the one that readers see' },
    sample: { type: 'string', requiresArg: true, describe: 'Compare only a part, chosen by chance: a number of rows, or a percentage: 100000, 5%' },
    repair: { type: 'boolean', default: false, describe: 'Read the rows of what differs again, take out what no row makes, and look at it again' },
    rate: { type: 'number', requiresArg: true, describe: 'Most rows that are read in a second' },
    limit: { type: 'number', default: 20, requiresArg: true, describe: 'Most differences that are shown; all are counted' },
  },
  positionals: { index: { type: 'string', demandOption: true, describe: 'Name of the index' } },
  examples: [
    ['$0 verify products', 'Compare all of it; Ctrl-C ends that'],
    ['$0 verify products --sample 5%', 'Compare a twentieth'],
    ['$0 verify products --repair', 'Compare all of it, and mend what differs'],
  ],
  run: async (args) => {
    for (const name of ['generation', 'rate', 'limit'] as const) refuseFraction(name, args[name], name === 'limit' ? 0 : 1);
    if (args.limit > LIMIT_MAX) throw new TailraceError('USAGE', { message: `\`--limit\` is a whole number up to ${LIMIT_MAX}.` });
    if (args.sample !== undefined) extentOf(args.sample);
    const { readConfig } = await import('../config-file.ts');
    const { config } = await readConfig(args);
    refuseUnknownIndex(args.index, config);
    const query = Object.entries({ index: args.index, generation: args.generation, sample: args.sample, repair: args.repair ? 1 : undefined, rate: args.rate, limit: args.limit });
    const report = await follow(config, Object.fromEntries(query.flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)]]))), args.json);
    return report.equal ? ExitCode.ok : ExitCode.no;
  },
});

function refuseFraction(name: string, value: number | undefined, least: number): void {
  if (value !== undefined && !(Number.isSafeInteger(value) && value >= least)) throw new TailraceError('USAGE', { message: `\`--${name}\` is a whole number, ${least} or more.` });
}

type Line = { readonly progress: VerifyProgressStatus } | { readonly difference: DifferenceStatus } | { readonly report: VerifyReport };

/** The verification ends with this process: whoever stops reading its lines has called it off. */
async function follow(config: TailraceConfig, query: Readonly<Record<string, string>>, json: boolean): Promise<VerifyReport> {
  const [{ askDaemonForLines, daemonAnswers }, { socketPathOf }] = await Promise.all([import('../daemon/admin-client.ts'), import('../daemon/reading.ts')]);
  const socketPath = socketPathOf(config);
  if (!(await daemonAnswers(socketPath))) throw new TailraceError('NOT_RUNNING', { message: 'No daemon runs that could do it.' });
  const bars = standardError.isTerminal ? new ProgressBars(standardError, process.stderr) : null;
  const meter = new ProgressMeter();
  const differences: DifferenceStatus[] = [];
  let shownMs = nodeClock.monotonicMs();
  try {
    for await (const text of askDaemonForLines(socketPath, { path: '/v1/verify', method: 'POST', query })) {
      const line = JSON.parse(text) as Line;
      if ('progress' in line) {
        const nowMs = nodeClock.monotonicMs();
        const items = meter.measure([progressItem(line.progress)], nowMs);
        bars?.show(items);
        if (bars === null && nowMs - shownMs >= LINE_EVERY_MS) {
          shownMs = nowMs;
          for (const item of items) standardError.lines([`${item.label}: ${progressText(item)}`]);
        }
      } else if ('difference' in line) differences.push(line.difference);
      else {
        bars?.clear();
        if (json) standardOutput.write(`${JSON.stringify({ ...line.report, found: differences })}\n`);
        else standardOutput.lines([...differenceLines(differences, line.report, standardOutput.paint), ...typed(reportLines(line.report, standardOutput.paint))]);
        return line.report;
      }
    }
  } finally {
    bars?.clear();
  }
  throw new TailraceError('NOT_RUNNING', { message: 'The daemon ended before the verification did.' });
}
