/**
 * Notices a server that is silent because it, or the network, is gone: TCP tells of neither. After a while without a word the server is
 * asked for one, and after twice its own `wal_sender_timeout` it is given up.
 */

/** A tick that comes this late tells of this process, which was stopped or busy, not of the server. */
const TICK_LATE_MS = 5_000;

/** With `wal_sender_timeout` off the server is still asked, so that a connection that is reported broken is noticed. */
const ASK_AFTER_MS = 30_000;

type LivenessVerdict = 'alive' | 'ask' | 'stalled';

export class Liveness {
  readonly #timeoutMs: number;
  #heardMs: number;
  #tickedMs: number;

  /** `timeoutMs` is `wal_sender_timeout`; with 0 nothing is ever given up. */
  constructor(timeoutMs: number, nowMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#heardMs = nowMs;
    this.#tickedMs = nowMs;
  }

  /** Milliseconds without a word. */
  silentMs(nowMs: number): number {
    return nowMs - this.#heardMs;
  }

  heard(nowMs: number): void {
    this.#heardMs = nowMs;
  }

  /** To be asked every second. While the socket is not read, silence says nothing. */
  tick(nowMs: number, reading: boolean): LivenessVerdict {
    if (!reading || nowMs - this.#tickedMs > TICK_LATE_MS) this.#heardMs = nowMs;
    this.#tickedMs = nowMs;
    const silentMs = this.silentMs(nowMs);
    if (this.#timeoutMs > 0 && silentMs >= 2 * this.#timeoutMs) return 'stalled';
    return silentMs >= (this.#timeoutMs > 0 ? this.#timeoutMs / 2 : ASK_AFTER_MS) ? 'ask' : 'alive';
  }
}
