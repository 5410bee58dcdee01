/**
 * One index of a pipeline: opens its generation on the target as soon as its table's shape is known, keeps it in step, and comes back after
 * every failure that a pause may mend.
 */
import { Applier, type ApplyStatus } from '../apply/applier.ts';
import { newCounters } from '../apply/counters.ts';
import type { Snapshot } from '../capture/snapshot-state.ts';
import type { RowSchema } from '../change/schema.ts';
import { versionOf, type Seq } from '../change/seq.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { RowFormat } from '../connector/row-format.ts';
import type { Target, TargetGeneration } from '../connector/target.ts';
import { createDocumentBuilder } from '../document/builder.ts';
import type { DocumentTransform } from '../document/transform.ts';
import { namingSource } from '../errors/named-source.ts';
import { dispositionOf } from '../errors/policy.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import { Notifier } from '../runtime/abort.ts';
import { Backoff } from '../runtime/backoff.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { generationName, type GenerationRecord, type StateStore } from '../state/state-store.ts';
import { dropSuperseded, type GenerationChoice } from './generations.ts';
import { Rate } from './rate.ts';

const REOPEN = { firstMs: 200, maxMs: 30_000 };

export type IndexPhase = 'opening' | 'building' | 'serving' | 'waiting' | 'stopped';

export interface IndexRunnerDeps {
  readonly definition: IndexDefinition;
  readonly choice: GenerationChoice;
  readonly format: RowFormat;
  readonly transform: DocumentTransform | undefined;
  readonly target: Target;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly runtime: Runtime;
}

type TableShape = Pick<RowSchema, 'table' | 'columns'>;

export class IndexRunner {
  readonly definition: IndexDefinition;
  readonly #deps: IndexRunnerDeps;
  readonly #backoff: Backoff;
  readonly #read: Rate;
  readonly #shapeKnown = new Notifier();
  readonly #evicted = new AbortController();
  /** Of the whole run: an index that is opened again goes on counting. */
  readonly #counters = newCounters();
  #record: GenerationRecord;
  #shape: TableShape | null = null;
  #applier: Applier | null = null;
  #last: ApplyStatus | null = null;
  #phase: IndexPhase = 'opening';
  #error: unknown = null;

  constructor(deps: IndexRunnerDeps) {
    this.#deps = deps;
    this.definition = deps.definition;
    this.#record = deps.choice.record;
    this.#backoff = new Backoff(REOPEN, deps.runtime.random);
    this.#read = new Rate(deps.runtime.clock);
  }

  /** Name of the generation that is fed: `products-g0001`. */
  get name(): string {
    return generationName(this.#record.index, this.#record.generation);
  }

  get record(): GenerationRecord {
    return this.#record;
  }

  get phase(): IndexPhase {
    if (this.#phase === 'serving' && this.#applier?.status().trouble != null) return 'waiting';
    return this.#phase;
  }

  get error(): unknown {
    return this.#error ?? this.#applier?.status().trouble ?? null;
  }

  get applied(): ApplyStatus {
    return this.#applier?.status() ?? this.#last ?? { cursor: null, counters: this.#counters, appliedCommitMs: null, trouble: null };
  }

  /** Seq up to which everything is applied; null while only the target knows, and has not said it yet. */
  get cursor(): Seq | null {
    const { target, state } = this.#deps;
    const known = this.#applier?.status().cursor ?? this.#last?.cursor ?? null;
    if (known !== null) return known;
    if (target.capabilities.atomicCursor && this.#record.phase === 'serving') return null;
    return state.cursor(this.#record.index, this.#record.generation) ?? this.#record.startSeq;
  }

  get changesPerSecond(): number {
    return this.#read.perSecond(this.applied.counters.read);
  }

  /** The source has said what the table looks like now. */
  learnShape(shape: TableShape): void {
    this.#shape = shape;
    this.#shapeKnown.notify();
  }

  /** The log gave up what this index needs next, to stay within its size: it stops, and says so. */
  evict(): void {
    const { name } = this.definition;
    this.#evicted.abort(new TailraceError('LOG_EVICTED', { message: `Index ${name} fell so far behind that the change log reached its size limit.`, entity: name }));
  }

  /** Resolves when the signal is aborted or the index stopped for a person; rejects with errors that end the process. */
  async run(outer: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps.runtime;
    const signal = AbortSignal.any([outer, this.#evicted.signal]);
    while (!outer.aborted) {
      try {
        await this.#open(signal);
      } catch (thrown) {
        if (outer.aborted) return;
        const disposition = dispositionOf(thrown);
        const error = this.#explained(thrown);
        this.#error = error;
        if (disposition === 'exit') throw error;
        if (disposition !== 'backoff' && disposition !== 'pause') {
          this.#phase = 'stopped';
          // What the log has is of no use to it any more: kept for it, that would be in the way of the others.
          if (needsRebuild(error)) this.#deps.log.release(this.name);
          logger.error('index_stopped', { index: this.definition.name, error });
          return;
        }
        this.#phase = 'waiting';
        const retryInMs = this.#backoff.nextMs();
        logger.warn('index_waiting', { index: this.definition.name, error, retry_in_ms: retryInMs });
        await clock.sleep(retryInMs, signal).catch(() => {});
      }
    }
  }

  /** The error with what mends it here. */
  #explained(error: unknown): unknown {
    const { name, from } = this.definition;
    if (!needsRebuild(error) || this.#record.phase !== 'building') return namingSource(error, from.source);
    return new TailraceError(codeOf(error) ?? 'LOG_EVICTED', {
      message: `Index ${name} was given up before it was built: what it had yet to apply is more than the change log holds.`,
      did: 'The index was not built; the others go on.',
      hint: `Raise \`log.max_bytes\` above the size of the table ${from.table}, or set \`log.on_full: block\` until the index is built, then \`tailrace run --rebuild ${from.source}\`. As it is, the next build ends the same way if the target is no faster.`,
      entity: name,
      cause: error,
    });
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { definition, format, transform, target, log, state, runtime } = this.#deps;
    this.#phase = 'opening';
    while (this.#shape === null) await this.#shapeKnown.wait(signal);
    const documents = createDocumentBuilder(definition, { format, table: this.#shape, transform });
    const { index, generation, startSeq, fingerprint } = this.#record;
    const binding = { logId: log.logId, epoch: log.epoch, fingerprint };
    await using opened = await target.open({ index, generation, binding, fields: documents.fields, isBuilding: this.#record.phase === 'building', options: {} }, signal);
    this.#error = null;
    this.#phase = this.#record.phase;
    if (this.#phase === 'serving') await this.#dropSuperseded(signal);
    const { batch, on_error, max_dead_letters } = definition;
    this.#applier = new Applier({
      index,
      generation,
      source: definition.from.source,
      table: definition.from.table,
      startSeq,
      atomicCursor: target.capabilities.atomicCursor,
      log,
      target: opened,
      documents,
      state,
      runtime,
      settings: { batchOperations: batch.max_operations, batchBytes: batch.max_bytes, concurrency: batch.max_in_flight, onError: on_error, deadLettersMax: max_dead_letters },
      counters: this.#counters,
      isBuilding: () => this.#record.phase === 'building',
      onSnapshotApplied: async (snapshot, s) => this.#snapshotApplied(opened, snapshot, s),
    });
    try {
      this.#backoff.reset();
      await this.#applier.run(signal);
    } finally {
      const status = this.#applier.status();
      this.#last = { ...status, cursor: status.cursor ?? this.#last?.cursor ?? null };
      this.#applier = null;
    }
  }

  async #snapshotApplied(opened: TargetGeneration, snapshot: Snapshot, signal: AbortSignal): Promise<void> {
    const { log, state, runtime } = this.#deps;
    // A generation that begins no earlier than the snapshot has nothing to be swept.
    if (snapshot.sweep && snapshot.startSeq > this.#record.startSeq) {
      const swept = await opened.sweep(versionOf(log.epoch, snapshot.startSeq + 1), signal);
      runtime.logger.info('index_swept', { index: this.definition.name, snapshot: snapshot.number, documents: swept });
    }
    if (!snapshot.for.includes(this.name)) return;
    // Also when it serves: a target that was put back to an earlier time comes by here again.
    await opened.promote(signal);
    if (this.#record.phase === 'serving') return;
    this.#record = { ...this.#record, phase: 'serving' };
    state.putGeneration(this.#record);
    runtime.logger.info('index_serving', { index: this.definition.name, generation: this.#record.generation });
    // Whoever waits for the index to serve, to end then, leaves nothing behind that nobody reads.
    await this.#dropSuperseded(signal);
    this.#phase = 'serving';
  }

  async #dropSuperseded(signal: AbortSignal): Promise<void> {
    const { choice, target, state, runtime } = this.#deps;
    await dropSuperseded(choice.superseded, { target, state, logger: runtime.logger }, signal);
  }
}

/** The log has lost what the index needs next. */
function needsRebuild(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'LOG_EVICTED' || code === 'LOG_GAP';
}

/** Thrown by whoever waits for an index that has stopped. */
export function stoppedError(runner: IndexRunner): unknown {
  return runner.error ?? new TailraceError('UNKNOWN', { message: `Index ${runner.definition.name} has stopped.`, entity: runner.definition.name });
}
