/**
 * One index of a pipeline: how it stands, and what is done with its generations, one step after the other. Records are durable before they are acted
 * upon where that takes something away, and after it where it gives something.
 */
import type { ApplyStatus } from '../apply/applier.ts';
import type { Seq } from '../change/seq.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import { dispositionOf } from '../errors/policy.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { within } from '../runtime/abort.ts';
import { Backoff } from '../runtime/backoff.ts';
import type { GenerationReason, GenerationRecord } from '../state/state-store.ts';
import { orderPromotion, orderRemoval, refuseHeld } from './generation-orders.ts';
import type { GenerationRunner } from './generation-runner.ts';
import { beginGeneration, generationsAtStart, isPending, isUnserved } from './generations.ts';
import { IndexGenerations, type IndexGenerationsDeps } from './index-generations.ts';
import { isRemovalDue, remove, retire } from './removal.ts';
import { ServingWatch } from './serving-watch.ts';
import type { WholeResyncPlan } from './status.ts';
import { Swap, type SwapDeps } from './swap.ts';

/** While a generation waits to be in step its place is looked at this often; otherwise what only time decides. */
const SWAP_POLL_MS = 50;
const IDLE_POLL_MS = 1_000;

/** Between two attempts of what failed. */
const AGAIN = { firstMs: 200, maxMs: 30_000 };

/** `building`: also when it is whole, and readers are about to see it. */
export type IndexPhase = 'opening' | 'building' | 'serving' | 'waiting' | 'stopped';

export interface IndexRunnerDeps extends IndexGenerationsDeps, SwapDeps {
  /** Of the definition that the config has. */
  readonly fingerprint: string;
  readonly rebuild: boolean;
  /** How a generation that was being built came to its end: `ready` for one that is held, `serving`, or `dropping`. */
  readonly onOutcome: (record: GenerationRecord) => void;
}

export class IndexRunner {
  readonly definition: IndexDefinition;
  readonly #deps: IndexRunnerDeps;
  readonly #generations: IndexGenerations;
  readonly #swap: Swap;
  readonly #watch: ServingWatch;
  readonly #backoff: Backoff;
  /** Why what is to be done with the generations is not done. */
  #trouble: unknown = null;

  constructor(deps: IndexRunnerDeps) {
    const { definition, fingerprint, rebuild, log, state, runtime } = deps;
    this.#deps = deps;
    this.definition = definition;
    this.#backoff = new Backoff(AGAIN, runtime.random);
    const hasTarget = (name: string): boolean => deps.target(name) !== undefined;
    const records = generationsAtStart(state, { definition, fingerprint, rebuild, hasTarget, durableSeq: log.durableSeq, nowMs: runtime.clock.nowMs() });
    this.#generations = new IndexGenerations(records, deps, { onWhole: (runner, seq) => this.#whole(runner, seq), onMappingRefused: (runner) => this.#mappingRefused(runner) });
    this.#swap = new Swap(this.#generations, deps);
    this.#watch = new ServingWatch(this.#generations, runtime);
  }

  /** All that are known, in the order of their numbers. */
  get generations(): readonly GenerationRunner[] {
    return this.#generations.all;
  }

  /** The generation that stands for the index. */
  get main(): GenerationRunner {
    return this.#generations.main;
  }

  get record(): GenerationRecord {
    return this.main.record;
  }

  get phase(): IndexPhase {
    const { record, condition } = this.main;
    if (condition !== 'working') return condition === 'idle' ? 'opening' : condition;
    if (record.phase === 'serving') return 'serving';
    return this.#trouble === null ? 'building' : 'waiting';
  }

  get error(): unknown {
    return this.main.error ?? (this.main.record.phase === 'serving' ? null : this.#trouble);
  }

  get applied(): ApplyStatus {
    return this.main.applied;
  }

  get cursor(): Seq | null {
    return this.main.cursor;
  }

  get changesPerSecond(): number {
    return this.main.changesPerSecond;
  }

  /** The generation that is on its way to its readers, if there is one that goes on. */
  get pending(): GenerationRunner | undefined {
    return this.#generations.pending;
  }

  /** Nothing is left to be removed that can be removed. */
  get isTidy(): boolean {
    return this.#trouble !== null || this.generations.every(({ record }) => record.phase !== 'dropping');
  }

  /** Tables that generations are made from, by their sources. */
  get tables(): IndexGenerations['tables'] {
    return this.#generations.tables;
  }

  /** A source has said what a table looks like now, or the log what it looked like last. */
  learnShape(...said: Parameters<IndexGenerations['learnShape']>): void {
    this.#generations.learnShape(...said);
  }

  /** The log gave up what a generation needs next, to stay within its size. */
  evict(name: string): void {
    this.#generations.evict(name);
  }

  /** Begins another generation; what was being built before is given up. Throws USAGE for one that is held where readers would go on seeing none. */
  begin(reason: GenerationReason, held: boolean): GenerationRecord {
    if (held) refuseHeld(this.#generations);
    const { fingerprint, log, state, runtime } = this.#deps;
    const record = beginGeneration(state, { definition: this.definition, fingerprint, reason, held, durableSeq: log.durableSeq, nowMs: runtime.clock.nowMs() });
    runtime.logger.info('generation_begun', { index: record.index, generation: record.generation, reason });
    this.#generations.add(record);
    return record;
  }

  /** What `begin` would do. */
  plan(held: boolean): Omit<WholeResyncPlan, 'estimated_rows'> {
    if (held) refuseHeld(this.#generations);
    const { name, from } = this.definition;
    const generation = (this.#deps.state.lastBegun(name)?.generation ?? 0) + 1;
    return { index: name, table: `${from.source}.${from.table}`, rows: 'all', generation, gives_up: this.#generations.unserved?.record.generation ?? null, swap: !held };
  }

  /** See `orderPromotion`. */
  promote(generation: number): GenerationRecord {
    return orderPromotion(this.#generations, generation);
  }

  /** See `orderRemoval`. */
  drop(generation: number): GenerationRecord {
    return orderRemoval(this.#generations, generation);
  }

  /** Resolves when the signal is aborted; rejects with errors that end the process. */
  async run(outer: AbortSignal): Promise<void> {
    try {
      await this.#generations.run(outer, async (signal) => this.#manage(signal));
    } finally {
      await Promise.all([this.#swap.settled(), this.#watch.settled()]);
    }
  }

  /** Until the signal is aborted: one step after the other, so that no two of them meet. */
  async #manage(signal: AbortSignal): Promise<void> {
    const { logger } = this.#deps.runtime;
    for (;;) {
      signal.throwIfAborted();
      // What changes while it is looked is looked at again at once.
      const { times } = this.#generations.changed;
      try {
        retire(this.#generations, this.#deps);
        const lost = this.#watch.step(signal);
        if (lost !== null) this.#swap.promoteAgain(lost);
        const isSettled = await this.#swap.step(signal);
        await remove(this.#generations, this.#deps, signal);
        if (isSettled) {
          this.#trouble = null;
          this.#backoff.reset();
        }
      } catch (error) {
        if (signal.aborted || dispositionOf(error) === 'exit') throw error;
        this.#trouble = error;
        const retryInMs = this.#backoff.nextMs();
        logger.warn('generations_waiting', { index: this.definition.name, error, retry_in_ms: retryInMs });
        await this.#changedWithin(retryInMs, times, signal);
        continue;
      }
      const waits = [this.#swap.isDue ? SWAP_POLL_MS : null, isRemovalDue(this.#generations) ? IDLE_POLL_MS : null, this.#watch.dueInMs].filter((ms) => ms !== null);
      if (waits.length > 0) await this.#changedWithin(Math.min(...waits), times, signal);
      else await this.#generations.changed.wait(signal, times);
    }
  }

  async #changedWithin(ms: number, times: number, signal: AbortSignal): Promise<void> {
    await within(ms, this.#deps.runtime.clock, async (either) => this.#generations.changed.wait(either, times), signal);
  }

  #whole(runner: GenerationRunner, wholeSeq: Seq): void {
    const { record } = runner;
    if (record.phase !== 'building') return;
    const whole = this.#generations.put({ ...record, phase: 'ready', wholeSeq });
    this.#deps.runtime.logger.info('generation_ready', { index: record.index, generation: record.generation });
    if (whole.held) this.#deps.onOutcome(whole);
  }

  /** Begins another generation for one that its target cannot go on with. */
  #mappingRefused({ record }: GenerationRunner): boolean {
    const newest = this.generations.at(-1)?.record ?? record;
    // One that was begun since takes its place.
    if (newest.generation > record.generation && isPending(newest)) return true;
    // Of one that is new itself another would fare no better, unless the config has become another.
    const isOutdated = isUnserved(newest) && hasOtherSettings(newest, this.definition);
    if (!(isOutdated || (newest.generation === record.generation && record.phase === 'serving')) || !this.#generations.isRunning) return false;
    this.begin('mapping', isOutdated && newest.held);
    return true;
  }
}

/** It was begun with other settings of its storage than the config has now. */
function hasOtherSettings({ definition }: GenerationRecord, { settings }: IndexDefinition): boolean {
  return definition !== '' && JSON.stringify((JSON.parse(definition) as IndexDefinition).settings) !== JSON.stringify(settings);
}

/** Thrown by whoever waits for an index that has stopped. */
export function stoppedError(runner: Pick<IndexRunner, 'error' | 'definition'>): unknown {
  return runner.error ?? new TailraceError('UNKNOWN', { message: `Index ${runner.definition.name} has stopped.`, entity: runner.definition.name });
}
