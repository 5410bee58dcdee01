/**
 * Which generation readers see: the one that is ready takes its place in one step, as soon as it is in step and was looked at. The target is told
 * first and the record changes after it: what a crash leaves half done is done again from the records.
 */
import type { LogStore } from '../connector/log-store.ts';
import { dispositionOf } from '../errors/policy.ts';
import { untilAborted } from '../runtime/abort.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { GenerationRecord, StateStore } from '../state/state-store.ts';
import type { GenerationRunner } from './generation-runner.ts';
import { served } from './generations.ts';
import type { IndexGenerations } from './index-generations.ts';

/** A generation that is this near to the end of the log is in step. */
export const SWAP_DISTANCE_CHANGES = 1_000;

/** Looks at a generation that is in step before readers get to see it. Rejects when they must not: then it waits for a person. */
export type SwapCheck = (record: GenerationRecord, signal: AbortSignal) => Promise<void>;

export interface SwapDeps {
  readonly log: LogStore;
  readonly state: StateStore;
  readonly runtime: Runtime;
  readonly beforeSwap?: SwapCheck | undefined;
  /** How a generation that was being built came to its end: held, or `serving`. */
  readonly onOutcome: (record: GenerationRecord) => void;
}

export class Swap {
  readonly #generations: IndexGenerations;
  readonly #deps: SwapDeps;
  /** Storage that was told that readers see it. */
  #asserted: unknown = null;

  constructor(generations: IndexGenerations, deps: SwapDeps) {
    this.#generations = generations;
    this.#deps = deps;
  }

  /** There is something to be done as soon as a generation has come far enough. */
  get isDue(): boolean {
    return this.#generations.candidate !== undefined || this.#isAssertionDue();
  }

  /** Rejects with what a pause may mend, and with errors that end the process. */
  async step(signal: AbortSignal): Promise<void> {
    await this.#assertPromotion(signal);
    const { candidate } = this.#generations;
    const opened = candidate?.opened ?? null;
    if (candidate === undefined || opened === null || !this.#isInStep(candidate)) return;
    if (!(await this.#passes(candidate, signal))) return;
    if (!(await this.#promoted(candidate, signal))) return;
    const { state, runtime, onOutcome } = this.#deps;
    const { definition } = this.#generations;
    const changed = served(state, candidate.record, definition.rollback_hours, runtime.clock.nowMs());
    this.#asserted = opened;
    this.#generations.reload();
    for (const { generation, phase } of changed) runtime.logger.info(phase === 'serving' ? 'index_serving' : 'generation_retired', { index: definition.name, generation });
    onOutcome(candidate.record);
  }

  /** False when the check says that readers must not see it: it waits for a person then. */
  async #passes(candidate: GenerationRunner, signal: AbortSignal): Promise<boolean> {
    const { beforeSwap, runtime, onOutcome } = this.#deps;
    if (beforeSwap === undefined) return true;
    try {
      await beforeSwap(candidate.record, signal);
      // Somebody may have decided otherwise while it was looked at.
      return this.#generations.candidate === candidate;
    } catch (error) {
      if (signal.aborted || mayMendItself(error)) throw error;
      const { index, generation } = candidate.record;
      runtime.logger.error('generation_held', { index, generation, error });
      onOutcome(this.#generations.put({ ...candidate.record, held: true }));
      return false;
    }
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
    if (serving !== undefined && cursor > (record?.wholeSeq ?? -1)) await this.#promoted(serving, signal);
    this.#asserted = opened;
  }

  #isAssertionDue(): boolean {
    const { serving, candidate } = this.#generations;
    const opened = serving?.opened ?? null;
    return opened !== null && opened !== this.#asserted && candidate === undefined;
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
      if (signal.aborted || mayMendItself(error)) throw error;
      runner.end(error);
      return false;
    }
  }
}

/** Or ends the process. */
function mayMendItself(error: unknown): boolean {
  const disposition = dispositionOf(error);
  return disposition === 'exit' || disposition === 'backoff' || disposition === 'pause';
}
