/** The primary is lost and its standby takes over: what was read goes on there without a gap, or stops with the reason. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { decodePosition } from '../../connectors/sources/postgres/position.ts';
import { documentsIn } from './indexed-documents.ts';
import { describePostgres, startPostgres, type PostgresServer } from './postgres.ts';
import { promote, replayed, STANDBY_SLOT, startStandby } from './postgres-standby.ts';
import { connect, Streaming, type SourceOptions } from './postgres-stream-harness.ts';
import { eventually } from './servers.ts';
import { startShop } from './shop-pipeline.ts';

const SLOT = 'tailrace_shop';

describePostgres([15, 18], (postgres) => {
  const owned: AsyncDisposable[] = [];
  afterEach(async () => {
    for (const resource of owned.splice(0).toReversed()) await resource[Symbol.asyncDispose]();
  });

  interface Pair {
    readonly primary: PostgresServer;
    readonly standby: PostgresServer;
    readonly database: string;
    /** How the source is reached at one of them. */
    readonly at: (server: PostgresServer) => SourceOptions;
  }

  async function pair(standbySettings?: Readonly<Record<string, string>>): Promise<Pair> {
    const primary = await startPostgres({ major: postgres.major });
    owned.push(primary);
    const standby = await startStandby(primary, standbySettings);
    owned.push(standby);
    const database = await primary.createDatabase();
    await primary.query('CREATE TABLE t (id int PRIMARY KEY)', database);
    return { primary, standby, database, at: (server) => ({ url: server.url(database), tables: ['public.t'] }) };
  }

  function keys(stream: Streaming): unknown[] {
    return stream.sink.rows().map((change) => change.key[0]);
  }

  async function refusal(options: SourceOptions): Promise<unknown> {
    const outcome = await connect(options).catch((error: unknown) => error);
    if (outcome instanceof Error) return outcome;
    await (outcome as AsyncDisposable)[Symbol.asyncDispose]();
    throw new Error('the session was opened');
  }

  /** Streams from the primary until rows 1 to `count` have been read; they are committed one by one. */
  async function readFrom({ primary, database, at }: Pair, count: number): Promise<Streaming> {
    const stream = await Streaming.open(at(primary));
    for (let id = 1; id <= count; id += 1) await primary.query(`INSERT INTO t VALUES (${id})`, database);
    await stream.until('the rows are there', (sink) => sink.rows().length === count);
    return stream;
  }

  describe.runIf(postgres.major >= 17)('with a standby that keeps a copy of the slot', () => {
    async function syncedPair(): Promise<Pair> {
      const made = await pair({ sync_replication_slots: 'on' });
      await made.primary.query(`ALTER SYSTEM SET synchronized_standby_slots = '${STANDBY_SLOT}'`);
      await made.primary.query('SELECT pg_reload_conf()');
      return made;
    }

    /** The copy is of use when it has caught up with what the standby itself still has. */
    async function slotSynced({ primary, standby }: Pair): Promise<void> {
      await eventually('the standby has the slot', 90_000, async () => {
        await primary.query('SELECT pg_log_standby_snapshot()');
        return (await standby.query(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${SLOT}' AND synced AND NOT temporary AND invalidation_reason IS NULL`)).length === 1;
      });
    }

    test('reading goes on at the promoted standby: no row is lost, none comes twice', async () => {
      const made = await syncedPair();
      const { primary, standby, database, at } = made;
      const before = await readFrom(made, 3);
      await slotSynced(made);
      await primary.query('INSERT INTO t VALUES (4)', database);
      await before.until('the row that was read last is there', (sink) => sink.rows().length === 4);
      await before[Symbol.asyncDispose]();
      expect(keys(before)).toEqual(['1', '2', '3', '4']);
      // Committed and never read before the primary is lost.
      await primary.query('INSERT INTO t VALUES (5)', database);
      await replayed(primary, standby);
      await primary.stop('immediate');
      await promote(standby);
      // The mark of a copy stays with it, and means nothing on a primary.
      expect(await standby.query(`SELECT synced, failover FROM pg_replication_slots WHERE slot_name = '${SLOT}'`)).toEqual([{ synced: true, failover: true }]);
      await standby.query('INSERT INTO t VALUES (6)', database);
      await using after = await Streaming.open({ ...at(standby), resume: before.resume });
      await after.until('the rest is there', (sink) => sink.rows().length === 2);
      await after.caughtUp();
      expect(keys(after)).toEqual(['5', '6']);
      expect(after.session.identity).toBe(before.session.identity);
      expect(decodePosition(after.position).timeline).toBe(2);
      await after.stop();
      // A position that was written on the new timeline is gone on from as well.
      await after.session[Symbol.asyncDispose]();
      await standby.query('INSERT INTO t VALUES (7)', database);
      await using again = await Streaming.open({ ...at(standby), resume: after.resume });
      await again.until('the next row is there', (sink) => sink.rows().length === 1);
      expect(keys(again)).toEqual(['7']);
    });

    test('a pipeline that runs goes over with its address, and asks again until the standby is promoted', async () => {
      const made = await syncedPair();
      const { primary, standby, database } = made;
      const folder = await mkdtemp(join(tmpdir(), 'tailrace-failover-'));
      owned.push({ [Symbol.asyncDispose]: async () => rm(folder, { recursive: true }) });
      await using address = await MovingAddress.open(primary.port);
      await primary.query('INSERT INTO t SELECT generate_series(1, 500)', database);
      const url = primary.url(database).replace(`:${primary.port}/`, `:${address.port}/`);
      await using pipeline = await startShop({ folder, url, indices: { t: { from: 'shop.public.t' } } });
      const signal = AbortSignal.timeout(120_000);
      await pipeline.caughtUp(signal);
      await slotSynced(made);
      await primary.query('DELETE FROM t WHERE id <= 10; INSERT INTO t VALUES (501)', database);
      await replayed(primary, standby);
      await primary.stop('immediate');
      address.move(standby.port);
      await eventually('it has met the standby', 60_000, () => pipeline.status().sources[0]?.error?.message.includes('is a standby now') === true);
      await promote(standby);
      await standby.query('INSERT INTO t VALUES (502)', database);
      await eventually('the index is what the table of the new primary is', 60_000, async () => {
        const rows = await standby.query('SELECT id FROM t ORDER BY id', database);
        return isDeepStrictEqual(Object.keys(documentsIn(folder, 't')).map(Number).toSorted((a, b) => a - b), rows.map(({ id }) => id));
      });
      expect(pipeline.status().sources[0]).toMatchObject({ phase: 'streaming', error: null });
    });

    test('the stream is never ahead of the standby', async () => {
      const made = await syncedPair();
      const { primary, standby, database } = made;
      await using stream = await readFrom(made, 1);
      await standby.stop('fast');
      await primary.query('INSERT INTO t VALUES (2)', database);
      await eventually('it is told what is waited for', 20_000, async () => {
        const { notes } = await stream.session.head(AbortSignal.timeout(10_000));
        return notes.some((note) => note.includes(`no standby reads from ${STANDBY_SLOT}`));
      });
      // The server says every moment that its standby is away.
      const until = performance.now() + 2_000;
      await eventually('the stream has had time', 20_000, () => performance.now() > until);
      expect(keys(stream)).toEqual(['1']);
      await standby.start();
      await stream.until('the row is there', (sink) => sink.rows().length === 2);
    });
  });

  test('a promoted standby without the slot is history lost', async () => {
    const made = await pair();
    const { primary, standby, database, at } = made;
    const before = await readFrom(made, 2);
    await before[Symbol.asyncDispose]();
    await primary.query('INSERT INTO t VALUES (3)', database);
    await replayed(primary, standby);
    await primary.stop('immediate');
    // Not promoted yet: it is tried again.
    expect(await refusal({ ...at(standby), resume: before.resume })).toMatchObject({ code: 'SRC_CONN', message: expect.stringContaining('is a standby now') as string });
    await promote(standby);
    expect(await refusal({ ...at(standby), resume: before.resume })).toMatchObject({ code: 'SRC_HISTORY_LOST', message: expect.stringContaining(`the slot ${SLOT} is gone`) as string });
  });

  test('a standby that was behind what was read is another history, slot or not', async () => {
    const made = await pair();
    const { primary, standby, database, at } = made;
    const before = await readFrom(made, 1);
    await replayed(primary, standby);
    await standby.stop('fast');
    await primary.query('INSERT INTO t VALUES (2)', database);
    await before.until('the row that only the primary has is read', (sink) => sink.rows().length === 2);
    await before[Symbol.asyncDispose]();
    await primary.stop('immediate');
    await standby.start();
    await promote(standby);
    await standby.query(`SELECT pg_create_logical_replication_slot('${SLOT}', 'pgoutput')`, database);
    // By now its log is longer than what was read: the position alone tells nothing.
    await standby.query('INSERT INTO t SELECT generate_series(3, 2000)', database);
    expect(await refusal({ ...at(standby), resume: before.resume })).toMatchObject({ code: 'SRC_DIVERGED', message: expect.stringContaining('left timeline 1 at') as string });
  });

  test('a standby is not read from', async () => {
    const made = await pair();
    await replayed(made.primary, made.standby);
    expect(await refusal(made.at(made.standby))).toMatchObject({ code: 'SRC_SETTING', message: expect.stringContaining('is a standby') as string });
  });
});

/** An address that leads to one server and then to another, as a virtual one does; connections that stand stay where they are. */
class MovingAddress implements AsyncDisposable {
  readonly #server: Server;
  readonly #open = new Set<Socket>();
  #upstreamPort: number;

  static async open(upstreamPort: number): Promise<MovingAddress> {
    const address = new MovingAddress(upstreamPort);
    address.#server.listen(0, '127.0.0.1');
    await once(address.#server, 'listening');
    return address;
  }

  private constructor(upstreamPort: number) {
    this.#upstreamPort = upstreamPort;
    this.#server = createServer((client) => {
      const upstream = createConnection(this.#upstreamPort, '127.0.0.1');
      for (const [one, other] of [[client, upstream], [upstream, client]] as const) {
        this.#open.add(one);
        one.pipe(other);
        one.on('error', () => {}).on('close', () => {
          this.#open.delete(one);
          other.destroy();
        });
      }
    });
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
    return address.port;
  }

  move(upstreamPort: number): void {
    this.#upstreamPort = upstreamPort;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
