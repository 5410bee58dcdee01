/**
 * What a row costs from the socket's bytes to the sink: framing, decoding, keys. Replays what a real server sent, over and over, into a sink
 * that discards it.
 */
import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { Catalog } from '../../connectors/sources/postgres/catalog/catalog.ts';
import { postgresConfigSchema } from '../../connectors/sources/postgres/config.ts';
import { ControlConnection } from '../../connectors/sources/postgres/connection/control-connection.ts';
import type { Query } from '../../connectors/sources/postgres/connection/query.ts';
import { ReplicationConnection } from '../../connectors/sources/postgres/connection/replication-connection.ts';
import { LargeMessage } from '../../connectors/sources/postgres/pgoutput/large-message.ts';
import { Relations } from '../../connectors/sources/postgres/stream/relations.ts';
import { startReplicationCommand } from '../../connectors/sources/postgres/stream/start-command.ts';
import { Transactions } from '../../connectors/sources/postgres/stream/transactions.ts';
import { rowLimits } from '../../connectors/sources/postgres/tuple.ts';
import { encodePosition } from '../../connectors/sources/postgres/position.ts';
import { parseSnapshot, VisibilityTracker } from '../../connectors/sources/postgres/visibility.ts';
import { Mux } from '../../connectors/sources/postgres/wire/mux.ts';
import { SocketPieces } from '../../connectors/sources/postgres/wire/socket-pieces.ts';
import type { ChangeSink } from '../../src/connector/source.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { startPostgres } from '../engines/postgres.ts';
import { median, printRows } from './measure.ts';
import { createItems, insertItems, withClient } from './postgres-rows.ts';

const ROWS = 100_000;
const PASSES = 9;
const BAR_US = 0.8;

const signal = new AbortController().signal;
const limits = rowLimits(8 * 2 ** 20);

interface Recording {
  readonly name: string;
  readonly rows: number;
  readonly pieces: readonly Buffer[];
  readonly catalog: Catalog;
}

/** Counts rows and keeps nothing: what capture does with a row is measured by the capture bench. */
class DiscardingSink implements ChangeSink {
  readonly congested = false;
  rows = 0;
  bytes = 0;
  async drained(): Promise<void> {}
  declare(): number {
    return 1;
  }
  begin(): void {}
  change(_op: number, _flags: number, _schemaId: number, _key: Uint8Array, keyLength: number, _bytes: Uint8Array, rowStart: number, rowEnd: number): void {
    this.rows += 1;
    this.bytes += keyLength + rowEnd - rowStart;
  }
  truncate(): void {}
  commit(): void {}
  heartbeat(): void {}
  reread(): void {}
  remember(): void {}
}

/** Lets `write` run on a server and keeps what it sends of that. */
async function record(name: string, write: (url: string) => Promise<void>, rows: number): Promise<Recording> {
  await using server = await startPostgres({ major: 18, settings: { synchronous_commit: 'off', max_wal_size: '4GB' } });
  const url = server.url(await server.createDatabase());
  await createItems(url);
  await withClient(url, async (client) => {
    await client.query("INSERT INTO items SELECT i, 'before' FROM generate_series(-1000, -1) i");
    await client.query('CREATE PUBLICATION pub FOR TABLE items');
    await client.query("SELECT pg_create_logical_replication_slot('bench', 'pgoutput')");
  });
  await write(url);
  const deps = { config: postgresConfigSchema.parse({ type: 'postgres', url }), clock: nodeClock, errors: { source: 'bench', user: 'postgres', publication: 'pub', slot: 'bench' }, encoding: 'UTF8' as const };
  await using control = new ControlConnection(deps);
  const query: Query = async (sql, parameters, s) => control.query(sql, parameters, s);
  const catalog = await Catalog.load(query, [{ table: 'public.items' }], { publication: 'pub' }, signal);
  await using connection = await ReplicationConnection.open(deps, signal);
  const pieces: Buffer[] = [];
  const complete = Promise.withResolvers<void>();
  let seen = 0;
  const takeOver = (socket: Duplex): void => {
    const count = (bytes: Buffer, start: number): void => {
      if (isRow(bytes[start])) seen += 1;
      else if (seen >= rows && bytes[start] === 0x43) complete.resolve();
    };
    const handlers = { began: () => {}, pluginMessage: count, largeMessage: () => ({ part: () => {}, end: () => {} }), keepalive: () => {}, received: () => {}, failed: complete.reject };
    mux = new Mux(socket, byListener(), handlers, limits.valueBytesMax);
    socket.on('data', (piece: Buffer) => pieces.push(Buffer.from(piece)));
  };
  let mux: Mux | null = null;
  const { ended } = await connection.startStreaming(startReplicationCommand('bench', 'pub', 0n), takeOver, complete.reject);
  ended.catch(() => {});
  await complete.promise;
  (mux as Mux | null)?.discard();
  await connection.endStreaming();
  return { name, rows, pieces, catalog };
}

/** By an ordinary listener, so that pieces can be kept beside. */
function byListener(): SocketPieces {
  return new SocketPieces(false);
}

function isRow(tag: number | undefined): boolean {
  return tag === 0x49 || tag === 0x55 || tag === 0x44;
}

/** One pass over a recording; microseconds of CPU per row. */
async function replay({ pieces, rows, catalog }: Recording): Promise<number> {
  const sink = new DiscardingSink();
  const socket = Object.assign(new EventEmitter(), { pause: () => {}, resume: () => {} });
  // What pg would get: the messages that are no data of the stream.
  socket.on('data', () => {});
  const visibility = new VisibilityTracker(parseSnapshot('700:700:'), []);
  const relations = new Relations({ catalog, sink, signal, refreshCatalog: async () => {}, hasParent: async () => false });
  const transactions = new Transactions({ sink, relations, catalog, visibility, startLsn: 0n, positionAt: (lsn) => encodePosition(lsn, 1), onQuiet: () => {}, onCommitted: () => {} });
  let waited: Promise<void> | null = null;
  const take = (bytes: Buffer, start: number, end: number): void => {
    const wait = transactions.message(bytes, start, end);
    if (wait === null) return;
    mux.pause();
    waited = wait;
  };
  const large = new LargeMessage(limits, take);
  const failed = (error: unknown): void => {
    throw error;
  };
  const mux = new Mux(socket as unknown as Duplex, byListener(), { began: () => {}, pluginMessage: take, largeMessage: () => large.begin(), keepalive: () => {}, received: () => {}, failed }, limits.valueBytesMax);
  const before = process.cpuUsage();
  for (const piece of pieces) {
    socket.emit('data', piece);
    while (waited !== null) {
      const wait: Promise<void> = waited;
      waited = null;
      await wait;
      mux.resume();
    }
  }
  const { user, system } = process.cpuUsage(before);
  if (sink.rows !== rows) throw new Error(`${sink.rows} rows were replayed instead of ${rows}`);
  return (user + system) / rows;
}

/** Walks over the same bytes once and does nothing else: what no reader of them can be quicker than. */
function walk({ pieces, rows }: Recording): number {
  const all = Buffer.concat(pieces);
  const before = process.cpuUsage();
  let frames = 0;
  for (let at = 0; at + 5 <= all.length; frames += 1) at += 1 + all.readUInt32BE(at + 1);
  const copy = Buffer.allocUnsafe(64 * 1024);
  for (let at = 0; at < all.length; at += copy.length) all.copy(copy, 0, at, at + copy.length);
  const { user, system } = process.cpuUsage(before);
  if (frames < rows) throw new Error('the recording is not whole');
  return (user + system) / rows;
}

const recordings = [
  await record('inserts, one transaction', async (url) => insertItems(url, 1, ROWS, ROWS), ROWS),
  await record('inserts, transactions of 10', async (url) => insertItems(url, 1, ROWS, 10), ROWS),
  await record('updates, one transaction', async (url) => withClient(url, async (client) => void (await client.query(`INSERT INTO items SELECT i, 'x' FROM generate_series(1, ${ROWS / 2}) i; UPDATE items SET name = repeat(md5(id::text), 8) WHERE id > 0`))), ROWS),
];

for (const recording of recordings) {
  const bytes = recording.pieces.reduce((sum, piece) => sum + piece.length, 0);
  const passes: number[] = [];
  const walks: number[] = [];
  for (let i = 0; i < PASSES; i += 1) {
    passes.push(await replay(recording));
    walks.push(walk(recording));
  }
  const us = median(passes);
  const floor = median(walks);
  printRows(`Postgres decoding: ${recording.name} (${Math.round(bytes / recording.rows)} bytes a row)`, [
    { what: 'framing, decoding and sink', value: `${us.toFixed(2)} µs CPU a row`, ceiling: `${floor.toFixed(2)} µs to walk and copy`, ratio: floor / us, bar: `≤ ${BAR_US} µs` },
    { what: 'throughput of one core', value: `${(bytes / recording.rows / us).toFixed(0)} MB/s` },
  ]);
}
