/** `tailrace resync`: builds an index again from a snapshot, in a generation beside the one that readers see. */
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { JobReport } from '../../src/observe/reports.ts';
import type { ResyncPlan } from '../../src/pipeline/status.ts';
import { refuseUnknownIndex } from '../index-name.ts';
import { configOptions, jsonOption } from '../options.ts';
import { standardOutput } from '../terminal/output.ts';
import { defineVerb } from '../verb.ts';

export const resyncVerb = defineVerb({
  command: 'resync <index>',
  describe: 'Build an index again from a snapshot, while readers keep the one that there is',
  options: {
    ...configOptions,
    ...jsonOption,
    swap: { type: 'boolean', default: true, describe: 'Show readers the new generation when it is in step; --no-swap leaves that to `generations promote`' },
    'dry-run': { type: 'boolean', default: false, describe: 'Say what would be done, and do it not' },
    cancel: { type: 'boolean', default: false, describe: 'Give up what is being built' },
  },
  positionals: { index: { type: 'string', demandOption: true, describe: 'Name of the index' } },
  examples: [
    ['$0 resync products', 'Build the index again; `tailrace status` shows how far it is'],
    ['$0 resync products --no-swap', 'Build it, and look at it before readers do'],
    ['$0 resync products --cancel', 'Give that up'],
  ],
  run: async (args) => {
    if (args.cancel && (args['dry-run'] || !args.swap)) throw new TailraceError('USAGE', { message: '`--cancel` gives up what is being built; it goes with neither `--dry-run` nor `--no-swap`.' });
    const [{ readConfig }, { commandDaemon }] = await Promise.all([import('../config-file.ts'), import('../daemon/commanding.ts')]);
    const { config } = await readConfig(args);
    refuseUnknownIndex(args.index, config);
    const query = { index: args.index, ...(args.swap ? {} : { swap: '0' }), ...(args['dry-run'] ? { dry_run: '1' } : {}), ...(args.cancel ? { cancel: '1' } : {}) };
    const answer = await commandDaemon<JobReport | ResyncPlan>(config, '/v1/resync', query);
    if (args.json) standardOutput.write(`${JSON.stringify(answer)}\n`);
    else standardOutput.lines(args.cancel ? [`What was being built for index ${args.index} is given up. Readers keep what they have.`] : 'id' in answer ? begun(answer, args.swap) : planned(answer));
    return ExitCode.ok;
  },
});

function begun({ index, what }: JobReport, swap: boolean): string[] {
  const end = swap ? 'Readers get it when it is in step.' : `Readers get it with: tailrace generations promote ${index} ${String(what['generation'])}`;
  return [`Index ${index} is built again as generation ${String(what['generation'])}. ${end}`, 'See how far it is: tailrace status'];
}

function planned({ index, table, generation, gives_up: givesUp, swap }: ResyncPlan): string[] {
  return [
    `Index ${index} would be built again as generation ${generation}, from a snapshot of ${table}. Readers would ${swap ? 'get it when it is in step' : 'not get it by themselves'}.`,
    ...(givesUp === null ? [] : [`Generation ${givesUp}, which is being built, would be given up for it.`]),
    'Nothing was changed.',
  ];
}
