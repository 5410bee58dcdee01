/** A real Postgres server as a process of ours: private data folder, free port, loopback only, gone when the test is. */
import { spawn, type ChildProcess } from 'node:child_process';
import { appendFileSync, closeSync, existsSync, openSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { loopbackUrl, PostgresClientSide, type PostgresMajor, type PostgresServer, type StopMode } from './postgres-client.ts';
import { programEnvironment } from './packages.ts';
import { createDataDirectory } from './postgres-template.ts';
import { guardFolder, guardProcess, releaseFolder } from './servers-guard.ts';
import { eventually, freePort, privateFolder, serverAccount, type Account } from './servers.ts';

/** Small and cheap, but as durable as the default: tests kill this server and expect what it confirmed to be there. */
export const testSettings: Readonly<Record<string, string>> = {
  wal_level: 'logical',
  max_wal_senders: '20',
  max_replication_slots: '100',
  max_prepared_transactions: '10',
  shared_buffers: '16MB',
  timezone: 'UTC',
  lc_messages: 'C',
  jit: 'off',
  log_line_prefix: '%m [%p] ',
};

const startDeadlineMs = 60_000;
const stopDeadlineMs = 60_000;
const portAttemptsMax = 5;
const stopSignals: Record<StopMode, NodeJS.Signals> = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' };

class PostgresProcess extends PostgresClientSide implements PostgresServer {
  readonly #binFolder: string;
  readonly #folder: string;
  readonly #account: Account | undefined;
  #child: ChildProcess | undefined;

  constructor(major: PostgresMajor, port: number, where: { binFolder: string; folder: string; account: Account | undefined }) {
    super(major, loopbackUrl(port));
    this.#binFolder = where.binFolder;
    this.#folder = where.folder;
    this.#account = where.account;
  }

  get dataDirectory(): string {
    return join(this.#folder, 'data');
  }

  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error(`the PostgreSQL ${this.major} on port ${this.port} is not running`);
    return pid;
  }

  get #logPath(): string {
    return join(this.#folder, 'server.log');
  }

  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`the PostgreSQL ${this.major} on port ${this.port} is running already`);
    const giveUpMs = performance.now() + startDeadlineMs;
    for (;;) {
      const failure = await this.#startOnce();
      if (failure === undefined) return;
      // The backends of a killed postmaster hold its memory until they notice its end: moments later, asking again helps.
      if (!failure.message.includes('pre-existing shared memory block') || performance.now() > giveUpMs) throw failure;
    }
  }

  async #startOnce(): Promise<Error | undefined> {
    const logStart = existsSync(this.#logPath) ? statSync(this.#logPath).size : 0;
    const log = openSync(this.#logPath, 'a');
    const child = spawn(join(this.#binFolder, 'postgres'), ['-D', this.dataDirectory], {
      ...this.#account,
      cwd: this.#folder,
      stdio: ['ignore', log, log],
      env: programEnvironment(this.#binFolder),
    });
    closeSync(log);
    guardProcess(child);
    this.#child = child;
    let failed: Error | undefined;
    child.once('error', (error) => (failed = error));
    child.once('exit', () => (this.#child = undefined));
    await eventually(`PostgreSQL ${this.major} answers on port ${this.port}`, startDeadlineMs, async () => {
      if (failed !== undefined || this.#child !== child) return true;
      // Another server may have taken the port in the meantime, and would answer just as well.
      const [row] = await this.query("SELECT current_setting('data_directory') AS folder");
      return row?.['folder'] === this.dataDirectory;
    });
    if (failed !== undefined || this.#child === child) return failed;
    const said = readFileSync(this.#logPath).subarray(logStart).toString();
    return new Error(`PostgreSQL ${this.major} ended at its start:\n${said}`);
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    await this.#end(stopSignals[mode]);
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child !== undefined) {
      // A test may have stopped the process with SIGSTOP; then it would not see the request to end.
      this.kill('SIGCONT');
      await this.#end('SIGQUIT');
    }
    rmSync(this.#folder, { recursive: true, force: true });
    releaseFolder(this.#folder);
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    child.kill(signal);
    await eventually(`PostgreSQL ${this.major} on port ${this.port} ends on ${signal}`, stopDeadlineMs, () => this.#child !== child);
  }
}

/** Puts what a server begins with at `dataDirectory`, owned by `account`. */
export type FillDataDirectory = (binFolder: string, dataDirectory: string, account: Account | undefined) => Promise<void>;

/**
 * Starts a server from the binaries in `binFolder`, with an empty data folder unless `fill` makes another; `settings` go into its
 * `postgresql.conf`, so that ALTER SYSTEM still overrides them.
 */
export async function startPostgresProcess(major: PostgresMajor, binFolder: string, settings: Readonly<Record<string, string>>, fill: FillDataDirectory = createDataDirectory): Promise<PostgresServer> {
  const account = serverAccount();
  const folder = privateFolder(`pg${major}`, account);
  guardFolder(folder);
  await fill(binFolder, join(folder, 'data'), account);
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const server = new PostgresProcess(major, port, { binFolder, folder, account });
    writeSettings(server.dataDirectory, { ...testSettings, ...settings, listen_addresses: '127.0.0.1', port: String(port), unix_socket_directories: folder });
    try {
      await server.start();
      return server;
    } catch (error) {
      const portTaken = error instanceof Error && error.message.includes('could not bind');
      if (portTaken && attempt < portAttemptsMax) continue;
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }
}

function writeSettings(dataDirectory: string, settings: Readonly<Record<string, string>>): void {
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
  appendFileSync(join(dataDirectory, 'postgresql.conf'), lines.join(''));
}
