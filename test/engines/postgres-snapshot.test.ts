/** Snapshots of real tables: every row exactly once, in bounded chunks, with proof, and never of a table that has become another. */
import { describe, expect, test } from 'vitest';
import { decodeKey } from '../../src/change/key.ts';
import { jsonOf } from '../../src/change/value.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { never } from './postgres-control.ts';
import { openReading, readChunks, readTable, rowsOf, type Reading, type ReadingOptions } from './postgres-reading.ts';
import { describePostgres, startPostgres } from './postgres.ts';
import { keysOf } from '../capture/chunk-keys.ts';

const MiB = 1024 * 1024;

describePostgres([15, 18], (postgres) => {
  const open = async (setup: string, options: ReadingOptions): Promise<Reading> => openReading(await postgres.server(), setup, options);

  test('a table is read whole, each row once, its key beside it', async () => {
    await using at = await open(
      `CREATE TABLE public.t (a int, b text, c numeric, PRIMARY KEY (b, a));
       INSERT INTO public.t SELECT i, 'b' || i % 7, CASE WHEN i % 3 > 0 THEN i / 8.0 END FROM generate_series(1, 20000) i;
       DELETE FROM public.t WHERE a % 5 = 0;
       CREATE PUBLICATION pub FOR TABLE public.t`,
      { tables: ['public.t'] },
    );
    const { rows, chunks } = await readTable(at, 'public.t', { parallel: 3, rowBytesMax: 64 * 1024 });
    const expected = await at.control.ask('SELECT to_json(t)::text AS row FROM public.t');
    expect(rows.map(([a, b, c]) => `{"a":${jsonOf(a ?? null)},"b":${jsonOf(b ?? null)},"c":${jsonOf(c ?? null)}}`).toSorted()).toEqual(expected.map((row) => row['row'] ?? '').toSorted());
    expect(chunks.length).toBeGreaterThan(5);
    const [first] = chunks;
    expect(decodeKey(first === undefined ? new Uint8Array() : (keysOf(first)[0] ?? new Uint8Array())).map((part) => Buffer.from(part ?? []).toString())).toEqual([rows[0]?.[1], String(Number(rows[0]?.[0]))]);
  });

  test('an empty table has no ranges, a table of deleted rows no rows', async () => {
    await using at = await open('CREATE TABLE public.t (id int PRIMARY KEY); CREATE PUBLICATION pub FOR TABLE public.t', { tables: ['public.t'] });
    expect(await at.reader.planRanges('public.t', 4, { kind: 'all' }, never)).toEqual([]);
    await at.run('INSERT INTO public.t SELECT generate_series(1, 5000); DELETE FROM public.t');
    expect((await readTable(at, 'public.t')).rows).toEqual([]);
  });

  test('a table without columns or keys is read as well', async () => {
    await using at = await open('CREATE TABLE public.t (a int, b text); ALTER TABLE public.t REPLICA IDENTITY FULL; INSERT INTO public.t VALUES (1, NULL), (1, NULL), (2, $$x$$); CREATE PUBLICATION pub FOR TABLE public.t', { tables: ['public.t'] });
    const { rows, chunks } = await readTable(at, 'public.t');
    expect(rows).toEqual([[1, null], [1, null], [2, 'x']]);
    const [keys] = chunks.map((chunk) => keysOf(chunk).map((key) => Buffer.from(key).toString('hex')));
    expect(keys?.[0]).toBe(keys?.[1]);
    expect(keys?.[0]).not.toBe(keys?.[2]);
  });

  test('column lists and row filters of the publication apply', async () => {
    await using at = await open(
      `CREATE TABLE public.t (id int PRIMARY KEY, "St""ate" text, secret text); INSERT INTO public.t SELECT i, 's' || i % 2, 'secret' FROM generate_series(1, 100) i;
       CREATE INDEX ON public.t ("St""ate"); ANALYZE public.t;
       CREATE PUBLICATION pub FOR TABLE public.t ("St""ate", id) WHERE (id > 90 AND "St""ate" = 's1') WITH (publish = 'insert')`,
      { tables: ['public.t'] },
    );
    expect((await readTable(at, 'public.t')).rows).toEqual([91, 93, 95, 97, 99].map((id) => [id, 's1']));
  });

  describe('partitions', () => {
    const partitioned = `
      CREATE TABLE public.o (id int, at int, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
      CREATE TABLE public.o1 PARTITION OF public.o FOR VALUES FROM (0) TO (10);
      CREATE TABLE public.o2 (gone int, note text, at int NOT NULL, id int NOT NULL, PRIMARY KEY (id, at)); ALTER TABLE public.o2 DROP COLUMN gone;
      ALTER TABLE public.o ATTACH PARTITION public.o2 FOR VALUES FROM (10) TO (20);
      INSERT INTO public.o SELECT i, i % 20, 'n' || i FROM generate_series(1, 100) i;`;
    test.for([
      ['through the root', 'CREATE PUBLICATION pub FOR TABLE public.o WHERE (id > 50) WITH (publish_via_partition_root = true)', 50],
      ['as themselves, one with a filter of its own', 'CREATE PUBLICATION pub FOR TABLE public.o1 WHERE (id > 50), public.o2', 71],
    ] as const)('published %s are read with their own column order and filter', async ([, publication, count]) => {
      await using at = await open(`${partitioned} ${publication}`, { tables: ['public.o'] });
      const { chunks } = await readTable(at, 'public.o');
      const rows = chunks.flatMap((chunk) => {
        const names = chunk.schema.columns.map((column) => column.name);
        expect(chunk.schema.table).toBe('public.o');
        return rowsOf(chunk).map((row) => ['id', 'at', 'note'].map((name) => row[names.indexOf(name)]));
      });
      expect(rows).toHaveLength(count);
      for (const [id, at, note] of rows) expect([at, note]).toEqual([Number(id) % 20, `n${Number(id)}`]);
    });
  });

  describe('chunks', () => {
    const wide = (rows: number, bytes: number): string =>
      `CREATE TABLE public.t (id int PRIMARY KEY, body text); ALTER TABLE public.t ALTER body SET STORAGE EXTERNAL;
       INSERT INTO public.t SELECT i, repeat(chr(65 + i % 26), ${bytes}) FROM generate_series(1, ${rows}) i; CREATE PUBLICATION pub FOR TABLE public.t`;

    test('stay near the wanted bytes when values lie out of line', async () => {
      await using at = await open(wide(400, 100_000), { tables: ['public.t'] });
      const { chunks, rows } = await readTable(at, 'public.t', { rowBytesMax: MiB });
      expect(new Set(rows.map(([id]) => id)).size).toBe(400);
      expect(rows).toHaveLength(400);
      for (const chunk of chunks) expect(chunk.bytes.length).toBeLessThan(2.2 * MiB);
      expect(chunks.length).toBeLessThan(60);
    });

    test('are cut short within a block, and go on at the next row', async () => {
      await using at = await open(wide(30, 1_000_000), { tables: ['public.t'] });
      const { chunks, rows } = await readTable(at, 'public.t', { rowBytesMax: 3 * MiB });
      expect(rows.map(([id]) => id).toSorted((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 30 }, (_, i) => i + 1));
      for (const chunk of chunks) expect(chunk.bytes.length).toBeLessThan(8 * MiB);
    });

    test('hold at least one row, however large', async () => {
      await using at = await open(wide(3, 3_000_000), { tables: ['public.t'] });
      const { chunks } = await readTable(at, 'public.t', { rowBytesMax: 1000 });
      expect(chunks.flatMap((chunk) => keysOf(chunk))).toHaveLength(3);
    });

    test('leave out values above max_value_bytes and keep their length', async () => {
      await using at = await open(wide(3, 2_000_000), { tables: ['public.t'], settings: { max_value_bytes: MiB } });
      const [range] = await at.reader.planRanges('public.t', 1, { kind: 'all' }, never);
      const chunk = await at.reader.readChunk({ table: 'public.t', range: range as Uint8Array, rowBytesMax: MiB }, never);
      if (chunk === 'replan') throw new Error('nothing was rewritten');
      expect(keysOf(chunk)).toHaveLength(3);
      expect(() => rowsOf(chunk)).toThrow(expect.objectContaining({ code: 'SRC_VALUE_TOO_LARGE', message: expect.stringContaining('2000000 bytes') as string }));
    });

    test('grow over a heap of dead rows', async () => {
      await using at = await open(
        `CREATE TABLE public.t (id int PRIMARY KEY, pad text) WITH (autovacuum_enabled = false);
         INSERT INTO public.t SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) i; DELETE FROM public.t WHERE id <> 39999; CREATE PUBLICATION pub FOR TABLE public.t`,
        { tables: ['public.t'] },
      );
      const { chunks, rows } = await readTable(at, 'public.t');
      expect(rows.map(([id]) => id)).toEqual([39999]);
      expect(chunks.length).toBeLessThan(5);
    });
  });

  describe('proof', () => {
    /** A clock in which a minute passes in half a second. */
    const hurried: Clock = { ...nodeClock, monotonicMs: () => nodeClock.monotonicMs() * 120 };
    const setup = "CREATE TABLE public.t (id int PRIMARY KEY, v text); INSERT INTO public.t VALUES (1, 'old'); CREATE PUBLICATION pub FOR TABLE public.t";

    test('is had when every pushed transaction is visible', async () => {
      await using at = await open(setup, { tables: ['public.t'] });
      const [row] = await at.run("WITH changed AS (UPDATE public.t SET v = 'new' RETURNING pg_current_xact_id()::text AS xid) SELECT xid FROM changed");
      at.visibility.record(Number(row?.['xid']) % 2 ** 32);
      expect((await readTable(at, 'public.t')).rows).toEqual([[1, 'new']]);
    });

    test('is waited for while a prepared transaction that was pushed is not yet visible', async () => {
      await using server = await startPostgres({ major: postgres.major, settings: { max_prepared_transactions: '5' } });
      await using at = await openReading(server, setup, { tables: ['public.t'] });
      const [row] = await at.run("BEGIN; UPDATE public.t SET v = 'new'; SELECT pg_current_xact_id()::text AS xid; PREPARE TRANSACTION 'g1'").then(async () => at.run("SELECT transaction::text AS xid FROM pg_prepared_xacts WHERE gid = 'g1'"));
      at.visibility.record(Number(row?.['xid']));
      const reading = readTable(at, 'public.t');
      await until(async () => (await at.run("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'tailrace' AND query LIKE 'SELECT pg_current_snapshot%'"))[0]?.['n'] === 1);
      await at.run("COMMIT PREPARED 'g1'");
      expect((await reading).rows).toEqual([[1, 'new']]);
    });

    test('that does not come names the transaction in the way', async () => {
      await using server = await startPostgres({ major: postgres.major, settings: { max_prepared_transactions: '5' } });
      await using at = await openReading(server, setup, { tables: ['public.t'], clock: hurried });
      await at.run("BEGIN; UPDATE public.t SET v = 'new'; PREPARE TRANSACTION 'stuck one'");
      const [row] = await at.run("SELECT transaction::text AS xid FROM pg_prepared_xacts");
      at.visibility.record(Number(row?.['xid']));
      await expect(readTable(at, 'public.t')).rejects.toMatchObject({ code: 'SRC_SNAPSHOT_STALLED', message: expect.stringContaining('prepared transaction stuck one of postgres') as string });
      await at.run("ROLLBACK PREPARED 'stuck one'");
    });

    test('is not had of a commit that waits for a synchronous standby: no older row than the stream\'s is read', async () => {
      await using server = await startPostgres({ major: postgres.major });
      await using at = await openReading(server, setup, { tables: ['public.t'], clock: hurried });
      await server.query("ALTER SYSTEM SET synchronous_standby_names = 'nosuch'");
      await server.query('SELECT pg_reload_conf()');
      await until(async () => (await server.query('SHOW synchronous_standby_names'))[0]?.['synchronous_standby_names'] === 'nosuch');
      const committing = at.run("UPDATE public.t SET v = 'new'");
      const waiting = "SELECT backend_xid::text AS xid FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
      await until(async () => (await server.query(waiting)).length === 1);
      const [row] = await server.query(waiting);
      at.visibility.record(Number(row?.['xid']));
      // A plain read shows the old row, which the log must never get after the new one.
      expect(await at.control.ask('SELECT v FROM public.t')).toEqual([{ v: 'old' }]);
      await expect(readTable(at, 'public.t')).rejects.toMatchObject({ code: 'SRC_SNAPSHOT_STALLED', message: expect.stringContaining('which waits for a synchronous standby') as string });
      const reading = readTable(at, 'public.t');
      await server.query("ALTER SYSTEM SET synchronous_standby_names = ''");
      await server.query('SELECT pg_reload_conf()');
      await committing;
      expect((await reading).rows).toEqual([[1, 'new']]);
    });

    test('comes with a position that is not before anything read', async () => {
      await using at = await open(setup, { tables: ['public.t'] });
      const before = (await at.control.ask("SELECT pg_current_wal_insert_lsn() - '0/0' AS at"))[0]?.['at'];
      const { chunks } = await readTable(at, 'public.t');
      const high = Buffer.from(chunks[0]?.high ?? []).readBigUInt64BE(0);
      expect(high).toBeGreaterThanOrEqual(BigInt(before ?? '0'));
    });
  });

  describe('a table that becomes another while its ranges are read', () => {
    const setup = 'CREATE TABLE public.t (id int PRIMARY KEY, a text, b text); INSERT INTO public.t SELECT i, i::text FROM generate_series(1, 1000) i; CREATE PUBLICATION pub FOR TABLE public.t';
    test.for([
      ['VACUUM FULL public.t', 0],
      ['TRUNCATE public.t', 0],
      ['ALTER TABLE public.t ALTER id TYPE bigint', 1],
      ['ALTER TABLE public.t DROP COLUMN b', 1],
      ['ALTER TABLE public.t RENAME COLUMN b TO c', 1],
      ['ALTER TABLE public.t RENAME COLUMN b TO x; ALTER TABLE public.t RENAME COLUMN a TO b; ALTER TABLE public.t RENAME COLUMN x TO a', 2],
      ['ALTER TABLE public.t RENAME TO t2; CREATE TABLE public.t (LIKE public.t2 INCLUDING ALL); ALTER PUBLICATION pub ADD TABLE public.t', 1],
    ] as const)('%s: is planned again', async ([ddl, changes]) => {
      await using at = await open(setup, { tables: ['public.t'] });
      const [range] = await at.reader.planRanges('public.t', 1, { kind: 'all' }, never);
      await at.run(ddl);
      expect(await at.reader.readChunk({ table: 'public.t', range: range as Uint8Array, rowBytesMax: MiB }, never)).toBe('replan');
      expect(at.changes).toHaveLength(changes);
      const { rows } = await readTable(at, 'public.t');
      expect(rows).toHaveLength(Number((await at.control.ask('SELECT count(*) AS n FROM public.t'))[0]?.['n']));
    });

    test('a partition that is detached and dropped: is planned again without it', async () => {
      await using at = await open(
        `CREATE TABLE public.o (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE public.o1 PARTITION OF public.o FOR VALUES FROM (0) TO (10);
         CREATE TABLE public.o2 PARTITION OF public.o FOR VALUES FROM (10) TO (20); INSERT INTO public.o VALUES (1), (11); CREATE PUBLICATION pub FOR TABLE public.o`,
        { tables: ['public.o'] },
      );
      const [first] = await at.reader.planRanges('public.o', 2, { kind: 'all' }, never);
      await at.run('DROP TABLE public.o1');
      expect(await at.reader.readChunk({ table: 'public.o', range: first as Uint8Array, rowBytesMax: MiB }, never)).toBe('replan');
      expect(at.changes).toMatchObject([{ table: 'public.o', reread: true, sweep: true }]);
      expect((await readTable(at, 'public.o')).rows).toEqual([[11]]);
    });

    test('a table that is gone is an error with its name, not a plan', async () => {
      await using at = await open(setup, { tables: ['public.t'] });
      const [range] = await at.reader.planRanges('public.t', 1, { kind: 'all' }, never);
      await at.run('DROP TABLE public.t');
      await expect(at.reader.readChunk({ table: 'public.t', range: range as Uint8Array, rowBytesMax: MiB }, never)).rejects.toMatchObject({ code: 'SRC_TABLE_MISSING' });
    });
  });

  test('a range goes on after a restart where its last chunk ended', async () => {
    const setup = "CREATE TABLE public.t (id int PRIMARY KEY, pad text); INSERT INTO public.t SELECT i, repeat('x', 500) FROM generate_series(1, 9000) i; CREATE PUBLICATION pub FOR TABLE public.t";
    await using first = await open(setup, { tables: ['public.t'] });
    const [range] = await first.reader.planRanges('public.t', 1, { kind: 'all' }, never);
    const chunk = await first.reader.readChunk({ table: 'public.t', range: range as Uint8Array, rowBytesMax: 100_000 }, never);
    if (chunk === 'replan' || chunk.next === null) throw new Error('one chunk of several');
    await using second = await open('', { tables: ['public.t'], database: first.database });
    const seen = rowsOf(chunk).map(([id]) => id);
    for (let next: Uint8Array | null = chunk.next; next !== null; ) {
      const more = await second.reader.readChunk({ table: 'public.t', range: next, rowBytesMax: 200_000 }, never);
      if (more === 'replan') throw new Error('nothing was rewritten');
      seen.push(...rowsOf(more).map(([id]) => id));
      next = more.next;
    }
    expect(seen).toEqual(Array.from({ length: 9000 }, (_, i) => i + 1));
  });

  describe('access', () => {
    const setup = (role: string): string => `
      CREATE TABLE public.t (id int PRIMARY KEY, a text); INSERT INTO public.t VALUES (1, 'x'); CREATE PUBLICATION pub FOR TABLE public.t;
      DROP ROLE IF EXISTS ${role}; CREATE ROLE ${role} LOGIN;`;
    const role = `reader_${postgres.major}`;

    test('that is missing is refused with the grant', async () => {
      await using at = await open(setup(role), { tables: ['public.t'], user: role });
      await expect(readTable(at, 'public.t')).rejects.toMatchObject({ code: 'SRC_GRANT', hint: `GRANT USAGE ON SCHEMA "public" TO ${role}; GRANT SELECT ON "public"."t" TO ${role};` });
      await at.run(`GRANT SELECT (id) ON public.t TO ${role}`);
      await expect(readTable(at, 'public.t')).rejects.toMatchObject({ code: 'SRC_GRANT' });
      await at.run(`GRANT SELECT (a) ON public.t TO ${role}`);
      await expect(readTable(at, 'public.t')).rejects.toMatchObject({ code: 'SRC_GRANT' });
      await at.run(`GRANT SELECT ON public.t TO ${role}`);
      expect((await readTable(at, 'public.t')).rows).toEqual([[1, 'x']]);
      await at.run(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    });

    test('that row security narrows is refused, not shortened', async () => {
      await using at = await open(`${setup(role)} GRANT SELECT ON public.t TO ${role}; ALTER TABLE public.t ENABLE ROW LEVEL SECURITY`, { tables: ['public.t'], user: role });
      await expect(readTable(at, 'public.t')).rejects.toMatchObject({ code: 'SRC_RLS', hint: `ALTER ROLE ${role} BYPASSRLS;` });
      await at.run(`ALTER ROLE ${role} BYPASSRLS`);
      expect((await readTable(at, 'public.t')).rows).toEqual([[1, 'x']]);
      await at.run(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    });
  });

  test('settings of a role and a database change nothing of the bytes that are read', async () => {
    const role = `exotic_${postgres.major}`;
    const setup = `
      CREATE TABLE public.t (id int PRIMARY KEY, at timestamptz, naive timestamp, d date, i interval, f float8, g real, b bytea, m money, r regclass, x xml, n name);
      INSERT INTO public.t VALUES (1, '2026-01-02 12:04:05.5+01', '2026-01-02 03:04', '2026-01-02', '1 mon -1 day 1:00', 0.1::float8 + 0.2::float8, 0.1, '\\x00ff41', 1234.5, 'pg_class', '<a/>', 'n');
      DROP ROLE IF EXISTS ${role}; CREATE ROLE ${role} LOGIN; GRANT SELECT ON public.t TO ${role}; CREATE PUBLICATION pub FOR TABLE public.t`;
    await using plain = await open(setup, { tables: ['public.t'] });
    const [expected] = await readChunks(plain, 'public.t');
    const exotic = ['datestyle = German', 'timezone = "Asia/Tokyo"', 'intervalstyle = sql_standard', 'extra_float_digits = 0', 'bytea_output = escape', 'search_path = nowhere', 'xmlbinary = hex', 'default_transaction_isolation = serializable', 'client_encoding = LATIN1', 'quote_all_identifiers = on', 'row_security = off', 'statement_timeout = 1', 'standard_conforming_strings = off', 'enable_tidscan = off', 'synchronize_seqscans = on', 'max_parallel_workers_per_gather = 4', 'debug_parallel_query = on', 'force_parallel_mode = on'];
    for (const setting of exotic) await plain.run(`ALTER ROLE ${role} SET ${setting}`).catch(() => {});
    await using at = await open('', { tables: ['public.t'], database: plain.database, user: role });
    const [chunk] = await readChunks(at, 'public.t');
    expect(chunk?.bytes.length).toBeGreaterThan(100);
    expect(Buffer.from(chunk?.bytes ?? []).equals(Buffer.from(expected?.bytes ?? []))).toBe(true);
    expect(chunk?.schema).toEqual(expected?.schema);
    await plain.run(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });

  test('a reader that waits for a lock does not stop others for long, and goes on when it is gone', async () => {
    await using at = await open('CREATE TABLE public.t (id int PRIMARY KEY); INSERT INTO public.t VALUES (1); CREATE PUBLICATION pub FOR TABLE public.t', { tables: ['public.t'] });
    const holding = at.run('BEGIN; LOCK TABLE public.t; SELECT pg_sleep(6); COMMIT');
    await until(async () => (await at.run("SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'public.t'::regclass AND granted")).length === 1);
    const reading = readTable(at, 'public.t');
    await holding;
    expect((await reading).rows).toEqual([[1]]);
  });

  test('aborting ends the read at once and leaves no session behind', async () => {
    await using at = await open('CREATE TABLE public.t (id int PRIMARY KEY); INSERT INTO public.t VALUES (1); CREATE PUBLICATION pub FOR TABLE public.t', { tables: ['public.t'] });
    const [range] = await at.reader.planRanges('public.t', 1, { kind: 'all' }, never);
    const holding = at.run('BEGIN; LOCK TABLE public.t; SELECT pg_sleep(3); COMMIT');
    await until(async () => (await at.run("SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'public.t'::regclass AND granted")).length === 1);
    const stop = new AbortController();
    const reading = at.reader.readChunk({ table: 'public.t', range: range as Uint8Array, rowBytesMax: MiB }, stop.signal);
    await until(async () => (await at.run("SELECT 1 FROM pg_locks WHERE mode = 'AccessShareLock' AND relation = 'public.t'::regclass AND NOT granted")).length === 1);
    stop.abort(new Error('told to stop'));
    await expect(reading).rejects.toThrow('told to stop');
    await until(async () => (await at.run("SELECT 1 FROM pg_stat_activity WHERE application_name = 'tailrace' AND query LIKE 'BEGIN%' AND datname = current_database()")).length === 0);
    await holding;
  });
});

/** Waits for a condition, for ten seconds at most. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the condition did not come true in time');
    await nodeClock.sleep(20);
  }
}
