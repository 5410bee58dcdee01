/** `tailrace log ...`: the change log, looked into. */
import { existsSync } from 'node:fs';
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { LogStatReport } from '../../src/observe/status-report.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { configOptions, jsonOption, type ConfigArguments } from '../options.ts';
import { findingLines } from '../screens/findings.ts';
import { entryLines } from '../screens/log-entry.ts';
import { standardError, standardOutput } from '../terminal/output.ts';
import { ProgressBars, ProgressMeter } from '../terminal/progress.ts';
import { table, type Paint } from '../terminal/table.ts';
import { bytes, count, counted, duration } from '../terminal/units.ts';
import { defineVerb, groupVerbs } from '../verb.ts';
import type { Reading } from '../daemon/reading.ts';

async function open(args: ConfigArguments): Promise<Reading> {
  const [{ readConfig }, { openReading }] = await Promise.all([import('../config-file.ts'), import('../daemon/reading.ts')]);
  const { config } = await readConfig(args);
  return openReading(config);
}

/** Reads a seq, or a number of changes. */
function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new TailraceError('USAGE', { message: `\`--${name}\` is a whole number, 0 or more.` });
  return Number(text);
}

const statVerb = defineVerb({
  command: 'stat',
  describe: 'Size, age and numbering of the log, and what keeps it from being shortened',
  options: { ...configOptions, ...jsonOption },
  run: async (args) => {
    await using reading = await open(args);
    const stat = await reading.logStat();
    if (args.json) standardOutput.write(`${JSON.stringify(stat)}\n`);
    else standardOutput.lines(statScreen(stat, Date.now(), standardOutput.paint));
    return ExitCode.ok;
  },
});

function statScreen(stat: LogStatReport, nowMs: number, paint: Paint): string[] {
  const field = (name: string, value: string): string => `${paint('dim', name.padEnd(11))} ${value}`;
  const held = Math.max(0, stat.durable_seq - stat.first_seq + 1);
  const holds = stat.holds.map(({ name, seq }) => [name, count(seq), count(Math.max(0, stat.durable_seq - seq))]);
  return [
    field('log', `${stat.id}, epoch ${stat.epoch}`),
    field('changes', `${count(held)}, seq ${count(stat.first_seq)} to ${count(stat.durable_seq)}`),
    field('size', `${bytes(stat.bytes)} in ${counted(stat.segments, 'file')}`),
    field('oldest', stat.oldest_ms === null ? '-' : `${duration(Math.max(0, nowMs - stat.oldest_ms) / 1000)} ago`),
    field('condition', stat.condition),
    '',
    ...table([{ title: 'kept for' }, { title: 'applied up to seq', align: 'right' }, { title: 'changes to go', align: 'right' }], holds, paint),
  ];
}

const tailVerb = defineVerb({
  command: 'tail',
  describe: 'Show the newest changes, one line each, without what the rows hold',
  options: {
    ...configOptions,
    ...jsonOption,
    count: { type: 'string', alias: 'n', default: '20', requiresArg: true, describe: 'How many' },
    follow: { type: 'boolean', alias: 'f', default: false, describe: 'Go on as changes come, until Ctrl-C' },
  },
  run: async (args) => {
    const wanted = wholeNumber('count', args.count);
    await using reading = await open(args);
    const { durable_seq: durableSeq } = await reading.logStat();
    await show(reading, { first: Math.max(1, durableSeq - wanted + 1), follow: args.follow, rows: false }, args.json);
    return ExitCode.ok;
  },
});

const dumpVerb = defineVerb({
  command: 'dump',
  describe: 'Print changes with everything that their rows hold',
  options: {
    ...configOptions,
    ...jsonOption,
    first: { type: 'string', default: '1', requiresArg: true, describe: 'First seq' },
    last: { type: 'string', requiresArg: true, describe: 'Last seq; by default the newest' },
  },
  examples: [['$0 log dump --first 3400 --last 3400 --json', 'One change, as JSON']],
  run: async (args) => {
    const first = wholeNumber('first', args.first);
    const last = args.last === undefined ? undefined : wholeNumber('last', args.last);
    if (last !== undefined && last < first) throw new TailraceError('USAGE', { message: `\`--last ${last}\` comes before \`--first ${first}\`.` });
    await using reading = await open(args);
    await show(reading, { first, last, follow: false, rows: true }, args.json);
    return ExitCode.ok;
  },
});

/** Prints until there are no more, or nobody reads them. */
async function show(reading: Reading, request: { first: number; last?: number | undefined; follow: boolean; rows: boolean }, json: boolean): Promise<void> {
  for await (const lines of reading.logEntries(request, standardOutput.closed)) {
    if (json) standardOutput.write(lines);
    else standardOutput.lines(entryLines(lines, standardOutput.paint));
    await standardOutput.drained();
    if (standardOutput.closed.aborted) return;
  }
}

const verifyVerb = defineVerb({
  command: 'verify',
  describe: 'Read every file of the log and check all of it, also beside a running daemon; exits with 74 when it is damaged',
  options: { ...configOptions, ...jsonOption },
  run: async (args) => {
    const [{ readConfig }, { verifyLog }, { listSegments }, { layoutOf }, { nodeRuntime }] = await Promise.all([
      import('../config-file.ts'),
      import('../../src/log/verify.ts'),
      import('../../src/log/survey.ts'),
      import('../../src/pipeline/layout.ts'),
      import('../../src/runtime/node/runtime.ts'),
    ]);
    const { config } = await readConfig(args);
    const folder = layoutOf(config.data_directory).log;
    if (!existsSync(folder)) throw new TailraceError('NOT_RUNNING', { message: `No daemon has run yet: there is no change log in ${folder}.` });
    let damages = 0;
    const runtime = nodeRuntime(silentLogger);
    const progress = new VerifyProgress((await listSegments(runtime.disk, folder)).length);
    try {
      for await (const finding of verifyLog(folder, runtime)) {
        if (standardOutput.closed.aborted) break;
        if (finding.level === 'problem') damages += 1;
        progress.say(args.json ? `${JSON.stringify(finding)}\n` : findingLines(finding, standardOutput.paint).map((line) => `${line}\n`).join(''));
        progress.looked(finding.subject);
      }
    } finally {
      progress.clear();
    }
    if (!args.json) standardOutput.lines([damages === 0 ? `The log is ${standardOutput.paint('green', 'whole')}.` : `The log is ${standardOutput.paint('red', 'damaged')}: ${counted(damages, 'place')}.`]);
    return damages === 0 ? ExitCode.ok : ExitCode.io;
  },
});

/** A bar below the findings, where there is a terminal to draw on; without one the findings themselves, a line for each file, show how far it is. */
class VerifyProgress {
  readonly #files: number;
  readonly #seen = new Set<string>();
  readonly #meter = new ProgressMeter();
  readonly #bars = standardOutput.isTerminal ? new ProgressBars(standardOutput, process.stdout) : standardError.isTerminal ? new ProgressBars(standardError, process.stderr) : null;

  constructor(files: number) {
    this.#files = files;
    this.#show();
  }

  say(text: string): void {
    if (standardOutput.isTerminal && this.#bars !== null) this.#bars.above(text);
    else standardOutput.write(text);
  }

  looked(file: string): void {
    this.#seen.add(file);
    this.#show();
  }

  clear(): void {
    this.#bars?.clear();
  }

  #show(): void {
    const item = { label: 'verifying the log', unit: 'files', done: this.#seen.size, total: this.#files };
    // One file needs no bar.
    if (this.#files > 1) this.#bars?.show(this.#meter.measure([item], nodeClock.monotonicMs()));
  }
}

export const logVerb = groupVerbs('log', 'Look into the change log', [statVerb, tailVerb, dumpVerb, verifyVerb]);
