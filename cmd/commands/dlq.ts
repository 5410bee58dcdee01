/** `tailrace dlq list`: the documents that are parked, and why. */
import { ExitCode } from '../../src/errors/policy.ts';
import type { DeadLetterReport } from '../../src/observe/reports.ts';
import { refuseUnknownIndex } from '../index-name.ts';
import { configOptions, jsonOption } from '../options.ts';
import { standardOutput } from '../terminal/output.ts';
import { printable } from '../terminal/printable.ts';
import { table, type Paint } from '../terminal/table.ts';
import { count, counted } from '../terminal/units.ts';
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
    const letters = await reading.deadLetters(args.index);
    // An index that the config names no more may have some still.
    if (letters.length === 0 && args.index !== undefined) refuseUnknownIndex(args.index, config);
    if (args.json) standardOutput.write(letters.map((letter) => `${JSON.stringify(letter)}\n`).join(''));
    else standardOutput.lines(letterScreen(letters, standardOutput.paint));
    return ExitCode.ok;
  },
});

function letterScreen(letters: readonly DeadLetterReport[], paint: Paint): string[] {
  if (letters.length === 0) return ['No documents are parked.'];
  const rows = letters.map(({ index, id, seq, code, parked_at_ms: parkedAtMs, reason }) => [index, printable(id), count(seq), new Date(parkedAtMs).toISOString(), code, printable(reason)]);
  const lines = table([{ title: 'index' }, { title: 'id' }, { title: 'seq', align: 'right' }, { title: 'parked' }, { title: 'code' }, { title: 'reason' }], rows, paint);
  return [...lines, '', `${counted(letters.length, 'document is', 'documents are')} parked. A later change of the row takes the place of its parked one; docs/errors.md tells what mends each code.`];
}

export const dlqVerb = groupVerbs('dlq', 'Dead letters: documents that a target refused for good', [listVerb]);
