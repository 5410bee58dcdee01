/**
 * An HTTP proxy in front of a real server that does to write requests and their answers what a network, a load balancer or a busy cluster does:
 * what the server cannot be brought to, or not at a moment of the test's choice. What it has not been told to spoil it passes on unchanged.
 */
import { createServer, request as send, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';

export type Fault =
  /** The server does what it was asked, the connection ends without an answer. */
  | { readonly kind: 'lose the answer' }
  /** Half of the request reaches the server, then both connections end. */
  | { readonly kind: 'cut the request' }
  /** The connection ends in the middle of the answer. */
  | { readonly kind: 'cut the answer' }
  /** Half of the answer's text comes as if it were all. */
  | { readonly kind: 'shorten the answer' }
  /** The answer of a write request comes without its last result. */
  | { readonly kind: 'drop a result' }
  /** Nothing reaches the server; this is answered. */
  | { readonly kind: 'answer'; readonly status: number; readonly body: string; readonly type?: string; readonly retryAfter?: string }
  /** The server is asked without these operations of a write request, and they are answered like those that it has no room for. */
  | { readonly kind: 'refuse operations'; readonly isRefused: (position: number) => boolean }
  /** Passed on when `until` resolves. */
  | { readonly kind: 'hold'; readonly until: Promise<void> }
  /** The server does what it was asked, and its answer goes on when `until` resolves. */
  | { readonly kind: 'hold the answer'; readonly until: Promise<void> };

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  /** It is one of the requests that write documents. */
  readonly isWrite: boolean;
  /** The header of that name. */
  readonly authorization: string | undefined;
}

/** Says what happens to a request; undefined: nothing. */
export type FaultRule = (request: SeenRequest) => Fault | undefined;

interface Exchange {
  readonly status: number;
  readonly type: string;
  readonly body: Buffer;
}

export class OpenSearchFaultProxy implements AsyncDisposable {
  readonly #server: Server;
  readonly #upstream: string;
  #underWay = 0;
  /** Write requests since the start, refused ones included. */
  writes = 0;
  /** The most write requests that were under way at once. */
  writesAtOnceMax = 0;
  rule: FaultRule = () => undefined;

  constructor(upstream: string) {
    this.#upstream = upstream;
    this.#server = createServer((request, response) => {
      // Whatever fails here, the client sees a connection that ended.
      this.#serve(request, response).catch(() => response.destroy());
    });
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const path = request.url ?? '/';
    const isWrite = path.includes('/_bulk');
    const { authorization } = request.headers;
    if (!isWrite) return await this.#answer({ method: request.method ?? 'GET', path, isWrite, authorization }, request, Buffer.concat(pieces), response);
    this.writes += 1;
    this.#underWay += 1;
    this.writesAtOnceMax = Math.max(this.writesAtOnceMax, this.#underWay);
    try {
      await this.#answer({ method: 'POST', path, isWrite, authorization }, request, Buffer.concat(pieces), response);
    } finally {
      this.#underWay -= 1;
    }
  }

  async #answer(seen: SeenRequest, request: IncomingMessage, body: Buffer, response: ServerResponse): Promise<void> {
    const fault = this.rule(seen);
    if (fault?.kind === 'answer') return give(response, { status: fault.status, type: fault.type ?? 'application/json', body: Buffer.from(fault.body) }, fault.retryAfter);
    if (fault?.kind === 'hold') await fault.until;
    if (fault?.kind === 'refuse operations') return give(response, await this.#withoutRefused(request, body, fault.isRefused));
    if (fault?.kind === 'cut the request') {
      await this.#askHalf(request, body);
      return void response.destroy();
    }
    const said = await this.#ask(request, body);
    if (fault?.kind === 'hold the answer') await fault.until;
    if (fault?.kind === 'lose the answer') return void response.destroy();
    if (fault?.kind === 'cut the answer') {
      response.writeHead(said.status, { 'content-type': said.type, 'content-length': said.body.length });
      response.write(said.body.subarray(0, said.body.length >> 1), () => response.destroy());
      return;
    }
    if (fault?.kind === 'shorten the answer') return give(response, { ...said, body: said.body.subarray(0, said.body.length >> 1) });
    if (fault?.kind === 'drop a result') return give(response, { ...said, body: withoutLastResult(said.body) });
    give(response, said);
  }

  async #ask({ method = 'GET', url = '/', headers }: IncomingMessage, body: Buffer): Promise<Exchange> {
    const type = headers['content-type'];
    const answer = await fetch(`${this.#upstream}${url}`, { method, ...(body.length === 0 ? {} : { body: new Uint8Array(body), headers: { 'content-type': type ?? 'application/json' } }) });
    return { status: answer.status, type: answer.headers.get('content-type') ?? 'application/json', body: Buffer.from(await answer.arrayBuffer()) };
  }

  async #askHalf({ method = 'GET', url = '/', headers }: IncomingMessage, body: Buffer): Promise<void> {
    const half = send(`${this.#upstream}${url}`, { method, headers: { 'content-type': headers['content-type'], 'content-length': body.length } });
    // It is we who end it; a server that answers before is not listened to.
    half.on('error', () => {}).on('response', (answer) => answer.resume());
    await new Promise((resolve) => half.write(body.subarray(0, body.length >> 1), resolve));
    half.destroy();
  }

  async #withoutRefused(request: IncomingMessage, body: Buffer, isRefused: (position: number) => boolean): Promise<Exchange> {
    const operations = operationsOf(body);
    const passed = operations.filter((_, position) => !isRefused(position));
    const said = await this.#ask(request, Buffer.from(passed.map(({ lines }) => lines).join('')));
    const { items } = JSON.parse(said.body.toString()) as { readonly items: readonly unknown[] };
    const theirs = items.values();
    const error = { type: 'rejected_execution_exception', reason: 'rejected execution of coordinating operation' };
    const woven = operations.map(({ action }, position) => (isRefused(position) ? { [action]: { status: 429, error } } : theirs.next().value));
    return { ...said, body: Buffer.from(JSON.stringify({ errors: true, items: woven })) };
  }
}

function give(response: ServerResponse, { status, type, body }: Exchange, retryAfter?: string): void {
  response.writeHead(status, { 'content-type': type, 'content-length': body.length, ...(retryAfter === undefined ? {} : { 'retry-after': retryAfter }) });
  response.end(body);
}

/** The lines of each operation of a write request. */
function operationsOf(body: Buffer): { readonly action: string; readonly lines: string }[] {
  const lines = body.toString().split('\n').slice(0, -1);
  const operations: { action: string; lines: string }[] = [];
  for (let at = 0; at < lines.length; at += 1) {
    const [action = ''] = Object.keys(JSON.parse(lines[at] as string) as object);
    const first = `${lines[at]}\n`;
    if (action === 'delete') operations.push({ action, lines: first });
    else operations.push({ action, lines: `${first}${lines[(at += 1)]}\n` });
  }
  return operations;
}

function withoutLastResult(body: Buffer): Buffer {
  const answer = JSON.parse(body.toString()) as { readonly items: readonly unknown[] };
  return Buffer.from(JSON.stringify({ ...answer, items: answer.items.slice(0, -1) }));
}

/** A proxy on a free port of 127.0.0.1 in front of the server at `upstream`. */
export async function startFaultProxy(upstream: string): Promise<OpenSearchFaultProxy> {
  const proxy = new OpenSearchFaultProxy(upstream);
  await proxy.listen();
  return proxy;
}
