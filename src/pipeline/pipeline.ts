/** A running pipeline: sources, log and indices wired from a config, and the one way to stop them all. */
import type { RowSchema } from '../change/schema.ts';
import { SchemaRegistry } from '../capture/schema-registry.ts';
import { snapshotsIn } from '../capture/snapshot-state.ts';
import type { Connection } from '../capture/capture.ts';
import type { TailraceConfig } from '../config/definition.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { RowFormat } from '../connector/row-format.ts';
import type { Source, TableRequest } from '../connector/source.ts';
import type { SearchHit, SearchRequest, Target } from '../connector/target.ts';
import type { DocumentTransform } from '../document/transform.ts';
import { createDocumentBuilder } from '../document/builder.ts';
import { invariant } from '../errors/invariant.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { together, untilAborted } from '../runtime/abort.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { generationName, type DeadLetter, type DeadLetterRequest, type StateStore } from '../state/state-store.ts';
import { chooseGeneration } from './generations.ts';
import { IndexRunner, stoppedError } from './index-runner.ts';
import { LoggedTransactions } from './logged-transactions.ts';
import { sourcePosition, type PositionReport } from './positions.ts';
import { pipelineStatus } from './pipeline-status.ts';
import { SourceRunner } from './source-runner.ts';
import type { PipelineStatus } from './status.ts';

/** While somebody waits for the indices to catch up, their cursors are looked at this often. */
const CATCH_UP_POLL_MS = 10;

export interface PipelineParts {
  readonly config: TailraceConfig;
  readonly version: string;
  readonly pid: number;
  readonly runtime: Runtime;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly sources: ReadonlyMap<string, { readonly type: string; readonly source: Source; readonly format: RowFormat }>;
  readonly targets: ReadonlyMap<string, Target>;
  /** Loaded modules of the indices that name one. */
  readonly transforms: ReadonlyMap<string, DocumentTransform>;
  /** Sources whose indices are built again from a new snapshot. */
  readonly rebuild: ReadonlySet<string>;
  /** Everything that is open for the pipeline; closed when it has stopped. */
  readonly resources: AsyncDisposable;
}

export class Pipeline implements AsyncDisposable {
  readonly #parts: PipelineParts;
  readonly #stop = new AbortController();
  readonly #startedMs: number;
  readonly #schemas: SchemaRegistry;
  readonly #sources: readonly SourceRunner[];
  readonly #indices: readonly IndexRunner[];
  /** Resolves when the pipeline has stopped; rejects with the error that ended it. */
  readonly finished: Promise<void>;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#startedMs = parts.runtime.clock.nowMs();
    this.#schemas = new SchemaRegistry(parts.log.registers);
    this.#indices = parts.config.indices.map((definition) => this.#makeIndex(definition));
    this.#sources = [...parts.sources].filter(([name]) => this.#indicesOf(name).length > 0).map(([name, { type, source }]) => this.#makeSource(name, type, source));
    this.finished = this.#run();
    this.finished.catch(() => {});
  }

  get log(): LogStore {
    return this.#parts.log;
  }

  status(): PipelineStatus {
    const { version, pid, runtime, log, state, config } = this.#parts;
    return pipelineStatus({ version, pid, startedMs: this.#startedMs, readyWithinMs: config.ready_within_ms, runtime, log, state, sources: this.#sources, indices: this.#indices });
  }

  /** Resolves when everything that is committed at the sources now is searchable; rejects with the error of whatever has stopped. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    const { log, runtime } = this.#parts;
    await Promise.all(this.#sources.map(async (source) => source.caughtUp(signal)));
    const goal = log.durableSeq;
    for (;;) {
      signal.throwIfAborted();
      for (const index of this.#indices) if (index.phase === 'stopped') throw stoppedError(index);
      if (this.#indices.every((index) => index.phase === 'serving' && (index.cursor ?? -1) >= goal)) return;
      // An index that waits for a snapshot would wait for ever.
      for (const source of this.#sources) source.throwIfStopped();
      await runtime.clock.sleep(CATCH_UP_POLL_MS, signal);
    }
  }

  async search(request: SearchRequest, signal: AbortSignal): Promise<SearchHit[]> {
    const index = this.#indices.find(({ definition }) => definition.name === request.index);
    if (index === undefined) throw new TailraceError('USAGE', { message: `There is no index ${request.index}; there are: ${this.#indices.map(({ definition }) => definition.name).join(', ')}.` });
    return this.#target(index.definition.to).search(request, signal);
  }

  deadLetters(request: DeadLetterRequest): { readonly total: number; readonly letters: readonly DeadLetter[] } {
    const { state } = this.#parts;
    return { total: state.deadLetterTotal(request), letters: state.someDeadLetters(request) };
  }

  schemas(): RowSchema[] {
    return this.#schemas.all();
  }

  positions(): PositionReport {
    const { log } = this.#parts;
    return {
      log: { id: log.logId, epoch: log.epoch, first_seq: log.firstSeq, durable_seq: log.durableSeq },
      sources: this.#sources.map(({ source }) => sourcePosition(source.name, log.registers, (position) => source.formatPosition(position))),
      indices: this.#indices.map(({ record, cursor }) => ({ index: record.index, generation: record.generation, phase: record.phase, cursor })),
    };
  }

  /** Ends all work; what is not durable yet is read again at the next start. May be called again. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #indicesOf(source: string): IndexRunner[] {
    return this.#indices.filter(({ definition }) => definition.from.source === source);
  }

  #target(name: string): Target {
    const target = this.#parts.targets.get(name);
    invariant(target !== undefined, `the config was checked: target ${name} is there`);
    return target;
  }

  #makeIndex(definition: TailraceConfig['indices'][number]): IndexRunner {
    const { sources, log, state, runtime, transforms, rebuild } = this.#parts;
    const { source, table } = definition.from;
    const format = sources.get(source)?.format;
    invariant(format !== undefined, `the config was checked: source ${source} is there`);
    const transform = transforms.get(definition.name);
    const { fingerprint } = createDocumentBuilder(definition, { format, transform });
    const choice = chooseGeneration(definition, fingerprint, state, log.durableSeq, rebuild.has(source));
    const runner = new IndexRunner({ definition, choice, format, transform, target: this.#target(definition.to), log, state, runtime });
    const known = this.#schemas.all().findLast((schema) => schema.source === source && schema.table === table);
    // What is being built waits for the source to say what the table looks like now: the log may know an older shape only.
    if (known !== undefined && choice.record.phase === 'serving') runner.learnShape(known);
    // Nothing this generation needs may be removed before its applier has a cursor of its own.
    log.hold(runner.name, state.cursor(choice.record.index, choice.record.generation) ?? choice.record.startSeq);
    // The log was opened with a hold of the generation that was the newest then; nobody moves it any more.
    for (const { index, generation } of choice.superseded) log.release(generationName(index, generation));
    return runner;
  }

  #makeSource(name: string, type: string, source: Source): SourceRunner {
    const { log, runtime, config, rebuild } = this.#parts;
    const logged = new LoggedTransactions(log, name);
    const tables = new Map<string, TableRequest>();
    for (const { definition } of this.#indicesOf(name)) tables.set(definition.from.table, { table: definition.from.table, key: definition.key });
    return new SourceRunner({
      type,
      isRebuilt: rebuild.has(name),
      source,
      tables: [...tables.values()],
      log,
      schemas: this.#schemas,
      runtime,
      settings: { inFlightBytes: config.memory.max_buffered_bytes, snapshot: { parallel: config.snapshot.parallel, chunkBytes: config.snapshot.chunk_bytes, bytesPerSecondMax: config.snapshot.max_bytes_per_second ?? null } },
      logged: async (ids, signal) => logged.among(ids, signal),
      onConnected: async (connection, signal) => this.#connected(name, connection, signal),
    });
  }

  /** Tells the indices what their tables look like, and asks for the snapshots that generations in building still lack. */
  async #connected(source: string, connection: Connection, signal: AbortSignal): Promise<void> {
    const requested = new Set(snapshotsIn(this.#parts.log.registers).flatMap((snapshot) => snapshot.for));
    const lacking = new Map<string, string[]>();
    for (const index of this.#indicesOf(source)) {
      const { table } = index.definition.from;
      const description = connection.tables.find((described) => described.table === table);
      invariant(description !== undefined, `source ${source} describes the table ${table} that was asked for`);
      index.learnShape(description.schema);
      if (index.record.phase === 'building' && !requested.has(index.name)) lacking.set(table, [...(lacking.get(table) ?? []), index.name]);
    }
    // It sweeps: an earlier connection may have logged changes of rows that have gone since without a change of their own, with their partition.
    for (const [table, names] of lacking) await connection.requestSnapshot({ table, for: names, reason: 'build', sweep: true }, signal);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const { log } = this.#parts;
    const evictions = log.onEvicted((name) => this.#indices.find((index) => index.name === name)?.evict());
    try {
      const runners = [...this.#sources, ...this.#indices];
      await together(signal, [
        ...runners.map((runner) => async (s: AbortSignal) => runner.run(s)),
        // Runners that stopped for a person leave the others at work, and the process up to say so.
        async (s) => untilAborted(new Promise<never>(() => {}), s),
      ]);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      evictions();
      await this.#parts.resources[Symbol.asyncDispose]();
    }
  }
}
