/**
 * How much a cluster is asked at once: requests side by side and bytes in each. Both grow by small steps while it answers well, and are halved
 * when it refuses, is short of memory or slow; once for all requests that were under way together, since they met the same trouble.
 */
import PQueue from 'p-queue';

/** An answer that takes longer says that the cluster has more than it can do. */
const SLOW_ANSWER_MS = 5_000;

const FIRST_REQUESTS = 2;
const REQUEST_BYTES_MIN = 64 * 1024;
const BYTES_STEP = 256 * 1024;

export interface PressureLimits {
  readonly requestsMax: number;
  readonly requestBytesMax: number;
}

export type Verdict = 'well' | 'refused' | 'short of memory';

export class Pressure {
  readonly #limits: PressureLimits;
  readonly #queue: PQueue;
  #requests: number;
  #bytes: number;
  /** Counts the times that something was halved. */
  #round = 0;

  constructor(limits: PressureLimits) {
    this.#limits = limits;
    this.#requests = Math.min(FIRST_REQUESTS, limits.requestsMax);
    this.#bytes = limits.requestBytesMax;
    this.#queue = new PQueue({ concurrency: Math.floor(this.#requests) });
  }

  /** Requests side by side, now. */
  get concurrency(): number {
    return this.#queue.concurrency;
  }

  /** Size of a request, now. */
  get requestBytes(): number {
    return this.#bytes;
  }

  get round(): number {
    return this.#round;
  }

  /** Runs the task when there is room for its request; rejects with the signal's reason if that is aborted before. */
  async run<T>(task: () => Promise<T>, signal: AbortSignal): Promise<T> {
    return await this.#queue.add(task, { signal });
  }

  /** To be told of every answer; `round` as it was when the request was sent, `bytes` what it had. */
  learn(verdict: Verdict, round: number, bytes: number, tookMs: number): void {
    if (verdict === 'well' && tookMs <= SLOW_ANSWER_MS) {
      // A whole step when all that are under way together have been answered, and only where the room was used.
      if (this.#queue.pending >= this.#queue.concurrency) this.#requests = Math.min(this.#limits.requestsMax, this.#requests + 1 / this.#requests);
      this.#bytes = Math.min(this.#limits.requestBytesMax, this.#bytes + BYTES_STEP);
    } else if (round === this.#round) {
      this.#round += 1;
      if (verdict === 'short of memory' || this.#requests <= 1) this.#bytes = Math.max(REQUEST_BYTES_MIN, Math.min(this.#bytes, bytes) / 2);
      this.#requests = Math.max(1, this.#requests / 2);
    }
    this.#queue.concurrency = Math.floor(this.#requests);
  }

  /** A request of this size is larger than the cluster takes. */
  tooLarge(bytes: number): void {
    this.#bytes = Math.max(REQUEST_BYTES_MIN, Math.min(this.#bytes, bytes) / 2);
  }
}
