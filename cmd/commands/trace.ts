/** `tailrace trace`: the life of one document. It reads the data directory and the target itself, beside a daemon too, which a long look then costs nothing. */
import { existsSync } from 'node:fs';
import type { TailraceConfig } from '../../src/config/definition.ts';
import type { IndexDefinition } from '../../src/config/index-settings.ts';
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { Held, TraceReport } from '../../src/pipeline/trace.ts';
import type { Runtime } from '../../src/runtime/runtime.ts';
import { fileBytes } from '../daemon/file-bytes.ts';
import { refuseUnknownIndex } from '../index-name.ts';
import { configOptions, jsonOption } from '../options.ts';
import { isKnown, traceJson, traceScreen } from '../screens/trace-screen.ts';
import { standardError, standardOutput } from '../terminal/output.ts';
import { ProgressBars, ProgressMeter } from '../terminal/progress.ts';
import { defineVerb } from '../verb.ts';

/** A target that says nothing for so long is not waited for: the log's side is told without it. */
const ANSWER_WITHIN_MS = 10_000;

const LIMIT_DEFAULT = 1_000;
const LIMIT_MAX = 100_000;

/** Bars are drawn anew at most this often. */
const DRAW_EVERY_MS = 100;

export const traceVerb = defineVerb({
  command: 'trace <index> <id>',
  describe: 'Show the life of one document: its changes, what became of each, what the target holds',
  options: {
    ...configOptions,
    ...jsonOption,
    limit: { type: 'string', default: String(LIMIT_DEFAULT), requiresArg: true, describe: 'Most changes: the newest' },
    first: { type: 'string', default: '1', requiresArg: true, describe: 'First seq to look at; by default all that the log holds' },
  },
  positionals: {
    index: { type: 'string', demandOption: true, describe: 'Name of the index' },
    id: { type: 'string', demandOption: true, describe: 'Id of the document: the key of its row' },
  },
  examples: [['$0 trace products 57', 'Why the document 57 is as it is']],
  run: async (args) => {
    const limit = wholeNumber('limit', args.limit);
    if (limit < 1 || limit > LIMIT_MAX) throw new TailraceError('USAGE', { message: `\`--limit\` is a whole number from 1 to ${LIMIT_MAX}.` });
    const first = wholeNumber('first', args.first);
    const [{ readConfig, transformOf }, { nodeRuntime }, { silentLogger }] = await Promise.all([import('../config-file.ts'), import('../../src/runtime/node/runtime.ts'), import('../../src/runtime/logger.ts')]);
    const { config, path } = await readConfig(args);
    refuseUnknownIndex(args.index, config);
    const definition = config.indices.find(({ name }) => name === args.index) as IndexDefinition;
    const request = { definition, id: args.id, first, limit };
    const report = await trace(config, request, await transformOf(definition, path), nodeRuntime(silentLogger));
    if (args.json) standardOutput.write(traceJson(report));
    else standardOutput.lines(traceScreen(report, standardOutput.paint));
    return isKnown(report) ? ExitCode.ok : ExitCode.no;
  },
});

type Transform = Awaited<ReturnType<typeof import('../config-file.ts').transformOf>>;

async function trace(config: TailraceConfig, request: { definition: IndexDefinition; id: string; first: number; limit: number }, transform: Transform, runtime: Runtime): Promise<TraceReport> {
  const [{ layoutOf }, { traceDocument }, { openLogReadOnly }, { openSqliteState }, { openPositionFormats, rowFormats }] = await Promise.all([
    import('../../src/pipeline/layout.ts'),
    import('../../src/pipeline/trace.ts'),
    import('../../src/log/read-only.ts'),
    import('../../src/state/sqlite-state.ts'),
    import('../daemon/daemon.ts'),
  ]);
  const layout = layoutOf(config.data_directory);
  if (!existsSync(layout.state) || !existsSync(layout.log)) throw new TailraceError('NOT_RUNNING', { message: `No daemon has run yet: there is nothing in ${layout.directory}.` });
  await using opened = new AsyncDisposableStack();
  const state = opened.use(openSqliteState({ path: layout.state, readOnly: { bytesOf: fileBytes } }));
  const log = opened.use(await openLogReadOnly(layout.log, runtime));
  const positions = opened.use(openPositionFormats(config, runtime));
  const held = await askTarget(config, request, runtime);
  const bars = standardError.isTerminal ? new ProgressBars(standardError, process.stderr) : null;
  opened.defer(() => bars?.clear());
  const meter = new ProgressMeter();
  let drawnMs = runtime.clock.monotonicMs();
  return await traceDocument(request, held, { log, state, formats: rowFormats(), transform, formatPosition: positions.format }, standardOutput.closed, (done, total) => {
    const nowMs = runtime.clock.monotonicMs();
    if (nowMs - drawnMs < DRAW_EVERY_MS) return;
    drawnMs = nowMs;
    bars?.show(meter.measure([{ label: 'reading the log', unit: 'changes', done, total }], nowMs));
  });
}

async function askTarget(config: TailraceConfig, { definition: { name, to }, id }: { definition: IndexDefinition; id: string }, runtime: Runtime): Promise<Held> {
  const [{ heldBy }, { openTarget }] = await Promise.all([import('../../src/pipeline/trace.ts'), import('../daemon/target-standings.ts')]);
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  try {
    await using target = await openTarget(config, to, runtime);
    return await heldBy(target, name, id, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
    return { generation: null, cursor: null, listed: null, document: undefined, error: new TailraceError('TIMED_OUT', { message: `Target ${to} did not answer within ${ANSWER_WITHIN_MS / 1000} s.`, entity: to }) };
  }
}

function wholeNumber(name: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new TailraceError('USAGE', { message: `\`--${name}\` is a whole number.` });
  return Number(text);
}
