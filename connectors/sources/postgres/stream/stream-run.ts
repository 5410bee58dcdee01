/**
 * One stream from its start to its end: the socket's bytes become changes in the sink, the server is kept informed, and what must not be
 * waited for in the socket's handler is waited for with the socket paused.
 */
import type { Duplex } from 'node:stream';
import type { ChangeSink } from '../../../../src/connector/source.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Clock } from '../../../../src/runtime/clock.ts';
import type { Catalog } from '../catalog/catalog.ts';
import type { ReplicationConnection } from '../connection/replication-connection.ts';
import { LargeMessage } from '../pgoutput/large-message.ts';
import type { RowLimits } from '../tuple.ts';
import type { VisibilityTracker } from '../visibility.ts';
import { Mux, type MuxHandlers } from '../wire/mux.ts';
import type { SocketPieces } from '../wire/socket-pieces.ts';
import { Feedback } from './feedback.ts';
import { Liveness } from './liveness.ts';
import { Progress } from './progress.ts';
import { Relations } from './relations.ts';
import { Transactions } from './transactions.ts';

/** The server hears from us, and we look after the server, this often. */
const TICK_MS = 1_000;

/**
 * A server that sends as fast as it decodes wakes us for every 8 KiB, and waking costs more than the rows. When small pieces come closely behind
 * each other, reading pauses for a moment, so that the next is worth it. A piece that comes alone is never delayed.
 */
const PIECE_WORTHWHILE_BYTES = 48 * 1024;
const PIECES_APART_MS = 0.5;
const GATHER_MS = 1;

interface StreamRunDeps {
  readonly source: string;
  readonly connection: ReplicationConnection;
  readonly clock: Clock;
  readonly sink: ChangeSink;
  readonly catalog: Catalog;
  readonly visibility: VisibilityTracker;
  /** The START_REPLICATION command, and where it starts. */
  readonly command: string;
  readonly startLsn: bigint;
  /** The position to resume from, of a place that the stream has come to. */
  readonly positionAt: (lsn: bigint) => Uint8Array;
  readonly limits: RowLimits;
  readonly walSenderTimeoutMs: number;
  /** Brings the catalog up to date if the server's has changed, and tells the sink what that does to rows. */
  readonly refreshCatalog: () => Promise<void>;
  /** Whether the relation is a partition or inherits from another. */
  readonly hasParent: (relationOid: number) => Promise<boolean>;
  /** Called when the server has accepted the stream, before anything of it is handled; a rejection fails the stream. */
  readonly onAccepted: () => Promise<void>;
  /** The stream's position moved while nothing concerned us. */
  readonly onMoved: () => void;
  /** Everything before `lsn` has been pushed, and the sink knows. */
  readonly onPushed: (lsn: bigint) => void;
}

export class StreamRun {
  readonly #deps: StreamRunDeps;
  readonly #relations: Relations;
  readonly #transactions: Transactions;
  readonly #progress: Progress;
  readonly #feedback: Feedback;
  readonly #liveness: Liveness;
  readonly #failed = Promise.withResolvers<never>();
  #phase: 'starting' | 'streaming' | 'ended' = 'starting';
  #mux: Mux | null = null;
  /** How many things the stream waits for before it reads on. */
  #waits = 0;
  #awaitingSink = false;
  #receivedMs = -Infinity;
  #cancelTick = (): void => {};

  constructor(deps: StreamRunDeps, signal: AbortSignal) {
    this.#deps = deps;
    const { clock, sink, catalog, visibility, startLsn, positionAt, connection } = deps;
    this.#feedback = new Feedback(clock, startLsn, (message) => {
      // Before it has begun to stream, and after the end was agreed on, the server would take a status for an error.
      if (this.#phase === 'streaming') connection.write(message);
    });
    this.#progress = new Progress(clock, startLsn, (lsn) => {
      sink.heartbeat(positionAt(lsn));
      deps.onMoved();
      deps.onPushed(lsn);
    });
    this.#liveness = new Liveness(deps.walSenderTimeoutMs, clock.monotonicMs());
    this.#relations = new Relations({ catalog, sink, signal, refreshCatalog: deps.refreshCatalog, hasParent: deps.hasParent });
    this.#transactions = new Transactions({ sink, catalog, visibility, startLsn, positionAt, relations: this.#relations, onQuiet: (lsn) => this.#quiet(lsn, false), onCommitted: deps.onPushed });
  }

  /** Streams until the signal is aborted (resolves) or something fails (rejects). */
  async run(signal: AbortSignal): Promise<void> {
    const { connection, command } = this.#deps;
    const stopped = Promise.withResolvers<void>();
    const onAbort = (): void => stopped.resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
    this.#failed.promise.catch(() => {});
    try {
      const starting = connection.startStreaming(command, (socket, pieces) => this.#takeOver(socket, pieces), (warning) => this.#fail(warning));
      this.#scheduleTick();
      const streamed = starting.then(async ({ ended }) => {
        await ended;
        throw this.#endedByServer();
      });
      await Promise.race([streamed, this.#failed.promise, stopped.promise]);
      await this.#end();
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#phase = 'ended';
      this.#cancelTick();
      this.#feedback.stop();
    }
  }

  /** Everything before `lsn` is durable. */
  confirm(lsn: bigint): void {
    this.#feedback.confirm(lsn);
  }

  /** Up to where the engine has called everything durable. */
  get confirmedLsn(): bigint {
    return this.#feedback.flushed;
  }

  /** The newest position that the sink knows. */
  get pushedLsn(): bigint {
    return this.#progress.told > this.#transactions.committedLsn ? this.#progress.told : this.#transactions.committedLsn;
  }

  /** Somebody waits for the stream's position to move: the server is asked how far it is. */
  nudge(): void {
    if (this.#phase !== 'streaming') return;
    this.#progress.hurry();
    this.#tellProgress();
    if (this.#waits === 0) this.#feedback.requestReply();
  }

  /** Relations that left the catalog's tables are ours no more. */
  catalogChanged(): void {
    this.#relations.catalogChanged();
  }

  #endedByServer(): TailraceError {
    const { source } = this.#deps;
    return new TailraceError('SRC_CONN', { message: `Source ${source}: the server ended the stream; it shuts down, or an administrator asked it to.`, entity: source });
  }

  /** Ends the stream with an error; nothing more of it reaches the sink. */
  #fail(error: unknown): void {
    this.#phase = 'ended';
    this.#waits += 1;
    this.#mux?.pause();
    this.#failed.reject(error);
  }

  #takeOver(socket: Duplex, pieces: SocketPieces): void {
    const large = new LargeMessage(this.#deps.limits, (bytes, start, end) => this.#pluginMessage(bytes, start, end));
    const handlers: MuxHandlers = {
      began: () => {
        this.#phase = 'streaming';
        this.#waitFor(this.#deps.onAccepted());
      },
      pluginMessage: (bytes, start, end) => this.#pluginMessage(bytes, start, end),
      largeMessage: () => large.begin(),
      keepalive: (lsn, replyRequested) => this.#keepalive(lsn, replyRequested),
      received: (bytes) => this.#received(bytes, pieces.gathers),
      failed: (error) => this.#fail(error),
    };
    this.#mux = new Mux(socket, pieces, handlers, this.#deps.limits.valueBytesMax);
  }

  #pluginMessage(bytes: Buffer, start: number, end: number): void {
    if (this.#phase === 'ended') return;
    const waited = this.#transactions.message(bytes, start, end);
    if (waited !== null) this.#waitFor(waited);
  }

  #keepalive(lsn: bigint, replyRequested: boolean): void {
    if (!this.#transactions.inTransaction) this.#quiet(lsn, replyRequested);
    if (replyRequested) this.#feedback.reply();
  }

  /** Between transactions: everything up to `lsn` has been pushed. */
  #quiet(lsn: bigint, now: boolean): void {
    this.#feedback.received(lsn);
    this.#progress.committed(this.#transactions.committedLsn);
    this.#progress.reached(lsn, now);
  }

  /** Tells the sink of a position that was reached some time ago, if that is due. */
  #tellProgress(): void {
    if (this.#transactions.inTransaction) return;
    this.#feedback.received(this.#transactions.committedLsn);
    this.#progress.committed(this.#transactions.committedLsn);
    try {
      this.#progress.tick();
    } catch (error) {
      // What the sink throws ends the stream, as it does from within the socket's handler; in a timer it would end the process.
      this.#fail(error);
    }
  }

  #received(bytes: number, gathers: boolean): void {
    const { clock } = this.#deps;
    const nowMs = clock.monotonicMs();
    this.#liveness.heard(nowMs);
    const crowded = gathers && bytes < PIECE_WORTHWHILE_BYTES && nowMs - this.#receivedMs < PIECES_APART_MS;
    this.#receivedMs = nowMs;
    if (crowded) this.#waitFor(new Promise((resolve) => clock.schedule(GATHER_MS, resolve)));
    if (!this.#awaitingSink && this.#deps.sink.congested) {
      this.#awaitingSink = true;
      this.#waitFor(this.#sinkDrained());
    }
  }

  async #sinkDrained(): Promise<void> {
    await this.#deps.sink.drained();
    this.#awaitingSink = false;
  }

  /** Reads on when the promise, and every other one that is waited for, has resolved. */
  #waitFor(waited: Promise<void>): void {
    this.#waits += 1;
    this.#mux?.pause();
    waited.then(
      () => {
        this.#waits -= 1;
        if (this.#waits > 0) return;
        this.#liveness.heard(this.#deps.clock.monotonicMs());
        this.#mux?.resume();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #scheduleTick(): void {
    this.#cancelTick = this.#deps.clock.schedule(TICK_MS, () => {
      this.#tick();
      this.#scheduleTick();
    });
  }

  #tick(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    const verdict = this.#liveness.tick(nowMs, this.#waits === 0);
    if (verdict === 'stalled') {
      const seconds = Math.round(this.#liveness.silentMs(nowMs) / 1000);
      this.#fail(new TailraceError('STALLED', { message: `Source ${this.#deps.source}: the server has not said a word for ${seconds} s.`, entity: this.#deps.source }));
      return;
    }
    if (this.#phase !== 'streaming') return;
    this.#tellProgress();
    this.#feedback.send(verdict === 'ask');
  }

  /** Ends the stream in good order, as far as the server takes part. */
  async #end(): Promise<void> {
    this.#cancelTick();
    this.#feedback.send();
    this.#phase = 'ended';
    this.#mux?.discard();
    await this.#deps.connection.endStreaming();
  }
}
