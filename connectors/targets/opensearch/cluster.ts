/**
 * One cluster: requests in, answers as bytes out. What goes wrong on the way rejects with TGT_CONN; 401 with TGT_AUTH. Errors of the client
 * itself never leave this file: they carry the request with them, and with it rows and credentials.
 */
import { setImmediate as soon } from 'node:timers/promises';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { Clock } from '../../../src/runtime/clock.ts';
import { authorizationOf, openEndpoint, type Authorization, type Endpoint } from './connection.ts';
import type { OpenSearchConfig } from './config.ts';
import { failureOf, serverErrorOf, type Asked } from './failure.ts';

/** What takes long by its nature gets this much of the ordinary time. */
const PATIENCE = 10;

export interface Request {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD';
  /** With its query: `/products-g0001/_refresh`. Names in it are encoded by `pathOf`. */
  readonly path: string;
  /** JSON or, as bytes, NDJSON. */
  readonly body?: string | Buffer | undefined;
  /** Gets ten times the ordinary time. */
  readonly isSlow?: boolean | undefined;
  /** An answer that is larger is not read to its end. */
  readonly bytesMax?: number | undefined;
}

export interface Answer {
  readonly status: number;
  /** Null when it is larger than the request's `bytesMax`. */
  readonly body: Buffer | null;
  /** As the `retry-after` header says, in milliseconds. */
  readonly retryAfterMs: number | undefined;
}

export class Cluster {
  readonly #config: OpenSearchConfig;
  readonly #clock: Clock;
  readonly #pending = new Set<() => void>();
  #endpoint: Promise<Endpoint> | undefined;
  #authorization: Promise<Authorization> | undefined;
  #isClosed = false;

  constructor(config: OpenSearchConfig, clock: Clock) {
    this.#config = config;
    this.#clock = clock;
  }

  /** Urls without user and password. */
  async shown(): Promise<string> {
    return (await this.#opened()).shown;
  }

  /** Any answer but 401 and those of a server that is not there: 5xx. */
  async request(request: Request, signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    if (this.#isClosed) throw new TailraceError('TGT_CONN', { message: 'The target was closed.' });
    const endpoint = await this.#opened();
    const answer = await this.#exchange(endpoint, request, signal);
    if (answer.status === 401) {
      // A password file may have another one by the time of the next request.
      this.#authorization = undefined;
      throw new TailraceError('TGT_AUTH', { message: `${endpoint.shown} does not let tailrace in (status 401).` });
    }
    if (answer.status >= 500) throw failureOf(answer.status, serverErrorOf(answer.body), `asking ${endpoint.shown} (${summary(request)})`);
    return answer;
  }

  /** The parsed body of a success. Rejects for every other answer. */
  async json(request: Request, asked: string | Asked, signal: AbortSignal): Promise<unknown> {
    const answer = await this.request(request, signal);
    if (answer.status >= 300) throw failureOf(answer.status, serverErrorOf(answer.body), asked);
    return parsed(answer, typeof asked === 'string' ? asked : asked.what);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const abort of this.#pending) abort();
    if (this.#endpoint === undefined) return;
    const endpoint = await this.#endpoint.catch(() => undefined);
    // The client looks once a second whether its requests have ended: they have, a moment after they were told to.
    await soon();
    await endpoint?.client.close();
  }

  async #opened(): Promise<Endpoint> {
    this.#endpoint ??= openEndpoint(this.#config);
    try {
      return await this.#endpoint;
    } catch (error) {
      // The next request tries again: a certificate's file may be there by then.
      this.#endpoint = undefined;
      throw error;
    }
  }

  async #headers(body: Request['body']): Promise<Record<string, string>> {
    this.#authorization ??= authorizationOf(this.#config);
    let authorization: Authorization;
    try {
      authorization = await this.#authorization;
    } catch (error) {
      this.#authorization = undefined;
      throw error;
    }
    return { ...(authorization === null ? {} : { authorization }), ...(body === undefined ? {} : { 'content-type': typeof body === 'string' ? 'application/json' : 'application/x-ndjson' }) };
  }

  async #exchange(endpoint: Endpoint, request: Request, signal: AbortSignal): Promise<Answer> {
    const { method, path, body, bytesMax, isSlow } = request;
    const headers = await this.#headers(body);
    signal.throwIfAborted();
    const timeoutMs = this.#config.request_timeout_ms * (isSlow === true ? PATIENCE : 1);
    const cut = path.indexOf('?');
    const params = { method, path: cut === -1 ? path : path.slice(0, cut), querystring: cut === -1 ? '' : path.slice(cut + 1), ...(body === undefined ? {} : { body }) };
    // Once more where a kept connection had been closed by the other side, or a node is down.
    const sent = endpoint.client.transport.request(params, { asStream: true, headers, requestTimeout: timeoutMs, maxRetries: Math.max(1, endpoint.nodes - 1) });
    let isLate = false;
    let stream: { destroy(error?: Error): unknown } | undefined;
    const abort = (): void => {
      sent.abort();
      stream?.destroy();
    };
    const cancelDeadline = this.#clock.schedule(timeoutMs, () => {
      isLate = true;
      abort();
    });
    signal.addEventListener('abort', abort, { once: true });
    this.#pending.add(abort);
    try {
      const result = await sent;
      endpoint.client.connectionPool.markAlive(result.meta.connection);
      stream = result.body as NodeJS.ReadableStream & { destroy(): unknown };
      const bytes = await readAll(result.body as AsyncIterable<Buffer>, bytesMax ?? Infinity);
      return { status: result.statusCode ?? 0, body: bytes, retryAfterMs: retryAfterMs(result.headers) };
    } catch (error) {
      if (signal.aborted) throw signal.reason;
      throw connectionFailure(error, isLate ? `no whole answer within ${timeoutMs} ms` : undefined, endpoint.shown, request);
    } finally {
      cancelDeadline();
      signal.removeEventListener('abort', abort);
      this.#pending.delete(abort);
    }
  }
}

/** Null when there are more than `bytesMax`; the rest is not read. */
async function readAll(stream: AsyncIterable<Buffer>, bytesMax: number): Promise<Buffer | null> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of stream) {
    bytes += piece.length;
    if (bytes > bytesMax) return null;
    pieces.push(piece);
  }
  const [only] = pieces;
  return pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces, bytes);
}

function connectionFailure(error: unknown, late: string | undefined, shown: string, request: Request): TailraceError {
  if (error instanceof TailraceError) return error;
  const said = late ?? (error instanceof Error ? error.message : 'unknown error');
  const isTls = /certificate|self.signed|SSL|TLS|altnames/i.test(said);
  const hint = isTls ? 'Name the server\'s authority with `tls: { ca: FILE }` in the target, or check the url.' : undefined;
  return new TailraceError('TGT_CONN', { message: `${shown} cannot be reached (${summary(request)}): ${said}.`, hint });
}

function summary({ method, path }: Request): string {
  const cut = path.indexOf('?');
  return `${method} ${cut === -1 ? path : path.slice(0, cut)}`;
}

function retryAfterMs(headers: Readonly<Record<string, unknown>> | null): number | undefined {
  const value = Number(headers?.['retry-after'] ?? Number.NaN);
  return Number.isFinite(value) && value >= 0 ? value * 1000 : undefined;
}

export function parsed({ body }: Answer, what: string): unknown {
  try {
    return JSON.parse((body ?? Buffer.alloc(0)).toString()) as unknown;
  } catch {
    // What stands between us and the cluster answers in its own words, with any status.
    throw new TailraceError('TGT_CONN', { message: `${what}: the answer is no JSON; it is not the cluster's.`, hint: 'Check the url: something else answers there.' });
  }
}

/** A path with names as they must be written in it: `pathOf('a b', '_search')` is `/a%20b/_search`. */
export function pathOf(...parts: readonly string[]): string {
  return parts.map((part) => `/${encodeURIComponent(part).replaceAll('%2C', ',')}`).join('');
}
