import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import type { HttpHandler, HttpListener } from '../../src/runtime/http.ts';
import { httpServeWithin, nodeHttpServe } from '../../src/runtime/node/http.ts';

const tcp = { kind: 'tcp', host: '127.0.0.1', port: 0 } as const;
const limits = { requestMs: 200, idleMs: 600, headerBytesMax: 1024, connectionsMax: 2 };

const hello: HttpHandler = async () => ({ status: 200, contentType: 'text/plain', body: 'hello' });

const nobody = (error: unknown): void => expect.unreachable(String(error));

function portOf({ address }: HttpListener): number {
  return address.kind === 'tcp' ? address.port : 0;
}

async function opened(listener: HttpListener): Promise<Socket> {
  const socket = connect(portOf(listener), '127.0.0.1');
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** What the server says to `text`, until it closes the connection. */
async function said(listener: HttpListener, text: string): Promise<string> {
  const socket = await opened(listener);
  let answer = '';
  socket.on('data', (bytes: Buffer) => (answer += bytes.toString()));
  socket.write(text);
  await once(socket, 'close');
  return answer;
}

test('what fails after listening is told, and serving goes on', async () => {
  let server: Server | undefined;
  const seen = (message: unknown): void => {
    server = (message as { server: Server }).server;
  };
  subscribe('tracing:net.server.listen:asyncStart', seen);
  const troubles: unknown[] = [];
  await using listener = await nodeHttpServe(tcp, hello, (error) => troubles.push(error));
  unsubscribe('tracing:net.server.listen:asyncStart', seen);
  const error = Object.assign(new Error('accept ENFILE'), { code: 'ENFILE' });
  // What Node does when the system gives it no connection.
  expect(server?.emit('error', error)).toBe(true);
  expect(troubles).toEqual([error]);
  expect(await (await fetch(`http://127.0.0.1:${portOf(listener)}/`)).text()).toBe('hello');
});

test('a client that does not say what it wants is turned away within the limit', async () => {
  await using listener = await httpServeWithin(limits)(tcp, hello, nobody);
  expect(await said(listener, 'GET / HTTP/1.1\r\nHost: x\r\n')).toMatch(/^HTTP\/1\.1 408 /);
});

test('what is no request, or has too long a head, is refused, and a connection that breaks does no harm', async () => {
  await using listener = await httpServeWithin(limits)(tcp, hello, nobody);
  expect(await said(listener, '\u0016\u0003\u0001 no http\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /);
  expect(await said(listener, `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(2_000)}\r\n\r\n`)).toMatch(/^HTTP\/1\.1 431 /);
  const broken = await opened(listener);
  broken.write('GET / HTTP/1.1\r\nHost: x\r\n');
  broken.resetAndDestroy();
  expect(await (await fetch(`http://127.0.0.1:${portOf(listener)}/`)).text()).toBe('hello');
});

test('connections beyond the limit are closed at once', async () => {
  await using listener = await httpServeWithin({ ...limits, requestMs: 60_000 })(tcp, hello, nobody);
  const held = [await opened(listener), await opened(listener)];
  expect(await said(listener, 'GET / HTTP/1.1\r\nHost: x\r\n\r\n')).toBe('');
  for (const socket of held) socket.destroy();
});

test('an answer that its client does not take is given up; lines that come as they come may pause', async () => {
  const endless = 'x'.repeat(64 * 1024 * 1024);
  const gone = Promise.withResolvers<void>();
  const paused = async function* (): AsyncGenerator<string> {
    yield 'first\n';
    await gone.promise;
    yield 'last\n';
  };
  const handler: HttpHandler = async ({ path, signal }) => {
    if (path === '/lines') return { status: 200, contentType: 'text/plain', body: paused() };
    signal.addEventListener('abort', () => gone.resolve());
    return { status: 200, contentType: 'text/plain', body: endless };
  };
  await using listener = await httpServeWithin(limits)(tcp, handler, nobody);
  // Asked for first, so that it is silent for at least as long as the answer that nobody takes.
  const lines = await fetch(`http://127.0.0.1:${portOf(listener)}/lines`);
  const idle = await opened(listener);
  idle.pause();
  idle.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  expect(await lines.text()).toBe('first\nlast\n');
  idle.destroy();
});
