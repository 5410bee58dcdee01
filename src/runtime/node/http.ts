/** The real HTTP server. */
import { once } from 'node:events';
import { lstat, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { HttpAddress, HttpHandler, HttpListener, HttpServe } from '../http.ts';

/** A client that is slower than this to say what it wants is not served. */
const REQUEST_TIMEOUT_MS = 10_000;
const HEADER_BYTES_MAX = 16 * 1024;
const CONNECTIONS_MAX = 64;

export const nodeHttpServe: HttpServe = async (address, handler) => {
  const server = createServer({ maxHeaderSize: HEADER_BYTES_MAX, requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    answer(request, response, handler).catch(() => response.destroy());
  });
  server.maxConnections = CONNECTIONS_MAX;
  if (address.kind === 'socket') await listenOnSocket(server, address.path);
  else await listen(server, { host: address.host, port: address.port });
  server.unref();
  return listenerOf(server, address);
};

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
  // Nothing that is asked here has a body; what is sent all the same is not read into memory.
  request.resume();
  try {
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
    const header = (name: string): string | undefined => request.headersDistinct[name]?.join(', ');
    const reply = await handler({ method: request.method ?? '', path, query: new URLSearchParams(query), header, signal: gone.signal });
    response.writeHead(reply.status, { 'content-type': reply.contentType, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', ...reply.headers });
    if (typeof reply.body === 'string') response.end(reply.body);
    else await pipeline(Readable.from(reply.body), response);
  } catch {
    // The client left, or the answer failed when it had begun: to break it off is the only way left to say so.
    if (response.headersSent) response.destroy();
    else response.writeHead(500).end();
  }
}
