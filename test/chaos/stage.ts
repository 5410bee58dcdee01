/** What the chaos suites share: a database with a table, a data directory, a daemon on both, and the question whether the index is right. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { sqlitePlace, type IndexPlace } from '../engines/index-place.ts';
import { compare, isEqual } from '../engines/main-job/compare.ts';
import type { PostgresServer } from '../engines/postgres.ts';
import { eventually } from '../engines/servers.ts';
import { spawnTailrace, type SpawnOptions, type TailraceProcess } from '../engines/tailrace.ts';

export interface StageOptions {
  /** Port that the daemon connects to instead of the server's own. */
  readonly port?: number;
  /** Lines added to the source's settings, as YAML. */
  readonly source?: string;
  /** Lines added to the config, as YAML. */
  readonly config?: string;
  /** Where the data directory is; by default in the stage's own folder. */
  readonly dataDirectory?: string;
  /** Where the index is; by default in a file in the stage's own folder. */
  readonly place?: IndexPlace;
  /** Settings added to the index, as YAML that fits on a line. */
  readonly index?: string;
}

const IN_STEP_WITHIN_MS = 60_000;

export class Stage implements AsyncDisposable {
  readonly folder: string;
  readonly url: string;
  database: Client;
  readonly #place: IndexPlace;
  readonly #server: PostgresServer;
  /** Slots belong to the whole server, not to a database: each stage has its own. */
  readonly #slot: string;

  private constructor(server: PostgresServer, slot: string, folder: string, url: string, database: Client, place: IndexPlace) {
    this.#server = server;
    this.#slot = slot;
    this.folder = folder;
    this.url = url;
    this.database = database;
    this.#place = place;
  }

  /** A database of its own with a table `items` of `rows` rows. */
  static async make(server: PostgresServer, rows: number, options: StageOptions = {}): Promise<Stage> {
    const name = await server.createDatabase();
    const url = server.url(name);
    const database = await connected(url);
    await database.query("CREATE TABLE items (id int PRIMARY KEY, name text, n bigint DEFAULT 0)");
    await database.query("INSERT INTO items SELECT i, 'item ' || i FROM generate_series(1, $1::int) i", [rows]);
    const folder = await mkdtemp(join(tmpdir(), 'tailrace-chaos-'));
    const seen = options.port === undefined ? url : url.replace(`:${server.port}/`, `:${options.port}/`);
    const dataDirectory = options.dataDirectory ?? join(folder, 'tailrace-data');
    const place = options.place ?? sqlitePlace(join(folder, 'search.db'));
    const config = `data_directory: ${dataDirectory}
sources: { shop: { type: postgres, url: "${seen}", slot: ${name}${options.source === undefined ? '' : `, ${options.source}`} } }
targets: { embedded: ${place.target} }
indices: { items: { from: shop.public.items${options.index === undefined ? '' : `, ${options.index}`} } }
${options.config ?? ''}`;
    await writeFile(join(folder, 'tailrace.yaml'), config);
    return new Stage(server, name, folder, url, database, place);
  }

  async daemon(options: SpawnOptions = {}, args: readonly string[] = ['run']): Promise<TailraceProcess> {
    return spawnTailrace(args, { cwd: this.folder, ...options });
  }

  /** A new client in place of one whose server went away. */
  async reconnected(): Promise<Client> {
    await this.database.end().catch(() => {});
    this.database = await connected(this.url);
    return this.database;
  }

  /** Updates, inserts and deletes a few hundred rows, in many transactions. */
  async write(rounds: number): Promise<void> {
    for (let i = 0; i < rounds; i += 1) {
      await this.database.query('UPDATE items SET n = n + 1 WHERE id % 50 = $1', [i % 50]);
      await this.database.query("INSERT INTO items SELECT coalesce(max(id), 0) + 1, 'more' FROM items");
      await this.database.query('DELETE FROM items WHERE id = (SELECT min(id) FROM items)');
    }
  }

  /** Waits until the index has exactly the table's rows. */
  async inStep(daemon: TailraceProcess): Promise<void> {
    await eventually('the index to equal the table', IN_STEP_WITHIN_MS, async () => {
      if (daemon.ending !== undefined) throw new Error(`tailrace ended with ${JSON.stringify(daemon.ending)}:\n${daemon.output.slice(-4000)}`);
      return isEqual(await this.compare());
    });
  }

  /** Waits until the server believes in no connection that reads the slot. */
  async serverGaveUp(): Promise<void> {
    await eventually('the server to give up the connection', IN_STEP_WITHIN_MS, async () => (await this.#server.query(`SELECT 1 FROM pg_replication_slots WHERE slot_name = '${this.#slot}' AND NOT active`)).length === 1);
  }

  async compare(): ReturnType<typeof compare> {
    return compare({ url: this.url, table: 'items', id: 'id::text', place: this.#place, index: 'items' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.database.end();
    await eventually('the slot to be free', IN_STEP_WITHIN_MS, async () => {
      await this.#server.query(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${this.#slot}'`);
      return true;
    });
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** The server is restarted under it by some tests, which make a new client then. */
async function connected(url: string): Promise<Client> {
  const client = new Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  return client;
}
