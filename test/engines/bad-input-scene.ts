/**
 * What the suites of bad input share: a database with a table `items`, a config, the real command line on both, what it says when it refuses, and
 * the question whether nothing was lost.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client } from 'pg';
import { expect } from 'vitest';
import { catalogue, type ErrorCode } from '../../src/errors/catalogue.ts';
import { exitCodeOf } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { runCli, type CliResult } from '../cmd/run-cli.ts';
import { sqlitePlace } from './index-place.ts';
import { compare, isEqual } from './main-job/compare.ts';
import type { PostgresServer } from './postgres-client.ts';
import { eventually } from './servers.ts';
import { spawnTailrace, type TailraceProcess } from './tailrace.ts';

type Settings = Record<string, unknown>;

/** A config as it is written to the file; JSON is YAML. */
export interface SceneConfig {
  data_directory: string;
  source: Settings;
  index: Settings;
  /** Further settings of the first level. */
  more: Settings;
}

/** The three sentences and the code. */
export interface Refusal {
  readonly code: string;
  readonly message: string;
  readonly did: string;
  readonly hint: string;
}

const ROWS = 300;
const IN_STEP_WITHIN_MS = 30_000;

export class Scene implements AsyncDisposable {
  readonly server: PostgresServer;
  readonly folder: string;
  readonly database: string;
  readonly config: SceneConfig;

  private constructor(server: PostgresServer, folder: string, database: string) {
    this.server = server;
    this.folder = folder;
    this.database = database;
    this.config = { data_directory: 'data', source: { type: 'postgres', url: server.url(database), slot: database }, index: { from: 'shop.public.items' }, more: {} };
  }

  /** A database of its own with a table `items` of a few hundred rows. `change` alters the config before anything reads it. */
  static async make(server: PostgresServer, change: (config: SceneConfig) => void = () => {}): Promise<Scene> {
    const database = await server.createDatabase();
    await server.query(`CREATE TABLE items (id int PRIMARY KEY, name text, n bigint); INSERT INTO items SELECT i, 'item ' || i, i FROM generate_series(1, ${ROWS}) i`, database);
    const scene = new Scene(server, await mkdtemp(join(tmpdir(), 'tailrace-bad-')), database);
    await scene.configure(change);
    return scene;
  }

  /** Writes the config anew. */
  async configure(change: (config: SceneConfig) => void): Promise<void> {
    change(this.config);
    const { data_directory, source, index, more } = this.config;
    await this.write('tailrace.yaml', JSON.stringify({ data_directory, sources: { shop: source }, indices: { items: index }, ...more }, null, 2));
  }

  async write(name: string, text: string): Promise<string> {
    const path = join(this.folder, name);
    await writeFile(path, text);
    return path;
  }

  /** Path of a file in the data directory. */
  data(...names: readonly string[]): string {
    return join(this.folder, this.config.data_directory, ...names);
  }

  async sql(text: string): Promise<Record<string, unknown>[]> {
    return this.server.query(text, this.database);
  }

  /** A connection of its own, to hold a transaction open. */
  async client(): Promise<Client & AsyncDisposable> {
    const client = new Client({ connectionString: this.server.url(this.database) });
    client.on('error', () => {});
    await client.connect();
    return Object.assign(client, { [Symbol.asyncDispose]: async () => client.end() });
  }

  async cli(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CliResult> {
    return runCli(args, { cwd: this.folder, env });
  }

  async daemon(...args: readonly string[]): Promise<TailraceProcess> {
    return spawnTailrace(['run', ...args], { cwd: this.folder });
  }

  /** Runs a command that must fail with this code, and gives what it said. */
  async refusal(code: ErrorCode, args: readonly string[] = ['run', '--once'], env: Readonly<Record<string, string>> = {}): Promise<Refusal> {
    const { code: status, stderr } = await this.cli(args, env);
    const refusal = refusalIn(stderr);
    expect(refusal.code, stderr).toBe(code);
    expect(status).toBe(exitCodeOf(new TailraceError(code, { message: 'x' })));
    return threeSentences(refusal);
  }

  /** Runs until everything is searchable; fails unless that ends well and the index is the table. */
  async mended(args: readonly string[] = ['run', '--once'], env: Readonly<Record<string, string>> = {}): Promise<void> {
    const { code, stderr } = await this.cli(args, env);
    expect(code, stderr).toBe(0);
    expect(await this.compare()).toMatchObject({ missing: [], extra: [], different: [] });
  }

  /** Has the index built again by a daemon, as a hint says, and then holds it against the table. */
  async resynced(hint: string): Promise<void> {
    const [, command = ''] = /`tailrace (resync items)`/.exec(hint) ?? [];
    {
      await using daemon = await this.daemon();
      await daemon.event('index_stopped');
      const { code, stderr } = await this.cli(command.split(' '));
      expect(code, stderr).toBe(0);
      await this.inStep(daemon);
    }
    await this.mended();
  }

  /** Waits until the index is the table, while a daemon works. */
  async inStep(daemon: TailraceProcess): Promise<void> {
    await eventually('the index to equal the table', IN_STEP_WITHIN_MS, async () => {
      if (daemon.ending !== undefined) throw new Error(`tailrace ended with ${JSON.stringify(daemon.ending)}:\n${daemon.output.slice(-4000)}`);
      return isEqual(await this.compare());
    });
  }

  async compare(): ReturnType<typeof compare> {
    return compare({ url: this.server.url(this.database), table: 'items', id: 'id::text', place: sqlitePlace(this.data('search.db')), index: 'items' });
  }

  /** Ids in the index. */
  ids(): string[] {
    const file = new DatabaseSync(this.data('search.db'), { readOnly: true });
    try {
      return file.prepare('SELECT id FROM items ORDER BY id').all().map(({ id }) => String(id));
    } finally {
      file.close();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await eventually('the slot to be free', IN_STEP_WITHIN_MS, async () => {
      await this.server.query(`SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '${this.database}'`);
      return true;
    });
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** What the command line said last, below its log lines. */
function refusalIn(stderr: string): Refusal {
  const [, message = '', did = '', hint = '', code = ''] = /^tailrace: ([^]*)\n {2}(.+)\n {2}→ ([^]*)\n {2}([A-Z_]+)(?:: docs\/errors\.md#[a-z_]+)?\n/m.exec(stderr) ?? [];
  return { code, message, did, hint };
}

/** The error of a log line. */
export function errorOf(line: { readonly [field: string]: unknown }): Refusal {
  return threeSentences(line['error'] as Refusal);
}

/** One sentence each on what happened, what tailrace did, what mends it. A config with several problems has a line for each. */
function threeSentences(refusal: Refusal): Refusal {
  expect(Object.keys(catalogue)).toContain(refusal.code);
  expect(refusal.message).toMatch(/^[^\n]{10,}[.?]$|^[^\n]+:\n/);
  // A sentence has one full stop, at its end; those inside names and numbers have no blank behind them.
  expect(refusal.message.split(/\.\s+(?=[A-Z])/)).toHaveLength(1);
  expect(refusal.did).toMatch(/^\S[^\n]*\.$/);
  expect(refusal.hint).toMatch(/^\S[^]*[.;]$/);
  return refusal;
}
