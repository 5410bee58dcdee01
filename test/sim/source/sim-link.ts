/** A network path between a process and a server: what passes takes time, and the path can be cut at any moment. */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { ErrorCode } from '../../../src/errors/catalogue.ts';
import type { SimProcess } from '../kernel/sim-process.ts';
import type { SimRandom } from '../kernel/sim-random.ts';

/** How the network is at present. */
export interface NetworkWeather {
  /** Usual time from end to end; single passes take up to ten times as long. */
  delayMs: number;
  /** Chance that a pass cuts the path instead. */
  cutChance: number;
}

export class SimLink {
  readonly process: SimProcess;
  readonly #name: string;
  readonly #random: SimRandom;
  readonly #weather: NetworkWeather;
  readonly #code: ErrorCode;
  readonly #cut = new AbortController();

  constructor(name: string, process: SimProcess, random: SimRandom, weather: NetworkWeather, code: ErrorCode) {
    this.#name = name;
    this.process = process;
    this.#random = random;
    this.#weather = weather;
    this.#code = code;
  }

  get isCut(): boolean {
    return this.#cut.signal.aborted;
  }

  /** Ends the path: everything that waits on it is rejected, as is everything that comes. */
  cut(reason: string): void {
    if (this.isCut || !this.process.alive) return;
    this.process.executor.note(`${this.#name} is cut: ${reason}`);
    this.#cut.abort(new TailraceError(this.#code, { message: `The connection of ${this.#name} was lost: ${reason}.` }));
  }

  /** Something passes. Rejects with the signal's reason, or with the error of a cut path. */
  async pass(what: string, signal?: AbortSignal): Promise<void> {
    const slow = this.#random.chance(0.05) ? 10 : 1;
    await this.pause(`${this.#name} ${what}`, this.#random.real(0.2, 2) * this.#weather.delayMs * slow, signal);
    if (this.#random.chance(this.#weather.cutChance)) this.cut(what);
    this.#cut.signal.throwIfAborted();
  }

  /** Waits, as long as the path holds. */
  async pause(what: string, ms: number, signal?: AbortSignal): Promise<void> {
    const over = Promise.withResolvers<void>();
    const cancel = this.process.after(ms, what, over.resolve);
    try {
      await this.until(over.promise, signal);
    } finally {
      cancel();
    }
  }

  /** The promise's outcome, as long as the path holds. */
  async until<T>(promise: Promise<T>, signal?: AbortSignal): Promise<T> {
    const either = signal === undefined ? this.#cut.signal : AbortSignal.any([signal, this.#cut.signal]);
    either.throwIfAborted();
    const ended = Promise.withResolvers<never>();
    const onAbort = (): void => ended.reject(either.reason);
    either.addEventListener('abort', onAbort, { once: true });
    try {
      return await Promise.race([promise, ended.promise]);
    } finally {
      either.removeEventListener('abort', onAbort);
    }
  }
}
