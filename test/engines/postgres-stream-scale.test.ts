import { expect, test } from 'vitest';
import { beginVisibility } from '../../connectors/sources/postgres/stream/visibility-upkeep.ts';
import { describePostgres, startPostgres } from './postgres.ts';
import { eventually, openClient, RecordingSink, Streaming } from './postgres-stream-harness.ts';

const MiB = 1024 * 1024;

/** Memory of this process beyond what it had, at its highest while work goes on. */
class MemoryWatch {
  readonly #before = process.memoryUsage().rss;
  #highest = 0;
  readonly #timer = setInterval(() => this.#look(), 20);

  #look(): void {
    this.#highest = Math.max(this.#highest, process.memoryUsage().rss - this.#before);
  }

  stop(): number {
    clearInterval(this.#timer);
    this.#look();
    return this.#highest;
  }
}

describePostgres([15, 18], (postgres) => {
  test('a value of nearly a gigabyte costs no memory, and the rows around it arrive', async () => {
    await using server = await startPostgres({ major: postgres.major, settings: { logical_decoding_work_mem: '64MB' } });
    const database = await server.createDatabase();
    await server.query('CREATE TABLE t (id int PRIMARY KEY, body text)', database);
    await using stream = await Streaming.open({ url: server.url(database), tables: ['public.t'] });
    const memory = new MemoryWatch();
    await server.query("INSERT INTO t VALUES (1, 'before'), (2, repeat('x', 900 * 1024 * 1024)), (3, 'after')", database);
    await stream.until('all is there', (sink) => sink.of('commit').length === 1, 150_000);
    const used = memory.stop();
    expect(stream.sink.rows().map((change) => change.row)).toEqual([
      { id: '1', body: 'before' },
      { id: '2', body: { leftOut: 900 * MiB } },
      { id: '3', body: 'after' },
    ]);
    expect(used).toBeLessThan(100 * MiB);
  });

  test('a transaction of a million rows costs no memory beyond what the socket and the sink hold', async () => {
    await using server = await startPostgres({ major: postgres.major, settings: { max_wal_size: '4GB', synchronous_commit: 'off' } });
    const database = await server.createDatabase();
    await server.query('CREATE TABLE t (id int PRIMARY KEY, body text)', database);
    const sink = new RecordingSink();
    sink.countOnly = true;
    await using stream = await Streaming.open({ url: server.url(database), tables: ['public.t'], sink });
    const memory = new MemoryWatch();
    await server.query("INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 1000000) i", database);
    await stream.until('all is there', () => sink.of('commit').length === 1, 150_000);
    expect(sink.changes).toBe(1_000_000);
    expect(memory.stop()).toBeLessThan(100 * MiB);
  });

  test('a hundred thousand small transactions arrive in order, each once, and are forgotten as they are proven visible', async () => {
    await using server = await startPostgres({ major: postgres.major, settings: { synchronous_commit: 'off' } });
    const database = await server.createDatabase();
    await server.query('CREATE TABLE t (id int PRIMARY KEY)', database);
    await using stream = await Streaming.open({ url: server.url(database), tables: ['public.t'] });
    await server.query('DO $$ BEGIN FOR i IN 1..100000 LOOP INSERT INTO t VALUES (i); COMMIT; END LOOP; END $$', database);
    await stream.until('all is there', (sink) => sink.of('commit').length === 100_000, 150_000);
    expect(stream.sink.rows().every((change, i) => change.key[0] === String(i + 1))).toBe(true);
    const lsns = stream.sink.of('commit').map((event) => event.lsn);
    expect(lsns.every((lsn, i) => i === 0 || lsn > (lsns[i - 1] ?? 0n))).toBe(true);
  });

  test('a transaction that is in the log and that nobody sees yet is known to the next session', async () => {
    await using server = await startPostgres({ major: postgres.major });
    const database = await server.createDatabase();
    const url = server.url(database);
    await server.query('CREATE TABLE t (id int PRIMARY KEY)', database);
    await using stream = await Streaming.open({ url, tables: ['public.t'] });
    await stream.caughtUp();
    // A commit that waits for a standby which will never come: written, streamed, and invisible.
    await server.query("ALTER SYSTEM SET synchronous_standby_names = 'nosuch'");
    await server.query('SELECT pg_reload_conf()');
    await eventually('the setting is in force', async () => (await server.query('SHOW synchronous_standby_names'))[0]?.['synchronous_standby_names'] === 'nosuch');
    await using stuck = await openClient(url);
    const inserting = stuck.query('INSERT INTO t VALUES (1)').catch((error: unknown) => error);
    await stream.until('the row is streamed', (sink) => sink.of('commit').length === 1);
    const xid = stream.sink.of('begin')[0]?.start.id as bigint;
    expect(await server.query('SELECT * FROM t', database)).toEqual([]);
    await using reader = await openClient(url);
    const query = async (sql: string): Promise<Record<string, string | null>[]> => (await reader.query<Record<string, string | null>>({ text: sql, types: { getTypeParser: () => (value: string) => value } })).rows;
    const asked: bigint[] = [];
    const logged = async (ids: ReadonlySet<bigint>): Promise<ReadonlySet<bigint>> => {
      asked.push(...ids);
      return new Set([...ids].filter((id) => id === xid));
    };
    const tracker = await beginVisibility(query, logged, AbortSignal.timeout(10_000));
    const snapshot = async (): Promise<string> => String((await query('SELECT pg_current_snapshot()::text AS s'))[0]?.['s']);
    expect(asked).toContain(xid);
    const mark = tracker.mark();
    expect(tracker.sees(await snapshot(), mark)).toBe(false);
    expect(tracker.hiddenXid(await snapshot(), mark)).toBe(Number(xid));
    await server.query('ALTER SYSTEM RESET synchronous_standby_names');
    await server.query('SELECT pg_reload_conf()');
    await inserting;
    await eventually('the transaction is visible', async () => tracker.sees(await snapshot(), mark));
    expect(await server.query('SELECT * FROM t', database)).toEqual([{ id: 1 }]);
  });
});
