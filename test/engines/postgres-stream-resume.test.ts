import { execFile } from 'node:child_process';
import { appendFile, chown, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { postgresSource } from '../../connectors/sources/postgres/index.ts';
import { decodePosition, encodePosition, formatLsn, parseLsn } from '../../connectors/sources/postgres/position.ts';
import type { Beginnings } from '../../src/connector/source.ts';
import { silentLogger, type Logger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { describePostgres, startPostgres, type PostgresServer } from './postgres.ts';
import { connect, eventually, openClient, openingDeps, rememberedBeginnings, Streaming, type SourceOptions } from './postgres-stream-harness.ts';

const run = promisify(execFile);

describePostgres([15, 18], (postgres) => {
  let count = 0;
  const owned: AsyncDisposable[] = [];
  afterEach(async () => {
    for (const resource of owned.splice(0).toReversed()) await resource[Symbol.asyncDispose]();
  });

  interface Fresh {
    readonly server: PostgresServer;
    readonly database: string;
    readonly slot: string;
    readonly options: SourceOptions;
    run(sql: string): Promise<Record<string, unknown>[]>;
  }

  async function fresh(sql: string, settings?: Readonly<Record<string, string>>): Promise<Fresh> {
    const server = settings === undefined ? await postgres.server() : await startPostgres({ major: postgres.major, settings });
    if (settings !== undefined) owned.push(server);
    const database = await server.createDatabase();
    const run = async (statement: string): Promise<Record<string, unknown>[]> => server.query(statement, database);
    await run(sql);
    count += 1;
    const slot = `resume_${postgres.major}_${count}`;
    return { server, database, run, slot, options: { url: server.url(database), tables: ['public.t'], config: { slot } } };
  }

  /** Starts, reads one row, stops; returns from where to go on. */
  async function readOne(source: Fresh): Promise<NonNullable<SourceOptions['resume']>> {
    await using stream = await Streaming.open(source.options);
    await source.run('INSERT INTO t VALUES (1)');
    await stream.until('the row is there', (sink) => sink.of('commit').length === 1);
    await stream.stop();
    return stream.resume;
  }

  /** Connects, expecting to be refused. */
  async function refusal(options: SourceOptions): Promise<unknown> {
    const outcome = await connect(options).catch((error: unknown) => error);
    if (outcome instanceof Error) return outcome;
    await (outcome as AsyncDisposable)[Symbol.asyncDispose]();
    throw new Error('the session was opened');
  }

  test('a first start makes publication and slot, and a session goes on where the last one was', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const resume = await readOne(source);
    await source.run('INSERT INTO t VALUES (2)');
    await using stream = await Streaming.open({ ...source.options, resume });
    await stream.until('the second row is there', (sink) => sink.of('commit').length === 1);
    expect(stream.sink.rows().map((change) => change.key)).toEqual([['2']]);
    expect(await source.run("SELECT pubviaroot FROM pg_publication WHERE pubname = 'tailrace_shop'")).toEqual([{ pubviaroot: true }]);
  });

  test('a first start names the slot that a source of another name may have left behind, and leaves it alone', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    await source.run("SELECT pg_create_logical_replication_slot('tailrace_former', 'pgoutput')");
    const lines: unknown[] = [];
    const logger: Logger = { ...silentLogger, warn: (event, fields) => lines.push({ event, ...fields }), child: () => logger };
    const session = await connect({ ...source.options, logger });
    await session[Symbol.asyncDispose]();
    expect(lines).toContainEqual({ event: 'slot_unread', slot: 'tailrace_former', kept_bytes: expect.any(Number) as number, statement: "SELECT pg_drop_replication_slot('tailrace_former');" });
    await source.run("SELECT pg_drop_replication_slot('tailrace_former')");
  });

  test('a slot that was moved by somebody else is never read from', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const resume = await readOne(source);
    await source.run('INSERT INTO t VALUES (2)');
    await source.run(`SELECT pg_replication_slot_advance('${source.slot}', pg_current_wal_lsn())`);
    expect(await refusal({ ...source.options, resume })).toMatchObject({ code: 'SRC_SLOT_AHEAD' });
  });

  test('a slot that was dropped and made again is never read from', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const resume = await readOne(source);
    await source.run('INSERT INTO t VALUES (2)');
    await source.run(`SELECT pg_drop_replication_slot('${source.slot}')`);
    expect(await refusal({ ...source.options, resume })).toMatchObject({ code: 'SRC_HISTORY_LOST' });
    await source.run(`SELECT pg_create_logical_replication_slot('${source.slot}', 'pgoutput')`);
    expect(await refusal({ ...source.options, resume })).toMatchObject({ code: 'SRC_SLOT_AHEAD' });
  });

  test('a slot that is moved between the look at it and the stream stops the stream before its first change', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const resume = await readOne(source);
    const session = await connect({ ...source.options, resume });
    await source.run('INSERT INTO t VALUES (2)');
    await source.run(`SELECT pg_replication_slot_advance('${source.slot}', pg_current_wal_lsn())`);
    await source.run('INSERT INTO t VALUES (3)');
    await using stream = new Streaming(session, source.options);
    expect(await stream.failed()).toMatchObject({ code: 'SRC_SLOT_AHEAD' });
    expect(stream.sink.events).toEqual([]);
  });

  test('a position beyond the end of the server\'s log is refused', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const resume = await readOne(source);
    const { lsn, timeline } = decodePosition(resume.position);
    const ahead = encodePosition(lsn + 2n ** 40n, timeline);
    expect(await refusal({ ...source.options, resume: { ...resume, position: ahead } })).toMatchObject({ code: 'SRC_DIVERGED' });
  });

  test('earlier files of the server that were put back are noticed, though its log is longer than ever by now; a crash is not', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)', {});
    const { server } = source;
    const saved = `${server.dataDirectory}.saved`;
    let resume = await readOne(source);
    const place = async (): Promise<unknown> => (await source.run(`SELECT restart_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = '${source.slot}'`))[0]?.['lsn'];
    await server.stop('fast');
    await run('cp', ['-a', server.dataDirectory, saved]);
    await server.start();
    {
      await using stream = await Streaming.open({ ...source.options, resume });
      const before = parseLsn(String(await place()));
      let id = 10;
      // A checkpoint writes where the slot may move to, and it moves when that is confirmed.
      await eventually('the slot has moved', async () => {
        await source.run(`CHECKPOINT; INSERT INTO t VALUES (${(id += 1)})`);
        await stream.caughtUp();
        return parseLsn(String(await place())) > before;
      });
      await eventually('that has been so for a while, and positions tell of it', async () => {
        await source.run(`INSERT INTO t VALUES (${(id += 1)})`);
        await stream.caughtUp();
        return (decodePosition(stream.position).keptFrom ?? 0n) > before;
      }, 60_000);
      await stream.stop();
      resume = stream.resume;
    }
    await server.stop('immediate');
    await server.start();
    await (await connect({ ...source.options, resume }))[Symbol.asyncDispose]();
    await server.stop('immediate');
    await rm(server.dataDirectory, { recursive: true });
    await rename(saved, server.dataDirectory);
    await server.start();
    await source.run('INSERT INTO t SELECT generate_series(100000, 120000)');
    const [row] = await source.run(`SELECT pg_current_wal_lsn() > '${formatLsn(decodePosition(resume.position).lsn)}' AS longer`);
    expect(row).toEqual({ longer: true });
    expect(await refusal({ ...source.options, resume })).toMatchObject({ code: 'SRC_DIVERGED', message: expect.stringContaining('were put back') });
  });

  test('another server at the same url, and another database, are noticed', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const resume = await readOne(source);
    const other = await fresh('CREATE TABLE t (id int PRIMARY KEY)', {});
    expect(await refusal({ ...other.options, config: { slot: source.slot }, resume })).toMatchObject({ code: 'SRC_IDENTITY_CHANGED' });
    const sibling = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    expect(await refusal({ ...sibling.options, config: { slot: source.slot }, resume })).toMatchObject({ code: 'SRC_IDENTITY_CHANGED' });
  });

  test('a slot that the server gave up is history lost, with the server\'s reason', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (filler text)', { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB', checkpoint_timeout: '30s' });
    const resume = await readOne(source);
    for (let i = 0; i < 6; i += 1) await source.run("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 20000)");
    await source.run('CHECKPOINT');
    await source.run('SELECT pg_switch_wal()');
    await source.run('CHECKPOINT');
    await eventually('the slot is lost', async () => {
      const [row] = await source.run(`SELECT wal_status FROM pg_replication_slots WHERE slot_name = '${source.slot}'`);
      return row?.['wal_status'] === 'lost';
    });
    expect(await refusal({ ...source.options, resume })).toMatchObject({ code: 'SRC_HISTORY_LOST', message: expect.stringContaining('wal_removed') });
    // Nor is a new start taken for permission to go on without what is lost.
    expect(await refusal(source.options)).toMatchObject({ code: 'SRC_HISTORY_LOST' });
  });

  test.runIf(postgres.major >= 18)('a slot that was idle for too long is history lost, with the server\'s reason', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)', { idle_replication_slot_timeout: '1s' });
    const resume = await readOne(source);
    await eventually('the slot is given up', async () => {
      await source.run('CHECKPOINT');
      const [row] = await source.run(`SELECT invalidation_reason AS reason FROM pg_replication_slots WHERE slot_name = '${source.slot}'`);
      return row?.['reason'] === 'idle_timeout';
    });
    expect(await refusal({ ...source.options, resume })).toMatchObject({ code: 'SRC_HISTORY_LOST', message: expect.stringContaining('idle_timeout') });
  });

  test('a slot that is lost while the stream runs ends the stream as history lost', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (filler text)', { max_slot_wal_keep_size: '1MB', min_wal_size: '32MB', max_wal_size: '32MB', checkpoint_timeout: '30s' });
    await using stream = await Streaming.open({ ...source.options, confirm: false });
    await source.run('INSERT INTO t VALUES (1)');
    await stream.until('the row is there', (sink) => sink.of('commit').length === 1);
    const signal = AbortSignal.timeout(60_000);
    const before = await stream.session.head(signal);
    expect(before.bytesUntilLoss).toBeGreaterThan(0);
    await source.run("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 10000)");
    const after = await stream.session.head(signal);
    expect(after.retainedBytes).toBeGreaterThan(10_000_000);
    expect(after.bytesUntilLoss).toBeLessThan(before.bytesUntilLoss ?? 0);
    for (let i = 0; i < 6; i += 1) await source.run("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 20000)");
    await source.run('CHECKPOINT');
    await source.run('SELECT pg_switch_wal()');
    await source.run('CHECKPOINT');
    // The server ends the walsender; the next start finds the slot lost.
    const failure = await stream.failed();
    expect(['SRC_CONN', 'SRC_HISTORY_LOST']).toContain((failure as { code: string }).code);
    expect(await refusal({ ...source.options, resume: stream.resume })).toMatchObject({ code: 'SRC_HISTORY_LOST' });
  });

  test('a slot in use is named with its user, and tried again later', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const resume = await readOne(source);
    await using first = await Streaming.open({ ...source.options, resume });
    await eventually('the slot is taken', async () => (await source.run(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${source.slot}' AND active`)).length === 1);
    const [row] = await source.run(`SELECT active_pid::text AS pid FROM pg_replication_slots WHERE slot_name = '${source.slot}'`);
    const failure = await refusal({ ...source.options, resume: first.resume });
    expect(failure).toMatchObject({ code: 'SRC_SLOT_IN_USE', message: expect.stringContaining(`pid ${String(row?.['pid'])} (tailrace`) });
    expect(await refusal(source.options)).toMatchObject({ code: 'SRC_SLOT_IN_USE' });
  });

  test('a slot in use is taken over where that is allowed: once, by the reader that was started last', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const resume = await readOne(source);
    await using first = await Streaming.open({ ...source.options, resume });
    await eventually('the slot is taken', async () => (await source.run(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${source.slot}' AND active`)).length === 1);
    const { config } = openingDeps({ ...source.options, config: { slot: source.slot, take_over: true } });
    await using taker = postgresSource.create(config, { name: 'shop', runtime: nodeRuntime(silentLogger) });
    const request = { tables: [{ table: 'public.t' }], logged: async () => new Set<bigint>(), beginnings: rememberedBeginnings() };
    const signal = AbortSignal.timeout(20_000);
    {
      await using session = await taker.connect({ ...request, resume: first.resume }, signal);
      expect(await first.failed()).toMatchObject({ code: 'SRC_CONN' });
      await using second = new Streaming(session, source.options);
      await source.run('INSERT INTO t VALUES (2)');
      await second.until('the row is there', (sink) => sink.rows().length === 1);
      await second.stop();
    }
    await eventually('the slot is free', async () => (await source.run(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${source.slot}' AND NOT active`)).length === 1);
    await using third = await Streaming.open(source.options);
    await eventually('the slot is taken again', async () => (await source.run(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${source.slot}' AND active`)).length === 1);
    await expect(taker.connect({ ...request, resume: null }, signal)).rejects.toMatchObject({ code: 'SRC_SLOT_IN_USE' });
    expect(third.failure).toBeNull();
  });

  test('a reader is not ended for a slot that could not be gone on with anyway', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const resume = await readOne(source);
    await using first = await Streaming.open({ ...source.options, resume });
    await source.run('INSERT INTO t VALUES (2)');
    await first.until('the row is there', (sink) => sink.rows().length === 1);
    await eventually('it is confirmed', async () => (await source.run(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${source.slot}' AND active AND confirmed_flush_lsn > '${formatLsn(decodePosition(resume.position).lsn)}'`)).length === 1);
    expect(await refusal({ ...source.options, resume, opening: { takeOver: true } })).toMatchObject({ code: 'SRC_SLOT_AHEAD' });
    await source.run('INSERT INTO t VALUES (3)');
    await first.until('it reads on', (sink) => sink.rows().length === 2);
  });

  test('a slot that open transactions hold up is not created, and they are named', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int)');
    await using client = await openClient(source.options.url);
    await client.query("SET application_name = 'night job'; BEGIN; INSERT INTO other VALUES (1)");
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    const failure = await refusal({ ...source.options, opening: { lockTimeoutMs: 500 } });
    expect(failure).toMatchObject({ code: 'SRC_SLOT_BLOCKED', message: expect.stringContaining(`pid ${rows[0]?.pid} (night job, postgres)`), hint: expect.stringContaining(`pg_terminate_backend(${rows[0]?.pid})`) });
    expect(await source.run(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${source.slot}'`)).toEqual([]);
    expect(await source.run("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'walsender' AND datname = current_database()")).toEqual([]);
    await client.query('ROLLBACK');
    await readOne(source);
  });

  test('a table is added to the publication with a transaction open that wrote to it: the session waits, so that a snapshot has its rows', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)');
    const resume = await readOne(source);
    await using client = await openClient(source.options.url);
    await client.query('BEGIN; INSERT INTO u VALUES (1)');
    const opening = connect({ ...source.options, tables: ['public.t', 'public.u'], resume });
    await eventually('the table is published', async () => (await source.run("SELECT 1 FROM pg_publication_tables WHERE pubname = 'tailrace_shop' AND tablename = 'u'")).length === 1);
    const waited = await Promise.race([opening.then(() => 'opened'), client.query('SELECT pg_sleep(0.5)').then(() => 'waiting')]);
    expect(waited).toBe('waiting');
    await client.query('COMMIT');
    await using session = await opening;
    expect(session.tables.map((table) => table.table)).toEqual(['public.t', 'public.u']);
    expect(await source.run("SELECT obj_description(oid, 'pg_publication') AS comment FROM pg_publication")).toEqual([{ comment: 'made by tailrace' }]);
  });

  test('a wait for open transactions that was cut short is made up for by the next session', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)');
    const resume = await readOne(source);
    await using client = await openClient(source.options.url);
    await client.query('BEGIN; INSERT INTO u VALUES (1)');
    const options = { ...source.options, tables: ['public.t', 'public.u'], resume };
    const stop = new AbortController();
    const first = connect(options, stop.signal).catch((error: unknown) => error);
    await eventually('the table is published', async () => (await source.run("SELECT 1 FROM pg_publication_tables WHERE pubname = 'tailrace_shop' AND tablename = 'u'")).length === 1);
    stop.abort();
    await first;
    const second = connect(options);
    expect(await Promise.race([second.then(() => 'opened'), client.query('SELECT pg_sleep(0.5)').then(() => 'waiting')])).toBe('waiting');
    await client.query('COMMIT');
    await (await second)[Symbol.asyncDispose]();
  });

  describe('a data directory that is empty, and a slot that is there already', () => {
    const empty = (): Beginnings => rememberedBeginnings(new Set());
    const place = async (source: Fresh): Promise<unknown> => source.run(`SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = '${source.slot}'`);

    test('does not take it from the one that reads it; that one goes on', async () => {
      const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
      const resume = await readOne(source);
      await source.run('INSERT INTO t VALUES (2)');
      const before = await place(source);
      expect(await refusal({ ...source.options, beginnings: empty() })).toMatchObject({ code: 'SRC_SLOT_FOREIGN', entity: 'shop', hint: expect.stringContaining('`tailrace run --rebuild SOURCE`') as string });
      expect(await place(source)).toEqual(before);
      await using stream = await Streaming.open({ ...source.options, resume });
      await stream.until('the second row is there', (sink) => sink.of('commit').length === 1);
      expect(stream.sink.rows().map(({ key }) => key)).toEqual([['2']]);
    });

    test('takes it where that is allowed', async () => {
      const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
      await readOne(source);
      await using stream = await Streaming.open({ ...source.options, beginnings: empty(), opening: { takeOver: true } });
      await source.run('INSERT INTO t VALUES (2)');
      await stream.until('the row is there', (sink) => sink.rows().length > 0);
      expect(stream.sink.rows().map(({ key }) => key)).toContainEqual(['2']);
    });

    test('goes on with one that it made itself before it had logged anything', async () => {
      const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
      const beginnings = empty();
      await (await connect({ ...source.options, beginnings }))[Symbol.asyncDispose]();
      await using stream = await Streaming.open({ ...source.options, beginnings });
      await source.run('INSERT INTO t VALUES (1)');
      await stream.until('the row is there', (sink) => sink.rows().length === 1);
      expect(stream.sink.rows().map(({ key }) => key)).toEqual([['1']]);
    });

    test('begins with one that was made by hand and not read from; one that was read from by hand is refused from 14 on', async () => {
      const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION tailrace_shop FOR TABLE t');
      await source.run(`SELECT pg_create_logical_replication_slot('${source.slot}', 'pgoutput')`);
      const options = { ...source.options, config: { slot: source.slot, create: false } };
      await (await connect({ ...options, beginnings: empty() }))[Symbol.asyncDispose]();
      await readOne({ ...source, options: { ...options, beginnings: empty() } });
      const outcome = postgres.major >= 14 ? await refusal({ ...options, beginnings: empty() }) : { code: 'SRC_SLOT_FOREIGN' };
      expect(outcome).toMatchObject({ code: 'SRC_SLOT_FOREIGN' });
    });
  });

  test('a slot that was made before its publication is moved beyond what cannot be decoded', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    await source.run(`SELECT pg_create_logical_replication_slot('${source.slot}', 'pgoutput')`);
    await source.run('INSERT INTO t VALUES (0)');
    await using stream = await Streaming.open(source.options);
    await source.run('INSERT INTO t VALUES (1)');
    await stream.until('the row is there', (sink) => sink.of('commit').length >= 1);
    expect(stream.sink.rows().map((change) => change.key)).toEqual([['1']]);
  });

  test('with create: false the statements are shown and nothing is made', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const options = { ...source.options, config: { slot: source.slot, create: false } };
    const generated = postgres.major >= 18 ? ', publish_generated_columns = stored' : '';
    const statement = `CREATE PUBLICATION "tailrace_shop" FOR TABLE "public"."t" WITH (publish_via_partition_root = true${generated});`;
    expect(await refusal(options)).toMatchObject({ code: 'SRC_PUBLICATION', hint: statement });
    await source.run(statement);
    expect(await refusal(options)).toMatchObject({ code: 'SRC_SETTING', hint: `SELECT pg_create_logical_replication_slot('${source.slot}', 'pgoutput'${postgres.major >= 17 ? ', failover => true' : ''});` });
    await source.run(`SELECT pg_create_logical_replication_slot('${source.slot}', 'pgoutput')`);
    await using stream = await Streaming.open(options);
    await source.run('INSERT INTO t VALUES (1)');
    await stream.until('the row is there', (sink) => sink.of('commit').length === 1);
  });

  test('a table whose updates would begin to fail is not published', async () => {
    const source = await fresh('CREATE TABLE t (id int)');
    expect(await refusal(source.options)).toMatchObject({ code: 'SRC_NO_IDENTITY', hint: 'ALTER TABLE "public"."t" REPLICA IDENTITY FULL;' });
    expect(await source.run('SELECT 1 FROM pg_publication')).toEqual([]);
    await source.run('INSERT INTO t VALUES (1); UPDATE t SET id = 2');
  });

  test('a publication that does not send every kind of change is refused with the statement', async () => {
    const source = await fresh("CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION tailrace_shop FOR TABLE t WITH (publish = 'insert')");
    expect(await refusal(source.options)).toMatchObject({ code: 'SRC_PUBLICATION', hint: `ALTER PUBLICATION "tailrace_shop" SET (publish = 'insert, update, delete, truncate');` });
  });

  test('a publication that is dropped while the stream runs stops it, and the next session says what to do', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    await using stream = await Streaming.open(source.options);
    await stream.caughtUp();
    await source.run('DROP PUBLICATION tailrace_shop');
    await source.run('INSERT INTO t VALUES (1)');
    expect(await stream.failed()).toMatchObject({ code: 'SRC_UNPUBLISHED' });
    await stream.stop();
    await stream.session[Symbol.asyncDispose]();
    expect(await refusal({ ...source.options, resume: stream.resume })).toMatchObject({ code: 'SRC_UNPUBLISHED', hint: expect.stringContaining('CREATE PUBLICATION') });
  });

  test('a table that is dropped, or taken out of the publication, stops the stream', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)');
    const options = { ...source.options, tables: ['public.t', 'public.u'], opening: { catalogLookEveryMs: 100 } };
    await using first = await Streaming.open(options);
    await source.run('ALTER PUBLICATION tailrace_shop DROP TABLE u');
    expect(await first.failed()).toMatchObject({ code: 'SRC_PUBLICATION', hint: 'ALTER PUBLICATION "tailrace_shop" ADD TABLE "public"."u";' });
    // What is changed meanwhile is in no stream: that the table is to be read again was durable before the source stopped.
    const noted = first.sink.events.findLastIndex((event) => event.kind === 'remember');
    expect(first.sink.events.slice(noted).some((event) => event.kind === 'heartbeat')).toBe(true);
    await first.stop();
    await first.session[Symbol.asyncDispose]();
    await source.run('ALTER PUBLICATION tailrace_shop ADD TABLE u');
    await using second = await Streaming.open({ ...options, resume: first.resume });
    await second.caughtUp();
    expect(second.sink.of('reread')).toContainEqual({ kind: 'reread', table: 'public.u', reason: 'changes of public.u were not sent for a while', sweep: true });
    await source.run('DROP TABLE u');
    expect(await second.failed()).toMatchObject({ code: 'SRC_TABLE_MISSING' });
  });

  test('a role without REPLICATION, or without the right to publish, gets the statement to run', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const role = `reader_${postgres.major}_${source.database}`;
    await source.run(`CREATE ROLE ${role} LOGIN; GRANT SELECT ON t TO ${role}`);
    const options = { ...source.options, url: source.server.url(source.database, role) };
    expect(await refusal(options)).toMatchObject({ code: 'SRC_GRANT', hint: `ALTER ROLE "${role}" REPLICATION;` });
    await source.run(`ALTER ROLE ${role} REPLICATION`);
    expect(await refusal(options)).toMatchObject({ code: 'SRC_PUBLICATION', hint: expect.stringContaining('As the owner of the tables: CREATE PUBLICATION "tailrace_shop" FOR TABLE "public"."t"') });
    await source.run('CREATE PUBLICATION tailrace_shop FOR TABLE t');
    await using stream = await Streaming.open(options);
    await source.run('INSERT INTO t VALUES (1)');
    await stream.until('the row is there', (sink) => sink.of('commit').length === 1);
  });

  test('wrong passwords, databases and addresses are told apart', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const url = new URL(source.options.url);
    url.pathname = '/nosuch';
    expect(await refusal({ ...source.options, url: url.href })).toMatchObject({ code: 'SRC_AUTH', hint: 'Correct the name of the database in the source url.' });
    url.username = 'nobody_at_all';
    url.pathname = `/${source.database}`;
    expect(await refusal({ ...source.options, url: url.href })).toMatchObject({ code: 'SRC_AUTH' });
    expect(await refusal({ ...source.options, url: 'postgres://postgres@127.0.0.1:1/postgres' })).toMatchObject({ code: 'SRC_CONN' });
    expect(await refusal({ ...source.options, url: 'postgres://postgres@no-such-host.invalid/postgres' })).toMatchObject({ code: 'SRC_CONN' });
    expect(await refusal({ ...source.options, config: { slot: source.slot, tls: { mode: 'verify-full' } } })).toMatchObject({ code: 'SRC_TLS' });
  });

  test('a server with wal_level = replica is refused with the setting to change', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)', { wal_level: 'replica' });
    expect(await refusal(source.options)).toMatchObject({ code: 'SRC_SETTING', hint: expect.stringContaining('ALTER SYSTEM SET wal_level = logical') });
  });

  test('a server without free slots says so, and nothing is left behind', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)', { max_replication_slots: '1' });
    await source.run("SELECT pg_create_physical_replication_slot('taken')");
    expect(await refusal(source.options)).toMatchObject({ code: 'SRC_SETTING', hint: expect.stringContaining('max_replication_slots') });
  });

  test('a slot with two_phase, of another plugin, or of another database is not taken', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    await source.run(`SELECT pg_create_logical_replication_slot('${source.slot}', 'pgoutput', false, true)`);
    expect(await refusal(source.options)).toMatchObject({ code: 'SRC_SETTING', message: expect.stringContaining('prepared transactions') });
    const sibling = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    expect(await refusal({ ...sibling.options, config: { slot: source.slot } })).toMatchObject({ code: 'SRC_SETTING' });
  });

  test('a promoted standby is followed when its history holds what was read, and refused when it does not', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)', {});
    const resume = await readOne(source);
    // A copy of the stopped server is what a standby is after it has received everything; promoted, it begins timeline 2.
    await source.server.stop('fast');
    await promote(source.server);
    await source.server.start();
    await eventually('it is promoted', async () => (await source.run('SELECT pg_is_in_recovery() AS recovering'))[0]?.['recovering'] === false, 30_000);
    await source.run('INSERT INTO t VALUES (2)');
    await using stream = await Streaming.open({ ...source.options, resume });
    await stream.until('the row of timeline 2 is there', (sink) => sink.of('commit').length === 1);
    expect(decodePosition(stream.position).timeline).toBe(2);
    await stream.stop();
    await stream.session[Symbol.asyncDispose]();
    // Positions of timeline 1 beyond the switch point were read from a server that this one never heard of.
    const beyond = encodePosition(decodePosition(stream.position).lsn, 1);
    expect(await refusal({ ...source.options, resume: { ...resume, position: beyond } })).toMatchObject({ code: 'SRC_DIVERGED' });
  });

  test('what was made for a source is removed on request, and only that, and not while it is in use', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE PUBLICATION theirs FOR TABLE t');
    const { config } = openingDeps(source.options);
    const runtime = nodeRuntime(silentLogger);
    const signal = AbortSignal.timeout(10_000);
    {
      await using stream = await Streaming.open(source.options);
      await stream.caughtUp();
      await eventually('the slot is in use', async () => (await source.run(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${source.slot}' AND active`)).length === 1);
      await using busy = postgresSource.create(config, { name: 'shop', runtime });
      await expect(busy.dropHistory(signal)).rejects.toMatchObject({ code: 'SRC_SLOT_IN_USE' });
    }
    await eventually('the slot is free', async () => (await source.run(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${source.slot}' AND NOT active`)).length === 1);
    await using own = postgresSource.create(config, { name: 'shop', runtime });
    await using other = postgresSource.create({ ...config, publication: 'theirs' }, { name: 'shop', runtime });
    await own.dropHistory(signal);
    await other.dropHistory(signal);
    expect(await source.run('SELECT pubname FROM pg_publication')).toEqual([{ pubname: 'theirs' }]);
    expect(await source.run(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${source.slot}'`)).toEqual([]);
    await own.dropHistory(signal);
  });
});

/** Makes a stopped server come up on the next timeline, as a standby does when it is promoted: by recovery to the end of its log. */
async function promote(server: PostgresServer): Promise<void> {
  const signal = join(server.dataDirectory, 'recovery.signal');
  const { uid, gid } = await stat(server.dataDirectory);
  await writeFile(signal, '');
  await chown(signal, uid, gid);
  await appendFile(join(server.dataDirectory, 'postgresql.conf'), "restore_command = 'false'\n");
}
