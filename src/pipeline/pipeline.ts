/** A running pipeline: sources, log and indices wired from a config, and the one way to stop them all. */
import type { RowSchema } from '../change/schema.ts';
import type { Seq } from '../change/seq.ts';
import { SchemaRegistry } from '../capture/schema-registry.ts';
import { builds, EVERYONE, isOver, snapshotsIn } from '../capture/snapshot-state.ts';
import type { Connection } from '../capture/capture.ts';
import type { TailraceConfig } from '../config/definition.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { RowFormat } from '../connector/row-format.ts';
import type { Source, TableDescription, TableRequest } from '../connector/source.ts';
import type { SearchHit, SearchRequest, Target } from '../connector/target.ts';
import type { DocumentTransform } from '../document/transform.ts';
import { createDocumentBuilder } from '../document/builder.ts';
import { invariant } from '../errors/invariant.ts';
import { TailraceError, codeOf } from '../errors/tailrace-error.ts';
import { Notifier, together, untilAborted, within } from '../runtime/abort.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { DeadLetter, DeadLetterFilter, DeadLetterRequest, GenerationRecord, JobRecord, StateStore } from '../state/state-store.ts';
import { dropLetters } from './drop-letters.ts';
import { isFed, isPending } from './generations.ts';
import { IndexRunner, stoppedError } from './index-runner.ts';
import { dropLeft } from './left-behind.ts';
import { LoggedTransactions } from './logged-transactions.ts';
import { indexPositions, sourcePosition, type PositionReport } from './positions.ts';
import { generationStatuses, pipelineStatus } from './pipeline-status.ts';
import { retryLetters, type RetryDeps, type RetryReport } from './retry-letters.ts';
import { Resyncs } from './resync.ts';
import { SourceRunner } from './source-runner.ts';
import type { GenerationStatus, PipelineStatus } from './status.ts';
import type { SwapCheck } from './swap.ts';
import { Verifications } from './verifications.ts';

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
  /** Looks at a generation before readers get to see it. */
  readonly beforeSwap?: SwapCheck | undefined;
  /** Everything that is open for the pipeline; closed when it has stopped. */
  readonly resources: AsyncDisposable;
}

/** Somebody waits for it: a target that takes longer is in trouble. Shorter than the patience of whoever asks the daemon. */
const SEARCH_WITHIN_MS = 8_000;

export class Pipeline implements AsyncDisposable {
  readonly #parts: PipelineParts;
  readonly #stop = new AbortController();
  readonly #startedMs: number;
  readonly #schemas: SchemaRegistry;
  readonly #sources: readonly SourceRunner[];
  readonly #indices: readonly IndexRunner[];
  /** A generation was begun that needs a snapshot, or one is given up. */
  readonly #needChanged = new Notifier();
  /** Orders to read rows again, and their jobs. */
  readonly resyncs: Resyncs;
  readonly verifications: Verifications;
  /** Resolves when the pipeline has stopped; rejects with the error that ended it. */
  readonly finished: Promise<void>;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.#startedMs = parts.runtime.clock.nowMs();
    this.#schemas = new SchemaRegistry(parts.log.registers);
    this.resyncs = new Resyncs({ ...parts, indices: () => this.#indices, source: (name) => this.#sources.find(({ source }) => source.name === name), onGivenUp: () => this.#needChanged.notify() });
    this.verifications = new Verifications({ ...parts, indices: () => this.#indices, source: (name) => this.#source(name) });
    this.#indices = parts.config.indices.map((definition) => this.#makeIndex(definition));
    this.resyncs.settle();
    this.#sources = [...parts.sources].filter(([name]) => this.#tablesOf(name).length > 0).map(([name, { type, source }]) => this.#makeSource(name, type, source));
    this.finished = this.#run();
    this.finished.catch(() => {});
  }

  get log(): LogStore {
    return this.#parts.log;
  }

  status(): PipelineStatus {
    const { version, pid, runtime, log, state, config } = this.#parts;
    return pipelineStatus({ version, pid, startedMs: this.#startedMs, readyWithinMs: config.ready_within_ms, runtime, log, state, sources: this.#sources, indices: this.#indices, verifyStatus: (index) => this.verifications.status(index), jobs: this.resyncs.progress() });
  }

  /** Resolves when everything that is committed at the sources now is searchable; rejects with the error of whatever has stopped. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    const { log, runtime } = this.#parts;
    await Promise.all(this.#sources.map(async (source) => source.caughtUp(signal)));
    const goal = log.durableSeq;
    for (;;) {
      signal.throwIfAborted();
      if (this.#indices.every((index) => hasCaughtUp(index, goal))) return;
      // An index that waits for a snapshot would wait for ever.
      for (const source of this.#sources) source.throwIfStopped();
      await runtime.clock.sleep(CATCH_UP_POLL_MS, signal);
    }
  }

  async search(request: SearchRequest, signal: AbortSignal): Promise<SearchHit[]> {
    const { to } = this.#index(request.index).definition;
    const found = await within(SEARCH_WITHIN_MS, this.#parts.runtime.clock, async (either) => untilAborted(this.#target(to).search(request, either), either), signal);
    if (found === undefined) throw new TailraceError('TIMED_OUT', { message: `Target ${to} did not answer within ${SEARCH_WITHIN_MS / 1000} s.`, entity: to, hint: 'See what `tailrace status` says of it, and look at its server.' });
    return found.result;
  }

  deadLetters(request: DeadLetterRequest): { readonly total: number; readonly letters: readonly DeadLetter[] } {
    const { state } = this.#parts;
    return { total: state.deadLetterTotal(request), letters: state.someDeadLetters(request) };
  }

  /** Forgets dead letters; returns how many. */
  dropDeadLetters(filter: DeadLetterFilter): number {
    return dropLetters(this.#parts.state, filter);
  }

  /** Has the rows of parked documents read again. Errors: as `retryLetters`, and those of the source. */
  async retryDeadLetters({ index, ...filter }: DeadLetterFilter & { readonly index: string }, signal: AbortSignal): Promise<RetryReport> {
    const { definition } = this.#index(index);
    const request: RetryDeps['request'] = async (name, wanted) => this.#source(name).requestSnapshot(wanted, signal);
    return retryLetters(filter, { state: this.#parts.state, definition, request });
  }

  /** What can be asked of a source as soon as it streams. Rejects as `Capture.connected` does, and with USAGE when there is none of this name. */
  async connection(source: string, signal: AbortSignal): Promise<Connection> {
    const runner = this.#sources.find((one) => one.source.name === source);
    if (runner === undefined) throw new TailraceError('USAGE', { message: `There is no source ${source} that an index is made from.` });
    return runner.connected(signal);
  }

  schemas(): RowSchema[] {
    return this.#schemas.all();
  }

  positions(): PositionReport {
    const { log } = this.#parts;
    return {
      log: { id: log.logId, epoch: log.epoch, first_seq: log.firstSeq, durable_seq: log.durableSeq },
      sources: this.#sources.map(({ source }) => sourcePosition(source.name, log.registers, (position) => source.formatPosition(position))),
      indices: this.#indices.flatMap(({ generations }) => indexPositions(generations)),
    };
  }

  /** All generations of an index, or of all indices. */
  generations(index?: string): GenerationStatus[] {
    const indices = index === undefined ? this.#indices : [this.#index(index)];
    return indices.flatMap((runner) => generationStatuses(runner, this.#parts));
  }

  jobs(): JobRecord[] {
    return this.#parts.state.jobs();
  }

  /** See `Resyncs.whole` and `Resyncs.cancel`. */
  resync(index: string, held: boolean): JobRecord {
    return this.resyncs.whole(index, held);
  }

  cancelResync(index: string): JobRecord[] {
    return this.resyncs.cancel(index);
  }

  /** Throws USAGE. See `IndexRunner.promote`. */
  promote(index: string, generation: number): GenerationRecord {
    return this.#index(index).promote(generation);
  }

  /** Throws USAGE. See `IndexRunner.drop`. */
  drop(index: string, generation: number): GenerationRecord {
    return this.#index(index).drop(generation);
  }

  /** See `dropLeft`. Throws USAGE for a target that the config does not have. */
  async dropLeft(index: string, generation: number, at: string, signal: AbortSignal): Promise<void> {
    const { targets, config, state } = this.#parts;
    const target = targets.get(at);
    if (target === undefined) throw new TailraceError('USAGE', { message: `There is no target ${at}; there are: ${[...targets.keys()].join(', ')}.` });
    await dropLeft(target, { index, generation }, (name) => config.indices.some((one) => one.name === name), state, signal);
  }

  /** Ends all work; what is not durable yet is read again at the next start. May be called again. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  #index(name: string): IndexRunner {
    const index = this.#indices.find(({ definition }) => definition.name === name);
    if (index !== undefined) return index;
    throw new TailraceError('USAGE', { message: `There is no index ${name}; there are: ${this.#indices.map(({ definition }) => definition.name).join(', ')}.` });
  }

  /** Tables of a source that generations are made from; those of the config's own indices first. */
  #tablesOf(source: string): TableRequest[] {
    const tables = new Map<string, TableRequest>();
    for (const one of this.#indices.flatMap((index) => index.tables)) if (one.source === source && !tables.has(one.table)) tables.set(one.table, { table: one.table, key: one.key });
    return [...tables.values()];
  }

  #source(name: string): SourceRunner {
    const source = this.#sources.find((runner) => runner.source.name === name);
    invariant(source !== undefined, `a generation that is fed has its source ${name}`);
    return source;
  }

  #target(name: string): Target {
    const target = this.#parts.targets.get(name);
    invariant(target !== undefined, `the config was checked: target ${name} is there`);
    return target;
  }

  #makeIndex(definition: TailraceConfig['indices'][number]): IndexRunner {
    const { config, sources, targets, log, state, runtime, transforms, rebuild, beforeSwap } = this.#parts;
    const format = (name: string): RowFormat | undefined => sources.get(name)?.format;
    const own = format(definition.from.source);
    invariant(own !== undefined, `the config was checked: source ${definition.from.source} is there`);
    const transform = transforms.get(definition.name);
    const { fingerprint } = createDocumentBuilder(definition, { format: own, transform });
    const runner = new IndexRunner({
      definition,
      fingerprint,
      transform,
      format,
      keyOf: (source, table) => {
        const index = config.indices.find(({ from }) => from.source === source && from.table === table);
        return index === undefined ? undefined : (index.key ?? 'default');
      },
      rebuild: rebuild.has(definition.from.source),
      target: (name) => targets.get(name),
      log,
      state,
      runtime,
      beforeSwap: async (record, signal) => {
        await beforeSwap?.(record, signal);
        await this.verifications.beforeSwap(record, signal);
      },
      onNeedChanged: () => this.#needChanged.notify(),
      onOutcome: () => this.resyncs.settle(),
    });
    // What is being built waits for the source to say what the table looks like now: the log may know an older shape only.
    for (const schema of this.#schemas.all()) runner.learnShape(schema.source, schema, false);
    return runner;
  }

  #makeSource(name: string, type: string, source: Source): SourceRunner {
    const { log, runtime, config, rebuild } = this.#parts;
    const logged = new LoggedTransactions(log, name);
    return new SourceRunner({
      type,
      isRebuilt: rebuild.has(name),
      source,
      tables: this.#tablesOf(name),
      log,
      schemas: this.#schemas,
      runtime,
      settings: { inFlightBytes: config.memory.max_buffered_bytes, snapshot: { parallel: config.snapshot.parallel, chunkBytes: config.snapshot.chunk_bytes, bytesPerSecondMax: config.snapshot.max_bytes_per_second ?? null } },
      logged: async (ids, signal) => logged.among(ids, signal),
      onConnected: async (connection, signal) => this.#connected(name, connection, signal),
    });
  }

  /**
   * Until the connection ends, beside each other: a log that is full takes no request for a snapshot before a generation that has just been begun,
   * and that keeps the log from being shortened, is told what it waits for.
   */
  async #connected(source: string, connection: Connection, signal: AbortSignal): Promise<void> {
    await together(signal, [async (s) => this.#tellShapes(source, connection, s), async (s) => this.#requestSnapshots(source, connection, s)]);
  }

  /** Tells the indices what their tables look like. */
  async #tellShapes(source: string, connection: Connection, signal: AbortSignal): Promise<void> {
    let { tables } = connection;
    for (;;) {
      for (const { table, schema } of tables) for (const index of this.#indices) index.learnShape(source, { ...schema, table }, true);
      await this.#needChanged.wait(signal);
      // What the connection said when it was made may be long ago.
      tables = await this.#describe(source, signal);
    }
  }

  /** Asks for the snapshots that generations in building lack, and gives up those that nobody needs any more. */
  async #requestSnapshots(source: string, connection: Connection, signal: AbortSignal): Promise<void> {
    for (;;) {
      const needChanged = this.#needChanged.wait(signal);
      needChanged.catch(() => {});
      await this.#cancelUnneeded(source, connection, signal);
      const requested = snapshotsIn(this.#parts.log.registers);
      const lacking = new Map<string, string[]>();
      for (const { definition, name, record } of this.#indices.flatMap(({ generations }) => generations)) {
        if (record.phase !== 'building' || definition?.from.source !== source || requested.some((snapshot) => builds(snapshot, name))) continue;
        lacking.set(definition.from.table, [...(lacking.get(definition.from.table) ?? []), name]);
      }
      // It sweeps: an earlier connection may have logged changes of rows that have gone since without a change of their own, with their partition.
      for (const [table, names] of lacking) await connection.requestSnapshot({ table, selection: { kind: 'all' }, for: names, reason: 'build', sweep: true }, signal);
      await needChanged;
    }
  }

  /** Nothing is read for generations that are given up. */
  async #cancelUnneeded(source: string, connection: Connection, signal: AbortSignal): Promise<void> {
    const fed = new Set(this.#indices.flatMap(({ generations }) => generations).flatMap(({ name, record }) => (isFed(record) ? [name] : [])));
    for (const snapshot of snapshotsIn(this.#parts.log.registers)) {
      if (snapshot.source !== source || isOver(snapshot) || (!this.resyncs.isGivenUp(snapshot) && snapshot.for.some((name) => name === EVERYONE || fed.has(name)))) continue;
      try {
        await connection.cancelSnapshot(snapshot.number, signal);
      } catch (error) {
        // It has come to its end meanwhile.
        if (codeOf(error) !== 'USAGE') throw error;
      }
    }
  }

  async #describe(name: string, signal: AbortSignal): Promise<readonly TableDescription[]> {
    const source = this.#parts.sources.get(name)?.source;
    return (await source?.describe(this.#tablesOf(name), signal)) ?? [];
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    const { log } = this.#parts;
    const evictions = log.onEvicted((name) => this.#indices.forEach((index) => index.evict(name)));
    try {
      const runners = [...this.#sources, ...this.#indices];
      await together(signal, [
        ...runners.map((runner) => async (s: AbortSignal) => runner.run(s)),
        async (s) => this.resyncs.run(s),
        async (s) => this.verifications.run(s),
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

/** Everything up to `goal` is searchable, by the generation that the config asks for. Throws the error of what has stopped on the way there. */
function hasCaughtUp(index: IndexRunner, goal: Seq): boolean {
  if (index.pending !== undefined) return false;
  const failed = index.generations.find(({ record, condition }) => isPending(record) && isFed(record) && condition === 'stopped');
  if (failed !== undefined) throw failed.error;
  if (index.phase === 'stopped') throw stoppedError(index);
  // Nothing but a person shows it to its readers.
  if (index.record.held && index.record.phase === 'ready') throw index.error instanceof Error ? index.error : new TailraceError('GEN_DIFFERS', { message: `Generation ${index.record.generation} of index ${index.definition.name} is held.`, entity: index.definition.name });
  return index.phase === 'serving' && (index.cursor ?? -1) >= goal && index.isTidy;
}
