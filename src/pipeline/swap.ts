/**
 * Which generation readers see: the one that is ready takes its place in one step, as soon as it is in step and was looked at. The target is told
 * first and the record changes after it: what a crash leaves half done is done again from the records.
 */
import type { LogStore } from '../connector/log-store.ts';
import { mayMendItself } from '../errors/policy.ts';
import { untilAborted } from '../runtime/abort.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { GenerationRecord, StateStore } from '../state/state-store.ts';
import type { GenerationRunner } from './generation-runner.ts';
import { served } from './generations.ts';
import type { IndexGenerations } from './index-generations.ts';
import type { Lost } from './serving-watch.ts';

/** A generation that is this near to the end of the log is in step. */
export const SWAP_DISTANCE_CHANGES = 1_000;

/**
 * Looks at a generation that is in step before readers get to see it. Rejects when they must not: then it waits for a person; or with what a pause
 * may mend: then it is asked again. It may take long: everything else of the index goes on meanwhile.
 */
export type SwapCheck = (record: GenerationRecord, signal: AbortSignal) => Promise<void>;

export interface SwapDeps {
  readonly log: LogStore;
  readonly state: StateStore;
  readonly runtime: Runtime;
  readonly beforeSwap?: SwapCheck | undefined;
  /** How a generation that was being built came to its end: held, or `serving`. */
  readonly onOutcome: (record: GenerationRecord) => void;
}

/** A generation that is looked at, or was. */
interface Looked {
  readonly runner: GenerationRunner;
  readonly stop: AbortController;
  readonly over: Promise<void>;
  outcome: 'pending' | 'passed' | { readonly error: unknown };
}

export class Swap {
  readonly #generations: IndexGenerations;
  readonly #deps: SwapDeps;
  #looked: Looked | null = null;
  /** Storage that was told that readers see it. */
  #asserted: unknown = null;
  /** Readers of what serves find that instead, as somebody has seen. */
  #lost: Lost | null = null;

  constructor(generations: IndexGenerations, deps: SwapDeps) {
    this.#generations = generations;
    this.#deps = deps;
  }

  /** There is something to be done as soon as a generation has come far enough. */
  get isDue(): boolean {
    return this.#generations.candidate !== undefined || this.#isAssertionDue();
  }

  /** Readers get back what serves: at once when they find nothing; when they find another generation, unless one is on its way to them, which may be that one. */
  promoteAgain(lost: Lost): void {
    this.#lost = lost;
  }

  /** Resolves to false while a generation is being looked at: whether that fails again is not known yet. Rejects with what a pause may mend, and with errors that end the process. */
  async step(signal: AbortSignal): Promise<boolean> {
    await this.#assertPromotion(signal);
    const { candidate } = this.#generations;
    // Somebody has decided otherwise while it was looked at.
    if (this.#looked !== null && this.#looked.runner !== candidate) this.#looked.stop.abort();
    const opened = candidate?.opened ?? null;
    if (candidate === undefined || opened === null || !this.#isInStep(candidate)) return true;
    if (!this.#passes(candidate, signal)) return this.#looked === null;
    if (!(await this.#promoted(candidate, signal))) return true;
    this.#looked = null;
    const { state, runtime, onOutcome } = this.#deps;
    const { definition } = this.#generations;
    const changed = served(state, candidate.record, definition.rollback_hours, runtime.clock.nowMs());
    this.#asserted = opened;
    this.#lost = null;
    this.#generations.reload();
    for (const { generation, phase } of changed) runtime.logger.info(phase === 'serving' ? 'index_serving' : 'generation_retired', { index: definition.name, generation });
    onOutcome(candidate.record);
    return true;
  }

  /** Resolves when nothing is being looked at any more. */
  async settled(): Promise<void> {
    this.#looked?.stop.abort();
    await this.#looked?.over;
  }

  /** False while it is looked at, and when that says that readers must not see it: it waits for a person then. */
  #passes(candidate: GenerationRunner, signal: AbortSignal): boolean {
    const { beforeSwap, runtime, onOutcome } = this.#deps;
    if (beforeSwap === undefined) return true;
    if (this.#looked === null || this.#looked.runner !== candidate || this.#looked.stop.signal.aborted) {
      this.#looked?.stop.abort();
      this.#looked = this.#look(candidate, beforeSwap, signal);
    }
    const { outcome } = this.#looked;
    if (outcome === 'pending') return false;
    // It need not be looked at again because its target cannot promote it just now.
    if (outcome === 'passed') return true;
    this.#looked = null;
    const { error } = outcome;
    if (signal.aborted || mayMendItself(error)) throw error;
    const { index, generation } = candidate.record;
    runtime.logger.error('generation_held', { index, generation, error });
    candidate.finding = error;
    onOutcome(this.#generations.put({ ...candidate.record, held: true }));
    return false;
  }

  #look(runner: GenerationRunner, check: SwapCheck, signal: AbortSignal): Looked {
    const before = this.#looked?.over;
    const stop = new AbortController();
    const work = async (): Promise<void> => {
      await before;
      await check(runner.record, AbortSignal.any([signal, stop.signal]));
    };
    const over = work().then(
      () => 'passed' as const,
      (error: unknown) => ({ error }),
    );
    const looked: Looked = {
      runner,
      stop,
      outcome: 'pending',
      over: over.then((outcome) => {
        looked.outcome = outcome;
        this.#generations.changed.notify();
      }),
    };
    return looked;
  }

  /**
   * Near the end of the log; or no further from it than what readers see now, were it because there is nothing that they see. One that goes over its
   * snapshot again, from a cursor that its target was ahead of, has yet to say again what of it is parked.
   */
  #isInStep({ cursor, record }: GenerationRunner): boolean {
    if (cursor === null || cursor < (record.wholeSeq ?? 0)) return false;
    const serving = this.#generations.all.find(({ record }) => record.phase === 'serving');
    if (serving === undefined || serving.record.abandoned || cursor >= this.#deps.log.durableSeq - SWAP_DISTANCE_CHANGES) return true;
    return serving.cursor !== null && cursor >= serving.cursor;
  }

  /** What serves by the records is what readers see, also at a target that was put back to an earlier time. */
  async #assertPromotion(signal: AbortSignal): Promise<void> {
    if (!this.#isAssertionDue()) return;
    const { serving } = this.#generations;
    const { opened = null, cursor = null, record } = serving ?? {};
    if (opened === null || cursor === null) return;
    // One that has yet to come by the end of its snapshot is promoted there.
    const wholeSeq = record?.wholeSeq ?? -1;
    if (serving !== undefined && (cursor > wholeSeq || (this.#lost !== null && cursor === wholeSeq))) await this.#promoted(serving, signal);
    this.#asserted = opened;
    this.#lost = null;
  }

  #isAssertionDue(): boolean {
    const { serving, candidate } = this.#generations;
    const opened = serving?.opened ?? null;
    if (opened === null) return false;
    return this.#lost === 'nothing' || (candidate === undefined && (opened !== this.#asserted || this.#lost !== null));
  }

  /** False when its target refuses for good, or it is not open any more: it stops, and says so; or, where readers are to see it already, it says what they find instead. */
  async #promoted(runner: GenerationRunner, signal: AbortSignal): Promise<boolean> {
    const { opened, record } = runner;
    if (opened === null) return false;
    try {
      // A target that hangs may not notice the signal.
      if (record.phase === 'serving') await runner.showAgain(opened, signal);
      else await untilAborted(opened.promote(signal), signal);
      return true;
    } catch (error) {
      if (signal.aborted || mayMendItself(error)) throw error;
      runner.end(error);
      return false;
    }
  }
}
