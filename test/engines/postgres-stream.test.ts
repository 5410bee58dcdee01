import { once } from 'node:events';
import { createConnection, createServer, type AddressInfo } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { EntryFlag } from '../../src/change/entry.ts';
import { describePostgres } from './postgres.ts';
import { connect, eventually, openClient, Streaming, type RecordingSink, type SourceOptions } from './postgres-stream-harness.ts';

/** A text that PostgreSQL stores out of line: it does not compress. */
const outOfLine = "(SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 300))";

describePostgres([15, 18], (postgres) => {
  let count = 0;
  afterEach(async () => {
    const server = await postgres.server();
    await server.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active');
  });

  interface Fresh {
    readonly url: string;
    readonly options: SourceOptions;
    run(sql: string): Promise<Record<string, unknown>[]>;
  }

  async function fresh(sql: string, options: Partial<SourceOptions> = {}): Promise<Fresh> {
    const server = await postgres.server();
    const database = await server.createDatabase();
    const run = async (statement: string): Promise<Record<string, unknown>[]> => server.query(statement, database);
    await run(sql);
    count += 1;
    const { config, ...rest } = options;
    return { url: server.url(database), run, options: { url: server.url(database), tables: ['public.t'], ...rest, config: { slot: `stream_${postgres.major}_${count}`, ...config } } };
  }

  /** Runs statements while a stream is open and gives what was pushed. */
  async function streamed(source: Fresh, ...statements: readonly string[]): Promise<RecordingSink> {
    await using stream = await Streaming.open(source.options);
    for (const statement of statements) await source.run(statement);
    await stream.caughtUp();
    return stream.sink;
  }

  test('inserts, updates and deletes arrive as whole rows with their keys, in the order of commits', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY, name text, price numeric)');
    const sink = await streamed(source, "INSERT INTO t VALUES (1, 'lamp', 12.50), (2, NULL, NULL)", "UPDATE t SET name = 'desk lamp' WHERE id = 1", 'DELETE FROM t WHERE id = 2');
    expect(sink.rows()).toEqual([
      { op: 'insert', flags: 0, table: 'public.t', key: ['1'], row: { id: '1', name: 'lamp', price: '12.50' }, incomplete: false },
      { op: 'insert', flags: 0, table: 'public.t', key: ['2'], row: { id: '2', name: null, price: null }, incomplete: false },
      { op: 'update', flags: 0, table: 'public.t', key: ['1'], row: { id: '1', name: 'desk lamp', price: '12.50' }, incomplete: false },
      { op: 'delete', flags: 0, table: 'public.t', key: ['2'], row: null, incomplete: false },
    ]);
    expect(sink.of('begin').map((event) => event.start.commitTimeMs)).toSatisfy((times: number[]) => times.every((ms) => Math.abs(ms - Date.now()) < 60_000));
    const [row] = await source.run('SELECT (pg_current_xact_id()::text)::int8 - 1 AS last');
    expect(sink.of('begin').at(-1)?.start.id).toBeLessThanOrEqual(BigInt(Number(row?.['last'])));
  });

  test('transactions, savepoints and prepared transactions arrive as what was committed of them, when it was committed', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    await using stream = await Streaming.open(source.options);
    await using client = await openClient(source.url);
    await client.query('BEGIN; INSERT INTO t VALUES (1); ROLLBACK');
    await client.query('BEGIN; INSERT INTO t VALUES (2); SAVEPOINT a; INSERT INTO t VALUES (3); ROLLBACK TO a; INSERT INTO t VALUES (4); COMMIT');
    await client.query("BEGIN; INSERT INTO t VALUES (5); PREPARE TRANSACTION 'p'");
    await client.query('INSERT INTO t VALUES (6)');
    await client.query("COMMIT PREPARED 'p'");
    await client.query("BEGIN; INSERT INTO t VALUES (7); PREPARE TRANSACTION 'q'");
    await client.query("ROLLBACK PREPARED 'q'");
    await stream.caughtUp();
    expect(stream.sink.rows().map((change) => change.key)).toEqual([['2'], ['4'], ['6'], ['5']]);
    expect(stream.sink.of('begin')).toHaveLength(3);
  });

  test('a value out of line that an update leaves as it is makes the row incomplete; nothing stands in for it', async () => {
    const source = await fresh(`CREATE TABLE t (id int PRIMARY KEY, body text, n int); INSERT INTO t VALUES (1, ${outOfLine}, 0)`);
    const sink = await streamed(source, 'UPDATE t SET n = 1');
    expect(sink.rows()).toEqual([{ op: 'update', flags: 0, table: 'public.t', key: ['1'], row: { id: '1', body: { unchanged: true }, n: '1' }, incomplete: true }]);
  });

  test('with REPLICA IDENTITY FULL the value is taken from the old row', async () => {
    const source = await fresh(`CREATE TABLE t (id int PRIMARY KEY, body text, n int); ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, ${outOfLine}, 0)`);
    const sink = await streamed(source, 'UPDATE t SET n = 1');
    const [stored] = await source.run('SELECT body FROM t');
    expect(sink.rows()).toEqual([{ op: 'update', flags: 0, table: 'public.t', key: ['1'], row: { id: '1', body: stored?.['body'], n: '1' }, incomplete: false }]);
  });

  test('a change of key is a delete and an upsert in one transaction, also when the new row is incomplete', async () => {
    const source = await fresh(`CREATE TABLE t (id int PRIMARY KEY, body text); INSERT INTO t VALUES (1, ${outOfLine}), (2, 'short')`);
    const sink = await streamed(source, 'UPDATE t SET id = id + 10');
    expect(sink.rows()).toEqual([
      { op: 'delete', flags: EntryFlag.keyChanged, table: 'public.t', key: ['1'], row: null, incomplete: false },
      { op: 'update', flags: 0, table: 'public.t', key: ['11'], row: { id: '11', body: { unchanged: true } }, incomplete: true },
      { op: 'delete', flags: EntryFlag.keyChanged, table: 'public.t', key: ['2'], row: null, incomplete: false },
      { op: 'update', flags: 0, table: 'public.t', key: ['12'], row: { id: '12', body: 'short' }, incomplete: false },
    ]);
    expect(sink.of('commit')).toHaveLength(1);
  });

  test('keys with several columns, nulls, and values out of line are read from what the old row says', async () => {
    const source = await fresh(`
      CREATE TABLE t (a text NOT NULL, b int NOT NULL, c text);
      CREATE UNIQUE INDEX t_identity ON t (b, a);
      ALTER TABLE t ALTER a SET STORAGE EXTERNAL;
      ALTER TABLE t REPLICA IDENTITY USING INDEX t_identity;
      INSERT INTO t VALUES (left(${outOfLine}, 2400), 7, 'x')`);
    const sink = await streamed(source, "UPDATE t SET c = 'y'", 'UPDATE t SET b = 8', 'DELETE FROM t');
    const [update, left, moved, deleted] = sink.rows();
    expect(update).toMatchObject({ op: 'update', incomplete: false, row: { c: 'y' } });
    expect(update?.key[0]).toBe('7');
    expect(update?.key[1]).toHaveLength(2400);
    expect(left).toMatchObject({ op: 'delete', key: update?.key });
    expect(moved).toMatchObject({ op: 'update', key: ['8', update?.key[1]], incomplete: false });
    expect(deleted).toMatchObject({ op: 'delete', key: ['8', update?.key[1]] });
  });

  test('a row without a key is told by all of itself, and its delete asks whether another like it is left', async () => {
    const source = await fresh('CREATE TABLE t (a int, b text); ALTER TABLE t REPLICA IDENTITY FULL');
    const sink = await streamed(source, "INSERT INTO t VALUES (1, 'x'), (1, 'x'), (NULL, NULL)", "UPDATE t SET b = 'y' WHERE a IS NULL", 'DELETE FROM t WHERE a = 1');
    const rows = sink.rows();
    expect(rows.map(({ op, row, incomplete }) => ({ op, row, incomplete }))).toEqual([
      { op: 'insert', row: { a: '1', b: 'x' }, incomplete: false },
      { op: 'insert', row: { a: '1', b: 'x' }, incomplete: false },
      { op: 'insert', row: { a: null, b: null }, incomplete: false },
      { op: 'update', row: { a: null, b: null }, incomplete: true },
      { op: 'update', row: { a: null, b: 'y' }, incomplete: false },
      { op: 'update', row: { a: '1', b: 'x' }, incomplete: true },
      { op: 'update', row: { a: '1', b: 'x' }, incomplete: true },
    ]);
    expect(rows[0]?.key).toEqual(rows[1]?.key);
    expect(rows[0]?.key).toEqual(rows[5]?.key);
    expect(rows[2]?.key).toEqual(rows[3]?.key);
    expect(rows[2]?.key).not.toEqual(rows[4]?.key);
  });

  test('TRUNCATE empties each table it names, at its place among the changes', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY REFERENCES t); CREATE TABLE v (id int PRIMARY KEY)', { tables: ['public.t', 'public.u'] });
    const sink = await streamed(source, 'INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)', 'BEGIN; TRUNCATE t CASCADE; INSERT INTO t VALUES (2); COMMIT', 'TRUNCATE v');
    expect(sink.events.filter((event) => event.kind !== 'heartbeat' && event.kind !== 'remember').map((event) => (event.kind === 'change' ? `${event.op} ${event.table} ${event.key[0]}` : event.kind === 'truncate' ? `truncate ${event.table}` : event.kind))).toEqual([
      'begin',
      'insert public.t 1',
      'insert public.u 1',
      'commit',
      'begin',
      'truncate public.t',
      'truncate public.u',
      'insert public.t 2',
      'commit',
    ]);
  });

  test('partitions are read as their root, whether the publication sends them so or not', async () => {
    const partitioned = 'CREATE TABLE t (id int, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day); CREATE TABLE t_a PARTITION OF t FOR VALUES FROM (MINVALUE) TO (\'2026-01-01\'); CREATE TABLE t_b (day date NOT NULL, id int NOT NULL, PRIMARY KEY (id, day)); ALTER TABLE t ATTACH PARTITION t_b FOR VALUES FROM (\'2026-01-01\') TO (MAXVALUE)';
    for (const viaRoot of [true, false]) {
      const source = await fresh(`${partitioned}; CREATE PUBLICATION tailrace_shop FOR TABLE t WITH (publish_via_partition_root = ${viaRoot})`);
      await using stream = await Streaming.open(source.options);
      await source.run("INSERT INTO t VALUES (1, '2025-06-01'), (2, '2026-06-01')");
      await source.run("UPDATE t SET day = '2026-07-01' WHERE id = 1");
      await source.run('TRUNCATE t_b');
      await source.run('TRUNCATE t');
      await stream.caughtUp();
      const { sink } = stream;
      expect(sink.rows().map((change) => `${change.op} ${change.table} ${change.key.join(' ')}`)).toEqual([
        'insert public.t 1 2025-06-01',
        'insert public.t 2 2026-06-01',
        'delete public.t 1 2025-06-01',
        'insert public.t 1 2026-07-01',
      ]);
      expect(sink.of('truncate')).toEqual([{ kind: 'truncate', table: 'public.t' }]);
      // The server does not send the truncation of a part when it sends rows under the root's name.
      expect(sink.of('reread')).toEqual(viaRoot ? [] : [{ kind: 'reread', table: 'public.t', reason: expect.any(String), sweep: true }]);
    }
  });

  test('a row that enters or leaves the publication\'s row filter is an insert or a delete', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY, state text); ALTER TABLE t REPLICA IDENTITY FULL; CREATE PUBLICATION tailrace_shop FOR TABLE t WHERE (state = \'open\')');
    const sink = await streamed(source, "INSERT INTO t VALUES (1, 'open'), (2, 'closed')", "UPDATE t SET state = 'closed' WHERE id = 1", "UPDATE t SET state = 'open' WHERE id = 2");
    expect(sink.rows().map(({ op, key }) => [op, key[0]])).toEqual([
      ['insert', '1'],
      ['delete', '1'],
      ['insert', '2'],
    ]);
  });

  test('a new column comes with a new schema before its first row, and with a new reading when old rows have a value in it', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)');
    const sink = await streamed(
      source,
      'INSERT INTO t VALUES (2)',
      'ALTER TABLE t ADD COLUMN plain text',
      "INSERT INTO t VALUES (3, 'x')",
      "ALTER TABLE t ADD COLUMN filled text DEFAULT 'f'",
      "INSERT INTO t VALUES (4, 'x', 'y')",
      'ALTER TABLE t DROP COLUMN plain',
      'INSERT INTO t VALUES (5)',
    );
    expect(sink.rows().map((change) => change.row)).toEqual([{ id: '2' }, { id: '3', plain: 'x' }, { id: '4', plain: 'x', filled: 'y' }, { id: '5', filled: 'f' }]);
    expect(sink.of('reread')).toEqual([{ kind: 'reread', table: 'public.t', reason: expect.stringContaining('filled'), sweep: false }]);
  });

  test('DDL from before the session, met in the stream, has the table read again', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    let resume: NonNullable<SourceOptions['resume']>;
    {
      await using first = await Streaming.open(source.options);
      await first.stop();
      resume = first.resume;
    }
    await source.run('INSERT INTO t VALUES (1)');
    await source.run("ALTER TABLE t ADD COLUMN filled text DEFAULT 'f'");
    await source.run('INSERT INTO t VALUES (2)');
    await using stream = await Streaming.open({ ...source.options, resume });
    await stream.caughtUp();
    expect(stream.sink.rows().map((change) => change.row)).toEqual([{ id: '1' }, { id: '2', filled: 'f' }]);
    expect(stream.sink.of('reread')).toHaveLength(1);
  });

  test('partitions that come with rows or go are noticed without any change in the stream', async () => {
    const source = await fresh(
      "CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE t_a PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE TABLE late (id int PRIMARY KEY); INSERT INTO late VALUES (15)",
      { opening: { catalogLookEveryMs: 100 } },
    );
    await using stream = await Streaming.open(source.options);
    await source.run('ALTER TABLE t ATTACH PARTITION late FOR VALUES FROM (10) TO (20)');
    await stream.until('the new part is to be read', (sink) => sink.of('reread').length === 1);
    await source.run('ALTER TABLE t DETACH PARTITION t_a');
    await stream.until('the table is to be read and swept', (sink) => sink.of('reread').some((event) => event.sweep));
    expect(stream.sink.of('reread').map(({ table, sweep }) => ({ table, sweep }))).toEqual([
      { table: 'public.t', sweep: false },
      { table: 'public.t', sweep: true },
    ]);
    await source.run('INSERT INTO t VALUES (16)');
    await stream.caughtUp();
    expect(stream.sink.rows().at(-1)).toMatchObject({ table: 'public.t', key: ['16'] });
  });

  test('a partition that is new since the session began is a part of its root from its first row on', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE t_a PARTITION OF t FOR VALUES FROM (0) TO (10); CREATE PUBLICATION tailrace_shop FOR TABLE t');
    const sink = await streamed(source, 'CREATE TABLE t_b PARTITION OF t FOR VALUES FROM (10) TO (20); INSERT INTO t VALUES (11)');
    expect(sink.rows()).toMatchObject([{ table: 'public.t', key: ['11'] }]);
  });

  test('tables of the publication that nobody asked for are passed over', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); CREATE PUBLICATION tailrace_shop FOR ALL TABLES');
    const sink = await streamed(source, 'INSERT INTO u VALUES (1)', 'BEGIN; INSERT INTO u VALUES (2); INSERT INTO t VALUES (1); COMMIT', 'CREATE TABLE w (id int PRIMARY KEY); INSERT INTO w VALUES (1)', 'TRUNCATE u');
    expect(sink.rows()).toMatchObject([{ table: 'public.t', key: ['1'] }]);
    expect(sink.of('begin')).toHaveLength(1);
    expect(sink.of('truncate')).toEqual([]);
  });

  test('a replica identity that no longer covers the key stops the stream with the statement', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY, other int NOT NULL); CREATE UNIQUE INDEX t_other ON t (other)');
    await using stream = await Streaming.open(source.options);
    await source.run('INSERT INTO t VALUES (1, 1)');
    await stream.until('the row is there', (sink) => sink.rows().length === 1);
    await source.run('ALTER TABLE t REPLICA IDENTITY USING INDEX t_other');
    await source.run('UPDATE t SET other = 2');
    expect(await stream.failed()).toMatchObject({ code: 'SRC_NO_IDENTITY', hint: expect.stringContaining('ALTER TABLE "public"."t" REPLICA IDENTITY DEFAULT;') });
    expect(stream.sink.rows()).toHaveLength(1);
  });

  test('logical messages, in and outside of transactions, are no changes', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)', { config: { max_value_bytes: 1024 * 1024 } });
    const sink = await streamed(source, "SELECT pg_logical_emit_message(true, 'app', 'x')", "SELECT pg_logical_emit_message(false, 'app', 'y')", "SELECT pg_logical_emit_message(true, 'app', repeat('z', 3000000))", "BEGIN; SELECT pg_logical_emit_message(true, 'app', 'x'); INSERT INTO t VALUES (1); COMMIT");
    expect(sink.rows()).toHaveLength(1);
    expect(sink.of('begin')).toHaveLength(1);
  });

  test('a value above the limit is left out with its length, in new and old rows, and its neighbours are kept', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY, big text, small text); ALTER TABLE t REPLICA IDENTITY FULL', { config: { max_value_bytes: 1024 * 1024 } });
    const sink = await streamed(
      source,
      "INSERT INTO t VALUES (1, repeat('x', 3000000), 'after')",
      "UPDATE t SET small = 'changed'",
      "UPDATE t SET big = repeat('y', 1048576)",
      "UPDATE t SET big = repeat('y', 1048577), small = repeat('s', 1000000)",
      'UPDATE t SET id = 2',
      'DELETE FROM t',
    );
    const rows = sink.rows();
    expect(rows.map(({ op, key }) => [op, key[0]])).toEqual([
      ['insert', '1'],
      ['update', '1'],
      ['update', '1'],
      ['update', '1'],
      ['delete', '1'],
      ['update', '2'],
      ['delete', '2'],
    ]);
    expect(rows[0]?.row).toEqual({ id: '1', big: { leftOut: 3_000_000 }, small: 'after' });
    expect(rows[1]?.row).toEqual({ id: '1', big: { leftOut: 3_000_000 }, small: 'changed' });
    expect(rows[2]?.row).toEqual({ id: '1', big: 'y'.repeat(1_048_576), small: 'changed' });
    expect(rows[3]?.row).toEqual({ id: '1', big: { leftOut: 1_048_577 }, small: 's'.repeat(1_000_000) });
    expect(rows[5]?.row).toEqual({ id: '2', big: { leftOut: 1_048_577 }, small: 's'.repeat(1_000_000) });
    expect(rows.every((change) => !change.incomplete)).toBe(true);
  });

  test('names with capitals, quotes, dots, percent signs and 63 bytes are taken as they are', async () => {
    const table = `We"ird.ta%ble ' ${'é'.repeat(23)}`;
    expect(Buffer.byteLength(table)).toBe(62);
    const quoted = `"${table.replaceAll('"', '""')}"`;
    const publication = `Pub "of" 'mine', ${'ü'.repeat(23)}`;
    const source = await fresh(`CREATE SCHEMA "S.c"; CREATE TABLE "S.c".${quoted} ("K e""y" text PRIMARY KEY, "sel%ect" int)`, { tables: [`S.c.${table}`], config: { publication } });
    const sink = await streamed(source, `INSERT INTO "S.c".${quoted} VALUES ('a:%b', 1)`);
    expect(sink.rows()).toMatchObject([{ table: `S.c.${table}`, key: ['a:%b'], row: { 'K e"y': 'a:%b', 'sel%ect': '1' } }]);
  });

  test('what roles and databases set changes nothing of the text', async () => {
    const columns = 'id int PRIMARY KEY, ts timestamptz, d date, f float8, f4 float4, i interval, b bytea, m money, r regclass, x xml, c char(3), bits bit varying';
    const values = "1, '2026-01-02 03:04:05.678901+09', '2026-02-01', 0.1 + 0.2::float8, 0.3, '1 year 2 mons 3 days 04:05:06.5', '\\x00ff41', '12.34', 'pg_class', '<a/>', 'a', B'101'";
    const source = await fresh(`CREATE TABLE t (${columns})`);
    const plain = (await streamed(source, `INSERT INTO t VALUES (${values})`)).rows()[0]?.row;
    const exotic = await fresh(`CREATE TABLE t (${columns})`);
    const [database] = await exotic.run('SELECT current_database() AS name');
    for (const setting of ["datestyle = 'German, DMY'", "timezone = 'Asia/Tokyo'", 'extra_float_digits = 0', "intervalstyle = 'sql_standard'", "bytea_output = 'escape'", "search_path = 'public'", 'quote_all_identifiers = on', 'default_transaction_read_only = on', "default_transaction_isolation = 'serializable'", "statement_timeout = '1s'", 'client_min_messages = error']) {
      await exotic.run(`BEGIN READ WRITE; ALTER DATABASE "${String(database?.['name'])}" SET ${setting}; COMMIT`);
    }
    const sink = await streamed(exotic, `BEGIN READ WRITE; SET LOCAL datestyle = 'ISO'; INSERT INTO t VALUES (${values}); COMMIT`);
    expect(sink.rows()[0]?.row).toEqual(plain);
    expect(plain).toMatchObject({ ts: '2026-01-01 18:04:05.678901+00', f: '0.30000000000000004', b: '\\x00ff41', i: 'P1Y2M3DT4H5M6.5S', r: 'pg_class', m: '$12.34' });
  });

  test('bytes that are no UTF-8, in a database without an encoding, stay as they are', async () => {
    const server = await postgres.server();
    await server.query(`CREATE DATABASE ascii_${postgres.major} TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'`);
    const url = server.url(`ascii_${postgres.major}`);
    await server.query('CREATE TABLE t (id int PRIMARY KEY, name text)', `ascii_${postgres.major}`);
    await using stream = await Streaming.open({ url, tables: ['public.t'], config: { slot: `ascii_${postgres.major}` } });
    const rows: Buffer[] = [];
    const change = stream.sink.change.bind(stream.sink);
    stream.sink.change = (op, flags, schemaId, key, keyLength, bytes, rowStart, rowEnd, incomplete) => {
      rows.push(Buffer.from(bytes.subarray(rowStart, rowEnd)));
      change(op, flags, schemaId, key, keyLength, bytes, rowStart, rowEnd, incomplete);
    };
    await server.query("INSERT INTO t VALUES (1, E'caf\\xe9')", `ascii_${postgres.major}`);
    await stream.caughtUp();
    expect(rows[0]?.includes(Buffer.from([0x63, 0x61, 0x66, 0xe9]))).toBe(true);
  });

  test('text of a database in another encoding arrives as UTF-8', async () => {
    const server = await postgres.server();
    const name = `latin_${postgres.major}`;
    await server.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'`);
    await server.query('CREATE TABLE t (id int PRIMARY KEY, name text)', name);
    await using stream = await Streaming.open({ url: server.url(name), tables: ['public.t'], config: { slot: name } });
    await server.query("INSERT INTO t VALUES (1, 'café')", name);
    await stream.caughtUp();
    expect(stream.sink.rows()[0]?.row).toEqual({ id: '1', name: 'café' });
  });

  test('a pooler that knows no replication is told from a server', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const server = await postgres.server();
    await using pooler = await replicationStrippingPooler(server.port);
    const url = new URL(source.url);
    url.port = String(pooler.port);
    await expect(connect({ ...source.options, url: url.href })).rejects.toMatchObject({ code: 'SRC_POOLER' });
  });

  test('a stored generated column is sent where the server can send it', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)');
    const sink = await streamed(source, 'INSERT INTO t VALUES (4)');
    expect(sink.rows()[0]?.row).toEqual(postgres.major >= 18 ? { id: '4', twice: '8' } : { id: '4' });
  });

  test('the server\'s clock, its end, what it keeps, and who holds that up are told', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (filler text)');
    await using stream = await Streaming.open(source.options);
    await stream.caughtUp();
    const signal = AbortSignal.timeout(20_000);
    const quiet = await stream.session.head(signal);
    expect(Math.abs(quiet.nowMs - Date.now())).toBeLessThan(60_000);
    expect(quiet.bytesUntilLoss).toBeNull();
    await using client = await openClient(source.url);
    await client.query("SET application_name = 'forgotten'; BEGIN; INSERT INTO other VALUES ('x')");
    await source.run("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 40000)");
    await eventually('the transaction is named', async () => {
      stream.session.nudge();
      const head = await stream.session.head(signal);
      return head.notes.some((note) => note.includes('forgotten'));
    }, 40_000);
    await client.query('ROLLBACK');
  });
});

/**
 * What a pooler in transaction mode does to a startup message: `replication` is dropped from it; everything else goes through. A startup
 * message is a u32 length, a u32 version, and names and values that each end with a zero byte.
 */
async function replicationStrippingPooler(upstreamPort: number): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer((client) => {
    const upstream = createConnection(upstreamPort, '127.0.0.1');
    client.once('data', (startup) => {
      const parameters = startup.subarray(8).toString('latin1').replace('replication\0database\0', '');
      const message = Buffer.concat([startup.subarray(0, 8), Buffer.from(parameters, 'latin1')]);
      message.writeUInt32BE(message.length, 0);
      upstream.write(message);
      client.pipe(upstream);
    });
    upstream.pipe(client);
    for (const [one, other] of [[client, upstream], [upstream, client]] as const) one.on('error', () => other.destroy()).on('close', () => other.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, [Symbol.asyncDispose]: async () => void server.close() };
}
