/** `tailrace generations`: the builds of each index, which of them readers see, and changing that. */
import { ExitCode } from '../../src/errors/policy.ts';
import { refuseUnknownIndex } from '../index-name.ts';
import { configOptions, jsonOption, type ConfigArguments } from '../options.ts';
import { generationScreen } from '../screens/generation-screen.ts';
import { typed } from '../terminal/given-options.ts';
import { standardOutput } from '../terminal/output.ts';
import { defineVerb, groupVerbs } from '../verb.ts';

const oneOf = {
  index: { type: 'string', demandOption: true, describe: 'Name of the index' },
  generation: { type: 'number', demandOption: true, describe: 'Number of the generation' },
} as const;

function atOption(describe: string): { readonly at: { readonly type: 'string'; readonly requiresArg: true; readonly describe: string } } {
  return { at: { type: 'string', requiresArg: true, describe } };
}

const listVerb = defineVerb({
  command: 'list [index]',
  describe: 'List the generations of an index, or of all',
  options: { ...configOptions, ...jsonOption, ...atOption('Instead those that this target holds and this pipeline does nothing with: of an index that the config has no more, or built by another data directory') },
  positionals: { index: { type: 'string', describe: 'Only those of this index' } },
  examples: [['$0 generations list --at search', 'What the target `search` holds that nobody feeds']],
  run: async (args) => {
    if (args.at !== undefined) return listLeft(args, args.at);
    const [{ readConfig }, { openReading }] = await Promise.all([import('../config-file.ts'), import('../daemon/reading.ts')]);
    const { config } = await readConfig(args);
    if (args.index !== undefined) refuseUnknownIndex(args.index, config);
    await using reading = await openReading(config);
    const generations = await reading.generations(args.index);
    if (args.json) standardOutput.write(generations.map((one) => `${JSON.stringify(one)}\n`).join(''));
    else standardOutput.lines(generationScreen(generations, Date.now(), standardOutput.paint));
    return ExitCode.ok;
  },
});

const promoteVerb = defineVerb({
  command: 'promote <index> <generation>',
  describe: 'Show readers another generation, as soon as it is in step: a new one, or one from before',
  options: { ...configOptions, ...jsonOption },
  positionals: oneOf,
  examples: [['$0 generations promote products 3', 'Go back to generation 3 of the index']],
  run: async (args) => command(args, 'promote', `Readers of ${args.index} get generation ${args.generation} as soon as it is in step: \`tailrace generations list ${args.index}\``),
});

const dropVerb = defineVerb({
  command: 'drop <index> <generation>',
  describe: 'Remove a generation that readers do not see',
  options: { ...configOptions, ...jsonOption, ...atOption('Remove one of those that `generations list --at` shows') },
  positionals: oneOf,
  examples: [['$0 generations drop old 4 --at search', 'Remove what the target holds of an index that is in the config no more']],
  run: async (args) => args.at !== undefined ? dropLeftAt(args, args.at) : command(args, 'drop', `Generation ${args.generation} of ${args.index} is removed.`),
});

interface CommandArguments extends ConfigArguments {
  readonly index: string;
  readonly generation: number;
  readonly json: boolean;
}

async function command(args: CommandArguments, what: 'promote' | 'drop', done: string): Promise<ExitCode> {
  const [{ readConfig }, { commandDaemon }] = await Promise.all([import('../config-file.ts'), import('../daemon/commanding.ts')]);
  const { config } = await readConfig(args);
  refuseUnknownIndex(args.index, config);
  const answer = await commandDaemon(config, `/v1/generations/${what}`, { index: args.index, generation: String(args.generation) });
  standardOutput.lines(args.json ? [JSON.stringify(answer)] : typed([done]));
  return ExitCode.ok;
}

interface AtArguments extends ConfigArguments {
  readonly index?: string | undefined;
  readonly json: boolean;
}

async function listLeft(args: AtArguments, at: string): Promise<ExitCode> {
  const [{ readConfig }, { leftBehindAt }, { leftLine }] = await Promise.all([import('../config-file.ts'), import('../daemon/left-behind.ts'), import('../screens/plan-screen.ts')]);
  const { config } = await readConfig(args);
  const left = (await leftBehindAt(config, at)).filter(({ index }) => args.index === undefined || index === args.index);
  standardOutput.lines(args.json ? left.map((one) => JSON.stringify(one)) : left.length === 0 ? [`Target ${at} holds nothing that is left behind.`] : left.map(leftLine));
  return ExitCode.ok;
}

async function dropLeftAt(args: CommandArguments, at: string): Promise<ExitCode> {
  const [{ readConfig }, { dropLeftBehind }] = await Promise.all([import('../config-file.ts'), import('../daemon/left-behind.ts')]);
  const { config } = await readConfig(args);
  const { index, generation } = args;
  await dropLeftBehind(config, { index, generation }, at);
  standardOutput.lines([args.json ? JSON.stringify({ index, generation, dropped: true }) : `Generation ${generation} of ${index} is removed from ${at}.`]);
  return ExitCode.ok;
}

export const generationsVerb = groupVerbs('generations', 'The builds of each index: list them, show readers another one, drop one', [listVerb, promoteVerb, dropVerb]);
