/** `tailrace dlq list`: the documents that are parked, and why. */
import { ExitCode } from '../../src/errors/policy.ts';
import { refuseUnknownIndex } from '../index-name.ts';
import { configOptions, jsonOption } from '../options.ts';
import { letterScreen } from '../screens/dead-letters.ts';
import { standardOutput } from '../terminal/output.ts';
import { defineVerb, groupVerbs } from '../verb.ts';

const listVerb = defineVerb({
  command: 'list [index]',
  describe: 'List parked documents, the oldest change first',
  options: { ...configOptions, ...jsonOption },
  positionals: { index: { type: 'string', describe: 'Only those of this index' } },
  run: async (args) => {
    const [{ readConfig }, { openReading }] = await Promise.all([import('../config-file.ts'), import('../daemon/reading.ts')]);
    const { config } = await readConfig(args);
    await using reading = await openReading(config);
    for await (const page of reading.deadLetters({ index: args.index })) {
      // An index that the config names no more may have some still.
      if (page.total === 0 && args.index !== undefined) refuseUnknownIndex(args.index, config);
      if (!args.json) {
        standardOutput.lines(letterScreen(page, standardOutput.paint));
        break;
      }
      standardOutput.write(page.dead_letters.map((letter) => `${JSON.stringify(letter)}\n`).join(''));
      await standardOutput.drained();
      if (standardOutput.closed.aborted) break;
    }
    return ExitCode.ok;
  },
});

export const dlqVerb = groupVerbs('dlq', 'Dead letters: documents that a target refused for good', [listVerb]);
