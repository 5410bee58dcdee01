/** `tailrace plan`: what the config will do when the daemon starts with it. Everything is looked at, and nothing is written. */
import { existsSync } from 'node:fs';
import type { TailraceConfig } from '../../src/config/definition.ts';
import type { SourceConnector, TargetConnector } from '../../src/connector/registry.ts';
import type { TableRequest } from '../../src/connector/source.ts';
import type { DocumentTransform } from '../../src/document/transform.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { ExitCode } from '../../src/errors/policy.ts';
import { invariant } from '../../src/errors/invariant.ts';
import type { PlanInput, StartPlan } from '../../src/pipeline/plan.ts';
import type { Runtime } from '../../src/runtime/runtime.ts';
import { configOptions, jsonOption } from '../options.ts';
import { planScreen } from '../screens/plan-screen.ts';
import { standardOutput } from '../terminal/output.ts';
import { defineVerb } from '../verb.ts';

/** How long one source or target may take to be looked at. */
const LOOK_WITHIN_MS = 30_000;

export const planVerb = defineVerb({
  command: 'plan',
  describe: 'Show what the config will do when the daemon starts with it; nothing is changed. Exits with 1 when something would stop',
  options: { ...configOptions, ...jsonOption },
  examples: [['$0 plan', 'Before a restart with a config that was changed']],
  run: async (args) => {
    const [{ readConfig, transformOf }, { nodeRuntime }, { silentLogger }, { Scrubber, secretsIn }] = await Promise.all([
      import('../config-file.ts'),
      import('../../src/runtime/node/runtime.ts'),
      import('../../src/runtime/logger.ts'),
      import('../../src/observe/logging/scrub.ts'),
    ]);
    const { config, path } = await readConfig(args);
    const transforms = new Map<string, DocumentTransform>();
    for (const index of config.indices) {
      const transform = await transformOf(index, path);
      if (transform !== undefined) transforms.set(index.name, transform);
    }
    const plan = new Scrubber(secretsIn(config)).value(await planOf(config, transforms, nodeRuntime(silentLogger))) as StartPlan;
    const stops = plan.indices.some(({ problems }) => problems.length > 0);
    if (args.json) standardOutput.write(`${JSON.stringify({ config: path, ...plan })}\n`);
    else standardOutput.lines(planScreen(path, plan, standardOutput.paint));
    return stops ? ExitCode.no : ExitCode.ok;
  },
});

async function planOf(config: TailraceConfig, transforms: ReadonlyMap<string, DocumentTransform>, runtime: Runtime): Promise<StartPlan> {
  const [{ planStart }, { layoutOf }, { openLogReadOnly }, { openSqliteState }, { refuseWithoutLog, refuseWithoutState }, { connectors }, { fileBytes }] = await Promise.all([
    import('../../src/pipeline/plan.ts'),
    import('../../src/pipeline/layout.ts'),
    import('../../src/log/read-only.ts'),
    import('../../src/state/sqlite-state.ts'),
    import('../../src/pipeline/whole-directory.ts'),
    import('../../connectors/index.ts'),
    import('../daemon/file-bytes.ts'),
  ]);
  const layout = layoutOf(config.data_directory);
  await using opened = new AsyncDisposableStack();
  await refuseWithoutState(layout, runtime.disk);
  const state = existsSync(layout.state) ? opened.use(openSqliteState({ path: layout.state, readOnly: { bytesOf: fileBytes } })) : null;
  if (state !== null) await refuseWithoutLog(layout, state.logId, runtime.disk);
  const log = state !== null && existsSync(layout.log) ? opened.use(await openLogReadOnly(layout.log, runtime)) : null;
  const registers = log?.registers ?? new Map<string, Uint8Array>();
  const sources = connectors.sources as Readonly<Record<string, SourceConnector>>;
  const formats = (source: string): SourceConnector['format'] | undefined => sources[config.sources.find(({ name }) => name === source)?.type ?? '']?.format;
  const targets = connectors.targets as Readonly<Record<string, TargetConnector>>;
  const fieldProblem = (target: string, field: string): string | undefined => targets[config.targets.find(({ name }) => name === target)?.type ?? '']?.fieldProblem?.(field);
  const [outlooks, held, running] = await Promise.all([askSources(config, sources, registers, runtime), askTargets(config, runtime), runningConfig(config)]);
  return planStart({ config, state, registers, formats, transforms, outlooks, fieldProblem, held, running, nowMs: runtime.clock.nowMs() });
}

async function askSources(config: TailraceConfig, connectors: Readonly<Record<string, SourceConnector>>, registers: ReadonlyMap<string, Uint8Array>, runtime: Runtime): Promise<PlanInput['outlooks']> {
  const { identityRegister } = await import('../../src/capture/resume-point.ts');
  const answers = config.sources.map(async ({ name, type, settings }): Promise<[string, PlanInput['outlooks'] extends ReadonlyMap<string, infer T> ? T : never]> => {
    const connector = connectors[type];
    invariant(connector !== undefined, `the config was checked: there is a connector for ${type}`);
    const requests = tablesOf(config, name);
    const looked = await within(`Source ${name}`, async (signal) => {
      await using source = connector.create(settings, { name, runtime });
      if (source.foresee !== undefined) return await source.foresee(requests, !registers.has(identityRegister(name)), signal);
      return { tables: (await source.describe(requests, signal)).map((table) => ({ ...table, estimatedBytes: null })), statements: [] };
    });
    return [name, 'error' in looked ? looked : { outlook: looked.found }];
  });
  return new Map(await Promise.all(answers));
}

async function askTargets(config: TailraceConfig, runtime: Runtime): Promise<PlanInput['held']> {
  const { openTarget } = await import('../daemon/target-standings.ts');
  const answers = config.targets.map(async ({ name }): Promise<[string, PlanInput['held'] extends ReadonlyMap<string, infer T> ? T : never]> => {
    const looked = await within(`Target ${name}`, async (signal) => {
      await using target = await openTarget(config, name, runtime);
      return await target.generations(signal);
    });
    return [name, 'error' in looked ? looked : { generations: looked.found }];
  });
  return new Map(await Promise.all(answers));
}

/** What a look finds; whatever goes wrong with it is a part of the plan. */
async function within<T>(who: string, look: (signal: AbortSignal) => Promise<T>): Promise<{ readonly found: T } | { readonly error: unknown }> {
  const signal = AbortSignal.timeout(LOOK_WITHIN_MS);
  try {
    return { found: await look(signal) };
  } catch (error) {
    return { error: signal.aborted ? new TailraceError('TIMED_OUT', { message: `${who} did not answer within ${LOOK_WITHIN_MS / 1000} s.` }) : error };
  }
}

/** Null when no daemon runs. */
async function runningConfig(config: TailraceConfig): Promise<unknown> {
  const [{ askDaemon, daemonAnswers }, { socketPathOf }] = await Promise.all([import('../daemon/admin-client.ts'), import('../daemon/reading.ts')]);
  const socketPath = socketPathOf(config);
  return (await daemonAnswers(socketPath)) ? (JSON.parse(await askDaemon(socketPath, { path: '/v1/config' })) as unknown) : null;
}

function tablesOf(config: TailraceConfig, source: string): TableRequest[] {
  const tables = new Map<string, TableRequest>();
  for (const { from, key } of config.indices) if (from.source === source) tables.set(from.table, { table: from.table, key });
  return [...tables.values()];
}
