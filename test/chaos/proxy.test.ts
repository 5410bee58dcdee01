/** The fault proxy, between a client socket and a server that sends back what it gets. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { Client } from 'pg';
import { expect, test } from 'vitest';
import { describePostgres } from '../engines/postgres.ts';
import { eventually } from '../engines/servers.ts';
import { startProxy, type FaultProxy } from './proxy.ts';

/** Sends back every byte, and FIN for FIN. */
class EchoServer implements AsyncDisposable {
  readonly sockets: Socket[] = [];
  readonly endings: string[] = [];
  readonly chunkSizes: number[] = [];
  readonly #server: Server;

  constructor() {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.push(socket);
      socket.on('data', (chunk) => {
        this.chunkSizes.push(chunk.length);
        socket.write(chunk);
      });
      socket.on('end', () => {
        this.endings.push('FIN');
        socket.end();
      });
      socket.on('error', (error: NodeJS.ErrnoException) => this.endings.push(error.code ?? 'error'));
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** A client that remembers what reached it. */
class TestClient implements Disposable {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  ending: string | undefined;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' });
    this.socket.on('data', (chunk) => (this.received = Buffer.concat([this.received, chunk])));
    this.socket.on('end', () => (this.ending ??= 'FIN'));
    this.socket.on('error', (error: NodeJS.ErrnoException) => (this.ending ??= error.code ?? 'error'));
  }

  async receives(text: string): Promise<void> {
    await eventually(`"${text}" arrives`, 5_000, () => this.received.toString() === text);
  }

  async ends(how: string): Promise<void> {
    await eventually(`the connection ends with ${how}, not ${this.ending}`, 5_000, () => this.ending === how);
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}

async function withProxy(body: (proxy: FaultProxy, echo: EchoServer) => Promise<void>): Promise<void> {
  await using echo = new EchoServer();
  await using proxy = await startProxy(await echo.listen());
  await body(proxy, echo);
}

/** A client whose first bytes have made the way there and back. */
async function connected(proxy: FaultProxy): Promise<TestClient> {
  const client = new TestClient(proxy.port);
  client.socket.write('hello ');
  await client.receives('hello ');
  return client;
}

test('pass forwards bytes both ways, FIN last, and counts them', async () => {
  await withProxy(async (proxy) => {
    using client = new TestClient(proxy.port);
    const data = Buffer.alloc(5_000_000, 'abcdefg');
    client.socket.end(data);
    await client.ends('FIN');
    expect(client.received.equals(data)).toBe(true);
    expect(proxy.counters).toEqual({ accepted: 1, cut: 0, toUpstreamBytes: data.length, toClientBytes: data.length });
    await eventually('the connection is gone', 5_000, () => proxy.openConnections === 0);
  });
});

test('stall lets nothing through, not even FIN, and pass goes on where it stopped', async () => {
  await withProxy(async (proxy, echo) => {
    using client = await connected(proxy);
    await proxy.set({ kind: 'stall' });
    await new Promise<void>((resolve) => client.socket.end('world', resolve));
    using newcomer = new TestClient(proxy.port);
    newcomer.socket.write('me too');
    await eventually('the newcomer is connected', 5_000, () => proxy.openConnections === 2);
    expect(echo.endings).toEqual([]);
    expect(proxy.counters.toUpstreamBytes).toBe(6);
    expect([client.ending, newcomer.ending]).toEqual([undefined, undefined]);
    await proxy.set({ kind: 'pass' });
    await client.receives('hello world');
    await newcomer.receives('me too');
    await client.ends('FIN');
  });
});

test('a stall towards the client loses the answer and not the request', async () => {
  await withProxy(async (proxy, echo) => {
    using client = await connected(proxy);
    await proxy.set({ kind: 'stall', direction: 'to_client' });
    client.socket.write('world');
    await eventually('the request arrives', 5_000, () => echo.chunkSizes.reduce((sum, size) => sum + size, 0) === 11);
    await proxy.set({ kind: 'cut' });
    await client.ends('ECONNRESET');
    expect(client.received.toString()).toBe('hello ');
  });
});

test('cut resets both sides at once, and every new connection until another mode is set', async () => {
  await withProxy(async (proxy, echo) => {
    using client = await connected(proxy);
    await proxy.set({ kind: 'cut' });
    await client.ends('ECONNRESET');
    await eventually('the upstream sees the reset', 5_000, () => echo.endings.length === 1);
    expect(echo.endings).toEqual(['ECONNRESET']);
    using second = new TestClient(proxy.port);
    await second.ends('ECONNRESET');
    expect(echo.sockets.length).toBe(1);
    expect(proxy.counters).toMatchObject({ accepted: 2, cut: 2 });
    await proxy.set({ kind: 'pass' });
    using third = await connected(proxy);
    expect(third.ending).toBeUndefined();
  });
});

test('refuse turns new connections away, keeps open ones, and the port is the same afterwards', async () => {
  await withProxy(async (proxy) => {
    const { port } = proxy;
    using client = await connected(proxy);
    await proxy.set({ kind: 'refuse' });
    using refused = new TestClient(port);
    await refused.ends('ECONNREFUSED');
    client.socket.write('world');
    await client.receives('hello world');
    await proxy.set({ kind: 'pass' });
    using again = await connected(proxy);
    expect(again.socket.remotePort).toBe(port);
  });
});

test('latency delays each byte on each way, and many chunks are under way at once', async () => {
  await withProxy(async (proxy) => {
    using client = await connected(proxy);
    await proxy.set({ kind: 'latency', ms: 200 });
    const start = performance.now();
    for (let n = 0; n < 10; n += 1) {
      client.socket.write(String(n));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await client.receives('hello 0123456789');
    const took = performance.now() - start;
    expect(took).toBeGreaterThan(390);
    expect(took).toBeLessThan(10 * 200);
  });
});

test('slice hands over one byte at a time', async () => {
  await withProxy(async (proxy, echo) => {
    using client = await connected(proxy);
    await proxy.set({ kind: 'slice', bytes: 1 });
    const text = 'x'.repeat(2_000);
    client.socket.write(text);
    await client.receives(`hello ${text}`);
    const sizes = echo.chunkSizes.slice(1);
    // The kernel may join a few of them again before they are read.
    expect(sizes.length).toBeGreaterThan(500);
    expect(Math.max(...sizes)).toBeLessThan(100);
  });
});

test('half-open: the upstream sees the end, the client sees nothing and its bytes are lost', async () => {
  await withProxy(async (proxy, echo) => {
    using client = await connected(proxy);
    await proxy.set({ kind: 'half_open' });
    await eventually('the upstream sees the end', 5_000, () => echo.endings.length === 1);
    using newcomer = new TestClient(proxy.port);
    newcomer.socket.write('anybody?');
    await eventually('the newcomer is connected', 5_000, () => proxy.counters.accepted === 2);
    await new Promise((resolve) => client.socket.write('lost', resolve));
    await proxy.set({ kind: 'pass' });
    using third = await connected(proxy);
    expect([client.ending, newcomer.ending, third.ending]).toEqual([undefined, undefined, undefined]);
    expect(client.received.toString()).toBe('hello ');
    expect(echo.sockets.length).toBe(2);
  });
});

test('an upstream that is not there resets the client', async () => {
  const echo = new EchoServer();
  const port = await echo.listen();
  await echo[Symbol.asyncDispose]();
  await using proxy = await startProxy(port);
  using client = new TestClient(proxy.port);
  await client.ends('ECONNRESET');
  expect(client.received.length).toBe(0);
});

describePostgres([15], (postgres) => {
  test('a Postgres session works in slices of one byte, and fails when it is cut', async () => {
    const server = await postgres.server();
    await using proxy = await startProxy(server.port);
    await proxy.set({ kind: 'slice', bytes: 1 });
    const client = new Client({ connectionString: `postgres://postgres@127.0.0.1:${proxy.port}/postgres` });
    const failure = new Promise<Error>((resolve) => client.on('error', resolve));
    await client.connect();
    const { rows } = await client.query<{ n: number }>('SELECT n FROM generate_series(1, 100) n');
    expect(rows.length).toBe(100);
    await proxy.set({ kind: 'cut' });
    expect((await failure).message).toMatch(/ECONNRESET|terminated/);
  });
});
