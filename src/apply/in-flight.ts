/**
 * Batches on their way to a target: bounded in number, and no key in two of them at once, so that two versions of a document can never
 * overtake each other. The first failure aborts all others.
 */
import { Notifier } from '../runtime/abort.ts';

export class InFlight {
  readonly #limit: number;
  readonly #failed = new AbortController();
  readonly #batches = new Set<ReadonlySet<string>>();
  readonly #changed = new Notifier();
  /** Aborted with `outer`, and with the first failure of a batch as its reason. */
  readonly signal: AbortSignal;

  constructor(limit: number, outer: AbortSignal) {
    this.#limit = limit;
    this.signal = AbortSignal.any([outer, this.#failed.signal]);
  }

  get hasRoom(): boolean {
    return this.#batches.size < this.#limit;
  }

  get count(): number {
    return this.#batches.size;
  }

  /** Starts the work as soon as there is room and none of its keys is on its way; resolves when it has started. */
  async start(keys: ReadonlySet<string>, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    while (!this.hasRoom || [...this.#batches].some((batch) => !batch.isDisjointFrom(keys))) await this.oneDone();
    this.#batches.add(keys);
    work(this.signal)
      .catch((error: unknown) => this.#failed.abort(error))
      .finally(() => {
        this.#batches.delete(keys);
        this.#changed.notify();
      });
  }

  /** Gives up all batches, for an error that is none of theirs: a target that is away would be waited for, for ever. */
  abort(reason: unknown): void {
    this.#failed.abort(reason);
  }

  /** Resolves when a batch has ended; rejects when one has failed or work was told to stop. */
  async oneDone(): Promise<void> {
    await this.#changed.wait(this.signal);
  }

  /** Resolves when nothing is on its way; rejects when a batch has failed or work was told to stop. */
  async idle(): Promise<void> {
    this.signal.throwIfAborted();
    while (this.#batches.size > 0) await this.oneDone();
  }

  /** Resolves when nothing is on its way any more, however it ended. */
  async settled(): Promise<void> {
    const forever = new AbortController().signal;
    while (this.#batches.size > 0) await this.#changed.wait(forever);
  }
}
