/**
 * What is relied on of pg-logical-replication, pg and pg-protocol, and the faults that are avoided: when one of these tests fails after an
 * update, the package has changed under us, for the worse or for the better.
 */
import type { Duplex } from 'node:stream';
import type { Client } from 'pg';
import { LogicalReplicationService } from 'pg-logical-replication';
import { Parser } from 'pg-protocol/dist/parser.js';
import { expect, test } from 'vitest';
import { parseLsn, formatLsn } from '../../connectors/sources/postgres/position.ts';
import { Mux } from '../../connectors/sources/postgres/wire/mux.ts';
import { SocketPieces } from '../../connectors/sources/postgres/wire/socket-pieces.ts';
import { message } from '../connectors/postgres/wire-bytes.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './postgres-stream-harness.ts';

describePostgres([15, 18], (postgres) => {
  let count = 0;

  interface Subject extends AsyncDisposable {
    readonly slot: string;
    readonly service: LogicalReplicationService;
    readonly database: string;
    run(sql: string): Promise<Record<string, unknown>[]>;
    confirmed(): Promise<bigint>;
  }

  async function subject(acknowledge: { auto: boolean; timeoutSeconds: number }): Promise<Subject> {
    const server = await postgres.server();
    const database = await server.createDatabase();
    count += 1;
    const slot = `package_${postgres.major}_${count}`;
    const run = async (sql: string): Promise<Record<string, unknown>[]> => server.query(sql, database);
    await run('CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION pub FOR TABLE t');
    await run(`SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`);
    const service = new LogicalReplicationService({ connectionString: server.url(database) }, { acknowledge, flowControl: { enabled: false } });
    service.on('error', () => {});
    const confirmed = async (): Promise<bigint> => parseLsn(String((await run(`SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = '${slot}'`))[0]?.['lsn']));
    return { slot, service, database, run, confirmed, [Symbol.asyncDispose]: async () => void (await service.destroy()) };
  }

  /** A plugin that starts as a subscriber of the package would, and hands the client out. */
  function plugin(slot: string, onClient: (client: Client) => void): Parameters<LogicalReplicationService['subscribe']>[0] {
    return {
      name: 'pgoutput',
      options: {},
      parse: (buffer: Buffer) => Buffer.from(buffer),
      start: async (client: Client) => {
        onClient(client);
        return client.query(`START_REPLICATION SLOT "${slot}" LOGICAL 0/0 (proto_version '1', publication_names 'pub')`);
      },
    };
  }

  test('F1: the package confirms one byte more than it is told', async () => {
    await using used = await subject({ auto: false, timeoutSeconds: 0 });
    const subscribed = used.service.subscribe(plugin(used.slot, () => {}), used.slot);
    subscribed.catch(() => {});
    const commits: bigint[] = [];
    used.service.on('data', (_lsn: string, buffer: Buffer) => {
      if (buffer[0] === 0x43) commits.push(buffer.readBigUInt64BE(10));
    });
    await used.run('INSERT INTO t VALUES (1)');
    await eventually('the commit is there', () => commits.length === 1);
    await used.service.acknowledge(formatLsn(commits[0] ?? 0n));
    await eventually('the server knows', async () => (await used.confirmed()) >= (commits[0] ?? 0n));
    expect(await used.confirmed()).toBe((commits[0] ?? 0n) + 1n);
  });

  test('F2: with a timer the package confirms what nobody has confirmed', async () => {
    await using used = await subject({ auto: false, timeoutSeconds: 1 });
    let received = 0;
    used.service.on('data', () => {
      received += 1;
    });
    used.service.subscribe(plugin(used.slot, () => {}), used.slot).catch(() => {});
    const before = await used.confirmed();
    await used.run('INSERT INTO t VALUES (1)');
    await eventually('something was received', () => received >= 3);
    await eventually('it is confirmed', async () => (await used.confirmed()) > before);
    expect(received).toBeGreaterThan(0);
  });

  test('without a timer and without being told, the package confirms nothing', async () => {
    await using used = await subject({ auto: false, timeoutSeconds: 0 });
    let received = 0;
    used.service.on('data', () => {
      received += 1;
    });
    used.service.subscribe(plugin(used.slot, () => {}), used.slot).catch(() => {});
    const before = await used.confirmed();
    await used.run('INSERT INTO t VALUES (1)');
    await eventually('something was received', () => received >= 3);
    const until = performance.now() + 2_500;
    await eventually('more than two ticks of its timer have passed', () => performance.now() > until);
    expect(await used.confirmed()).toBe(before);
  });

  test('the idle connection has one listener for data, which can be replaced; errors and the end still reach the package', async () => {
    await using used = await subject({ auto: false, timeoutSeconds: 0 });
    const tags: string[] = [];
    const pieces = new SocketPieces(false);
    let forwarded = 0;
    const counted: Pick<SocketPieces, 'take'> = {
      take: (socket, onPiece) => {
        const toPg = pieces.take(socket, onPiece);
        return (piece) => {
          forwarded += 1;
          toPg.call(socket, piece);
        };
      },
    };
    let dataEvents = 0;
    used.service.on('data', () => {
      dataEvents += 1;
    });
    const started = Promise.withResolvers<void>();
    used.service.on('start', () => started.resolve());
    const subscribed = used.service.subscribe(
      plugin(used.slot, (opened) => {
        const { stream } = (opened as Client & { readonly connection: { readonly stream: Duplex } }).connection;
        expect(stream.listenerCount('data')).toBe(1);
        new Mux(
          stream,
          counted,
          {
            began: () => tags.push('began'),
            pluginMessage: (bytes, start) => tags.push(String.fromCharCode(bytes[start] as number)),
            largeMessage: () => ({ part: () => {}, end: () => {} }),
            keepalive: () => {},
            received: () => {},
            failed: (error) => tags.push(String(error)),
          },
          1024 * 1024,
        );
      }),
      used.slot,
    );
    await started.promise;
    await used.run('INSERT INTO t VALUES (1)');
    await eventually('the transaction is there', () => tags.includes('C'));
    expect(tags).toEqual(['began', 'B', 'R', 'I', 'C']);
    expect(dataEvents).toBe(0);
    expect(forwarded).toBe(1);
    const outcome = subscribed.catch((error: unknown) => error);
    await used.run(`SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '${used.slot}'`);
    expect(await outcome).toMatchObject({ code: '57P01' });
  });

  test('a stop while streaming ends the subscription without an error', async () => {
    await using used = await subject({ auto: false, timeoutSeconds: 0 });
    const started = Promise.withResolvers<void>();
    used.service.on('start', () => started.resolve());
    const subscribed = used.service.subscribe(plugin(used.slot, () => {}), used.slot);
    await started.promise;
    await used.service.stop();
    expect(await subscribed.then(() => 'ended')).toBe('ended');
  });

  test('F8: when the start fails the package stays connected until it is stopped', async () => {
    await using used = await subject({ auto: false, timeoutSeconds: 0 });
    await expect(used.service.subscribe(plugin('no_such_slot', () => {}), 'no_such_slot')).rejects.toMatchObject({ code: '42704' });
    const connected = async (): Promise<number> => (await used.run("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'walsender' AND datname = current_database()")).length;
    expect(await connected()).toBe(1);
    await used.service.stop();
    await eventually('the connection is closed', async () => (await connected()) === 0);
  });
});

test('F6: what pg-protocol hands out is written over when more arrives', () => {
  const parser = new Parser();
  const kept: Buffer[] = [];
  const copies: Buffer[] = [];
  const body = (i: number): Buffer => Buffer.alloc(600, i);
  const bytes = Buffer.concat(Array.from({ length: 200 }, (_, i) => message('d', body(i % 250))));
  for (let at = 0; at < bytes.length; at += 1_000) {
    parser.parse(Buffer.from(bytes.subarray(at, at + 1_000)), (parsed) => {
      const { chunk } = parsed as unknown as { readonly chunk: Buffer };
      kept.push(chunk);
      copies.push(Buffer.from(chunk));
    });
  }
  expect(copies).toHaveLength(200);
  expect(copies.every((copy, i) => copy.equals(body(i % 250)))).toBe(true);
  expect(kept.filter((chunk, i) => !chunk.equals(body(i % 250))).length).toBeGreaterThan(0);
});
