/**
 * How to connect, worked out anew for every connection: url, password and certificates may have changed since the last one.
 *
 * The server's settings that decide how values look as text are pinned: the log holds text, and a role's or database's own defaults must
 * not change it. Stream, snapshot and catalog connections all use the same ones, so that one row has the same bytes everywhere.
 */
import { readFile } from 'node:fs/promises';
import type { ConnectionOptions } from 'node:tls';
import type { ClientConfig } from 'pg';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { PostgresConfig } from '../config.ts';
import { SocketPieces } from '../wire/socket-pieces.ts';

/** Every one of these changes what a value looks like as text, hides something from us, or ends a statement that must not be ended. */
const pinnedSettings: Readonly<Record<string, string>> = {
  datestyle: 'ISO',
  intervalstyle: 'iso_8601',
  timezone: 'UTC',
  extra_float_digits: '1',
  bytea_output: 'hex',
  lc_monetary: 'C',
  // `regclass` and its kin print a schema only for what is not on the path, and quotes only as needed.
  search_path: 'pg_catalog',
  quote_all_identifiers: 'off',
  standard_conforming_strings: 'on',
  default_transaction_isolation: 'read\\ committed',
  // Some warnings of the stream must not be missed.
  client_min_messages: 'warning',
  statement_timeout: '0',
  idle_in_transaction_session_timeout: '0',
};

/** A connection's text: UTF-8, or for a database that knows no encoding the bytes as they are (UTF-8 would be refused where they are none). */
export type ClientEncoding = 'UTF8' | 'SQL_ASCII';

/**
 * To be run on a new connection: what cannot be said in the startup message. pg asks every server for UTF-8 there, and a server refuses a
 * connection that names a setting it does not have, as 13 has no `idle_session_timeout`.
 */
export function setupStatement(encoding: ClientEncoding): string {
  const idle = "SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'idle_session_timeout'";
  return encoding === 'UTF8' ? idle : `SET client_encoding = '${encoding}'; ${idle}`;
}

interface ConnectionSettings {
  readonly client: ClientConfig;
  /** The socket that pg will connect: ours to destroy when connecting takes too long or is called off, and to take over. */
  readonly pieces: SocketPieces;
}

/** Works out one connection, with server settings beside the pinned ones: `lock_timeout`, `wal_sender_timeout`. Throws CFG_INVALID for a url that is none and SRC_TLS or SRC_AUTH for a file that cannot be read. */
export async function connectionSettings(config: PostgresConfig, settings: Readonly<Record<string, string>>): Promise<ConnectionSettings> {
  const url = parseUrl(config.url.reveal());
  const password = await passwordOf(config, url);
  const ssl = await tlsOptions(config, url);
  const pieces = new SocketPieces(ssl === false);
  const options = Object.entries({ ...pinnedSettings, ...settings }).map(([name, value]) => `-c ${name}=${value}`);
  return {
    pieces,
    client: {
      host: url.host,
      port: url.port,
      user: url.user,
      database: url.database,
      // As a function: an empty text would make pg look into the environment and the home folder.
      password: () => password,
      application_name: url.applicationName,
      options: options.join(' '),
      ssl,
      stream: () => pieces.socket,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      connectionTimeoutMillis: config.connect_timeout_ms,
    },
  };
}

type TlsMode = NonNullable<PostgresConfig['tls']['mode']>;

interface SourceUrl {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly applicationName: string;
  readonly tlsMode: TlsMode | null;
}

/** libpq's names. `require` and `prefer` do not check certificates there; here whatever encrypts also checks, unless told not to. */
const tlsModes: Readonly<Record<string, TlsMode>> = {
  disable: 'disable',
  allow: 'verify-full',
  prefer: 'verify-full',
  require: 'verify-full',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
  'no-verify': 'insecure',
};

const knownParameters = new Set(['sslmode', 'application_name', 'host', 'port', 'user', 'dbname']);

/** Reads `postgres://user:password@host:port/database?sslmode=...`; a socket folder is given as `?host=/var/run/postgresql`. */
export function parseUrl(text: string): SourceUrl {
  // A user before an empty host, as in `postgres://user@/database?host=/folder`, is no url to others than PostgreSQL.
  const complete = text.replace(/^(postgres(?:ql)?:\/\/[^/?#]*@)\//, '$1localhost/');
  if (!URL.canParse(complete)) throw invalidUrl('it is not a url');
  const url = new URL(complete);
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') throw invalidUrl('it does not begin with postgres://');
  const parameters = url.searchParams;
  for (const name of parameters.keys()) if (!knownParameters.has(name)) throw invalidUrl(`the parameter ${name} is not known`);
  const user = parameters.get('user') ?? decoded(url.username);
  if (user === '') throw invalidUrl('it names no user');
  const sslmode = parameters.get('sslmode');
  const tlsMode = sslmode === null ? null : tlsModes[sslmode];
  if (tlsMode === undefined) throw invalidUrl(`sslmode ${sslmode} is not known`);
  const port = Number(parameters.get('port') ?? (url.port === '' ? 5432 : url.port));
  const host = parameters.get('host') ?? decoded(url.hostname).replace(/^\[(.*)\]$/, '$1');
  const path = decoded(url.pathname.slice(1));
  return {
    host: host === '' ? 'localhost' : host,
    port,
    user,
    password: decoded(url.password),
    database: parameters.get('dbname') ?? (path === '' ? user : path),
    applicationName: parameters.get('application_name') ?? 'tailrace',
    tlsMode,
  };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // The error would repeat the text, which may be the password.
    throw invalidUrl('it has a % that begins no escape');
  }
}

function invalidUrl(why: string): TailraceError {
  // What stands between `://` and `@` is taken out of every message, be it an example.
  return new TailraceError('CFG_INVALID', { message: `The url of a Postgres source is not usable: ${why}.`, hint: 'Write postgres://host:5432/database?user=name with `password_file`, or put `name:password@` before the host.' });
}

async function passwordOf(config: PostgresConfig, url: SourceUrl): Promise<string> {
  if (config.password_file === undefined) return url.password;
  return (await readNamed(config.password_file, 'SRC_AUTH', 'password_file')).trimEnd();
}

/** What pg and Node's tls take; false for no encryption. */
async function tlsOptions(config: PostgresConfig, url: SourceUrl): Promise<ConnectionOptions | false> {
  const { mode: configured, ca, cert, key } = config.tls;
  const named = configured ?? url.tlsMode;
  const mode = named ?? (isLocal(url.host) && ca === undefined ? 'disable' : 'verify-full');
  if (mode === 'disable') return false;
  const options: ConnectionOptions = { rejectUnauthorized: mode !== 'insecure' };
  if (mode === 'verify-ca') options.checkServerIdentity = () => undefined;
  if (ca !== undefined) options.ca = await readNamed(ca, 'SRC_TLS', 'tls.ca');
  if (cert !== undefined) options.cert = await readNamed(cert, 'SRC_TLS', 'tls.cert');
  if (key !== undefined) options.key = await readNamed(key, 'SRC_TLS', 'tls.key');
  return options;
}

/** True for a socket folder and for addresses of this machine: what is sent there passes no network. */
function isLocal(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

async function readNamed(path: string, code: 'SRC_TLS' | 'SRC_AUTH', setting: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new TailraceError(code, { message: `The file that ${setting} names, ${path}, cannot be read.`, hint: `Create the file or correct ${setting}.`, cause });
  }
}
