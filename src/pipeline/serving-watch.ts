/**
 * Whether readers find what serves by the records, looked at now and then: names at a target are moved and taken away by hand, and what they lead to is deleted, without any write
 * noticing. A look goes on beside everything else, so that a target that takes its time holds up nothing.
 */
import type { Seen, TargetGeneration } from '../connector/target.ts';
import { dispositionOf } from '../errors/policy.ts';
import { codeOf } from '../errors/tailrace-error.ts';
import { untilAborted } from '../runtime/abort.ts';
import { Backoff } from '../runtime/backoff.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { GenerationRunner } from './generation-runner.ts';
import type { IndexGenerations } from './index-generations.ts';
import { unseenError } from './unseen.ts';

const LOOK_EVERY_MS = 10_000;

/** While readers do not find it: somebody may be about to mend that. */
const LOST_LOOK_EVERY_MS = 1_000;

/** After a look that its target did not answer. */
const LOOK_AGAIN = { firstMs: 500, maxMs: LOOK_EVERY_MS };

/** Nobody has taken the name: readers can be given it back. */
export type Lost = Extract<Seen, 'nothing' | 'another'>;

/** `next`: the generation that is about to take the place of the one that serves; its target was told so, and the records do not say it yet. */
type Found = Seen | 'next';

interface Look {
  readonly stop: AbortController;
  readonly over: Promise<void>;
  outcome: 'pending' | { readonly found: Found } | { readonly error: unknown };
}

export class ServingWatch {
  readonly #generations: IndexGenerations;
  readonly #runtime: Runtime;
  readonly #backoff: Backoff;
  /** What is watched. */
  #opened: TargetGeneration | null = null;
  #look: Look | null = null;
  #nextMs = 0;

  constructor(generations: IndexGenerations, runtime: Runtime) {
    this.#generations = generations;
    this.#runtime = runtime;
    this.#backoff = new Backoff(LOOK_AGAIN, runtime.random);
  }

  /** Until `step` has something to do; null when somebody is woken before. */
  get dueInMs(): number | null {
    if ((this.#generations.serving?.opened ?? null) !== this.#opened) return 0;
    return this.#opened === null || this.#look !== null ? null : Math.max(0, this.#nextMs - this.#runtime.clock.monotonicMs());
  }

  /** Says of the generation that serves what was found, and looks when it is time. Returns what is to be mended; throws errors that end the process. */
  step(signal: AbortSignal): Lost | null {
    const { serving } = this.#generations;
    const opened = serving?.opened ?? null;
    if (opened !== this.#opened) this.#watch(opened);
    if (serving === undefined || opened === null) return null;
    const outcome = this.#look?.outcome;
    if (outcome === undefined && this.#runtime.clock.monotonicMs() >= this.#nextMs) this.#look = this.#begin(opened, signal);
    if (outcome === undefined || outcome === 'pending') return null;
    this.#look = null;
    return 'error' in outcome ? this.#failed(serving, outcome.error) : this.#found(serving, outcome.found);
  }

  /** Resolves when nothing is being looked at any more. */
  async settled(): Promise<void> {
    this.#look?.stop.abort();
    await this.#look?.over;
  }

  /** What was opened was shown to its readers just now. */
  #watch(opened: TargetGeneration | null): void {
    this.#look?.stop.abort();
    this.#look = null;
    this.#opened = opened;
    this.#nextMs = this.#runtime.clock.monotonicMs() + LOOK_EVERY_MS;
  }

  #begin(opened: TargetGeneration, outer: AbortSignal): Look {
    const stop = new AbortController();
    const signal = AbortSignal.any([outer, stop.signal]);
    const asked = untilAborted(this.#ask(opened, signal), signal).then(
      (found) => ({ found }),
      (error: unknown) => ({ error }),
    );
    const look: Look = {
      stop,
      outcome: 'pending',
      over: asked.then((outcome) => {
        look.outcome = outcome;
        if (!signal.aborted) this.#generations.changed.notify();
      }),
    };
    return look;
  }

  async #ask(opened: TargetGeneration, signal: AbortSignal): Promise<Found> {
    const seen = await opened.seen(signal);
    const { serving, candidate } = this.#generations;
    const next = candidate?.target.name === serving?.target.name ? (candidate?.opened ?? null) : null;
    // Whether that one is as it was opened is for its own runner to find out.
    return seen === 'another' && (await next?.seen(signal).catch(() => null)) === 'this' ? 'next' : seen;
  }

  #found(serving: GenerationRunner, found: Found): Lost | null {
    const { index, generation } = serving.record;
    this.#backoff.reset();
    if (found === 'nothing' || found === 'another') {
      this.#show(serving, unseenError(serving.record, serving.target.name, found));
      this.#lookAgainIn(LOST_LOOK_EVERY_MS);
      return found;
    }
    if (found instanceof Error) this.#show(serving, found);
    else if (found === 'this' && serving.unseen !== null) {
      serving.unseen = null;
      this.#runtime.logger.info('readers_found', { index, generation });
    }
    this.#lookAgainIn(serving.unseen === null ? LOOK_EVERY_MS : LOST_LOOK_EVERY_MS);
    return null;
  }

  #failed(serving: GenerationRunner, error: unknown): null {
    const disposition = dispositionOf(error);
    if (disposition === 'exit') throw error;
    // What keeps us from looking says nothing of what readers find.
    const isUntold = disposition === 'backoff' || codeOf(error) === 'TGT_AUTH';
    this.#lookAgainIn(isUntold ? this.#backoff.nextMs() : LOST_LOOK_EVERY_MS);
    if (isUntold) return null;
    if (disposition === 'pause') this.#show(serving, error);
    else serving.end(error);
    return null;
  }

  #lookAgainIn(ms: number): void {
    this.#nextMs = this.#runtime.clock.monotonicMs() + ms;
  }

  #show(serving: GenerationRunner, error: unknown): void {
    const { index, generation } = serving.record;
    const isNew = !(serving.unseen instanceof Error && error instanceof Error && serving.unseen.message === error.message);
    serving.unseen = error;
    if (isNew) this.#runtime.logger.warn('readers_lost', { index, generation, error });
  }
}
