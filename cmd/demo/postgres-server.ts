/** A PostgreSQL of the demo's own: a fresh database on a free port of loopback, with a password, in the demo's folder. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, closeSync, cpSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { canReach, serverAccount, type Account } from './account.ts';
import type { PostgresBinaries } from './postgres-package.ts';
import type { Workspace } from './workspace.ts';

const run = promisify(execFile);

const START_WITHIN_MS = 30_000;
const STOP_WITHIN_MS = 10_000;
const READY_POLL_MS = 25;
const PORT_ATTEMPTS_MAX = 5;
const SHOWN_LOG_CHARS = 1_500;
const USER = 'shop';
const DATABASE = 'postgres';

export interface DemoPostgres extends AsyncDisposable {
  readonly url: string;
  /** `18.4` */
  readonly version: string;
  connect(): Promise<Client>;
}

/** Errors: USAGE when a server cannot run here. */
export async function startPostgres({ folder: binaries }: PostgresBinaries, workspace: Workspace, signal: AbortSignal): Promise<DemoPostgres> {
  const account = serverAccount();
  const home = join(workspace.folder, 'postgres');
  mkdirSync(home, { mode: 0o700 });
  if (account !== undefined) chownSync(home, account.uid, account.gid);
  const bin = join(reachable(binaries, account, home), 'bin');
  const password = randomBytes(12).toString('hex');
  await createCluster(bin, home, password, account, signal);
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    const server = new Server({ bin, home, account, port: await freePort(), password });
    const failure = await server.start(workspace, signal);
    if (failure === undefined) return server;
    // Between our look and the server's, somebody else took the port.
    if (!failure.includes('Address already in use') || attempt === PORT_ATTEMPTS_MAX) throw cannotRun('did not start', failure);
  }
}

/** The binaries where the account can read them: a copy when they lie under a home folder that is closed to it. */
function reachable(binaries: string, account: Account | undefined, home: string): string {
  if (canReach(account, join(binaries, 'bin', 'postgres'))) return binaries;
  const copy = join(home, 'software');
  cpSync(binaries, copy, { recursive: true, verbatimSymlinks: true });
  return copy;
}

async function createCluster(bin: string, home: string, password: string, account: Account | undefined, signal: AbortSignal): Promise<void> {
  const passwordFile = join(home, 'password');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  if (account !== undefined) chownSync(passwordFile, account.uid, account.gid);
  const options = [`--username=${USER}`, `--pwfile=${passwordFile}`, '--auth=scram-sha-256', '--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions', '-D', join(home, 'data')];
  try {
    await run(join(bin, 'initdb'), options, { ...account, cwd: home, env: environment(), signal });
  } catch (error) {
    signal.throwIfAborted();
    throw cannotRun('could not create a database', error instanceof Error && 'stderr' in error ? String(error.stderr) : String(error), error);
  }
  rmSync(passwordFile);
}

function cannotRun(what: string, output: string, cause?: unknown): TailraceError {
  return new TailraceError('USAGE', { message: `The PostgreSQL that the demo brings ${what} on this machine:\n${output.trim().slice(-SHOWN_LOG_CHARS)}`, did: 'The demo ended and removed what it had made.', hint: 'The package is built for glibc Linux and macOS. With a database of your own, begin with `tailrace check`.', cause });
}

/** Nothing of ours that would change how the server behaves (PGDATA, PGPORT, locales) reaches it. */
function environment(): Record<string, string> {
  return { PATH: process.env['PATH'] ?? '', LC_ALL: 'C', TZ: 'UTC' };
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

interface ServerOptions {
  readonly bin: string;
  readonly home: string;
  readonly account: Account | undefined;
  readonly port: number;
  readonly password: string;
}

class Server implements DemoPostgres {
  readonly #options: ServerOptions;
  readonly url: string;
  version = '';
  #child: ChildProcess | undefined;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.url = `postgres://${USER}:${options.password}@127.0.0.1:${options.port}/${DATABASE}`;
  }

  /** Undefined when it answers, or what it said when it ended. */
  async start(workspace: Workspace, signal: AbortSignal): Promise<string | undefined> {
    const { bin, home, account, port } = this.#options;
    const logPath = join(home, 'server.log');
    const log = openSync(logPath, 'w');
    // With its data in a place of its own and durability as PostgreSQL has it by default: what is measured is not made to look better.
    const settings = { wal_level: 'logical', listen_addresses: '127.0.0.1', port: String(port), unix_socket_directories: '', shared_buffers: '32MB', max_connections: '30' };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const child = spawn(join(bin, 'postgres'), ['-D', join(home, 'data'), ...options], { ...account, cwd: home, env: environment(), stdio: ['ignore', log, log], detached: true });
    closeSync(log);
    let failed: Error | undefined;
    child.once('error', (error) => (failed = error));
    this.#child = child;
    if (child.pid !== undefined) workspace.guard(child.pid);
    const deadline = performance.now() + START_WITHIN_MS;
    while (failed === undefined && child.exitCode === null && child.signalCode === null) {
      if (await this.#answers()) return undefined;
      if (signal.aborted || performance.now() > deadline) {
        await this[Symbol.asyncDispose]();
        signal.throwIfAborted();
        return `It did not answer within ${START_WITHIN_MS / 1000} s.\n${readFileSync(logPath, 'utf8')}`;
      }
      await pause(READY_POLL_MS);
    }
    return failed?.message ?? readFileSync(logPath, 'utf8');
  }

  async connect(): Promise<Client> {
    const client = new Client({ connectionString: this.url, connectionTimeoutMillis: START_WITHIN_MS });
    // A connection that breaks rejects the query it carries; the event says the same again and must have a listener.
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  async #answers(): Promise<boolean> {
    try {
      const client = await this.connect();
      const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
      await client.end();
      this.version = rows[0]?.server_version ?? '';
      return true;
    } catch {
      // Not listening yet, or starting up; another server on this port would not know the password.
      return false;
    }
  }

  /** Fast shutdown, then harder ones. */
  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
    const exited = once(child, 'exit');
    for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
      child.kill(signal);
      if (await Promise.race([exited.then(() => true), pause(STOP_WITHIN_MS, false, { ref: false })])) return;
    }
  }
}
