/** Connections for reading tables: as many as there are reads at one time, kept for the next read, closed when there is none for a while. */
import type { Clock } from '../../../../src/runtime/clock.ts';
import type { OpenRawConnection, RawConnection } from '../wire/raw-query.ts';

const IDLE_MS = 10_000;

/**
 * For the whole connection: rows hidden by row security are an error, not a shorter table; nobody's lock is waited for so long that others
 * queue up behind us; rows arrive in the order of the scan, from one process.
 */
const SETUP = `SET row_security = off; SET lock_timeout = '5s'; SET jit = off; SET synchronize_seqscans = off; SET enable_tidscan = on; SET max_parallel_workers_per_gather = 0`;

export class ReadConnections implements AsyncDisposable {
  readonly #open: OpenRawConnection;
  readonly #clock: Clock;
  readonly #idle: RawConnection[] = [];
  #cancelTimer: (() => void) | null = null;
  #disposed = false;

  constructor(open: OpenRawConnection, clock: Clock) {
    this.#open = open;
    this.#clock = clock;
  }

  /**
   * Runs `work` on a connection. When it throws, the connection is closed, in whatever state it is; otherwise it is kept, unless `isSpoilt`: what ran
   * on it may have changed its settings.
   */
  async use<T>(work: (connection: RawConnection) => Promise<T>, signal: AbortSignal, isSpoilt = false): Promise<T> {
    signal.throwIfAborted();
    const connection = this.#idle.pop() ?? (await this.#opened(signal));
    try {
      const result = await work(connection);
      if (this.#disposed || isSpoilt) await connection[Symbol.asyncDispose]();
      else this.#keep(connection);
      return result;
    } catch (error) {
      await connection[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed = true;
    await this.#closeIdle();
  }

  async #opened(signal: AbortSignal): Promise<RawConnection> {
    const connection = await this.#open(signal);
    try {
      await connection.query(SETUP, null, signal);
      return connection;
    } catch (error) {
      await connection[Symbol.asyncDispose]();
      throw error;
    }
  }

  #keep(connection: RawConnection): void {
    this.#idle.push(connection);
    this.#cancelTimer?.();
    this.#cancelTimer = this.#clock.schedule(IDLE_MS, () => void this.#closeIdle());
  }

  async #closeIdle(): Promise<void> {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    await Promise.all(this.#idle.splice(0).map(async (connection) => connection[Symbol.asyncDispose]()));
  }
}
