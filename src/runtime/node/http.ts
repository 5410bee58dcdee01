/** The real HTTP server. */
import { once } from 'node:events';
import { lstat, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { HttpAddress, HttpHandler, HttpListener, HttpServe } from '../http.ts';

export interface HttpLimits {
  /** A client that is slower than this to say what it wants is not served. */
  readonly requestMs: number;
  /** A connection on which nothing has moved for this long is closed: its client does not take the answer. Lines that come as they come may pause for longer. */
  readonly idleMs: number;
  readonly headerBytesMax: number;
  /** Connections beyond these are closed at once. */
  readonly connectionsMax: number;
}

const LIMITS: HttpLimits = { requestMs: 10_000, idleMs: 60_000, headerBytesMax: 16 * 1024, connectionsMax: 64 };

/** Node looks for slow clients every 30 s of its own accord: the limit would be four times what it says. */
const LOOKS_PER_LIMIT = 10;

export function httpServeWithin(limits: HttpLimits): HttpServe {
  return async (address, handler, onTrouble) => {
    const { requestMs, headerBytesMax } = limits;
    const options = { maxHeaderSize: headerBytesMax, requestTimeout: requestMs, headersTimeout: requestMs, connectionsCheckingInterval: Math.ceil(requestMs / LOOKS_PER_LIMIT) };
    const server = createServer(options, (request, response) => {
      answer(request, response, handler).catch(() => response.destroy());
    });
    server.maxConnections = limits.connectionsMax;
    server.timeout = limits.idleMs;
    if (address.kind === 'socket') await listenOnSocket(server, address.path);
    else await listen(server, { host: address.host, port: address.port });
    // A connection that could not be accepted (ENFILE, ENOBUFS, ...): the next one may be, and without a listener the event would end the process.
    server.on('error', onTrouble);
    server.unref();
    return listenerOf(server, address);
  };
}

export const nodeHttpServe: HttpServe = httpServeWithin(LIMITS);

function listenerOf(server: Server, asked: HttpAddress): HttpListener {
  const address: HttpAddress = asked.kind === 'socket' ? asked : { ...asked, port: (server.address() as AddressInfo).port };
  return {
    address,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

async function listen(server: Server, where: { readonly host: string; readonly port: number } | { readonly path: string }): Promise<void> {
  server.listen(where);
  // Rejects with the error when one is emitted first.
  await once(server, 'listening');
}

/** Binding happens within the call of `listen`, so that the mask holds for it alone: the socket is never open to others, not even for a moment. */
async function listenOnSocket(server: Server, path: string): Promise<void> {
  await removeStale(path);
  const mask = process.umask(0o177);
  let listening: Promise<void>;
  try {
    listening = listen(server, { path });
  } finally {
    process.umask(mask);
  }
  await listening;
}

/** Removes a socket that nobody answers on. One that answers stays, and listening there fails with EADDRINUSE. */
async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found?.isSocket() === true && !(await answers(path))) await rm(path, { force: true });
}

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    // Refused: its process is gone.
    return false;
  } finally {
    socket.destroy();
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, handler: HttpHandler): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort());
  const text = async (bytesMax: number): Promise<string | null> => bodyOf(request, bytesMax);
  // What nobody asks for is not read into memory.
  if (!hasBody(request)) request.resume();
  try {
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
    const header = (name: string): string | undefined => request.headersDistinct[name]?.join(', ');
    const reply = await handler({ method: request.method ?? '', path, query: new URLSearchParams(query), header, text, signal: gone.signal });
    if (!request.readableEnded) request.resume();
    response.writeHead(reply.status, { 'content-type': reply.contentType, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', ...reply.headers });
    if (typeof reply.body === 'string') response.end(reply.body);
    else {
      request.setTimeout(0);
      await pipeline(Readable.from(reply.body), response);
    }
  } catch {
    // The client left, or the answer failed when it had begun: to break it off is the only way left to say so.
    if (response.headersSent) response.destroy();
    else response.writeHead(500).end();
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

/** Null for more than `bytesMax`: the rest is left to be thrown away. */
async function bodyOf(request: IncomingMessage, bytesMax: number): Promise<string | null> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > bytesMax) return null;
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}
