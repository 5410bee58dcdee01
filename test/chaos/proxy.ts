/**
 * A TCP proxy that does to a connection what networks do: it stalls, cuts, refuses, delays, slices, and goes half-open, as the test says
 * at run time. What it has not been told to break, it forwards unchanged, half-closes included.
 */
import { createServer, connect, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { Pump, type Direction, type ProxyCounters, type ProxyMode } from './proxy-pump.ts';

export type { Direction, ProxyCounters, ProxyMode } from './proxy-pump.ts';

/** One client's connection and ours to the upstream for it. */
interface Link {
  readonly client: Socket;
  readonly upstream: Socket | undefined;
  readonly pumps: readonly Pump[];
}

export class FaultProxy implements AsyncDisposable {
  readonly #upstreamPort: number;
  readonly #upstreamHost: string;
  readonly #links = new Set<Link>();
  readonly #counters: ProxyCounters = { accepted: 0, cut: 0, toUpstreamBytes: 0, toClientBytes: 0 };
  #server: Server | undefined;
  #port = 0;
  #mode: ProxyMode = { kind: 'pass' };

  constructor(upstreamPort: number, upstreamHost: string) {
    this.#upstreamPort = upstreamPort;
    this.#upstreamHost = upstreamHost;
  }

  /** The port on 127.0.0.1 that clients are given; it stays the same, `refuse` included. */
  get port(): number {
    return this.#port;
  }

  get mode(): ProxyMode {
    return this.#mode;
  }

  get counters(): Readonly<ProxyCounters> {
    return { ...this.#counters };
  }

  /** Connections that clients have open at this moment. */
  get openConnections(): number {
    return this.#links.size;
  }

  async listen(): Promise<void> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
    server.listen(this.#port, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
    this.#port = address.port;
    this.#server = server;
  }

  /**
   * From here on `mode` holds, for connections that are open and for those to come; it has taken effect when the promise resolves.
   * A connection that was cut or went half-open stays so.
   */
  async set(mode: ProxyMode): Promise<void> {
    this.#mode = mode;
    if (mode.kind === 'refuse') {
      // Without a callback: `close` would wait for the open connections, which `refuse` leaves alone.
      this.#server?.close();
      this.#server = undefined;
    } else if (this.#server === undefined) await this.listen();
    for (const link of this.#links) this.#apply(link);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.set({ kind: 'cut' });
    const server = this.#server;
    this.#server = undefined;
    server?.close();
    if (server !== undefined) await once(server, 'close');
  }

  #accept(client: Socket): void {
    this.#counters.accepted += 1;
    const silent = this.#mode.kind === 'half_open' || this.#mode.kind === 'cut';
    const upstream = silent ? undefined : connect({ port: this.#upstreamPort, host: this.#upstreamHost, allowHalfOpen: true, noDelay: true });
    const pumps = upstream === undefined ? [] : [this.#pump(client, upstream, 'to_upstream'), this.#pump(upstream, client, 'to_client')];
    const link: Link = { client, upstream, pumps };
    this.#links.add(link);
    for (const socket of [client, upstream]) {
      // Either side's error or end of both directions ends the other side the same way; an error reaches it as a reset.
      socket?.on('error', () => this.#reset(link));
    }
    client.once('close', () => {
      this.#links.delete(link);
      upstream?.destroy();
    });
    this.#apply(link);
  }

  #pump(from: Socket, to: Socket, direction: Direction): Pump {
    return new Pump(from, to, direction, this.#counters);
  }

  #apply(link: Link): void {
    if (this.#mode.kind === 'cut') {
      this.#counters.cut += 1;
      this.#reset(link);
    } else if (this.#mode.kind === 'half_open') {
      for (const pump of link.pumps) pump.detach();
      link.upstream?.removeAllListeners('error').on('error', () => {}).destroy();
      // What the client goes on sending is taken and dropped, as by a machine that keeps the connection and has lost the program.
      link.client.removeAllListeners('error').on('error', () => {}).resume();
    } else for (const pump of link.pumps) pump.apply(this.#mode);
  }

  #reset(link: Link): void {
    for (const pump of link.pumps) pump.detach();
    link.client.resetAndDestroy();
    link.upstream?.resetAndDestroy();
  }
}

/** A proxy on a free port of 127.0.0.1 in front of `upstreamPort`. */
export async function startProxy(upstreamPort: number, upstreamHost = '127.0.0.1'): Promise<FaultProxy> {
  const proxy = new FaultProxy(upstreamPort, upstreamHost);
  await proxy.listen();
  return proxy;
}
