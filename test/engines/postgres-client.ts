/** The Postgres server that tests see, and the part of it that is the same wherever the server runs: it is spoken to through `pg`. */
import { randomBytes } from 'node:crypto';
import { Client, escapeIdentifier } from 'pg';

export type PostgresMajor = 13 | 14 | 15 | 16 | 17 | 18;
/** `smart` waits for clients to leave, `fast` rolls back and checkpoints, `immediate` is a crash that recovers at the next start. */
export type StopMode = 'fast' | 'immediate' | 'smart';

/** A superuser `postgres` without a password, `wal_level = logical`, fsync on, time zone UTC. Disposing removes server and data. */
export interface PostgresServer extends AsyncDisposable {
  readonly major: PostgresMajor;
  readonly port: number;
  /** The postmaster's. Throws while the server is stopped, and where the server is not a process of ours. */
  readonly pid: number;
  /** Throws where the server is not a process of ours. */
  readonly dataDirectory: string;
  /** A connection URL; the defaults are the database and user `postgres`. */
  url(database?: string, user?: string): string;
  /** Runs one statement as superuser in a connection of its own, and gives the rows as `pg` types them. */
  query(sql: string, database?: string): Promise<Record<string, unknown>[]>;
  /** Creates an empty database and gives its name: the one asked for, or a new one. */
  createDatabase(name?: string): Promise<string>;
  /** Resolves when the server has ended; does nothing when it is stopped. */
  stop(mode?: StopMode): Promise<void>;
  /** Starts it again on the same port with the same data; resolves when it answers. */
  start(): Promise<void>;
  kill(signal: NodeJS.Signals): void;
}

const connectDeadlineMs = 5_000;

/** Where a server with the account `postgres` listens on loopback. */
export function loopbackUrl(port: number): URL {
  return new URL(`postgres://postgres@127.0.0.1:${port}/postgres`);
}

export class PostgresClientSide {
  readonly major: PostgresMajor;
  /** The superuser's URL, password included. */
  readonly #superuser: URL;

  constructor(major: PostgresMajor, superuser: URL) {
    this.major = major;
    this.#superuser = superuser;
  }

  get port(): number {
    return Number(this.#superuser.port === '' ? 5432 : this.#superuser.port);
  }

  url(database?: string, user?: string): string {
    const url = new URL(this.#superuser);
    if (database !== undefined) url.pathname = `/${encodeURIComponent(database)}`;
    if (user !== undefined && user !== decodeURIComponent(url.username)) {
      url.username = encodeURIComponent(user);
      url.password = '';
    }
    return url.href;
  }

  async query(sql: string, database?: string): Promise<Record<string, unknown>[]> {
    const client = new Client({ connectionString: this.url(database), connectionTimeoutMillis: connectDeadlineMs });
    // A connection that breaks rejects the query it carries; the event says the same again and must have a listener.
    client.on('error', () => {});
    await client.connect();
    try {
      const { rows } = await client.query<Record<string, unknown>>(sql);
      return rows;
    } finally {
      await client.end();
    }
  }

  async createDatabase(name = `t${randomBytes(6).toString('hex')}`): Promise<string> {
    await this.query(`CREATE DATABASE ${escapeIdentifier(name)}`);
    return name;
  }
}
