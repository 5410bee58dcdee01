/** Frames of a log reader, with a bound on the wait: a wait that ran out is taken up again by the next call, so that no frame is lost. */
import type { Frame, LogReader } from '../connector/log-store.ts';
import type { Clock } from '../runtime/clock.ts';

/** A wait for the log that is under way. */
interface Waiting {
  readonly frame: Promise<Frame>;
  isOver: boolean;
}

export class FrameFeed {
  readonly #reader: LogReader;
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #waiting: Waiting | null = null;
  #wake: () => void = () => {};

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
    const { frame } = this.#begun();
    try {
      return await frame;
    } finally {
      this.#waiting = null;
    }
  }

  /** The next frame, or undefined when none came in `ms`. */
  async nextWithin(ms: number): Promise<Frame | undefined> {
    const waiting = this.#begun();
    if (!waiting.isOver) {
      const woken = Promise.withResolvers<void>();
      this.#wake = woken.resolve;
      const cancel = this.#clock.schedule(ms, woken.resolve);
      await woken.promise;
      cancel();
    }
    return waiting.isOver ? this.next() : undefined;
  }

  /** Listened to once, however often it is waited for: of what is raced again and again, every race would stay behind until it is over. */
  #begun(): Waiting {
    if (this.#waiting !== null) return this.#waiting;
    const waiting: Waiting = { frame: this.#reader.next(this.#signal), isOver: false };
    const end = (): void => {
      waiting.isOver = true;
      this.#wake();
    };
    waiting.frame.then(end, end);
    this.#waiting = waiting;
    return waiting;
  }
}
