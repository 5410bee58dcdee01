/** `tailrace positions`: where each source and index stands; with `--rewind` an index goes back. */
import { existsSync } from 'node:fs';
import type { IndexDefinition } from '../../src/config/index-settings.ts';
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { layoutOf } from '../../src/pipeline/layout.ts';
import type { PositionReport } from '../../src/pipeline/positions.ts';
import type { RewindReport } from '../../src/pipeline/rewind.ts';
import { refuseUnknownIndex } from '../index-name.ts';
import { configOptions, jsonOption, type ConfigArguments } from '../options.ts';
import { typed } from '../terminal/given-options.ts';
import { standardOutput } from '../terminal/output.ts';
import { table, type Paint } from '../terminal/table.ts';
import { count, counted } from '../terminal/units.ts';
import { defineVerb } from '../verb.ts';

export const positionsVerb = defineVerb({
  command: 'positions',
  describe: 'Show where each source and index stands, or have an index apply changes again',
  options: {
    ...configOptions,
    ...jsonOption,
    rewind: { type: 'string', requiresArg: true, describe: 'INDEX=SEQ: at its next start the index applies every change behind this seq again; the daemon must not run' },
    'dry-run': { type: 'boolean', default: false, describe: 'With --rewind: say what would be done, and do it not' },
  },
  examples: [['$0 positions --rewind products=3400 --dry-run', 'See how many changes would be applied again']],
  run: async (args) => {
    if (args.rewind === undefined && args['dry-run']) throw new TailraceError('USAGE', { message: '`--dry-run` says what `--rewind` would do: give both.' });
    if (args.rewind !== undefined) return rewindIndex(args.rewind, args);
    const [{ readConfig }, { openReading }] = await Promise.all([import('../config-file.ts'), import('../daemon/reading.ts')]);
    const { config } = await readConfig(args);
    await using reading = await openReading(config);
    const positions = await reading.positions();
    if (args.json) standardOutput.write(`${JSON.stringify(positions)}\n`);
    else standardOutput.lines(positionScreen(positions, standardOutput.paint));
    return ExitCode.ok;
  },
});

async function rewindIndex(text: string, args: ConfigArguments & { readonly json: boolean; readonly 'dry-run': boolean }): Promise<ExitCode> {
  const [, index, seq] = /^(.+)=(\d{1,15})$/.exec(text) ?? [];
  if (index === undefined) throw new TailraceError('USAGE', { message: '`--rewind` takes an index and a seq: `--rewind products=3400`.' });
  const [{ readConfig }, { rewind }, { TargetStandings }, { nodeRuntime }, { silentLogger }, { namingSource }] = await Promise.all([
    import('../config-file.ts'),
    import('../../src/pipeline/rewind.ts'),
    import('../daemon/target-standings.ts'),
    import('../../src/runtime/node/runtime.ts'),
    import('../../src/runtime/logger.ts'),
    import('../../src/errors/named-source.ts'),
  ]);
  const { config } = await readConfig(args);
  refuseUnknownIndex(index, config);
  const definition = config.indices.find(({ name }) => name === index) as IndexDefinition;
  const layout = layoutOf(config.data_directory);
  if (!existsSync(layout.log) && !existsSync(layout.state)) throw new TailraceError('NOT_RUNNING', { message: `No daemon has run yet: there is nothing in ${config.data_directory}.` });
  const runtime = nodeRuntime(silentLogger);
  try {
    const request = { index, seq: Number(seq), dryRun: args['dry-run'] };
    const report = await rewind(config.data_directory, request, async (record, state) => {
      const { cursor, error } = (await TargetStandings.look(config, state, runtime)).of(record, definition.to);
      if (cursor === null) throw error;
      return cursor;
    }, runtime);
    if (args.json) standardOutput.write(`${JSON.stringify(report)}\n`);
    else standardOutput.lines(typed(rewindLines(report)));
    return ExitCode.ok;
  } catch (error) {
    // Its hint names the source to build again.
    throw namingSource(error, definition.from.source);
  }
}

function rewindLines({ index, cursor, rewound_to: seq, changes, dry_run: isDryRun }: RewindReport): string[] {
  const again = `from seq ${count(seq)} on: ${counted(changes, 'change')} of the log up to ${count(cursor)}, where it stands, are read again`;
  return isDryRun ? [`Index ${index} would go on ${again}. Nothing was changed.`] : [`Index ${index} goes on ${again} at the next start: \`tailrace run\``];
}

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
