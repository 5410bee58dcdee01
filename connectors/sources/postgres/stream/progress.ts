/**
 * How far the stream is while nothing concerns us. Each heartbeat costs the engine an fsync, so they are rare, unless somebody waits for one:
 * a snapshot's chunk, or a server that wants to shut down.
 */
import type { Clock } from '../../../../src/runtime/clock.ts';

/** On a server that is busy with other tables, what it must keep for us moves on at least this often. */
const HEARTBEAT_EVERY_MS = 5_000;

export class Progress {
  readonly #clock: Clock;
  readonly #heartbeat: (lsn: bigint) => void;
  /** Nothing before this is still to come. */
  #reached: bigint;
  /** What the sink knows. */
  #told: bigint;
  #toldMs: number;
  #awaited = false;

  constructor(clock: Clock, startLsn: bigint, heartbeat: (lsn: bigint) => void) {
    this.#clock = clock;
    this.#heartbeat = heartbeat;
    this.#reached = startLsn;
    this.#told = startLsn;
    this.#toldMs = clock.monotonicMs();
  }

  /** The newest position that the sink was told of. */
  get told(): bigint {
    return this.#told;
  }

  /** Somebody waits: the next position that is reached is told at once. */
  hurry(): void {
    this.#awaited = true;
  }

  /** A commit told the sink of `lsn`. */
  committed(lsn: bigint): void {
    if (lsn > this.#told) this.#told = lsn;
  }

  /** Between transactions: everything up to `lsn` has been pushed. */
  reached(lsn: bigint, now: boolean): void {
    if (lsn > this.#reached) this.#reached = lsn;
    if (now || this.#awaited || this.#isDue()) this.#tell();
  }

  /** To be called from time to time, between transactions. */
  tick(): void {
    if (this.#awaited || this.#isDue()) this.#tell();
  }

  #isDue(): boolean {
    return this.#clock.monotonicMs() - this.#toldMs >= HEARTBEAT_EVERY_MS;
  }

  #tell(): void {
    if (this.#reached <= this.#told) return;
    this.#told = this.#reached;
    this.#toldMs = this.#clock.monotonicMs();
    this.#awaited = false;
    this.#heartbeat(this.#reached);
  }
}
