/** `tailrace search`: what users will find. */
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { refuseUnknownIndex } from '../index-name.ts';
import { configOptions, jsonOption } from '../options.ts';
import { hitLines } from '../screens/hits.ts';
import { standardOutput } from '../terminal/output.ts';
import { defineVerb } from '../verb.ts';

const LIMIT_MAX = 1_000;

export const searchVerb = defineVerb({
  // Optional for yargs, which does not count words behind `--` towards what it demands.
  command: 'search <index> [query..]',
  describe: 'Search an index, to see what users will find',
  options: { ...configOptions, ...jsonOption, limit: { type: 'string', default: '10', requiresArg: true, describe: 'Most hits' } },
  positionals: {
    index: { type: 'string', demandOption: true, describe: 'Name of the index' },
    query: { type: 'string', array: true, default: [] as string[], describe: 'Words to search for; behind `--` they may begin with `-`' },
  },
  examples: [['$0 search products desk lamp', 'The ten best documents for these two words']],
  run: async (args) => {
    const limit = Number(args.limit);
    if (!Number.isInteger(limit) || limit < 1 || limit > LIMIT_MAX) throw new TailraceError('USAGE', { message: `\`--limit\` is a whole number from 1 to ${LIMIT_MAX}.` });
    const text = [...args.query, ...wordsBehindDashes(args as { readonly _?: readonly (string | number)[] })].join(' ');
    if (text.trim() === '') throw new TailraceError('USAGE', { message: 'There is no word to search for.', hint: 'Type `tailrace search INDEX WORDS`.' });
    const [{ readConfig }, { openReading }] = await Promise.all([import('../config-file.ts'), import('../daemon/reading.ts')]);
    const { config } = await readConfig(args);
    refuseUnknownIndex(args.index, config);
    await using reading = await openReading(config);
    const report = await reading.search({ index: args.index, text, limit });
    const index = config.indices.find(({ name }) => name === args.index);
    if (index !== undefined && (JSON.parse(report) as { readonly hits: readonly unknown[] }).hits.length === 0) {
      const { refuseUnsearchable } = await import('../daemon/unsearchable.ts');
      await refuseUnsearchable(config, index, reading);
    }
    if (args.json) standardOutput.write(report);
    else standardOutput.lines(hitLines(text, report, standardOutput));
    return ExitCode.ok;
  },
});

/** What was typed behind `--`: yargs leaves it with the name of the verb. */
function wordsBehindDashes(args: { readonly _?: readonly (string | number)[] }): string[] {
  return (args._ ?? []).slice(1).map(String);
}
