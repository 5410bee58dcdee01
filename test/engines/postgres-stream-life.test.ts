import dns from 'node:dns';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { postgresSource } from '../../connectors/sources/postgres/index.ts';
import { decodePosition, formatLsn, parseLsn } from '../../connectors/sources/postgres/position.ts';
import { codeOf } from '../../src/errors/tailrace-error.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { FaultProxy } from '../chaos/proxy.ts';
import { describePostgres, startPostgres, type PostgresServer } from './postgres.ts';
import { connect, eventually, openClient, openingDeps, RecordingSink, Streaming, type SourceOptions, rememberedBeginnings } from './postgres-stream-harness.ts';

describePostgres([15, 18], (postgres) => {
  let count = 0;

  async function fresh(sql: string, settings: { own?: boolean } = {}): Promise<Fresh> {
    const server = settings.own === true ? await startPostgres({ major: postgres.major }) : await postgres.server();
    const database = await server.createDatabase();
    const run = async (statement: string): Promise<Record<string, unknown>[]> => server.query(statement, database);
    await run(sql);
    count += 1;
    const fresh = { server, url: server.url(database), run, slot: `life_${postgres.major}_${count}` };
    if (settings.own === true) owned.push(server);
    return fresh;
  }

  interface Fresh {
    readonly server: PostgresServer;
    readonly url: string;
    readonly slot: string;
    run(sql: string): Promise<Record<string, unknown>[]>;
  }

  const owned: AsyncDisposable[] = [];
  afterEach(async () => {
    for (const resource of owned.splice(0)) await resource[Symbol.asyncDispose]();
  });

  async function confirmed(source: Fresh): Promise<bigint> {
    const [row] = await source.run(`SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = '${source.slot}'`);
    return parseLsn(String(row?.['lsn']));
  }

  async function proxied(source: Fresh): Promise<{ proxy: FaultProxy; url: string }> {
    const proxy = new FaultProxy(source.server.port, '127.0.0.1');
    await proxy.listen();
    owned.push(proxy);
    const url = new URL(source.url);
    url.port = String(proxy.port);
    return { proxy, url: url.href };
  }

  test('the transaction behind a confirmed one is sent again after a break, though its commit record begins where the confirmed one ends', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const base = { url: source.url, tables: ['public.t'], config: { slot: source.slot } };
    let resume = null;
    let next = 1;
    let adjacent = 0;
    for (let round = 0; round < 15; round += 1) {
      await using stream = await Streaming.open({ ...base, resume, confirm: false });
      await using client = await openClient(source.url);
      const ids = [next, next + 1];
      next += 2;
      // Two commits with nothing between their records: everything else of the transactions was written before.
      for (const id of ids) await client.query(`BEGIN; INSERT INTO t VALUES (${id}); PREPARE TRANSACTION '${source.slot}_${id}'`);
      for (const id of ids) await client.query(`COMMIT PREPARED '${source.slot}_${id}'`);
      await stream.until('both commits are there', (sink) => sink.of('commit').length >= 2);
      const commits = stream.sink.of('commit');
      if (decodePosition(stream.sink.of('begin')[1]?.start.position ?? Buffer.alloc(12)).lsn === commits[0]?.lsn) adjacent += 1;
      const first = stream.sink.events.findIndex((event) => event.kind === 'commit');
      expect(stream.sink.events[first - 1]).toMatchObject({ kind: 'change', key: [String(ids[0])] });
      const position = Buffer.from(stream.session.start);
      position.writeBigUInt64BE(commits[0]?.lsn ?? 0n, 0);
      stream.session.confirm(position);
      await eventually('the server knows', async () => (await confirmed(source)) === commits[0]?.lsn);
      // A new session that goes on from the first commit.
      await stream.stop();
      await stream.session[Symbol.asyncDispose]();
      await using again = await Streaming.open({ ...base, resume: { position, identity: stream.session.identity, state: null } });
      await again.until('the second is sent again', (sink) => sink.of('commit').length > 0);
      expect(again.sink.rows().map((change) => change.key)).toEqual([[String(ids[1])]]);
      resume = again.resume;
    }
    expect(adjacent).toBeGreaterThan(5);
  });

  test('through cut connections, every transaction arrives once and whole when each session goes on from the last commit', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY, part int)');
    const { proxy, url } = await proxied(source);
    const options = { url, tables: ['public.t'], config: { slot: source.slot } };
    const session = await connect(options);
    await session[Symbol.asyncDispose]();
    const transactions = 400;
    const writing = source.run(`DO $$ BEGIN FOR i IN 1..${transactions} LOOP INSERT INTO t SELECT i * 100 + j, i FROM generate_series(1, 50) j; COMMIT; PERFORM pg_sleep(0.005); END LOOP; END $$`);
    let resume: NonNullable<SourceOptions['resume']> = { position: session.start, identity: session.identity, state: null };
    const whole: string[] = [];
    let cuts = 0;
    for (let round = 0; whole.length < transactions; round += 1) {
      await proxy.set({ kind: 'pass' });
      const stream = await Streaming.open({ ...options, resume }).catch((error: unknown) => error);
      if (!(stream instanceof Streaming)) {
        // The walsender of the connection that was cut may not have noticed yet.
        expect(stream).toMatchObject({ code: 'SRC_SLOT_IN_USE' });
        continue;
      }
      const seen = whole.length;
      const wanted = 1 + ((round * 37) % 60);
      await eventually('some more has come', () => stream.failure !== null || stream.sink.changes >= wanted * 50 + 17 || seen + stream.sink.of('commit').length >= transactions);
      if (seen + stream.sink.of('commit').length < transactions) {
        await proxy.set({ kind: 'cut' });
        cuts += 1;
        expect(codeOf(await stream.failed())).toBe('SRC_CONN');
      }
      whole.push(...wholeTransactions(stream.sink));
      resume = stream.resume;
      await stream.stop();
      await stream.session[Symbol.asyncDispose]();
    }
    await writing;
    expect(cuts).toBeGreaterThan(3);
    expect(whole).toEqual(Array.from({ length: transactions }, (_, i) => `"${i + 1}": 50 rows`));
  });

  test('a sink that takes nothing for longer than wal_sender_timeout loses neither the connection nor a row, and confirms nothing meanwhile', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY, filler text)');
    await using stream = await Streaming.open({ url: source.url, tables: ['public.t'], config: { slot: source.slot, wal_sender_timeout_ms: 2_000 } });
    stream.sink.countOnly = true;
    await source.run("INSERT INTO t VALUES (0, 'x')");
    await stream.until('the first row is there', (sink) => sink.changes === 1);
    stream.sink.congestAt = 100;
    await source.run("INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 100000) i");
    await stream.until('the sink is congested', (sink) => sink.congested);
    const before = await confirmed(source);
    const changes = stream.sink.changes;
    const [walsender] = await source.run(`SELECT active_pid FROM pg_replication_slots WHERE slot_name = '${source.slot}'`);
    const startedMs = performance.now();
    await eventually('three times the timeout has passed', () => performance.now() - startedMs > 6_000);
    expect(stream.failure).toBeNull();
    expect(stream.sink.changes).toBe(changes);
    expect(await confirmed(source)).toBe(before);
    stream.sink.setCongested(false);
    await stream.until('every row is there', (sink) => sink.changes === 100_001);
    expect(await source.run(`SELECT active_pid FROM pg_replication_slots WHERE slot_name = '${source.slot}'`)).toEqual([walsender]);
  });

  test('a connection on which nothing arrives any more is given up as STALLED after twice the timeout', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const { proxy, url } = await proxied(source);
    await using stream = await Streaming.open({ url, tables: ['public.t'], config: { slot: source.slot, wal_sender_timeout_ms: 1_000 } });
    await source.run('INSERT INTO t VALUES (1)');
    await stream.until('the row is there', (sink) => sink.rows().length === 1);
    await proxy.set({ kind: 'stall' });
    const stalledMs = performance.now();
    expect(codeOf(await stream.failed())).toBe('STALLED');
    expect(performance.now() - stalledMs).toBeGreaterThan(1_900);
    expect(performance.now() - stalledMs).toBeLessThan(6_000);
  });

  test.each(['change', 'heartbeat'] as const)('what the sink throws at a %s ends the stream with it, and nothing more is pushed', async (call) => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int)');
    const table = call === 'change' ? 't' : 'other';
    await using stream = await Streaming.open({ url: source.url, tables: ['public.t'], config: { slot: source.slot } });
    let calls = 0;
    stream.sink[call] = () => {
      calls += 1;
      throw new Error('no');
    };
    await source.run(`INSERT INTO ${table} SELECT generate_series(1, 10)`);
    await eventually('the stream fails', () => {
      stream.session.nudge();
      return stream.failure !== null;
    });
    expect(stream.failure).toMatchObject({ message: 'no' });
    stream.session.nudge();
    await source.run(`INSERT INTO ${table} SELECT generate_series(11, 20)`);
    expect(calls).toBe(1);
  });

  test('a quiet server is not taken for a dead one', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    await using stream = await Streaming.open({ url: source.url, tables: ['public.t'], config: { slot: source.slot, wal_sender_timeout_ms: 1_000 } });
    const startedMs = performance.now();
    await eventually('four times the timeout has passed', () => performance.now() - startedMs > 4_000);
    expect(stream.failure).toBeNull();
    await source.run('INSERT INTO t VALUES (1)');
    await stream.until('the row is there', (sink) => sink.rows().length === 1);
  });

  test('a server that is shut down fast is not held up', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int)', { own: true });
    await using stream = await Streaming.open({ url: source.url, tables: ['public.t'], config: { slot: source.slot } });
    await source.run('INSERT INTO t VALUES (1)');
    await source.run('INSERT INTO other SELECT generate_series(1, 1000)');
    await stream.until('the row is there', (sink) => sink.rows().length === 1);
    const stopMs = performance.now();
    await source.server.stop('fast');
    expect(performance.now() - stopMs).toBeLessThan(5_000);
    expect(codeOf(await stream.failed())).toBe('SRC_CONN');
  });

  test('what the server keeps for us moves on while only other tables are written', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int, filler text)');
    await using stream = await Streaming.open({ url: source.url, tables: ['public.t'], config: { slot: source.slot } });
    const before = await confirmed(source);
    await source.run("INSERT INTO other SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i");
    const [row] = await source.run('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    const end = parseLsn(String(row?.['lsn']));
    await eventually('the slot has passed the other table\'s changes', async () => (await confirmed(source)) >= end - 8_192n, 30_000);
    expect(end - before).toBeGreaterThan(20_000_000n);
    expect(stream.sink.rows()).toEqual([]);
  });

  test('keepalives during a huge transaction are answered and do not move what is confirmed', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY, filler text)');
    await using stream = await Streaming.open({ url: source.url, tables: ['public.t'], config: { slot: source.slot, wal_sender_timeout_ms: 1_000 } });
    stream.sink.countOnly = true;
    const before = await confirmed(source);
    const inserting = source.run("INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, 300000) i");
    await stream.until('some of it is there', (sink) => sink.changes > 1_000, 60_000);
    expect(stream.sink.of('commit')).toEqual([]);
    expect(await confirmed(source)).toBeLessThanOrEqual((stream.sink.of('begin')[0]?.start.position === undefined ? 0n : decodePosition(stream.sink.of('begin')[0]?.start.position as Uint8Array).lsn));
    await inserting;
    await stream.until('all of it is there', (sink) => sink.changes === 300_000, 60_000);
    await stream.until('it is committed', (sink) => sink.of('commit').length === 1);
    await eventually('it is confirmed', async () => (await confirmed(source)) > before);
  });

  test('a position at the end of the log is reached although nothing flushes it', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE other (id int)', { own: true });
    await using stream = await Streaming.open({ url: source.url, tables: ['public.t'], config: { slot: source.slot } });
    await using client = await openClient(source.url);
    await stream.caughtUp();
    await client.query('BEGIN; INSERT INTO other VALUES (1)');
    const startedMs = performance.now();
    await stream.caughtUp();
    expect(performance.now() - startedMs).toBeLessThan(3_000);
    await client.query('ROLLBACK');
  });

  test('a position just behind the header of a new segment or page is reached on an idle server', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)', { own: true });
    await using stream = await Streaming.open({ url: source.url, tables: ['public.t'], config: { slot: source.slot } });
    await using client = await openClient(source.url);
    const inserted = async (): Promise<bigint> => parseLsn((await client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn')).rows[0]?.lsn ?? '');
    const emit = async (bytes: number): Promise<unknown> => client.query(`SELECT pg_logical_emit_message(true, 'x', repeat('y', ${bytes}))`);
    const reached = { segment: 0, page: 0 };
    for (let i = 0; i < 30 && (reached.segment < 2 || reached.page < 2); i += 1) {
      if (i % 2 === 0) {
        await emit(1);
        await client.query('SELECT pg_switch_wal()');
      } else {
        // A commit record that ends exactly where a page does: what the transaction takes beside its message is found out first.
        const before = await inserted();
        await emit(96);
        const after = await inserted();
        const left = 8192n - (after % 8192n);
        const bytes = Number(left - (after - before)) + 96;
        if (bytes > 0) await emit(bytes);
      }
      const lsn = await inserted();
      const header = lsn % 16_777_216n === 40n ? 40n : lsn % 8192n === 24n ? 24n : 0n;
      if (header === 40n) reached.segment += 1;
      if (header === 24n) reached.page += 1;
      if (header === 0n) continue;
      await stream.caughtUp();
      expect(formatLsn(decodePosition(stream.position).lsn)).toBe(formatLsn(lsn - header));
    }
    expect(reached.segment).toBeGreaterThan(0);
    expect(reached.page).toBeGreaterThan(0);
  });

  test.each(['while paused', 'within a transaction', 'at rest'])('a stop %s ends within seconds, with the last status sent and the slot kept', async (when) => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY, filler text)');
    const sink = new RecordingSink();
    await using stream = await Streaming.open({ url: source.url, tables: ['public.t'], config: { slot: source.slot }, sink });
    sink.countOnly = true;
    await source.run("INSERT INTO t VALUES (0, 'x')");
    await stream.until('the first is there', () => sink.of('commit').length === 1);
    if (when === 'while paused') sink.congestAt = 100;
    if (when !== 'at rest') {
      await source.run("INSERT INTO t SELECT i, repeat('x', 300) FROM generate_series(1, 200000) i");
      await stream.until('some of it is there', () => sink.changes > 1);
    }
    const stopMs = performance.now();
    await stream.stop();
    await stream.session[Symbol.asyncDispose]();
    expect(performance.now() - stopMs).toBeLessThan(5_000);
    expect(stream.failure).toBeNull();
    const changes = sink.changes;
    await eventually('the walsender is gone', async () => (await source.run(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${source.slot}' AND active`)).length === 0);
    expect(await source.run(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${source.slot}'`)).toHaveLength(1);
    if (when === 'at rest') expect(await confirmed(source)).toBe(sink.of('commit')[0]?.lsn);
    expect(sink.changes).toBe(changes);
  });

  test('a password that was renewed is used at the next connect', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)', { own: true });
    const folder = await mkdtemp(join(tmpdir(), 'tailrace-password-'));
    owned.push({ [Symbol.asyncDispose]: async () => rm(folder, { recursive: true }) });
    const file = join(folder, 'password');
    await source.run("CREATE ROLE reader LOGIN REPLICATION SUPERUSER PASSWORD 'first'");
    await requirePasswords(source.server);
    const url = source.server.url(new URL(source.url).pathname.slice(1), 'reader');
    const options = { url, tables: ['public.t'], config: { slot: source.slot, password_file: file } };
    await writeFile(file, 'wrong\n');
    await expect(connect(options)).rejects.toMatchObject({ code: 'SRC_AUTH' });
    await writeFile(file, 'first\n');
    const session = await connect(options);
    await session[Symbol.asyncDispose]();
    await source.run("ALTER ROLE reader PASSWORD 'second'");
    await writeFile(file, 'second\n');
    await using stream = await Streaming.open({ ...options, resume: { position: session.start, identity: session.identity, state: null } });
    await source.run('INSERT INTO t VALUES (1)');
    await stream.until('the row is there', (sink) => sink.rows().length === 1);
  });

  test('a name is looked up anew at every connect: of each connection, also within a session', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY)');
    const lookup = dns.lookup;
    const moving = { address: '127.0.0.1', lookups: 0 };
    const spy = vi.spyOn(dns, 'lookup').mockImplementation(((name: string, options: dns.LookupOptions, callback: (error: Error | null) => void) => {
      if (name !== 'db.test') return lookup(name, options, callback as never);
      moving.lookups += 1;
      if (moving.address === '') return setImmediate(callback, Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' }));
      return lookup(moving.address, options, callback as never);
    }) as typeof dns.lookup);
    owned.push({ [Symbol.asyncDispose]: async () => spy.mockRestore() });
    const url = source.url.replace('127.0.0.1', 'db.test');
    const { config } = openingDeps({ url, config: { slot: source.slot, tls: { mode: 'disable' } } });
    await using configured = postgresSource.create(config, { name: 'shop', runtime: nodeRuntime(silentLogger) });
    const signal = AbortSignal.timeout(60_000);
    const request = { tables: [{ table: 'public.t' }], resume: null, logged: async () => new Set<bigint>(), beginnings: rememberedBeginnings() };
    {
      await using session = await configured.connect(request, signal);
      // The connection that asks, and the one that streams.
      expect(moving.lookups).toBe(2);
      const others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tailrace' AND datname = current_database()";
      await source.run(others);
      moving.address = '';
      // The first may still meet the end of the old connection.
      await session.head(signal).catch(() => {});
      await expect(session.head(signal)).rejects.toMatchObject({ code: 'SRC_CONN', message: expect.stringContaining('ENOTFOUND db.test') as string });
      await expect(session.snapshots.planRanges('public.t', 1, { kind: 'all' }, signal)).rejects.toMatchObject({ code: 'SRC_CONN' });
      moving.address = '127.0.0.1';
      expect((await session.head(signal)).notes).toEqual([]);
    }
    moving.address = '';
    await expect(configured.connect(request, signal)).rejects.toMatchObject({ code: 'SRC_CONN', message: expect.stringContaining('ENOTFOUND db.test') as string });
    moving.address = '127.0.0.1';
    const before = moving.lookups;
    await using again = await configured.connect(request, signal);
    expect(moving.lookups).toBe(before + 2);
    expect(again.tables).toHaveLength(1);
  });

  test('one byte at a time, the stream is the same', async () => {
    const source = await fresh('CREATE TABLE t (id int PRIMARY KEY, filler text)');
    const { proxy, url } = await proxied(source);
    await using stream = await Streaming.open({ url, tables: ['public.t'], config: { slot: source.slot } });
    await proxy.set({ kind: 'slice', bytes: 1 });
    await source.run("INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 30) i; UPDATE t SET filler = NULL WHERE id = 7");
    await stream.until('all is there', (sink) => sink.of('commit').length >= 1, 60_000);
    const rows = stream.sink.rows();
    expect(rows).toHaveLength(31);
    expect(rows.at(6)).toMatchObject({ key: ['7'], row: { id: '7', filler: '8f14e45fceea167a5a36dedd4bea2543' } });
    expect(rows.at(30)).toMatchObject({ op: 'update', key: ['7'], row: { id: '7', filler: null } });
  });
});

/** Transactions that were committed in the sink: what their rows have in common, and how many they are. */
function wholeTransactions(sink: RecordingSink): string[] {
  const whole: string[] = [];
  let open: string[] = [];
  for (const event of sink.events) {
    if (event.kind === 'begin') open = [];
    else if (event.kind === 'change') open.push(JSON.stringify(event.row?.['part']));
    else if (event.kind === 'commit') whole.push(`${[...new Set(open)].join(',')}: ${open.length} rows`);
  }
  return whole;
}

/** Lets everybody in with a password only, but for the superuser. */
async function requirePasswords(server: PostgresServer): Promise<void> {
  await writeFile(join(server.dataDirectory, 'pg_hba.conf'), 'host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n');
  await server.query('SELECT pg_reload_conf()');
}
