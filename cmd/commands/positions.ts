/** `tailrace positions`: where each source and index stands. */
import { ExitCode } from '../../src/errors/policy.ts';
import type { PositionReport } from '../../src/pipeline/positions.ts';
import { configOptions, jsonOption } from '../options.ts';
import { standardOutput } from '../terminal/output.ts';
import { table, type Paint } from '../terminal/table.ts';
import { count } from '../terminal/units.ts';
import { defineVerb } from '../verb.ts';

export const positionsVerb = defineVerb({
  command: 'positions',
  describe: 'Show where each source and index stands',
  options: { ...configOptions, ...jsonOption },
  run: async (args) => {
    const [{ readConfig }, { openReading }] = await Promise.all([import('../config-file.ts'), import('../daemon/reading.ts')]);
    const { config } = await readConfig(args);
    await using reading = await openReading(config);
    const positions = await reading.positions();
    if (args.json) standardOutput.write(`${JSON.stringify(positions)}\n`);
    else standardOutput.lines(positionScreen(positions, standardOutput.paint));
    return ExitCode.ok;
  },
});

function positionScreen({ log, sources, indices }: PositionReport, paint: Paint): string[] {
  const right = 'right' as const;
  return [
    `${paint('dim', 'CHANGE LOG')}  ${log.id}, epoch ${log.epoch}, seq ${count(log.first_seq)} to ${count(log.durable_seq)}`,
    '',
    ...table(
      [{ title: 'source' }, { title: 'logged up to' }, { title: 'of the next transaction', align: right }, { title: 'identity' }],
      sources.map(({ source, position, partial_changes: partial, identity }) => [source, position ?? '-', partial === 0 ? '-' : `${count(partial)} changes`, identity ?? '-']),
      paint,
    ),
    '',
    ...table(
      [{ title: 'index' }, { title: 'generation', align: right }, { title: 'phase' }, { title: 'applied up to seq', align: right }],
      indices.map(({ index, generation, phase, cursor }) => [index, String(generation), phase, cursor === null ? '-' : count(cursor)]),
      paint,
    ),
  ];
}
