/**
 * The connection that streams, made and ended by pg-logical-replication: first for commands (IDENTIFY_SYSTEM, CREATE_REPLICATION_SLOT, ...),
 * then for one stream.
 *
 * Of the package only the connection's life is used. Everything else of it is off or bypassed, because it loses data or time: its
 * `acknowledge` confirms one byte too many, its timer confirms what was merely received, its parser hands out views into memory that is
 * written over. test/engines/postgres-stream-package.test.ts holds the package to what is relied on here.
 */
import type { Duplex } from 'node:stream';
import type { Client } from 'pg';
import { LogicalReplicationService } from 'pg-logical-replication';
import { codeOf, TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { untilAborted } from '../../../../src/runtime/abort.ts';
import type { Clock } from '../../../../src/runtime/clock.ts';
import type { PostgresConfig } from '../config.ts';
import type { SocketPieces } from '../wire/socket-pieces.ts';
import { answerWithin } from './answer-within.ts';
import { asText, type QueryRow } from './query.ts';
import { fatalWarning, sourceError, type Doing, type ErrorContext } from './server-error.ts';
import { connectionSettings, setupStatement, type ClientEncoding } from './settings.ts';

/** Creating a slot waits for every transaction that is open; this long. */
const LOCK_TIMEOUT_MS = 20_000;

/** Commands before the stream take milliseconds, but for this one: it may wait for many transactions, one after the other. */
const ANSWER_TIMEOUT_MS = 60_000;
const SLOT_TIMEOUT_MS = 600_000;

/** How long the server is given to end the stream in good order before the socket is closed. */
const END_WITHIN_MS = 1_000;

export interface ReplicationDeps {
  readonly config: PostgresConfig;
  readonly clock: Clock;
  readonly encoding: ClientEncoding;
  readonly errors: Omit<ErrorContext, 'doing'>;
  /** Bound for waiting on locks, in milliseconds; by default 20 s. */
  readonly lockTimeoutMs?: number | undefined;
}

export class ReplicationConnection implements AsyncDisposable {
  readonly #deps: ReplicationDeps;
  readonly #service: LogicalReplicationService;
  readonly #client: Client;
  readonly #pieces: SocketPieces;
  /** Settles when the package may consider its subscription ended. */
  readonly #finished: PromiseWithResolvers<void>;
  #streaming: Promise<unknown> | null = null;

  /** Connects. Rejects with SRC_CONN, SRC_AUTH, SRC_TLS, SRC_GRANT, SRC_POOLER, ... */
  static async open(deps: ReplicationDeps, signal: AbortSignal): Promise<ReplicationConnection> {
    const settings = {
      lock_timeout: String(deps.lockTimeoutMs ?? LOCK_TIMEOUT_MS),
      wal_sender_timeout: String(deps.config.wal_sender_timeout_ms),
    };
    const { client: clientConfig, pieces } = await connectionSettings(deps.config, settings);
    const service = new LogicalReplicationService(clientConfig, { acknowledge: { auto: false, timeoutSeconds: 0 }, flowControl: { enabled: false } });
    // Every error also rejects what waits for it; the emitter would throw without a listener.
    service.on('error', () => {});
    const opened = Promise.withResolvers<Client>();
    const finished = Promise.withResolvers<void>();
    const plugin = {
      name: 'pgoutput',
      options: {},
      start: async (client: Client): Promise<void> => {
        opened.resolve(client);
        await finished.promise;
      },
      parse: (): never => {
        throw new TailraceError('INVARIANT', { message: 'The stream reached the package although its socket was taken over.' });
      },
    };
    service.subscribe(plugin, deps.errors.slot).then(() => opened.reject(new Error('Connection terminated')), opened.reject);
    try {
      const client = await untilAborted(opened.promise, signal);
      const answer = client.query(setupStatement(deps.encoding));
      await untilAborted(answerWithin(answer, deps.config.connect_timeout_ms, { clock: deps.clock, source: deps.errors.source }), signal);
      return new ReplicationConnection(deps, service, client, pieces, finished);
    } catch (error) {
      pieces.socket.destroy();
      finished.resolve();
      await service.destroy();
      throw sourceError(error, { ...deps.errors, doing: 'connecting for replication' });
    }
  }

  private constructor(deps: ReplicationDeps, service: LogicalReplicationService, client: Client, pieces: SocketPieces, finished: PromiseWithResolvers<void>) {
    this.#deps = deps;
    this.#service = service;
    this.#client = client;
    this.#pieces = pieces;
    this.#finished = finished;
  }

  /** Runs a command before the stream begins. When the signal is aborted, or no answer comes, the connection is closed: nothing else ends a waiting command. */
  async command(sql: string, doing: Doing, signal: AbortSignal): Promise<QueryRow[]> {
    const { clock, errors } = this.#deps;
    const withinMs = doing === 'creating the slot' ? SLOT_TIMEOUT_MS : ANSWER_TIMEOUT_MS;
    try {
      const result = this.#client.query<Record<string, string | null>>({ text: sql, types: asText });
      const { rows } = await untilAborted(answerWithin(result, withinMs, { clock, source: errors.source }), signal);
      return rows;
    } catch (error) {
      const mapped = this.#mapped(error, doing);
      if (signal.aborted || codeOf(mapped) === 'SRC_CONN') this.#pieces.socket.destroy();
      throw mapped;
    }
  }

  /**
   * Sends START_REPLICATION. `takeOver` gets the idle socket just before; `onFatalWarning` what the server only warns of and what must
   * not go on. Resolves when the server has begun to stream; `ended`, in what it
   * resolves to, settles when the stream has ended: it rejects with what ended it, and resolves when both sides ended it in good order.
   */
  async startStreaming(sql: string, takeOver: (socket: Duplex, pieces: SocketPieces) => void, onFatalWarning: (error: Error) => void): Promise<{ readonly ended: Promise<void> }> {
    const started = Promise.withResolvers<void>();
    this.#service.once('start', () => started.resolve());
    this.#client.on('notice', (notice) => {
      const error = fatalWarning(notice, this.#deps.errors);
      if (error !== null) onFatalWarning(error);
    });
    takeOver(this.#client.connection.stream, this.#pieces);
    const query = this.#client.query({ text: sql, types: asText });
    this.#streaming = query;
    query.then(
      () => this.#finished.resolve(),
      (error: unknown) => this.#finished.reject(error),
    );
    const ended = (async () => {
      try {
        await query;
      } catch (error) {
        throw this.#mapped(error, 'streaming');
      }
    })();
    await Promise.race([started.promise, ended]);
    return { ended };
  }

  /** Sends bytes to the server, outside of pg's own traffic; nothing when the connection is gone, which `ended` then tells. */
  write(bytes: Buffer): void {
    const { stream } = this.#client.connection;
    if (stream.writable) stream.write(bytes);
  }

  /** Asks the server to end the stream and waits for that, not for long. The stream's data must be read meanwhile, or be dropped. */
  async endStreaming(): Promise<void> {
    if (this.#streaming === null) return;
    this.write(copyDone);
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#deps.clock.schedule(END_WITHIN_MS, resolve);
    // How it ended is told by `ended`; here it matters only that it did.
    await Promise.race([promise, this.#streaming.catch(() => {})]);
    cancel();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const cancel = this.#deps.clock.schedule(END_WITHIN_MS, () => this.#pieces.socket.destroy());
    this.#finished.resolve();
    await this.#service.destroy();
    cancel();
    this.#pieces.socket.destroy();
  }

  #mapped(error: unknown, doing: Doing): Error {
    return sourceError(error, { ...this.#deps.errors, doing });
  }
}

/** CopyDone, as a whole message. */
const copyDone = Buffer.from([0x63, 0, 0, 0, 4]);
