/**
 * The way of one source's frames into the log: completed, appended in order, confirmed to the source when durable.
 *
 * Frames are handed over as fast as the stream fills them; what is not durable yet is counted against the budget, by which the source
 * knows when to stop reading. The first failure ends the queue: nothing behind it is appended.
 */
import type { Seq } from '../change/seq.ts';
import type { FrameKind, LogStore } from '../connector/log-store.ts';
import type { BuiltFrame, FrameBufferPool } from './frame-builder.ts';
import type { FramePart } from './frame-cutter.ts';
import type { ResumePoint } from './resume-point.ts';
import { RowCompletion, type RowCompletionDeps } from './row-completion.ts';

/** Completed rows, of one frame or of several, that may be on their way into the log before the next ones are asked for. */
const ADDED_IN_FLIGHT_BYTES = 8 * 1024 * 1024;

export interface QueuedFrame {
  readonly kind: FrameKind;
  readonly snapshot: number;
  readonly built: BuiltFrame;
  /** The resume point as the source's frame before left it: where a frame that has to be cut goes on from. Null for frames that are never cut. */
  readonly before: ResumePoint | null;
  /** Called when the frame is durable. */
  readonly onDurable?: (() => void) | undefined;
}

export interface FrameQueueDeps extends RowCompletionDeps {
  readonly log: Pick<LogStore, 'append' | 'durableSeq'>;
  readonly pool: FrameBufferPool;
  readonly signal: AbortSignal;
}

export class FrameQueue {
  readonly #deps: FrameQueueDeps;
  readonly #completion: RowCompletion;
  #tail: Promise<void> = Promise.resolve();
  /** Seq of the last change that was handed to the log; null while nothing was. */
  #appended: Promise<Seq> | null = null;
  #pending = 0;
  /** Bytes of completed rows that were sent since the queue last waited for them. */
  #addedBytes = 0;
  #failure: { readonly error: unknown } | null = null;
  #onFailure: (error: unknown) => void = () => {};
  #onIdle: () => void = () => {};

  constructor(deps: FrameQueueDeps) {
    this.#deps = deps;
    this.#completion = new RowCompletion(deps);
  }

  /** Frames that are not durable yet. */
  get pending(): number {
    return this.#pending;
  }

  onFailure(listener: (error: unknown) => void): void {
    this.#onFailure = listener;
  }

  /** Called whenever the last pending frame became durable. */
  onIdle(listener: () => void): void {
    this.#onIdle = listener;
  }

  push(frame: QueuedFrame): void {
    const bytes = frame.built.entries.length;
    this.#pending += 1;
    this.#deps.budget.take(bytes);
    this.#tail = this.#tail.then(async () => {
      if (this.#failure !== null) return this.#settle(bytes);
      const onDurable = (): void => {
        this.#deps.pool.giveBack(frame.built.entries);
        frame.onDurable?.();
      };
      try {
        if (frame.before === null || frame.built.incomplete.length === 0) this.#send(frame, frame.built, bytes, onDurable).catch((error: unknown) => this.#fail(error));
        else await this.#sendCompleted(frame, frame.before, bytes, onDurable);
      } catch (error) {
        this.#fail(error);
        this.#settle(bytes);
      }
    });
  }

  /**
   * The seq up to which the log has every frame that was pushed so far, and none that is pushed later. Resolves when they are durable; rejects with
   * the first failure.
   */
  async placed(): Promise<Seq> {
    const placed = Promise.withResolvers<Seq>();
    this.#tail = this.#tail.then(() => {
      if (this.#failure !== null) placed.reject(this.#failure.error);
      else placed.resolve(this.#appended ?? this.#deps.log.durableSeq);
    });
    return placed.promise;
  }

  /** Resolves when nothing is on its way any more, whether it arrived or failed. */
  async settled(): Promise<void> {
    await this.#tail;
    while (this.#pending > 0) await new Promise<void>((resolve) => this.#whenSettled.push(resolve));
  }

  #whenSettled: (() => void)[] = [];

  #settle(bytes: number): void {
    this.#pending -= 1;
    this.#deps.budget.give(bytes);
    if (this.#pending > 0) return;
    const waiting = this.#whenSettled;
    this.#whenSettled = [];
    for (const wake of waiting) wake();
    if (this.#failure === null) this.#onIdle();
  }

  #fail(error: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = { error };
    this.#onFailure(error);
  }

  /** Appends one frame, or a part of one. Resolves when it has settled, whether it arrived or failed; the bytes are given back then. */
  async #send({ kind, snapshot }: QueuedFrame, { entries, count, transactions, registers }: FramePart, bytes: number, onDurable: () => void): Promise<void> {
    const { log, source, signal } = this.#deps;
    const appending = log.append({ kind, source, snapshot, entries, count, transactions, registers }, signal);
    this.#appended = appending.then(({ lastSeq }) => lastSeq);
    // Whoever asks for it is told; `appending` tells of the failure.
    this.#appended.catch(() => {});
    try {
      await appending;
      onDurable();
    } catch (error) {
      this.#fail(error);
    }
    this.#settle(bytes);
  }

  /** The parts of a frame on their way are pending each for itself; with the last of them the frame is durable. */
  async #sendCompleted(frame: QueuedFrame, before: ResumePoint, bytes: number, onDurable: () => void): Promise<void> {
    const { budget, signal } = this.#deps;
    for await (const { part, addedBytes, isLast } of this.#completion.parts(frame.built, before, signal)) {
      if (this.#failure !== null) {
        budget.give(addedBytes);
        throw this.#failure.error;
      }
      if (!isLast) this.#pending += 1;
      const settled = isLast ? this.#send(frame, part, bytes + addedBytes, onDurable).catch((error: unknown) => this.#fail(error)) : this.#send(frame, part, addedBytes, () => {});
      this.#addedBytes += addedBytes;
      if (this.#addedBytes < ADDED_IN_FLIGHT_BYTES) continue;
      // The log takes parts in their order: with this one, all before it have settled.
      await settled;
      this.#addedBytes = 0;
    }
  }
}
