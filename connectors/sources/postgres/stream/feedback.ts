/**
 * What the server is told while it streams: that we are there, how far we have read, and what it may forget. Told every second whatever
 * happens, also while nothing is read, because a server that hears nothing for its `wal_sender_timeout` ends the connection; at once when
 * it asks; and soon after something became durable.
 *
 * Only `confirm` moves what the server may forget. A server that shuts down waits until that has reached the end of its log.
 */
import type { Clock } from '../../../../src/runtime/clock.ts';
import { standbyStatus } from '../wire/replication-message.ts';

/** Confirmations come with every fsync; the server is told of them at most this often. */
const CONFIRM_EVERY_MS = 50;

/** The server answers every request; more often than this they say nothing new. */
const REQUEST_EVERY_MS = 5;

export class Feedback {
  readonly #clock: Clock;
  readonly #write: (message: Buffer) => void;
  #received: bigint;
  #flushed: bigint;
  #sentMs = -Infinity;
  #requestedMs = -Infinity;
  /** The server asked for a reply, and what it waits for may not be durable yet: confirmations are then told at once. */
  #owed = false;
  #cancelScheduled: (() => void) | null = null;

  constructor(clock: Clock, startLsn: bigint, write: (message: Buffer) => void) {
    this.#clock = clock;
    this.#write = write;
    this.#received = startLsn;
    this.#flushed = startLsn;
  }

  get flushed(): bigint {
    return this.#flushed;
  }

  received(lsn: bigint): void {
    if (lsn > this.#received) this.#received = lsn;
  }

  /** Everything before `lsn` is durable here. */
  confirm(lsn: bigint): void {
    if (lsn <= this.#flushed) return;
    this.#flushed = lsn;
    this.received(lsn);
    const sinceSentMs = this.#clock.monotonicMs() - this.#sentMs;
    if (this.#owed || sinceSentMs >= CONFIRM_EVERY_MS) this.send();
    else this.#cancelScheduled ??= this.#clock.schedule(CONFIRM_EVERY_MS - sinceSentMs, () => this.send());
  }

  /** The server wants to hear from us at once. */
  reply(): void {
    this.#owed = this.#flushed < this.#received;
    this.send();
  }

  /** Asks the server for a keepalive, which tells how far it has decoded. */
  requestReply(): void {
    if (this.#clock.monotonicMs() - this.#requestedMs < REQUEST_EVERY_MS) return;
    this.send(true);
  }

  send(replyRequested = false): void {
    this.#cancelScheduled?.();
    this.#cancelScheduled = null;
    const nowMs = this.#clock.monotonicMs();
    this.#sentMs = nowMs;
    if (replyRequested) this.#requestedMs = nowMs;
    if (this.#flushed >= this.#received) this.#owed = false;
    this.#write(standbyStatus({ received: this.#received, flushed: this.#flushed, nowMs: this.#clock.nowMs(), replyRequested }));
  }

  /** Nothing is sent any more by itself. */
  stop(): void {
    this.#cancelScheduled?.();
    this.#cancelScheduled = null;
  }
}
