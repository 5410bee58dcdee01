/** Starts a pipeline on a data directory: takes its lock, opens state and log, makes sources and targets, and lets them run. */
import type { IndexDefinition } from '../config/index-settings.ts';
import type { TailraceConfig } from '../config/definition.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { Connectors, SourceConnector, TargetConnector } from '../connector/registry.ts';
import type { Target } from '../connector/target.ts';
import type { DocumentTransform } from '../document/transform.ts';
import { invariant } from '../errors/invariant.ts';
import { openLog, type LogOptions } from '../log/open.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { prepareDataDirectory } from '../state/data-directory.ts';
import { takeLock } from '../state/lock.ts';
import { openSqliteState } from '../state/sqlite-state.ts';
import { generationName, type StateStore } from '../state/state-store.ts';
import { isFed, recordsOf } from './generations.ts';
import { layoutOf } from './layout.ts';
import { Pipeline, type PipelineParts } from './pipeline.ts';
import type { SwapCheck } from './swap.ts';
import { refuseForeignLog, refuseWithoutLog, refuseWithoutState } from './whole-directory.ts';

/** A segment that is written to slowly is closed after this, so that retention can remove it. */
const SEGMENT_AGE_MAX_MS = 60 * 60 * 1000;

const HOUR_MS = 60 * 60 * 1000;

export interface StartOptions {
  readonly connectors: Connectors;
  readonly runtime: Runtime;
  /** Of tailrace itself: for the status. */
  readonly version: string;
  readonly pid: number;
  /** Loads the module that an index names as its `transform`. */
  readonly loadTransform: (index: IndexDefinition) => Promise<DocumentTransform | undefined>;
  /** Looks at a generation before readers get to see it. */
  readonly beforeSwap?: SwapCheck | undefined;
  /** Sources whose indices are built again from a new snapshot, with a new place in the source's history. */
  readonly rebuild?: readonly string[] | undefined;
}

/**
 * Resolves when the pipeline runs; it may not have reached its sources yet (see `Pipeline.status`).
 * Errors: LOCK_HELD, STATE_*, LOG_CORRUPT, DISK_FAILED, DISK_FULL, CFG_TRANSFORM.
 */
export async function startPipeline(config: TailraceConfig, options: StartOptions): Promise<Pipeline> {
  const { runtime, connectors, version, pid } = options;
  const layout = layoutOf(config.data_directory);
  await using opened = new AsyncDisposableStack();
  await refuseWithoutState(layout, runtime.disk);
  await prepareDataDirectory(layout.directory, [layout.lock, layout.state], runtime);
  opened.use(takeLock(layout.lock));
  const state = opened.use(openSqliteState({ path: layout.state }));
  await refuseWithoutLog(layout, state.logId, runtime.disk);
  const log = opened.use(await openLog({ ...logSettings(config), directory: layout.log, holds: holdsOf(config, state) }, runtime));
  bind(state, log, layout.directory);
  const transforms = new Map<string, DocumentTransform>();
  for (const index of config.indices) {
    const transform = await options.loadTransform(index);
    if (transform !== undefined) transforms.set(index.name, transform);
  }
  const parts: Omit<PipelineParts, 'resources'> = {
    config,
    version,
    pid,
    runtime,
    log,
    state,
    sources: makeSources(config, connectors, runtime, opened),
    targets: makeTargets(config, connectors, runtime, opened),
    transforms,
    rebuild: new Set(options.rebuild),
    beforeSwap: options.beforeSwap,
  };
  // From here on the pipeline closes them, when it has stopped.
  const resources = opened.move();
  try {
    return new Pipeline({ ...parts, resources });
  } catch (error) {
    await resources.disposeAsync();
    throw error;
  }
}

function logSettings({ log }: TailraceConfig): Omit<LogOptions, 'directory' | 'holds'> {
  return { segmentBytes: log.segment_bytes, segmentMaxAgeMs: SEGMENT_AGE_MAX_MS, maxBytes: log.max_bytes, minAgeMs: log.min_age_hours * HOUR_MS, onFull: log.on_full, compression: log.compression };
}

/** What the generations of each index still need, as far as the state knows. */
function holdsOf(config: TailraceConfig, state: StateStore): [string, number][] {
  const fed = config.indices.flatMap(({ name }) => recordsOf(state, name)).filter((record) => isFed(record));
  return fed.map(({ index, generation, startSeq }) => [generationName(index, generation), state.cursor(index, generation) ?? startSeq]);
}

/** State and log are one: a state that belongs to another log, or to one that is gone, must not be used. */
function bind(state: StateStore, log: LogStore, directory: string): void {
  if (state.logId === null && log.durableSeq === 0 && log.registers.size === 0) state.bindLog(log.logId);
  else refuseForeignLog(directory, state.logId, log);
}

function makeSources(config: TailraceConfig, connectors: Connectors, runtime: Runtime, opened: AsyncDisposableStack): PipelineParts['sources'] {
  return new Map(
    config.sources.map(({ name, type, settings }) => {
      const connector = connectors.sources[type] as SourceConnector | undefined;
      invariant(connector !== undefined, `the config was checked: there is a connector for ${type}`);
      const context = { name, runtime: { ...runtime, logger: runtime.logger.child({ source: name }) } };
      return [name, { type, source: opened.use(connector.create(settings, context)), format: connector.format }];
    }),
  );
}

function makeTargets(config: TailraceConfig, connectors: Connectors, runtime: Runtime, opened: AsyncDisposableStack): Map<string, Target> {
  return new Map(
    config.targets.map(({ name, type, settings }) => {
      const connector = connectors.targets[type] as TargetConnector | undefined;
      invariant(connector !== undefined, `the config was checked: there is a connector for ${type}`);
      const context = { name, runtime: { ...runtime, logger: runtime.logger.child({ target: name }) }, dataDirectory: config.data_directory };
      return [name, opened.use(connector.create(settings, context))];
    }),
  );
}
