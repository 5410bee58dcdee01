/** The implementation of `RawConnection`: see `raw-query.ts`. */
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Client } from 'pg';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { untilAborted } from '../../../../src/runtime/abort.ts';
import type { Clock } from '../../../../src/runtime/clock.ts';
import type { PostgresConfig } from '../config.ts';
import { answerWithin } from '../connection/answer-within.ts';
import type { BackendActivity } from '../connection/backend.ts';
import { closeClient } from '../connection/close-client.ts';
import { sourceError, type ErrorContext } from '../connection/server-error.ts';
import { connectionSettings, setupStatement, type ClientEncoding } from '../connection/settings.ts';
import { textsOf } from '../tuple-texts.ts';
import { rowLimits, TupleLayout, type RowLimits } from '../tuple.ts';
import { appendTupleOfDataRow } from './data-row.ts';
import { readErrorResponse } from './error-response.ts';
import { GrowingBytes } from './growing-bytes.ts';
import { MessageReader, type BodyParts, type MessageConsumer } from './message-reader.ts';
import { queryMessage, statementMessages } from './query-messages.ts';
import { QueryWatch } from './query-watch.ts';
import type { RawConnection, RowListener } from './raw-query.ts';
import type { SocketPieces } from './socket-pieces.ts';
import { TupleSieve } from './tuple-sieve.ts';

const MessageType = { rowDescription: 0x54, dataRow: 0x44, error: 0x45, ready: 0x5a, copyIn: 0x47, copyOut: 0x48 } as const;

interface RawConnectionDeps {
  readonly config: PostgresConfig;
  readonly clock: Clock;
  readonly encoding: ClientEncoding;
  readonly errors: Omit<ErrorContext, 'doing'>;
  /** Ends what the server process is running, over another connection. */
  readonly cancel: (pid: number) => Promise<void>;
  /** What the server process is doing, asked over another connection, in bounded time. */
  readonly activity: (pid: number, signal: AbortSignal) => Promise<BackendActivity>;
  /** After so long without a byte of a query's answer the server is asked about it; by default half a minute. */
  readonly silentMs?: number | undefined;
}

interface RunningQuery {
  readonly onRow: RowListener | null;
  readonly ended: PromiseWithResolvers<void>;
  statement: number;
  error: unknown;
}

export async function openRawConnection(deps: RawConnectionDeps, signal: AbortSignal): Promise<RawConnection> {
  const settings = { default_transaction_read_only: 'on' };
  const { client: clientConfig, pieces } = await connectionSettings(deps.config, settings);
  const client = new Client(clientConfig);
  // Before the connection stands `connect` tells of errors, afterwards the query that runs.
  client.on('error', () => {});
  try {
    await untilAborted(client.connect(), signal);
    const { clock, config, errors } = deps;
    await untilAborted(answerWithin(client.query(setupStatement(deps.encoding)), config.connect_timeout_ms, { clock, source: errors.source }), signal);
  } catch (error) {
    pieces.socket.destroy();
    throw sourceError(error, { ...deps.errors, doing: 'connecting' });
  }
  return new SocketConnection(deps, client, pieces);
}

class SocketConnection implements RawConnection, MessageConsumer {
  readonly #deps: RawConnectionDeps;
  readonly #client: Client;
  readonly #socket: Socket;
  /** The socket, or what decrypts it. */
  readonly #stream: Duplex;
  readonly #reader: MessageReader;
  readonly #row = new GrowingBytes();
  readonly #largeRow: LargeRow;
  readonly #watch: QueryWatch;
  #running: RunningQuery | null = null;
  #broken: Error | null = null;

  constructor(deps: RawConnectionDeps, client: Client, pieces: SocketPieces) {
    this.#deps = deps;
    this.#client = client;
    this.#socket = pieces.socket;
    this.#stream = client.connection.stream;
    const limits = rowLimits(deps.config.max_value_bytes);
    this.#reader = new MessageReader(this, limits.valueBytesMax);
    this.#largeRow = new LargeRow(limits, this.#row, () => this.#deliverRow());
    this.#watch = new QueryWatch({
      source: deps.errors.source,
      clock: deps.clock,
      silentMs: deps.silentMs,
      activity: async (signal) => deps.activity(this.pid, signal),
      onLost: (error) => {
        this.#break(error);
        this.#socket.destroy();
      },
    });
    pieces.take(this.#stream, (piece) => this.#read(piece));
    client.on('error', (error) => this.#break(error));
  }

  get pid(): number {
    return (this.#client as Client & { readonly processID: number }).processID;
  }

  async query(sql: string, onRow: RowListener | null, signal: AbortSignal): Promise<void> {
    await this.#run(queryMessage(sql), onRow, signal);
  }

  async statement(sql: string, onRow: RowListener | null, signal: AbortSignal): Promise<void> {
    await this.#run(statementMessages(sql), onRow, signal);
  }

  async values(sql: string, signal: AbortSignal): Promise<(string | null)[][]> {
    const rows: (string | null)[][] = [];
    const layout = new TupleLayout();
    await this.query(sql, (bytes, start, end) => rows.push(textsOf(bytes, start, end, layout)), signal);
    return rows;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#broken ??= new TailraceError('SRC_CONN', { message: `Source ${this.#deps.errors.source}: the connection was closed.` });
    if (this.#running !== null) this.#socket.destroy();
    await closeClient(this.#client, this.#socket, this.#deps.clock);
  }

  message(type: number, bytes: Buffer, start: number, end: number): void {
    const running = this.#running;
    switch (type) {
      case MessageType.dataRow:
        this.#row.reset();
        appendTupleOfDataRow(bytes, start, end, this.#row);
        this.#deliverRow();
        break;
      case MessageType.rowDescription:
        if (running !== null) running.statement += 1;
        break;
      case MessageType.error:
        this.#failRunning(readErrorResponse(bytes, start, end));
        break;
      case MessageType.ready:
        this.#running = null;
        if (running === null) break;
        if (running.error === null) running.ended.resolve();
        else running.ended.reject(running.error);
        break;
      case MessageType.copyIn:
      case MessageType.copyOut:
        throw new TailraceError('SRC_PROTOCOL', { message: 'A query of rows began a copy.' });
      default:
        // Notices, changed settings, the tags of finished commands.
        break;
    }
  }

  largeMessage(type: number): BodyParts {
    if (type !== MessageType.dataRow) throw new TailraceError('SRC_PROTOCOL', { message: `The server sent a message of type ${type} that is too large for what it is.` });
    return this.#largeRow.begin();
  }

  async #run(messages: Buffer, onRow: RowListener | null, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#broken !== null) throw this.#broken;
    if (this.#running !== null) throw new TailraceError('INVARIANT', { message: 'A raw connection runs one query at a time.' });
    const running: RunningQuery = { onRow, ended: Promise.withResolvers(), statement: -1, error: null };
    this.#running = running;
    this.#watch.begin();
    this.#stream.write(messages);
    try {
      await untilAborted(running.ended.promise, signal);
    } catch (error) {
      if (signal.aborted) await this.#giveUp();
      throw error;
    } finally {
      this.#watch.end();
    }
  }

  #deliverRow(): void {
    const running = this.#running;
    // After an error in the listener the rest is read past.
    if (running === null || running.error !== null || running.onRow === null) return;
    try {
      running.onRow(this.#row.bytes, 0, this.#row.length, running.statement);
    } catch (error) {
      running.error = error;
    }
  }

  #failRunning(error: ReturnType<typeof readErrorResponse>): void {
    const mapped = sourceError(error, { ...this.#deps.errors, doing: 'asking the server' });
    if (this.#running === null) this.#break(mapped);
    else this.#running.error ??= mapped;
  }

  #read(piece: Buffer): void {
    this.#watch.heard();
    try {
      this.#reader.push(piece);
    } catch (error) {
      this.#break(error);
      this.#socket.destroy();
    }
  }

  /** The connection is of no more use; what runs on it is told why: the server's last words rather than that it hung up. */
  #break(error: unknown): void {
    this.#broken ??= sourceError(error, { ...this.#deps.errors, doing: 'asking the server' });
    this.#running?.ended.reject(this.#running.error ?? this.#broken);
    this.#running = null;
  }

  /** The server would go on with the query until it has something to send: it is told, and the connection is closed. */
  async #giveUp(): Promise<void> {
    this.#broken ??= new TailraceError('SRC_CONN', { message: `Source ${this.#deps.errors.source}: the connection was given up with its query.` });
    this.#running = null;
    this.#socket.destroy();
    await this.#deps.cancel(this.pid);
  }
}

/** A DataRow that is larger than a value may be. */
class LargeRow implements BodyParts {
  readonly #out: GrowingBytes;
  readonly #sieve: TupleSieve;
  readonly #onRow: () => void;

  constructor(limits: RowLimits, out: GrowingBytes, onRow: () => void) {
    this.#out = out;
    this.#sieve = new TupleSieve('data_row', limits, out);
    this.#onRow = onRow;
  }

  begin(): this {
    this.#out.reset();
    this.#sieve.begin();
    return this;
  }

  part(bytes: Buffer, start: number, end: number): void {
    const until = this.#sieve.read(bytes, start, end);
    if (until !== end) throw new TailraceError('SRC_PROTOCOL', { message: 'The server sent a row of a query whose columns do not fill it.' });
  }

  end(): void {
    if (!this.#sieve.done) throw new TailraceError('SRC_PROTOCOL', { message: 'The server sent a row of a query that ends before it is complete.' });
    this.#onRow();
  }
}
