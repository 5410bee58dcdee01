/**
 * How far a source's stream has come, and waiting for it to come further. A stream that has nothing to send does not say where it is: as long
 * as somebody waits, it is asked.
 */
import type { SourceSession } from '../connector/source.ts';
import { untilAborted } from '../runtime/abort.ts';
import type { Clock } from '../runtime/clock.ts';

/** While somebody waits, the stream is asked where it is this often. */
const NUDGE_EVERY_MS = 20;

export interface StreamPositionDeps {
  readonly session: Pick<SourceSession, 'nudge'>;
  readonly compare: (a: Uint8Array, b: Uint8Array) => number;
  readonly clock: Pick<Clock, 'schedule'>;
}

interface Waiting {
  readonly position: Uint8Array;
  readonly passed: () => void;
}

export class StreamPosition {
  readonly #deps: StreamPositionDeps;
  readonly #waiting = new Set<Waiting>();
  #current: Uint8Array;
  /** Promises that are waited for while the stream is nudged. */
  #nudging = 0;
  #cancel = (): void => {};

  /** `start`: where the stream begins. */
  constructor(start: Uint8Array, deps: StreamPositionDeps) {
    this.#current = start;
    this.#deps = deps;
  }

  /** Everything up to here has been pushed. */
  get current(): Uint8Array {
    return this.#current;
  }

  /** The stream has pushed everything up to `position`. */
  moveTo(position: Uint8Array): void {
    this.#current = position;
    for (const waiting of this.#waiting) {
      if (this.#deps.compare(waiting.position, position) > 0) continue;
      this.#waiting.delete(waiting);
      waiting.passed();
    }
  }

  /** Resolves when the stream has pushed everything up to `position`; rejects with the signal's reason when that is aborted. */
  async passed(position: Uint8Array, signal: AbortSignal): Promise<void> {
    if (this.#deps.compare(position, this.#current) <= 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = { position, passed: resolve };
    this.#waiting.add(waiting);
    try {
      await this.nudging(promise, signal);
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  /** The outcome of something that the stream brings about when it comes far enough. */
  async nudging<T>(waited: Promise<T>, signal: AbortSignal): Promise<T> {
    this.#nudging += 1;
    if (this.#nudging === 1) this.#nudge();
    else this.#deps.session.nudge();
    try {
      return await untilAborted(waited, signal);
    } finally {
      this.#nudging -= 1;
      if (this.#nudging === 0) this.#cancel();
    }
  }

  #nudge(): void {
    this.#deps.session.nudge();
    this.#cancel = this.#deps.clock.schedule(NUDGE_EVERY_MS, () => this.#nudge());
  }
}
