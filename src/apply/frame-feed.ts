/** Frames of a log reader, with a bound on the wait: a wait that ran out is taken up again by the next call, so that no frame is lost. */
import type { Frame, LogReader } from '../connector/log-store.ts';
import type { Clock } from '../runtime/clock.ts';

export class FrameFeed {
  readonly #reader: LogReader;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #waiting: Promise<Frame> | null = null;

  constructor(reader: LogReader, clock: Clock, signal: AbortSignal) {
    this.#reader = reader;
    this.#clock = clock;
    this.#signal = signal;
  }

  /** The next frame if the log has it now. */
  async poll(): Promise<Frame | undefined> {
    return this.#waiting === null ? this.#reader.poll() : this.nextWithin(0);
  }

  async next(): Promise<Frame> {
    this.#waiting ??= this.#reader.next(this.#signal);
    try {
      return await this.#waiting;
    } finally {
      this.#waiting = null;
    }
  }

  /** The next frame, or undefined when none came in `ms`. */
  async nextWithin(ms: number): Promise<Frame | undefined> {
    this.#waiting ??= this.#reader.next(this.#signal);
    const late = Promise.withResolvers<undefined>();
    const cancel = this.#clock.schedule(ms, () => late.resolve(undefined));
    try {
      const frame = await Promise.race([this.#waiting, late.promise]);
      if (frame !== undefined) this.#waiting = null;
      return frame;
    } catch (error) {
      this.#waiting = null;
      throw error;
    } finally {
      cancel();
    }
  }
}
