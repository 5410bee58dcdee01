/** One life of the daemon: a process that starts the production pipeline on the machine's data directory. */
import { z } from 'zod';
import type { TailraceConfig } from '../../../src/config/definition.ts';
import { indexSettings, type IndexDefinition } from '../../../src/config/index-settings.ts';
import type { Connectors, SourceConnector, TargetConnector } from '../../../src/connector/registry.ts';
import type { LogStore } from '../../../src/connector/log-store.ts';
import { invariant } from '../../../src/errors/invariant.ts';
import { codeOf } from '../../../src/errors/tailrace-error.ts';
import type { Pipeline } from '../../../src/pipeline/pipeline.ts';
import { startPipeline } from '../../../src/pipeline/start.ts';
import type { PipelineStatus } from '../../../src/pipeline/status.ts';
import { AuditedLog, type LogAuditors, type TailFrames } from '../audit/audited-log.ts';
import type { Executor } from '../kernel/executor.ts';
import { SimClock } from '../kernel/sim-clock.ts';
import { SimProcess } from '../kernel/sim-process.ts';
import type { SimRandom } from '../kernel/sim-random.ts';
import { simRowFormat } from '../source/sim-row.ts';
import type { SimServer } from '../source/sim-server.ts';
import { SimSource, type SimMemory } from '../source/sim-source.ts';
import { NUMBER_FROM, type IndexPlan, type IndexShape, type Plan } from './plan.ts';
import { surroundings, type SimMachine } from './sim-machine.ts';
import { SimTarget, type TargetListener, type TargetServer } from './sim-target.ts';
import { simLogger, type LogLine } from './sim-logger.ts';

export const DATA_DIRECTORY = '/data';

export interface DaemonParts {
  readonly name: string;
  readonly executor: Executor;
  readonly random: SimRandom;
  readonly machine: SimMachine;
  readonly config: TailraceConfig;
  readonly servers: ReadonlyMap<string, SimServer>;
  readonly targets: ReadonlyMap<string, TargetServer>;
  /** What sources remember, by source. */
  readonly memories: ReadonlyMap<string, SimMemory>;
  /** Null when nobody looks on. */
  readonly auditors: LogAuditors | null;
  readonly tail: TailFrames;
  readonly targetListener: TargetListener;
  readonly onLogLine: (line: LogLine) => void;
}

export class Daemon {
  readonly process: SimProcess;
  readonly config: TailraceConfig;
  readonly #parts: DaemonParts;
  #pipeline: Pipeline | null = null;
  #stopping = false;
  #log: AuditedLog | null = null;
  #ended: { readonly error: unknown } | null = null;

  constructor(parts: DaemonParts) {
    this.#parts = parts;
    this.config = parts.config;
    this.process = new SimProcess(parts.name, parts.executor);
    parts.machine.add(this.process);
  }

  get pipeline(): Pipeline | null {
    return this.#pipeline;
  }

  get log(): AuditedLog | null {
    return this.#log;
  }

  /** The process's end, if it came by itself: null for one that was stopped. */
  get ended(): { readonly error: unknown } | null {
    return this.#ended;
  }

  get status(): PipelineStatus | null {
    return this.#inside(() => this.#pipeline?.status() ?? null);
  }

  get stopping(): boolean {
    return this.#stopping;
  }

  /** Asks the pipeline to stop; see `ended`. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#inside(async () => this.#pipeline?.stop());
  }

  /** Resolves when everything that is committed now is searchable. Never settles when the process dies. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    await this.#inside(async () => this.#pipeline?.caughtUp(signal));
  }

  /** What somebody tells the running daemon on its command line; what it refuses changes nothing. */
  command(work: (pipeline: Pipeline) => void): void {
    const pipeline = this.#pipeline;
    if (pipeline === null || !this.process.alive) return;
    try {
      this.#inside(() => work(pipeline));
    } catch (error) {
      // It answers so what cannot be done.
      if (codeOf(error) !== 'USAGE') throw error;
    }
  }

  /** The same for what takes time. Null when no daemon runs; rejects with whatever it answers. Never settles when the process dies. */
  async ask<T>(work: (pipeline: Pipeline) => Promise<T>): Promise<T | null> {
    const pipeline = this.#pipeline;
    if (pipeline === null || !this.process.alive) return null;
    return this.#inside(async () => work(pipeline));
  }

  /** Returns at once; see `pipeline` and `ended`. */
  start(rebuild: readonly string[]): void {
    this.#inside(() => {
      this.#run(rebuild).then(
        () => this.#end(null),
        (error: unknown) => this.#end(error),
      );
    });
  }

  #inside<T>(work: () => T): T {
    const { machine } = this.#parts;
    return surroundings.run({ machine, process: this.process, onLogOpened: async (log) => this.#audited(log) }, work);
  }

  async #run(rebuild: readonly string[]): Promise<void> {
    const { machine, random, onLogLine, config, name } = this.#parts;
    const { process } = this;
    const runtime = {
      clock: new SimClock(process, machine.wall),
      random: random.fork('runtime'),
      disk: machine.disk.mount(),
      logger: simLogger(process, onLogLine),
    };
    const pipeline = await startPipeline(config, { connectors: this.#connectors(), runtime, version: 'simulated', pid: Number(name.replace(/\D/g, '')), loadTransform: async () => undefined, rebuild });
    if (!process.alive) return;
    this.#pipeline = pipeline;
    await pipeline.finished;
  }

  #end(error: unknown): void {
    if (!this.process.alive) return;
    this.#ended = { error };
    // What ends in good order, or before it began, leaves nothing under way on the disk.
    if (error === null || codeOf(error) === 'LOCK_HELD') this.#parts.machine.remove(this.process);
    this.process.kill(error === null ? 'stopped' : `exits with ${describeError(error)}`);
  }

  async #audited<T>(log: T): Promise<T> {
    const { auditors, tail } = this.#parts;
    if (auditors === null) return log;
    const audited = new AuditedLog(log as LogStore, this.process, auditors, tail);
    await audited.recover();
    this.#log = audited;
    return audited as T;
  }

  #connectors(): Connectors {
    const { servers, targets, memories, random, targetListener } = this.#parts;
    const { process } = this;
    const source: SourceConnector = {
      type: 'sim',
      configSchema: z.looseObject({}),
      format: simRowFormat,
      create: (_settings, { name }) => new SimSource(found(servers, name), process, random.fork(`source ${name}`), memories.get(name) ?? null),
    };
    const target: TargetConnector = {
      type: 'memory',
      configSchema: z.looseObject({}),
      create: (_settings, { name }) => new SimTarget(found(targets, name), process, random.fork(`target ${name}`), targetListener),
    };
    return { sources: { sim: source as SourceConnector<never> }, targets: { memory: target as TargetConnector<never> } };
  }
}

function found<T>(map: ReadonlyMap<string, T>, name: string): T {
  const value = map.get(name);
  invariant(value !== undefined, `the simulation has ${name}`);
  return value;
}

export function describeError(error: unknown): string {
  if (error instanceof Error) return 'code' in error ? `${String(error.code)}: ${error.message}` : `${error.name}: ${error.message}`;
  return String(error);
}

const SHAPES: Readonly<Record<IndexShape, Record<string, unknown>>> = {
  all: {},
  listed: { fields: ['id', 'name', 'n'] },
  where: { where: `n >= ${NUMBER_FROM}` },
  renamed: { fields: { id: true, title: 'name', body: true } },
};

/** The config of a run; `withLate`: also the indices that were added to it later; `logBytesMax`: the size limit of the log, which may have been raised. */
export function configOf(plan: Plan, withLate: boolean, logBytesMax: number): TailraceConfig {
  const { log, snapshot } = plan;
  return {
    data_directory: DATA_DIRECTORY,
    sources: plan.sources.map(({ name }) => ({ name, type: 'sim', settings: {} })),
    targets: plan.targets.map(({ name }) => ({ name, type: 'memory', settings: {} })),
    indices: plan.indices.filter(({ late }) => withLate || !late).map((index) => indexOf(index, plan.rollbackHours)),
    log: { max_bytes: logBytesMax, min_age_hours: log.minAgeHours, segment_bytes: log.segmentBytes, on_full: log.onFull, compression: 'none' },
    snapshot: { parallel: snapshot.parallel, chunk_bytes: snapshot.chunkBytes },
    memory: { max_buffered_bytes: plan.bufferedBytes },
    admin: {},
    logging: { level: 'info', format: 'json' },
    ready_within_ms: 3_000,
    shutdown_within_ms: 10_000,
  };
}

function indexOf({ name, source, table, target, shape, onError, batch }: IndexPlan, rollbackHours: number): IndexDefinition {
  const settings = indexSettings.parse({ rollback_hours: rollbackHours, from: `${source}.${table}`, to: target, on_error: onError, max_dead_letters: 100_000, ...SHAPES[shape] });
  return { ...settings, name, to: target, batch };
}
