/** A Postgres server that somebody else runs and names by URL: tests use it, and neither stop it nor change its settings. */
import { escapeIdentifier } from 'pg';
import { PostgresClientSide, type PostgresMajor, type PostgresServer } from './postgres-client.ts';
import { EngineMissing } from './servers.ts';

class PostgresElsewhere extends PostgresClientSide implements PostgresServer {
  readonly #created: string[] = [];

  override async createDatabase(name?: string): Promise<string> {
    const created = await super.createDatabase(name);
    this.#created.push(created);
    return created;
  }

  get pid(): number {
    throw this.#notOurs();
  }

  get dataDirectory(): string {
    throw this.#notOurs();
  }

  async start(): Promise<void> {
    await Promise.reject(this.#notOurs());
  }

  async stop(): Promise<void> {
    await Promise.reject(this.#notOurs());
  }

  kill(): void {
    throw this.#notOurs();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const name of this.#created) await this.query(`DROP DATABASE IF EXISTS ${escapeIdentifier(name)} WITH (FORCE)`);
  }

  #notOurs(): Error {
    return new Error(`this test needs a PostgreSQL ${this.major} of its own, and the environment names one by URL`);
  }
}

/** The server at `url` when it is of that version and set up for logical replication; otherwise undefined. */
export async function postgresAt(url: string, major: PostgresMajor): Promise<PostgresServer | undefined> {
  const server = new PostgresElsewhere(major, new URL(url));
  const [row] = await server.query(`SELECT current_setting('server_version_num')::int / 10000 AS major, current_setting('wal_level') AS wal`);
  return row?.['major'] === major && row['wal'] === 'logical' ? server : undefined;
}

/** Throws `EngineMissing` when the server does not have the settings that a test asks for. */
export async function requireSettings(server: PostgresServer, settings: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, wanted] of Object.entries(settings)) {
    const [row] = await server.query(`SELECT current_setting('${name.replaceAll("'", "''")}') AS value`);
    if (row?.['value'] !== wanted) throw new EngineMissing(`the PostgreSQL named by URL has ${name} = ${String(row?.['value'])}, and this test needs ${wanted}`);
  }
}
