/**
 * Stands between a client and a Postgres server and alters what they say: for what a server of the versions at hand cannot be brought to. What it
 * is not told to alter, it passes on unchanged.
 */
import { once } from 'node:events';
import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';

export interface RelayOptions {
  /** Alters the client's startup message: a u32 length, a u32 version, then names and values that each end with a zero byte. */
  readonly startup?: (message: Buffer) => Buffer;
  /** Alters what the server sends, as it arrives. */
  readonly toClient?: (chunk: Buffer) => Buffer;
}

export interface Relay extends AsyncDisposable {
  readonly port: number;
}

const unchanged = (chunk: Buffer): Buffer => chunk;

/** A relay on a free port of 127.0.0.1 in front of `upstreamPort`. */
export async function startRelay(upstreamPort: number, { startup = unchanged, toClient = unchanged }: RelayOptions): Promise<Relay> {
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = createConnection(upstreamPort, '127.0.0.1');
    client.once('data', (first) => {
      upstream.write(startup(first));
      client.pipe(upstream);
    });
    upstream.on('data', (chunk) => client.write(toClient(chunk)));
    upstream.on('end', () => client.end());
    for (const [one, other] of [[client, upstream], [upstream, client]] as const) {
      open.add(one);
      one.on('error', () => other.destroy()).on('close', () => {
        open.delete(one);
        other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

/** What a pooler in transaction mode does to a startup message: `replication` is dropped from it. */
export function withoutReplication(message: Buffer): Buffer {
  const parameters = message.subarray(8).toString('latin1').replace('replication\0database\0', '');
  const altered = Buffer.concat([message.subarray(0, 8), Buffer.from(parameters, 'latin1')]);
  altered.writeUInt32BE(altered.length, 0);
  return altered;
}
