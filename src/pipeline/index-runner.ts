/**
 * One index of a pipeline: all of its generations are fed side by side from the log, each by its own runner, and here it is decided which of them
 * readers see. Records are durable before they are acted upon where that takes something away, and after it where it gives something: what a crash
 * leaves half done is done again from the records.
 */
import type { ApplyStatus } from '../apply/applier.ts';
import type { RowSchema } from '../change/schema.ts';
import type { Seq } from '../change/seq.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { Target } from '../connector/target.ts';
import { invariant } from '../errors/invariant.ts';
import { dispositionOf } from '../errors/policy.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { first, Notifier, untilAborted } from '../runtime/abort.ts';
import { Backoff } from '../runtime/backoff.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { generationName, type GenerationReason, type GenerationRecord, type StateStore } from '../state/state-store.ts';
import type { ResyncPlan } from './status.ts';
import { feedOf, type FeedDeps } from './generation-feed.ts';
import { GenerationRunner } from './generation-runner.ts';
import { beginGeneration, dropAtMs, generationsAtStart, isFed, isPending, isUnserved, recordsOf, served, standingFor, targetOf } from './generations.ts';

/** A generation that is this near to the end of the log is in step. */
export const SWAP_DISTANCE_CHANGES = 1_000;

/** While a generation waits to be in step its place is looked at this often; otherwise what only time decides. */
const SWAP_POLL_MS = 50;
const IDLE_POLL_MS = 1_000;

/** Between two attempts of what failed. */
const AGAIN = { firstMs: 200, maxMs: 30_000 };

/** `building`: also when it is whole, and readers are about to see it. */
export type IndexPhase = 'opening' | 'building' | 'serving' | 'waiting' | 'stopped';

/** Looks at a generation that is in step before readers get to see it. Rejects when they must not: then it waits for a person. */
export type SwapCheck = (record: GenerationRecord, signal: AbortSignal) => Promise<void>;

export interface IndexRunnerDeps extends FeedDeps {
  /** Of the definition that the config has. */
  readonly fingerprint: string;
  readonly rebuild: boolean;
  /** By its name; undefined when the config has no such target. */
  readonly target: (name: string) => Target | undefined;
  readonly log: LogStore;
  readonly state: StateStore;
  readonly runtime: Runtime;
  readonly beforeSwap?: SwapCheck | undefined;
  /** A generation was begun, and needs a snapshot; or it is given up, and needs none any more. */
  readonly onNeedChanged: () => void;
  /** How a generation that was being built came to its end: `ready` for one that is held, `serving`, or `dropping`. */
  readonly onOutcome: (record: GenerationRecord) => void;
}

type TableShape = Pick<RowSchema, 'table' | 'columns'>;

export class IndexRunner {
  readonly definition: IndexDefinition;
  readonly #deps: IndexRunnerDeps;
  readonly #changed = new Notifier();
  readonly #backoff: Backoff;
  #runners: GenerationRunner[] = [];
  readonly #shapes = new Map<string, TableShape>();
  /** Of runners that are at work. */
  readonly #work = new Map<GenerationRunner, { readonly stop: AbortController; readonly ended: Promise<void> }>();
  #failed = new AbortController();
  #running: AbortSignal | null = null;
  /** Storage that was told that readers see it. */
  #asserted: unknown = null;
  /** Why what is to be done with the generations is not done. */
  #trouble: unknown = null;

  constructor(deps: IndexRunnerDeps) {
    const { definition, fingerprint, rebuild, log, state, runtime } = deps;
    this.#deps = deps;
    this.definition = definition;
    this.#backoff = new Backoff(AGAIN, runtime.random);
    const hasTarget = (name: string): boolean => deps.target(name) !== undefined;
    const records = generationsAtStart(state, { definition, fingerprint, rebuild, hasTarget, durableSeq: log.durableSeq, nowMs: runtime.clock.nowMs() });
    const isFirst = records.every((record) => record.phase === 'building' && record.incarnation === '');
    this.#runners = records.map((record) => this.#make(record, isFirst));
  }

  /** All that are known, in the order of their numbers. */
  get generations(): readonly GenerationRunner[] {
    return this.#runners;
  }

  /** The one that stands for the index. */
  get main(): GenerationRunner {
    const main = standingFor(this.#runners, ({ record }) => record) ?? this.#runners.at(-1);
    invariant(main !== undefined, `index ${this.definition.name} has a generation from its beginning on`);
    return main;
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
    return this.#runners.findLast(({ record, condition }) => isPending(record) && isFed(record) && condition !== 'stopped');
  }

  /** Nothing is left to be removed that can be removed. */
  get isTidy(): boolean {
    return this.#trouble !== null || this.#runners.every(({ record }) => record.phase !== 'dropping');
  }

  /** Tables that generations are made from, by their sources. */
  get tables(): readonly { readonly source: string; readonly table: string; readonly key: readonly string[] | undefined }[] {
    const definitions = this.#runners.flatMap(({ record, definition }) => (definition !== null && isFed(record) ? [definition] : []));
    return [this.definition, ...definitions].map(({ from, key }) => ({ ...from, key }));
  }

  /** A source has said what a table looks like now, or the log what it looked like last. */
  learnShape(source: string, shape: TableShape, isCurrent: boolean): void {
    this.#shapes.set(JSON.stringify([source, shape.table]), shape);
    for (const runner of this.#runners) if (isCurrent || runner.record.phase !== 'building') this.#tell(runner);
  }

  /** The log gave up what a generation needs next, to stay within its size. */
  evict(name: string): void {
    this.#runners.find((runner) => runner.name === name)?.end(this.#evicted());
  }

  /** Begins another generation; what was being built before is given up. Throws USAGE for one that is held where readers would go on seeing none. */
  begin(reason: GenerationReason, held: boolean): GenerationRecord {
    if (held) this.#refuseHeld();
    const { fingerprint, log, state, runtime, onNeedChanged } = this.#deps;
    const record = beginGeneration(state, { definition: this.definition, fingerprint, reason, held, durableSeq: log.durableSeq, nowMs: runtime.clock.nowMs() });
    runtime.logger.info('generation_begun', { index: record.index, generation: record.generation, reason });
    this.#reload();
    const runner = this.#make(record, false);
    this.#runners = [...this.#runners, runner];
    this.#launch(runner);
    onNeedChanged();
    this.#changed.notify();
    return record;
  }

  /** What `begin` would do. */
  plan(held: boolean): ResyncPlan {
    if (held) this.#refuseHeld();
    const { name, from } = this.definition;
    const generation = (this.#deps.state.lastBegun(name)?.generation ?? 0) + 1;
    return { index: name, table: `${from.source}.${from.table}`, generation, gives_up: this.#runners.find(({ record }) => isUnserved(record))?.record.generation ?? null, swap: !held };
  }

  #refuseHeld(): void {
    const { name } = this.definition;
    if (this.#runners.some(({ record }) => record.phase === 'serving' && isFed(record))) return;
    throw refused(`Readers of index ${name} wait for the generation that is being built: it cannot be kept from them.`, name);
  }

  /** Readers shall see this generation. It is durable that they shall when this returns; they do when it is in step. Throws USAGE when it cannot be. */
  promote(generation: number): GenerationRecord {
    const runner = this.#known(generation);
    const { record, condition } = runner;
    if (record.phase === 'serving') throw refused(`Readers of index ${record.index} see generation ${generation} already.`, record.index);
    if (record.phase === 'building' || record.phase === 'dropping') throw refused(`Generation ${generation} of index ${record.index} is ${record.phase === 'building' ? 'not built yet' : 'being removed'}.`, record.index);
    if (condition === 'stopped' || !isFed(record)) throw refused(`Generation ${generation} of index ${record.index} has stopped and is not in step: readers would get what it had when it stopped.`, record.index);
    if (runner.target.name !== this.definition.to) throw refused(`Generation ${generation} of index ${record.index} is at target ${runner.target.name}, and the index is at ${this.definition.to} now.`, record.index);
    return this.#put({ ...record, phase: 'ready', held: false });
  }

  /** Removes a generation that readers do not see. It is durable that it goes when this returns. Throws USAGE for one that they see, or that is the only one. */
  drop(generation: number): GenerationRecord {
    const { record } = this.#known(generation);
    if (record.phase === 'serving') throw refused(`Readers of index ${record.index} see generation ${generation}: promote another one first.`, record.index);
    if (record.phase === 'dropping') return record;
    if (this.main.record === record) throw refused(`Generation ${generation} is the only one of index ${record.index}: without it there would be none.`, record.index);
    return this.#put({ ...record, phase: 'dropping' });
  }

  /** Resolves when the signal is aborted; rejects with errors that end the process. */
  async run(outer: AbortSignal): Promise<void> {
    this.#failed = new AbortController();
    const signal = AbortSignal.any([outer, this.#failed.signal]);
    this.#running = signal;
    for (const runner of this.#runners) this.#launch(runner);
    try {
      await this.#manage(signal);
    } catch (error) {
      if (outer.aborted) return;
      throw this.#failed.signal.aborted ? this.#failed.signal.reason : error;
    } finally {
      this.#failed.abort();
      this.#running = null;
      await Promise.all([...this.#work.values()].map(async ({ ended }) => ended));
    }
  }

  /** Until the signal is aborted: one step after the other, so that no two of them meet. */
  async #manage(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#deps.runtime;
    for (;;) {
      signal.throwIfAborted();
      // What changes while it is looked is looked at again at once.
      const changed = this.#changed.wait(signal);
      changed.catch(() => {});
      try {
        await this.#step(signal);
        this.#trouble = null;
        this.#backoff.reset();
      } catch (error) {
        if (signal.aborted || dispositionOf(error) === 'exit') throw error;
        this.#trouble = error;
        const retryInMs = this.#backoff.nextMs();
        logger.warn('generations_waiting', { index: this.definition.name, error, retry_in_ms: retryInMs });
        await clock.sleep(retryInMs, signal);
        continue;
      }
      await this.#nextStep(changed, signal);
    }
  }

  async #nextStep(changed: Promise<void>, signal: AbortSignal): Promise<void> {
    const isSwapDue = this.#candidate() !== undefined;
    const depends = isSwapDue || this.#runners.some(({ record }) => record.phase === 'retired' || record.phase === 'dropping') || this.#isAssertionDue();
    if (!depends) return changed;
    const pollMs = isSwapDue || this.#isAssertionDue() ? SWAP_POLL_MS : IDLE_POLL_MS;
    await first(signal, [async () => changed, async (either) => this.#deps.runtime.clock.sleep(pollMs, either)]);
  }

  async #step(signal: AbortSignal): Promise<void> {
    this.#retireExpired();
    this.#giveUpRetired();
    await this.#assertPromotion(signal);
    await this.#swap(signal);
    await this.#dropAll(signal);
  }

  /** Readers get the generation that they are to see, if one is ready for it. */
  async #swap(signal: AbortSignal): Promise<void> {
    const candidate = this.#candidate();
    const opened = candidate?.opened ?? null;
    if (candidate === undefined || opened === null || !this.#isInStep(candidate)) return;
    const { state, runtime, beforeSwap, onOutcome } = this.#deps;
    if (!(await this.#passes(candidate, beforeSwap, signal))) return;
    if (!(await this.#promoted(candidate, signal))) return;
    const nowMs = runtime.clock.nowMs();
    const changed = served(state, candidate.record, this.definition.rollback_hours, nowMs);
    this.#asserted = opened;
    this.#reload();
    for (const { generation, phase } of changed) runtime.logger.info(phase === 'serving' ? 'index_serving' : 'generation_retired', { index: this.definition.name, generation });
    onOutcome(candidate.record);
  }

  /** False when the check says that readers must not see it: it waits for a person then. */
  async #passes(candidate: GenerationRunner, check: SwapCheck | undefined, signal: AbortSignal): Promise<boolean> {
    if (check === undefined) return true;
    try {
      await check(candidate.record, signal);
      // Somebody may have decided otherwise while it was looked at.
      return this.#candidate() === candidate;
    } catch (error) {
      const disposition = dispositionOf(error);
      if (signal.aborted || disposition === 'exit' || disposition === 'backoff' || disposition === 'pause') throw error;
      const { index, generation } = candidate.record;
      this.#deps.runtime.logger.error('generation_held', { index, generation, error });
      this.#deps.onOutcome(this.#put({ ...candidate.record, held: true }));
      return false;
    }
  }

  #candidate(): GenerationRunner | undefined {
    const ready = this.#runners.filter(({ record, condition }) => record.phase === 'ready' && !record.held && isFed(record) && condition !== 'stopped');
    // Of the newest and one that somebody goes back to, the newest comes last, and stays.
    return ready.find(({ record }) => record.retiredAtMs !== null) ?? ready.at(-1);
  }

  /**
   * Near the end of the log; or no further from it than what readers see now, were it because there is nothing that they see. One that goes over its
   * snapshot again, from a cursor that its target was ahead of, has yet to say again what of it is parked.
   */
  #isInStep({ cursor, record }: GenerationRunner): boolean {
    if (cursor === null || cursor < (record.wholeSeq ?? 0)) return false;
    const serving = this.#runners.find(({ record }) => record.phase === 'serving');
    if (serving === undefined || serving.record.abandoned || cursor >= this.#deps.log.durableSeq - SWAP_DISTANCE_CHANGES) return true;
    return serving.cursor !== null && cursor >= serving.cursor;
  }

  /** What serves by the records is what readers see, also at a target that was put back to an earlier time. */
  async #assertPromotion(signal: AbortSignal): Promise<void> {
    if (!this.#isAssertionDue()) return;
    const serving = this.#serving();
    const { opened = null, cursor = null, record } = serving ?? {};
    if (opened === null || cursor === null) return;
    // One that has yet to come by the end of its snapshot is promoted there.
    if (serving !== undefined && cursor > (record?.wholeSeq ?? -1)) await this.#promoted(serving, signal);
    this.#asserted = opened;
  }

  /** False when its target refuses for good, or it is not open any more: it stops, and says so. */
  async #promoted(runner: GenerationRunner, signal: AbortSignal): Promise<boolean> {
    try {
      const { opened } = runner;
      if (opened === null) return false;
      // A target that hangs may not notice the signal.
      await untilAborted(opened.promote(signal), signal);
      return true;
    } catch (error) {
      const disposition = dispositionOf(error);
      if (signal.aborted || disposition === 'exit' || disposition === 'backoff' || disposition === 'pause') throw error;
      runner.end(error);
      return false;
    }
  }

  #isAssertionDue(): boolean {
    const opened = this.#serving()?.opened ?? null;
    return opened !== null && opened !== this.#asserted && this.#candidate() === undefined;
  }

  #serving(): GenerationRunner | undefined {
    return this.#runners.find(({ record, target }) => record.phase === 'serving' && target.name === this.definition.to);
  }

  #retireExpired(): void {
    const nowMs = this.#deps.runtime.clock.nowMs();
    for (const { record } of this.#runners) {
      const atMs = dropAtMs(record, this.definition.rollback_hours);
      if (atMs !== null && nowMs >= atMs) this.#put({ ...record, phase: 'dropping' });
    }
  }

  /** A full log waits for nobody who has gone back from his readers. */
  #giveUpRetired(): void {
    const { log } = this.#deps;
    if (log.condition !== 'full') return;
    const { holds } = log.stats();
    const least = Math.min(...holds.map(({ seq }) => seq));
    for (const runner of this.#runners) {
      if (runner.record.phase === 'retired' && runner.condition !== 'stopped' && holds.some(({ name, seq }) => name === runner.name && seq === least)) runner.end(this.#evicted());
    }
  }

  async #dropAll(signal: AbortSignal): Promise<void> {
    const { log, state, runtime, onOutcome } = this.#deps;
    const dropping = this.#runners.filter(({ record }) => record.phase === 'dropping');
    for (const runner of dropping) {
      const { index, generation, retiredAtMs } = runner.record;
      await this.#stop(runner);
      log.release(runner.name);
      const listed = await untilAborted(runner.target.generations(signal), signal);
      // A target that was put back to an earlier time shows it to its readers until the one that serves is told to be promoted.
      const isSeen = listed.some((one) => one.index === index && one.generation === generation && one.promoted);
      if (isSeen && runner.target.name === this.definition.to) continue;
      // At a target that the index has left, readers keep what they have there.
      if (!isSeen) await untilAborted(runner.target.drop(index, generation, signal), signal);
      state.forgetGeneration(index, generation);
      this.#runners = this.#runners.filter((other) => other !== runner);
      runtime.logger.info('generation_dropped', { index, generation });
      if (retiredAtMs === null) onOutcome(runner.record);
    }
  }

  #make(record: GenerationRecord, isFirst: boolean): GenerationRunner {
    const { log, state, runtime } = this.#deps;
    const target = this.#deps.target(targetOf(record, this.definition.to, (name) => this.#deps.target(name) !== undefined));
    invariant(target !== undefined, `the config was checked: target ${this.definition.to} is there`);
    const hooks = {
      onWhole: (runner: GenerationRunner, seq: Seq) => this.#whole(runner, seq),
      onMappingRefused: (runner: GenerationRunner) => this.#mappingRefused(runner),
      assertsPromotion: (runner: GenerationRunner) => runner === this.#serving() && this.#candidate() === undefined,
      onChange: () => this.#changed.notify(),
    };
    // Nothing that it needs may be removed before its applier has a cursor of its own.
    const name = generationName(record.index, record.generation);
    if (isFed(record)) log.hold(name, state.cursor(record.index, record.generation) ?? record.startSeq);
    // The log was opened with a hold of what was fed before; nobody moves it any more.
    else log.release(name);
    return new GenerationRunner({ record, feed: feedOf(record, this.#deps), target, isFirst, log, state, runtime, hooks });
  }

  #tell(runner: GenerationRunner): void {
    const from = runner.definition?.from;
    const shape = from === undefined ? undefined : this.#shapes.get(JSON.stringify([from.source, from.table]));
    if (shape !== undefined) runner.learnShape(shape);
  }

  #launch(runner: GenerationRunner): void {
    if (this.#running === null || !isFed(runner.record) || this.#work.has(runner)) return;
    const stop = new AbortController();
    const ended = runner.run(AbortSignal.any([this.#running, stop.signal])).catch((error: unknown) => this.#failed.abort(error));
    this.#work.set(runner, { stop, ended });
  }

  async #stop(runner: GenerationRunner): Promise<void> {
    const work = this.#work.get(runner);
    work?.stop.abort();
    await work?.ended;
    this.#work.delete(runner);
  }

  #whole(runner: GenerationRunner, wholeSeq: Seq): void {
    const { record } = runner;
    if (record.phase !== 'building') return;
    const whole = this.#put({ ...record, phase: 'ready', wholeSeq });
    this.#deps.runtime.logger.info('generation_ready', { index: record.index, generation: record.generation });
    if (whole.held) this.#deps.onOutcome(whole);
  }

  #mappingRefused({ record }: GenerationRunner): boolean {
    const newest = this.#runners.at(-1)?.record;
    // One that was begun since takes its place; of one that is new itself another would fare no better.
    if (newest !== undefined && newest.generation > record.generation && isPending(newest)) return true;
    if (record.phase !== 'serving' || newest?.generation !== record.generation || this.#running === null) return false;
    this.begin('mapping', false);
    return true;
  }

  #put(record: GenerationRecord): GenerationRecord {
    this.#deps.state.putGenerations(record);
    this.#reload();
    this.#changed.notify();
    if (record.phase === 'dropping') this.#deps.onNeedChanged();
    return record;
  }

  /** Runners know their records as they are durable. */
  #reload(): void {
    const records = new Map(recordsOf(this.#deps.state, this.definition.name).map((record) => [record.generation, record]));
    for (const runner of this.#runners) runner.noteRecord(records.get(runner.record.generation) ?? runner.record);
  }

  #known(generation: number): GenerationRunner {
    const runner = this.#runners.find(({ record }) => record.generation === generation);
    if (runner !== undefined) return runner;
    throw refused(`Index ${this.definition.name} has no generation ${generation}; it has: ${this.#runners.map(({ record }) => record.generation).join(', ')}.`, this.definition.name);
  }

  #evicted(): TailraceError {
    const { name } = this.definition;
    return new TailraceError('LOG_EVICTED', { message: `Index ${name} fell so far behind that the change log reached its size limit.`, entity: name });
  }
}

function refused(message: string, entity: string): TailraceError {
  return new TailraceError('USAGE', { message, did: 'Nothing was changed.', hint: 'See `tailrace generations list`.', entity });
}

/** Thrown by whoever waits for an index that has stopped. */
export function stoppedError(runner: Pick<IndexRunner, 'error' | 'definition'>): unknown {
  return runner.error ?? new TailraceError('UNKNOWN', { message: `Index ${runner.definition.name} has stopped.`, entity: runner.definition.name });
}
