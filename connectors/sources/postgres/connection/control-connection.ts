/**
 * The ordinary connection of a session: catalog look-ups, how the source stands, slot and publication. Opened when it is first needed and
 * again after it broke. Read-only unless a statement says otherwise.
 */
import type { Socket } from 'node:net';
import { Client } from 'pg';
import { codeOf, TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { untilAborted } from '../../../../src/runtime/abort.ts';
import type { Clock } from '../../../../src/runtime/clock.ts';
import type { PostgresConfig } from '../config.ts';
import { answerWithin } from './answer-within.ts';
import { asText, type QueryParameter, type QueryRow } from './query.ts';
import { closeClient } from './close-client.ts';
import { sourceError, type ErrorContext } from './server-error.ts';
import { connectionSettings, setupStatement, type ClientEncoding } from './settings.ts';

/** A statement without an answer for this long means that the connection is dead: the statements themselves take milliseconds. */
const ANSWER_TIMEOUT_MS = 60_000;

/** Nothing here may queue behind somebody's lock for long, and so make others queue behind us. */
const LOCK_TIMEOUT = '10s';

interface ControlDeps {
  readonly config: PostgresConfig;
  readonly clock: Clock;
  readonly errors: Omit<ErrorContext, 'doing'>;
}

export class ControlConnection implements AsyncDisposable {
  readonly #deps: ControlDeps;
  #encoding: ClientEncoding = 'UTF8';
  #open: { readonly client: Client; readonly socket: Socket } | null = null;
  /** The end of the queue: each statement begins when the one before has ended. */
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(deps: ControlDeps) {
    this.#deps = deps;
  }

  /** Connections from now on use this encoding; the one that is open is given up. */
  async useEncoding(encoding: ClientEncoding): Promise<void> {
    if (encoding === this.#encoding) return;
    this.#encoding = encoding;
    await this.#drop();
  }

  /** See `Query`. */
  async query(sql: string, parameters: readonly QueryParameter[], signal: AbortSignal): Promise<QueryRow[]> {
    return this.#enqueue(async () => this.#run(sql, parameters, signal), signal);
  }

  /** Runs statements one after the other in one transaction that may write, or none of them. */
  async write(statements: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#enqueue(async () => {
      await this.#run('BEGIN READ WRITE', [], signal);
      try {
        for (const statement of statements) await this.#run(statement, [], signal);
        await this.#run('COMMIT', [], signal);
      } catch (error) {
        // The transaction ends with the connection, in whatever state it is.
        await this.#drop();
        throw error;
      }
    }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#drop();
  }

  async #enqueue<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const result = this.#last.then(async () => {
      signal.throwIfAborted();
      return work();
    });
    // The next statement does not care how this one ended.
    this.#last = result.catch(() => {});
    return untilAborted(result, signal);
  }

  async #run(sql: string, parameters: readonly QueryParameter[], signal: AbortSignal): Promise<QueryRow[]> {
    const client = await this.#connected(signal);
    try {
      const answer = client.query<Record<string, string | null>>({ text: sql, values: [...parameters], types: asText });
      const { rows } = await this.#answer(answer, ANSWER_TIMEOUT_MS);
      return rows;
    } catch (error) {
      const mapped = this.#mapped(error, 'asking the server');
      if (codeOf(mapped) === 'SRC_CONN') await this.#drop();
      throw mapped;
    }
  }

  async #connected(signal: AbortSignal): Promise<Client> {
    if (this.#open !== null) return this.#open.client;
    if (this.#closed) throw new TailraceError('SRC_CONN', { message: `Source ${this.#deps.errors.source}: the connection was closed.` });
    const settings = { default_transaction_read_only: 'on', lock_timeout: LOCK_TIMEOUT, jit: 'off' };
    const { client: clientConfig, pieces } = await connectionSettings(this.#deps.config, settings);
    const client = new Client(clientConfig);
    client.on('error', () => {
      // What runs on it rejects by itself; what comes next connects anew.
      if (this.#open?.client === client) this.#open = null;
    });
    try {
      await untilAborted(client.connect(), signal);
      await untilAborted(this.#answer(client.query(setupStatement(this.#encoding)), this.#deps.config.connect_timeout_ms), signal);
    } catch (error) {
      pieces.socket.destroy();
      throw this.#mapped(error, 'connecting');
    }
    this.#open = { client, socket: pieces.socket };
    return client;
  }

  async #answer<T>(answer: Promise<T>, withinMs: number): Promise<T> {
    const { clock, errors } = this.#deps;
    return answerWithin(answer, withinMs, { clock, source: errors.source });
  }

  /** Ends the connection without waiting for what runs on it. */
  async #drop(): Promise<void> {
    const open = this.#open;
    this.#open = null;
    if (open !== null) await closeClient(open.client, open.socket, this.#deps.clock);
  }

  #mapped(error: unknown, doing: ErrorContext['doing']): Error {
    return sourceError(error, { ...this.#deps.errors, doing });
  }
}
