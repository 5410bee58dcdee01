/**
 * Notices that the answer to a query will never come. A query may rightly be silent for hours, so silence alone is no reason to give it up:
 * after a while the server is asked over another connection what the process that runs the query is doing.
 *
 * The process is gone, or nobody can tell: the connection is dead. It waits for us although nothing has come since the look before: what it sent,
 * or what was sent to it, is lost. Anything else is work, and is waited for.
 */
import { codeOf, TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Clock } from '../../../../src/runtime/clock.ts';
import type { BackendActivity } from '../connection/backend.ts';

/** So long without a byte, and so long between looks. */
const SILENT_MS = 30_000;

interface QueryWatchDeps {
  /** Name of the source, for messages. */
  readonly source: string;
  readonly clock: Clock;
  /** Asks what the server process is doing, over another connection, in bounded time. */
  readonly activity: (signal: AbortSignal) => Promise<BackendActivity>;
  /** Pause before the first look and between looks; by default half a minute. */
  readonly silentMs?: number | undefined;
  /** Told once, why the connection is of no more use. */
  readonly onLost: (error: TailraceError) => void;
}

export class QueryWatch {
  readonly #deps: QueryWatchDeps;
  readonly #silentMs: number;
  #heardMs = 0;
  /** What `#heardMs` was when the process was found waiting for us. */
  #awaitedMs: number | null = null;
  #cancelTimer: (() => void) | null = null;
  /** Aborted when the query has ended; a look that is still out counts for nothing. */
  #running: AbortController | null = null;

  constructor(deps: QueryWatchDeps) {
    this.#deps = deps;
    this.#silentMs = deps.silentMs ?? SILENT_MS;
  }

  /** A query was sent. */
  begin(): void {
    this.#running = new AbortController();
    this.heard();
    this.#awaitedMs = null;
    this.#schedule(this.#silentMs);
  }

  /** Bytes came. */
  heard(): void {
    this.#heardMs = this.#deps.clock.monotonicMs();
  }

  /** The query has ended, however it did. */
  end(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = null;
    this.#running?.abort();
    this.#running = null;
  }

  #schedule(ms: number): void {
    this.#cancelTimer = this.#deps.clock.schedule(ms, () => {
      const leftMs = this.#heardMs + this.#silentMs - this.#deps.clock.monotonicMs();
      if (leftMs > 0) this.#schedule(leftMs);
      else if (this.#running !== null) this.#look(this.#running.signal);
    });
  }

  #look(signal: AbortSignal): void {
    const heardMs = this.#heardMs;
    const decide = (lost: TailraceError | null): void => {
      if (signal.aborted) return;
      if (lost !== null && this.#heardMs === heardMs) this.#deps.onLost(lost);
      else this.#schedule(this.#silentMs);
    };
    this.#deps.activity(signal).then(
      (activity) => decide(this.#verdict(activity, heardMs)),
      (cause: unknown) => decide(this.#error('SRC_CONN', `nothing has come for ${this.#silentS()} s, and another connection does not tell why (${codeOf(cause) ?? 'UNKNOWN'})`, cause)),
    );
  }

  #verdict(activity: BackendActivity, heardMs: number): TailraceError | null {
    const awaitedBefore = this.#awaitedMs === heardMs;
    this.#awaitedMs = activity === 'awaiting_us' ? heardMs : null;
    if (activity === 'gone') return this.#error('SRC_CONN', 'the server process that ran it is gone, and the connection did not tell');
    if (activity !== 'awaiting_us' || !awaitedBefore) return null;
    return this.#error('STALLED', `nothing has come for ${this.#silentS()} s, and the server waits for us: the network between has lost the connection`);
  }

  #silentS(): number {
    return Math.round((this.#deps.clock.monotonicMs() - this.#heardMs) / 1000);
  }

  #error(code: 'SRC_CONN' | 'STALLED', why: string, cause?: unknown): TailraceError {
    const { source } = this.#deps;
    return new TailraceError(code, { message: `Source ${source}: a query's answer is waited for no more: ${why}.`, entity: source, cause });
  }
}
