/** `tailrace resync`: reads rows again. All of an index, or of every index of a table, in another generation beside the one that readers see; some rows in place. */
import { readFile } from 'node:fs/promises';
import type { TailraceConfig } from '../../src/config/definition.ts';
import { systemCodeOf } from '../../src/errors/system-code.ts';
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { JobReport } from '../../src/observe/reports.ts';
import type { SteeredSnapshot } from '../../src/pipeline/resync.ts';
import type { ResyncPlan } from '../../src/pipeline/status.ts';
import { refuseUnknownIndex } from '../index-name.ts';
import { configOptions, jsonOption } from '../options.ts';
import { begunLines, cancelledLines, endedLines, planLines, steeredLines, stoppedLines } from '../screens/resync-screen.ts';
import { typed } from '../terminal/given-options.ts';
import { standardOutput } from '../terminal/output.ts';
import { defineVerb } from '../verb.ts';

const flag = (describe: string): { readonly type: 'boolean'; readonly default: false; readonly describe: string } => ({ type: 'boolean', default: false, describe });

export const resyncVerb = defineVerb({
  command: 'resync [index]',
  describe: 'Read rows again: build an index again while readers keep the one that there is, or mend rows in place',
  options: {
    ...configOptions,
    ...jsonOption,
    table: { type: 'string', requiresArg: true, describe: 'Build every index again that is made from this table, with one snapshot: shop.public.products' },
    key: { type: 'array', string: true, requiresArg: true, describe: 'Only the row with this key, as JSON, in place; may be repeated. 57, \'"A-17"\', or for a key of several columns a list or an object of them' },
    'keys-file': { type: 'string', requiresArg: true, describe: 'Only rows with the keys in this file, one JSON a line; - for standard input' },
    where: { type: 'string', requiresArg: true, describe: "Only rows for which this SQL condition of the source holds, in place: 'price > 3'" },
    swap: { type: 'boolean', default: true, describe: 'Show readers the new generation when it is in step; --no-swap leaves that to `generations promote`' },
    'dry-run': flag('Say what would be read, and read it not'),
    watch: { type: 'boolean', describe: 'Show progress until it is done; by default on a terminal' },
    pause: flag('Have what is read for the index wait, until --resume'),
    resume: flag('Take back --pause'),
    cancel: flag('Give up every resync of the index'),
  },
  positionals: { index: { type: 'string', describe: 'Name of the index' } },
  examples: [
    ['$0 resync products', 'Build the index again, beside the one that readers see'],
    ['$0 resync products --key 57 --key 58', 'Read two rows again; a row that is gone takes its document with it'],
    ["$0 resync products --where \"updated_at > '2026-11-01'\"", 'Read the rows of a condition again'],
    ['$0 resync --table shop.public.products', 'Build every index of a table again'],
    ['$0 resync products --cancel', 'Give up what goes on'],
  ],
  run: async (args) => {
    const order = orderOf(args);
    const { readConfig } = await import('../config-file.ts');
    const { config } = await readConfig(args);
    if (args.index !== undefined) refuseUnknownIndex(args.index, config);
    if (order !== null) return steer(config, args.index as string, order, args.json);
    const wanted = await wantedOf(args);
    const query = { ...(args.table === undefined ? { index: args.index as string } : { table: args.table }), ...(args.swap ? {} : { swap: '0' }) };
    const { commandDaemon } = await import('../daemon/commanding.ts');
    if (args['dry-run']) {
      const { plans } = await commandDaemon<{ readonly plans: readonly ResyncPlan[] }>(config, '/v1/resync', { ...query, dry_run: '1' }, wanted);
      standardOutput.lines(args.json ? plans.map((plan) => JSON.stringify(plan)) : planLines(plans));
      return ExitCode.ok;
    }
    const { jobs } = await commandDaemon<{ readonly jobs: readonly JobReport[] }>(config, '/v1/resync', query, wanted);
    const watch = args.watch ?? (standardOutput.isTerminal && !args.json);
    if (!args.json) standardOutput.lines(typed(begunLines(jobs, watch)));
    else if (!watch) standardOutput.lines(jobs.map((job) => JSON.stringify(job)));
    return watch ? watchToEnd(config, jobs, args.json) : ExitCode.ok;
  },
});

type Order = 'pause' | 'resume' | 'cancel';

interface ResyncArguments {
  readonly index?: string | undefined;
  readonly table?: string | undefined;
  readonly key?: readonly string[] | undefined;
  readonly 'keys-file'?: string | undefined;
  readonly where?: string | undefined;
  readonly swap: boolean;
  readonly 'dry-run': boolean;
  readonly watch?: boolean | undefined;
  readonly pause: boolean;
  readonly resume: boolean;
  readonly cancel: boolean;
}

/** What is to be done with what goes on; null when something is to begin. Throws USAGE for options that do not go together. */
function orderOf(args: ResyncArguments): Order | null {
  const { index, table, swap } = args;
  const orders = (['pause', 'resume', 'cancel'] as const).filter((order) => args[order]);
  const rows = (['key', 'keys-file', 'where'] as const).filter((option) => args[option] !== undefined);
  const others = [...rows, ...(['table', 'watch'] as const).filter((option) => args[option] !== undefined), ...(swap ? [] : ['no-swap']), ...(args['dry-run'] ? ['dry-run'] : [])];
  const [order = null, another] = orders;
  if (another !== undefined || (order !== null && others.length > 0)) throw usage(`\`--${order}\` is about what goes on, and goes with no other option; \`--${another ?? others[0]}\` is given, too.`);
  if (rows.length > 1) throw usage(`Which rows is said in one way: \`--${rows[0]}\` and \`--${rows[1]}\` are given.`);
  if (rows.length > 0 && !swap) throw usage(`\`--${rows[0]}\` reads rows in place, in the generations that there are: there is nothing to swap.`);
  if (table !== undefined && (index !== undefined || rows.length > 0)) throw usage('`--table` builds every index of the table again: it goes with neither an index nor a choice of rows.');
  if (table === undefined && index === undefined) throw usage('`tailrace resync` needs an index, or `--table`.');
  return order;
}

async function wantedOf(args: ResyncArguments): Promise<{ readonly keys: readonly string[] } | { readonly where: string } | undefined> {
  if (args.where !== undefined) return { where: args.where };
  if (args.key !== undefined) return { keys: args.key };
  const file = args['keys-file'];
  return file === undefined ? undefined : { keys: keysIn(await readKeys(file), file) };
}

async function readKeys(file: string): Promise<string> {
  try {
    return file === '-' ? (await Array.fromAsync(process.stdin.setEncoding('utf8'))).join('') : await readFile(file, 'utf8');
  } catch (cause) {
    throw new TailraceError('USAGE', { message: `The file of keys ${file} cannot be read: ${systemCodeOf(cause) ?? String(cause)}.`, did: 'Nothing was changed.', cause });
  }
}

/** The lines as they are: their numbers keep every digit. Empty ones are left out. */
function keysIn(text: string, file: string): string[] {
  const keys: string[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    const key = line.trim();
    if (key === '') continue;
    try {
      JSON.parse(key);
    } catch (cause) {
      throw new TailraceError('USAGE', { message: `Line ${i + 1} of ${file === '-' ? 'standard input' : file} is no JSON.`, did: 'Nothing was changed.', hint: 'Each line is a key: `57`, `"A-17"`, `["A-17", 3]` or `{"sku": "A-17", "shop": 3}`.', cause });
    }
    keys.push(key);
  }
  if (keys.length === 0) throw new TailraceError('USAGE', { message: `There is no key in ${file === '-' ? 'standard input' : file}.`, did: 'Nothing was changed.' });
  return keys;
}

async function steer(config: TailraceConfig, index: string, order: Order, json: boolean): Promise<ExitCode> {
  const { commandDaemon } = await import('../daemon/commanding.ts');
  if (order === 'cancel') {
    const { jobs } = await commandDaemon<{ readonly jobs: readonly JobReport[] }>(config, '/v1/resync/cancel', { index });
    standardOutput.lines(json ? jobs.map((job) => JSON.stringify(job)) : cancelledLines(index, jobs));
  } else {
    const { snapshots } = await commandDaemon<{ readonly snapshots: readonly SteeredSnapshot[] }>(config, `/v1/resync/${order}`, { index });
    standardOutput.lines(json ? snapshots.map((one) => JSON.stringify(one)) : typed(steeredLines(index, snapshots)));
  }
  return ExitCode.ok;
}

async function watchToEnd(config: TailraceConfig, jobs: readonly JobReport[], json: boolean): Promise<ExitCode> {
  const [{ watchJobs }, { socketPathOf }] = await Promise.all([import('../daemon/watch-jobs.ts'), import('../daemon/reading.ts')]);
  const { ended, stopped } = await watchJobs(socketPathOf(config), jobs.map(({ id }) => id), standardOutput.closed);
  standardOutput.lines(json ? [...ended, ...stopped].map((job) => JSON.stringify(job)) : typed([...endedLines(ended), ...stopped.flatMap(stoppedLines)]));
  return stopped.length === 0 && ended.every(({ phase }) => phase === 'done') ? ExitCode.ok : ExitCode.no;
}

function usage(message: string): TailraceError {
  return new TailraceError('USAGE', { message });
}
