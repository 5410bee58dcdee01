import { expect, test } from 'vitest';
import { postgresConfigSchema } from '../../connectors/sources/postgres/config.ts';
import type { ClientEncoding } from '../../connectors/sources/postgres/connection/settings.ts';
import { ColumnKindByte, lengthAt, TupleLayout, valueStart } from '../../connectors/sources/postgres/tuple.ts';
import { openRawConnection } from '../../connectors/sources/postgres/wire/raw-connection.ts';
import type { RawConnection } from '../../connectors/sources/postgres/wire/raw-query.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { FaultProxy } from '../chaos/proxy.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './postgres-stream-harness.ts';

const never = new AbortController().signal;

describePostgres([15, 18], (postgres) => {
  async function open(options: { port?: number; database?: string; encoding?: ClientEncoding } = {}): Promise<RawConnection> {
    const server = await postgres.server();
    const url = new URL(server.url(options.database));
    if (options.port !== undefined) url.port = String(options.port);
    const config = postgresConfigSchema.parse({ type: 'postgres', url: url.href, max_value_bytes: 1024 * 1024 });
    const errors = { source: 'shop', user: 'postgres', publication: 'pub', slot: 'none' };
    const cancel = async (pid: number): Promise<void> => void (await server.query(`SELECT pg_cancel_backend(${pid})`));
    return openRawConnection({ config, errors, cancel, activity: async () => 'working', clock: nodeClock, encoding: options.encoding ?? 'UTF8' }, never);
  }

  /** Texts of rows, with the number of the statement that gave them. */
  async function rows(connection: RawConnection, sql: string): Promise<(string | null)[][]> {
    const layout = new TupleLayout();
    const all: (string | null)[][] = [];
    const onRow = (bytes: Buffer, start: number, end: number, statement: number): void => {
      expect(layout.read(bytes, start, end)).toBe(end);
      const texts = Array.from({ length: layout.count }, (_, i) => {
        const column = layout.columns[i] as number;
        if (bytes[column] === ColumnKindByte.null) return null;
        if (bytes[column] === ColumnKindByte.leftOut) return `left out ${lengthAt(bytes, column)}`;
        return bytes.toString('utf8', valueStart(column), valueStart(column) + lengthAt(bytes, column));
      });
      all.push([String(statement), ...texts]);
    };
    await connection.query(sql, onRow, never);
    return all;
  }

  test('rows of several statements in one query arrive in order, with the statement they belong to', async () => {
    await using connection = await open();
    const sql = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1, NULL, ''; SELECT g, repeat('é', g) FROM generate_series(1, 3) g; SELECT 1 WHERE false; SELECT 'last'; COMMIT";
    expect(await rows(connection, sql)).toEqual([
      ['0', '1', null, ''],
      ['1', '1', 'é'],
      ['1', '2', 'éé'],
      ['1', '3', 'ééé'],
      ['3', 'last'],
    ]);
    expect(await connection.values('SELECT 1, NULL', never)).toEqual([['1', null]]);
  });

  test('values above the limit are read past, and cost no memory', async () => {
    await using connection = await open();
    const before = process.memoryUsage().rss;
    expect(await rows(connection, "SELECT 'a', repeat('x', 200 * 1024 * 1024), 'b' UNION ALL SELECT 'c', 'small', 'd'")).toEqual([
      ['0', 'a', `left out ${200 * 1024 * 1024}`, 'b'],
      ['0', 'c', 'small', 'd'],
    ]);
    expect(process.memoryUsage().rss - before).toBeLessThan(100 * 1024 * 1024);
    const [row] = await rows(connection, "SELECT repeat('x', 1048576), repeat('y', 1048577), repeat('z', 1048576), 'w'");
    expect(row?.map((text) => (text ?? '').slice(0, 16))).toEqual(['0', 'x'.repeat(16), 'left out 1048577', 'z'.repeat(16), 'left out 1']);
  });

  test('an error of the server is told as what it means, and the connection goes on', async () => {
    await using connection = await open();
    await expect(connection.query('SELECT 1; SELECT * FROM nowhere; SELECT 2', null, never)).rejects.toMatchObject({ cause: { code: '42P01' } });
    expect(await connection.values('SELECT 3', never)).toEqual([['3']]);
    await expect(connection.query('CREATE TABLE written (id int)', null, never)).rejects.toMatchObject({ cause: { code: '25006' } });
  });

  test('an error thrown by whoever takes the rows is that query\'s, and the connection goes on', async () => {
    await using connection = await open();
    const failing = (): never => {
      throw new Error('no more room');
    };
    await expect(connection.query('SELECT generate_series(1, 1000)', failing, never)).rejects.toThrow('no more room');
    expect(await connection.values('SELECT 3', never)).toEqual([['3']]);
  });

  test('an abort ends the query on the server too', async () => {
    await using connection = await open();
    const server = await postgres.server();
    const stop = new AbortController();
    const waiting = connection.query('SELECT pg_sleep(600)', null, stop.signal);
    const running = async (): Promise<number> => (await server.query(`SELECT 1 FROM pg_stat_activity WHERE pid = ${connection.pid} AND state = 'active'`)).length;
    await eventually('the query runs', async () => (await running()) === 1);
    stop.abort(new Error('stop it'));
    await expect(waiting).rejects.toThrow('stop it');
    await eventually('the query is gone', async () => (await running()) === 0);
    await expect(connection.query('SELECT 1', null, never)).rejects.toMatchObject({ code: 'SRC_CONN' });
  });

  test('a server process that is ended, and a connection that breaks, reject what runs', async () => {
    const server = await postgres.server();
    await using ended = await open();
    const outcome = ended.query('SELECT pg_sleep(600)', null, never).catch((error: unknown) => error);
    await eventually('it is ended', async () => (await server.query(`SELECT pg_terminate_backend(${ended.pid}) AS done`))[0]?.['done'] === true);
    expect(await outcome).toMatchObject({ code: 'SRC_CONN' });
    await expect(ended.query('SELECT 1', null, never)).rejects.toMatchObject({ code: 'SRC_CONN' });
    await using proxy = new FaultProxy(server.port, '127.0.0.1');
    await proxy.listen();
    await using cut = await open({ port: proxy.port });
    const reading = cut.query('SELECT pg_sleep(600)', null, never).catch((error: unknown) => error);
    await proxy.set({ kind: 'cut' });
    expect(await reading).toMatchObject({ code: 'SRC_CONN' });
  });

  test('bytes of a database without an encoding come as they are', async () => {
    const server = await postgres.server();
    const name = `raw_ascii_${postgres.major}`;
    await server.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'`);
    await using connection = await open({ database: name, encoding: 'SQL_ASCII' });
    const seen: Buffer[] = [];
    await connection.query("SELECT E'\\xe9'", (bytes, start, end) => seen.push(Buffer.from(bytes.subarray(start, end))), never);
    expect(seen[0]?.at(-1)).toBe(0xe9);
  });
});
