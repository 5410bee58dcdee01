import { afterEach, expect, test } from 'vitest';
import { encodeKey } from '../change/encode-key.ts';
import { codeOf } from '../../src/errors/tailrace-error.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { backendActivity } from '../../connectors/sources/postgres/connection/backend.ts';
import { ControlConnection } from '../../connectors/sources/postgres/connection/control-connection.ts';
import { ReplicationConnection } from '../../connectors/sources/postgres/connection/replication-connection.ts';
import { openRawConnection } from '../../connectors/sources/postgres/wire/raw-connection.ts';
import type { RawConnection } from '../../connectors/sources/postgres/wire/raw-query.ts';
import { startProxy, type FaultProxy } from '../chaos/proxy.ts';
import { startRelay, type Relay } from '../chaos/relay.ts';
import { never, openControl, testConfig } from './postgres-control.ts';
import { openReading, readTable, type Reading } from './postgres-reading.ts';
import { eventually } from './postgres-stream-harness.ts';
import { describePostgres } from './postgres.ts';

const SILENT_MS = 200;
const errors = { source: 'shop', user: 'postgres', publication: 'pub', slot: 'none' };

describePostgres([15, 18], (postgres) => {
  const owned: AsyncDisposable[] = [];
  afterEach(async () => {
    for (const resource of owned.splice(0).toReversed()) await resource[Symbol.asyncDispose]();
  });

  function own<T extends AsyncDisposable>(resource: T): T {
    owned.push(resource);
    return resource;
  }

  function atPort(url: string, port: number): string {
    const altered = new URL(url);
    altered.port = String(port);
    return altered.href;
  }

  /** A connection through a proxy; what its server process does is asked directly. */
  async function open(): Promise<{ proxy: FaultProxy; connection: RawConnection }> {
    const server = await postgres.server();
    const proxy = own(await startProxy(server.port));
    const control = own(openControl(testConfig(server.url())));
    const connection = await openRawConnection({
      config: testConfig(atPort(server.url(), proxy.port)),
      clock: nodeClock,
      encoding: 'UTF8',
      errors,
      silentMs: SILENT_MS,
      cancel: async () => {},
      activity: async (pid, signal) => backendActivity(control.query, pid, signal),
    }, never);
    return { proxy, connection: own(connection) };
  }

  /** How a query ends that nothing but the watch can end. */
  async function outcome(connection: RawConnection, sql: string): Promise<unknown> {
    return connection.values(sql, AbortSignal.timeout(20_000)).catch((error: unknown) => error);
  }

  test('a query that works in silence is waited for', async () => {
    const { connection } = await open();
    expect(await connection.values(`SELECT 'there', pg_sleep(${(SILENT_MS * 8) / 1000})::text`, never)).toEqual([['there', '']]);
  });

  test.each(['to_client', 'to_upstream'] as const)('an answer that the network swallows (%s) is not waited for: STALLED', async (direction) => {
    const { proxy, connection } = await open();
    await proxy.set({ kind: 'stall', direction });
    expect(await outcome(connection, 'SELECT 1')).toMatchObject({ code: 'STALLED', message: expect.stringContaining('the server waits for us') as string });
    await expect(connection.query('SELECT 1', null, never)).rejects.toMatchObject({ code: 'STALLED' });
  });

  test('nor is the rest of one that is too large for the buffers between', async () => {
    const { proxy, connection } = await open();
    await proxy.set({ kind: 'stall', direction: 'to_client' });
    expect(await outcome(connection, "SELECT repeat('x', 1000000) FROM generate_series(1, 100)")).toMatchObject({ code: 'STALLED' });
  });

  test('a server process that ended without a word that came through is noticed: SRC_CONN', async () => {
    const { proxy, connection } = await open();
    const ended = outcome(connection, 'SELECT pg_sleep(600)');
    const server = await postgres.server();
    await eventually('the query runs', async () => (await server.query(`SELECT 1 FROM pg_stat_activity WHERE pid = ${connection.pid} AND state = 'active'`)).length === 1);
    await proxy.set({ kind: 'half_open' });
    await server.query(`SELECT pg_terminate_backend(${connection.pid})`);
    expect(await ended).toMatchObject({ code: 'SRC_CONN', message: expect.stringContaining('is gone') as string });
  });

  test('a server that does not answer elsewhere either is given up: SRC_CONN', async () => {
    const server = await postgres.server();
    const proxy = own(await startProxy(server.port));
    const config = testConfig(atPort(server.url(), proxy.port), { connect_timeout_ms: 500 });
    const control = own(openControl(config));
    const connection = own(await openRawConnection({
      config, clock: nodeClock, encoding: 'UTF8', errors, silentMs: SILENT_MS,
      cancel: async () => {},
      activity: async (pid, signal) => backendActivity(control.query, pid, signal),
    }, never));
    await proxy.set({ kind: 'stall' });
    expect(await outcome(connection, 'SELECT pg_sleep(600)')).toMatchObject({ code: 'SRC_CONN', cause: { code: 'SRC_CONN' } });
  });

  async function proxiedReading(): Promise<{ reading: Reading; proxy: FaultProxy }> {
    const server = await postgres.server();
    const proxy = own(await startProxy(server.port));
    const setup = "CREATE TABLE t (id int PRIMARY KEY, body text); ALTER TABLE t ALTER body SET STORAGE EXTERNAL; INSERT INTO t VALUES (1, repeat('x', 10000)); CREATE PUBLICATION pub FOR TABLE t";
    const reading = own(await openReading(server, setup, { tables: ['public.t'], readUrl: (url) => atPort(url, proxy.port), silentMs: SILENT_MS }));
    return { reading, proxy };
  }

  test('a table is read, and a row completed, when the network that swallowed the answer is back', async () => {
    const { reading, proxy } = await proxiedReading();
    const [shape] = reading.catalog.tables;
    if (shape === undefined) throw new Error('the table is in the catalog');
    // `1` as text, and a body that the stream left out.
    const row = Buffer.from([0, 2, 0x74, 0, 0, 0, 1, 0x31, 0x75]);
    const question = [{ schemaId: 1, schema: shape.schema, key: encodeKey([Buffer.from('1')]), row }];
    expect((await readTable(reading, 'public.t')).rows).toHaveLength(1);
    expect(await reading.completer.completeRows(question, never)).toEqual([expect.objectContaining({ length: 10_013 })]);
    await proxy.set({ kind: 'stall' });
    const signal = AbortSignal.timeout(20_000);
    const [range] = await reading.reader.planRanges('public.t', 1, { kind: 'all' }, signal);
    if (range === undefined) throw new Error('the table has a range');
    const chunk = reading.reader.readChunk({ table: 'public.t', range, rowBytesMax: 1_000_000 }, signal).catch(codeOf);
    const completed = reading.completer.completeRows(question, signal).catch(codeOf);
    expect(await chunk).toBe('STALLED');
    expect(await completed).toBe('STALLED');
    await proxy.set({ kind: 'pass' });
    expect((await readTable(reading, 'public.t')).rows).toHaveLength(1);
    expect(await reading.completer.completeRows(question, never)).toHaveLength(1);
  });

  /** A relay that lets the server's first `words` words through: what follows a whole exchange until the server is ready again. */
  async function silentAfter(words: number): Promise<Relay> {
    const server = await postgres.server();
    let said = 0;
    const ready = Buffer.from([0x5a, 0, 0, 0, 5]);
    return own(await startRelay(server.port, {
      toClient: (chunk) => {
        if (said === words) return Buffer.alloc(0);
        if (chunk.includes(ready)) said += 1;
        return chunk;
      },
    }));
  }

  const hurried: Clock = { ...nodeClock, schedule: (ms, task) => nodeClock.schedule(ms / 100, task) };

  test('a server that lets us in and then is silent is not waited for', async () => {
    const server = await postgres.server();
    const relay = await silentAfter(1);
    const config = testConfig(atPort(server.url(), relay.port), { connect_timeout_ms: 10_000 });
    const deps = { config, clock: hurried, errors, encoding: 'UTF8' } as const;
    const signal = AbortSignal.timeout(20_000);
    const control = own(new ControlConnection(deps));
    await expect(control.query('SELECT 1', [], signal)).rejects.toMatchObject({ code: 'SRC_CONN', message: expect.stringContaining('did not answer within 10 s') as string });
    const reading = await silentAfter(1);
    await expect(openRawConnection({ ...deps, config: testConfig(atPort(server.url(), reading.port)), cancel: async () => {}, activity: async () => 'working' }, signal)).rejects.toMatchObject({ code: 'SRC_CONN' });
    const replication = await silentAfter(1);
    await expect(ReplicationConnection.open({ ...deps, config: testConfig(atPort(server.url(), replication.port)) }, signal)).rejects.toMatchObject({ code: 'SRC_CONN' });
  });

  test('nor is a command answered by nobody', async () => {
    const server = await postgres.server();
    const relay = await silentAfter(2);
    const connection = own(await ReplicationConnection.open({ config: testConfig(atPort(server.url(), relay.port)), clock: hurried, errors, encoding: 'UTF8' }, never));
    await expect(connection.command('IDENTIFY_SYSTEM', 'identifying the server', AbortSignal.timeout(20_000))).rejects.toMatchObject({ code: 'SRC_CONN', message: expect.stringContaining('did not answer within 60 s') as string });
  });
});
