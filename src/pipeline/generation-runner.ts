/**
 * One generation of an index: opened on its target as soon as its table's shape is known, kept in step, and opened again after every failure that
 * a pause may mend.
 */
import { Applier, type ApplyStatus } from '../apply/applier.ts';
import { newCounters } from '../apply/counters.ts';
import { builds, type Snapshot } from '../capture/snapshot-state.ts';
import type { RowSchema } from '../change/schema.ts';
import { versionOf, type Seq } from '../change/seq.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { GenerationPlan, Target, TargetGeneration } from '../connector/target.ts';
import { createDocumentBuilder } from '../document/builder.ts';
import { namingIndex, namingSource } from '../errors/named-source.ts';
import { dispositionOf, mayMendItself } from '../errors/policy.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import { Notifier, untilAborted } from '../runtime/abort.ts';
import { Backoff } from '../runtime/backoff.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { generationName, type GenerationRecord, type StateStore } from '../state/state-store.ts';
import type { Feed } from './generation-feed.ts';
import { Rate } from './rate.ts';

const REOPEN = { firstMs: 200, maxMs: 30_000 };

/** `idle`: it is not fed, because another one has its place or will have it. */
export type GenerationCondition = 'idle' | 'opening' | 'working' | 'waiting' | 'stopped';

export interface GenerationHooks {
  /** Its snapshot is applied up to `seq`; called again when that is passed again. */
  readonly onWhole: (runner: GenerationRunner, seq: Seq) => void;
  /** Its target cannot take what comes as it is. True when another generation is begun, so that this one is needed no longer than until that serves. */
  readonly onMappingRefused: (runner: GenerationRunner) => boolean;
  /** True when its target is to be told that readers see it, because it may have forgotten. */
  readonly assertsPromotion: (runner: GenerationRunner) => boolean;
  /** Its state changed in a way that others may wait for. */
  readonly onChange: () => void;
}

export interface GenerationRunnerDeps {
  readonly record: GenerationRecord;
  /** The error when it cannot be fed. */
  readonly feed: Feed | TailraceError;
  readonly target: Target;
  /** No other generation of the index was ever opened with this data directory. */
  readonly isFirst: boolean;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly runtime: Runtime;
  readonly hooks: GenerationHooks;
}

type TableShape = Pick<RowSchema, 'table' | 'columns'>;

export class GenerationRunner {
  readonly target: Target;
  readonly definition: IndexDefinition | null;
  readonly #deps: GenerationRunnerDeps;
  readonly #feed: Feed | null;
  readonly #backoff: Backoff;
  readonly #read: Rate;
  readonly #shapeKnown = new Notifier();
  readonly #ended = new AbortController();
  /** Of the whole run: a generation that is opened again goes on counting. */
  readonly #counters = newCounters();
  #record: GenerationRecord;
  #shape: TableShape | null = null;
  #applier: Applier | null = null;
  #opened: TargetGeneration | null = null;
  #last: ApplyStatus | null = null;
  #condition: GenerationCondition = 'idle';
  #error: unknown = null;
  /** Why it is held. */
  finding: unknown = null;
  /** Why readers do not find it, although it serves. It is fed all the same. */
  unseen: unknown = null;

  constructor(deps: GenerationRunnerDeps) {
    this.#deps = deps;
    this.target = deps.target;
    this.#feed = deps.feed instanceof TailraceError ? null : deps.feed;
    this.definition = this.#feed?.definition ?? null;
    this.#record = deps.record;
    this.#backoff = new Backoff(REOPEN, deps.runtime.random);
    this.#read = new Rate(deps.runtime.clock);
    if (deps.feed instanceof TailraceError) this.#halt(namingIndex(deps.feed, deps.record.index));
  }

  /** `products-g0001`. */
  get name(): string {
    return generationName(this.#record.index, this.#record.generation);
  }

  get record(): GenerationRecord {
    return this.#record;
  }

  get condition(): GenerationCondition {
    if (this.#condition === 'working' && (this.#applier?.status().trouble ?? this.unseen) != null) return 'waiting';
    return this.#condition;
  }

  get error(): unknown {
    return this.#error ?? this.#applier?.status().trouble ?? this.unseen ?? (this.#record.held ? this.finding : null);
  }

  /** Its target has it open, so that it can be promoted. */
  get opened(): TargetGeneration | null {
    return this.#applier === null ? null : this.#opened;
  }

  /** What its documents are made by; null when it cannot be fed. */
  get feed(): Feed | null {
    return this.#feed;
  }

  get applied(): ApplyStatus {
    return this.#applier?.status() ?? this.#last ?? { cursor: null, settled: null, counters: this.#counters, appliedCommitMs: null, trouble: null };
  }

  /** Seq up to which everything is applied; null while only the target knows, and has not said it yet. */
  get cursor(): Seq | null {
    const { state } = this.#deps;
    const known = this.#applier?.status().cursor ?? this.#last?.cursor ?? null;
    if (known !== null) return known;
    if (this.target.capabilities.atomicCursor && this.#record.phase !== 'building') return null;
    return state.cursor(this.#record.index, this.#record.generation) ?? this.#record.startSeq;
  }

  get changesPerSecond(): number {
    return this.#read.perSecond(this.applied.counters.read);
  }

  /** The record as it is durable by now. */
  noteRecord(record: GenerationRecord): void {
    this.#record = record;
    if (record.phase !== 'serving') this.unseen = null;
  }

  /** The source has said what the table looks like now. */
  learnShape(shape: TableShape): void {
    this.#shape = shape;
    this.#shapeKnown.notify();
  }

  /** It stops, and says so. */
  end(error: unknown): void {
    this.#ended.abort(error);
  }

  /** Resolves when the signal is aborted or the generation stopped for a person; rejects with errors that end the process. */
  async run(outer: AbortSignal): Promise<void> {
    if (this.#feed === null) return;
    const { clock, logger } = this.#deps.runtime;
    const { index, generation } = this.#record;
    const signal = AbortSignal.any([outer, this.#ended.signal]);
    while (!outer.aborted) {
      try {
        await this.#open(this.#feed, signal);
      } catch (thrown) {
        if (outer.aborted) return;
        const disposition = dispositionOf(thrown);
        const error = this.#explained(thrown, this.#feed);
        this.#error = error;
        if (disposition === 'exit') throw error;
        if (disposition !== 'backoff' && disposition !== 'pause') {
          this.#halt(error);
          logger.error('index_stopped', { index, generation, error });
          this.#deps.hooks.onChange();
          return;
        }
        this.#condition = 'waiting';
        const retryInMs = this.#backoff.nextMs();
        logger.warn('index_waiting', { index, generation, error, retry_in_ms: retryInMs });
        await clock.sleep(retryInMs, signal).catch(() => {});
      }
    }
  }

  #halt(error: unknown): void {
    this.#error = error;
    this.#condition = 'stopped';
    const { log, hooks } = this.#deps;
    const isReplaced = codeOf(error) === 'TGT_MAPPING' && hooks.onMappingRefused(this);
    // What the log has is of no use to it any more, or of too little: kept for it, that would be in the way of the others.
    if (isReplaced || needsRebuild(error) || codeOf(error) === 'GEN_NOT_FED' || this.#record.phase === 'retired') log.release(this.name);
  }

  /** The error with what mends it here. */
  #explained(error: unknown, { definition: { name, from } }: Feed): unknown {
    if (!needsRebuild(error) || this.#record.phase !== 'building') return namingIndex(namingSource(error, from.source), name);
    return new TailraceError(codeOf(error) ?? 'LOG_EVICTED', {
      message: `Index ${name} was given up before it was built: what it had yet to apply is more than the change log holds.`,
      did: 'The index was not built; the others go on.',
      hint: `Raise \`log.max_bytes\` above the size of the table ${from.table}, or set \`log.on_full: block\` until the index is built; restart, then \`tailrace resync ${name}\`. As it is, the next build ends the same way if the target is no faster.`,
      entity: name,
      cause: error,
    });
  }

  async #open({ definition, settings, format, transform }: Feed, signal: AbortSignal): Promise<void> {
    const { log, state, runtime, hooks } = this.#deps;
    this.#condition = 'opening';
    while (this.#shape === null) await this.#shapeKnown.wait(signal);
    const documents = createDocumentBuilder(definition, { format, table: this.#shape, transform });
    const { index, generation, startSeq, fingerprint } = this.#record;
    await this.#refuseForeign(signal);
    const isBuilding = this.#record.phase === 'building' || this.#record.phase === 'ready';
    const plan = { index, generation, binding: { logId: log.logId, epoch: log.epoch, fingerprint }, fields: documents.fields, isBuilding };
    await using opened = await this.#openWith(plan, definition, settings, signal);
    this.#noteIncarnation(opened.incarnation);
    this.#error = null;
    const { batch, on_error, max_dead_letters } = definition;
    this.#applier = new Applier({
      index,
      generation,
      source: definition.from.source,
      table: definition.from.table,
      startSeq,
      atomicCursor: this.target.capabilities.atomicCursor,
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
    this.#opened = opened;
    this.#condition = 'working';
    hooks.onChange();
    try {
      this.#backoff.reset();
      await this.#applier.run(signal);
    } finally {
      const status = this.#applier.status();
      this.#last = { ...status, settled: null, cursor: status.cursor ?? this.#last?.cursor ?? null };
      this.#applier = null;
      this.#opened = null;
    }
  }

  /** With the settings that the config has now; with those that it was begun with, when these cannot be changed in place and another generation gets them. */
  async #openWith(plan: Omit<GenerationPlan, 'options'>, { mapping, ...begun }: IndexDefinition, settings: IndexDefinition['settings'], signal: AbortSignal): Promise<TargetGeneration> {
    const { state, hooks } = this.#deps;
    const isSame = JSON.stringify(settings) === JSON.stringify(begun.settings);
    try {
      const opened = await this.target.open({ ...plan, options: { mapping, settings } }, signal);
      if (!isSame) {
        this.#record = { ...this.#record, definition: JSON.stringify({ ...begun, mapping, settings }) };
        state.putGenerations(this.#record);
      }
      return opened;
    } catch (error) {
      if (isSame || codeOf(error) !== 'TGT_MAPPING' || !hooks.onMappingRefused(this)) throw error;
      return this.target.open({ ...plan, options: { mapping, settings: begun.settings } }, signal);
    }
  }

  /** A data directory that begins anew does not take over what another one has built. */
  async #refuseForeign(signal: AbortSignal): Promise<void> {
    const { isFirst, state } = this.#deps;
    const { index, generation, phase, incarnation } = this.#record;
    if (!isFirst || phase !== 'building' || incarnation !== '' || state.cursor(index, generation) !== null) return;
    const known = new Set(state.generations().map((record) => generationName(record.index, record.generation)));
    const foreign = (await this.target.generations(signal)).find((listed) => listed.index === index && !known.has(generationName(index, listed.generation)));
    if (foreign === undefined) return;
    throw new TailraceError('TGT_IDENTITY', {
      message: `Target ${this.target.name} holds generation ${foreign.generation} of the index ${index}, which was not built from this data directory.`,
      hint: `Start with the data directory that it was built from, or give the index another name; or remove at the target what it has of ${index}, and restart.`,
      entity: index,
    });
  }

  /** A cursor that is kept here is of the storage that it was kept for, and of no other. */
  #noteIncarnation(incarnation: string): void {
    const { state } = this.#deps;
    const { index, generation, incarnation: known } = this.#record;
    if (this.target.capabilities.atomicCursor || incarnation === known) return;
    if (known !== '') {
      throw new TailraceError('TGT_IDENTITY', {
        message: `Generation ${generation} of index ${index} is not what it was at target ${this.target.name}: it was made anew there, or put back to an earlier time.`,
        hint: `Build it again: \`tailrace resync ${index}\`.`,
        entity: index,
      });
    }
    this.#record = { ...this.#record, incarnation };
    state.putGenerations(this.#record);
  }

  async #snapshotApplied(opened: TargetGeneration, snapshot: Snapshot, signal: AbortSignal): Promise<void> {
    const { log, runtime, hooks } = this.#deps;
    const { index, generation, startSeq } = this.#record;
    // A generation that begins no earlier than the snapshot has nothing to be swept.
    if (snapshot.sweep && snapshot.startSeq > startSeq) {
      const swept = await opened.sweep(versionOf(log.epoch, snapshot.startSeq + 1), signal);
      runtime.logger.info('index_swept', { index, generation, snapshot: snapshot.number, documents: swept });
    }
    if (!builds(snapshot, this.name)) return;
    hooks.onWhole(this, snapshot.doneSeq ?? log.durableSeq);
    // A target that was put back to an earlier time comes by here again.
    if (hooks.assertsPromotion(this)) await this.showAgain(opened, signal);
  }

  /** Readers see it, as they should already. Where somebody has put something in its place that stays there, `unseen` says so: no reason to feed it no longer. */
  async showAgain(opened: TargetGeneration, signal: AbortSignal): Promise<void> {
    const { index, generation } = this.#record;
    try {
      // A target that hangs may not notice the signal.
      await untilAborted(opened.promote(signal), signal);
      if (this.unseen !== null) this.#deps.runtime.logger.info('readers_found', { index, generation });
      this.unseen = null;
    } catch (error) {
      if (signal.aborted || mayMendItself(error)) throw error;
      const seen = await untilAborted(opened.seen(signal), signal);
      if (typeof seen === 'string') throw error;
      this.unseen = seen;
    }
  }
}

/** The log has lost what the generation needs next. */
function needsRebuild(error: unknown): boolean {
  const code = codeOf(error);
  return code === 'LOG_EVICTED' || code === 'LOG_GAP';
}
