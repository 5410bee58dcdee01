/** A real OpenSearch or Elasticsearch node as processes of ours: private folders, free port, loopback only, small heap, gone when the test is. */
import { spawn, type ChildProcess } from 'node:child_process';
import { chownSync, closeSync, copyFileSync, existsSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { dialects, OpenSearchClientSide, titleOf, type OpenSearchServer, type OpenSearchVersion } from './opensearch-client.ts';
import { guardFolder, guardProcess, releaseFolder } from './servers-guard.ts';
import { eventually, freePort, privateFolder, quickFolder, serverAccount, type Account } from './servers.ts';

/** A busy machine with two cores takes up to 30 s. */
const startDeadlineMs = 150_000;
const stopDeadlineMs = 60_000;
const portAttemptsMax = 5;
const heap = '512m';

const subfolders = ['config', 'logs', 'temporary', 'repository'] as const;

/** Where a node's programs are, and the Java that runs them. */
export interface OpenSearchPrograms {
  readonly home: string;
  readonly java: string;
}

class OpenSearchProcess extends OpenSearchClientSide implements OpenSearchServer {
  readonly #programs: OpenSearchPrograms;
  readonly #folder: string;
  readonly #dataFolder: string;
  readonly #account: Account | undefined;
  /** The script that was started. OpenSearch's becomes the node, Elasticsearch's starts the node and ends with it. */
  #child: ChildProcess | undefined;
  #nodePid: number | undefined;

  constructor(version: OpenSearchVersion, port: number, where: { programs: OpenSearchPrograms; folder: string; dataFolder: string; account: Account | undefined }) {
    super(version, `http://127.0.0.1:${port}`);
    this.#programs = where.programs;
    this.#folder = where.folder;
    this.#dataFolder = where.dataFolder;
    this.#account = where.account;
  }

  get repositoryFolder(): string {
    return join(this.#folder, 'repository');
  }

  get pid(): number {
    if (this.#nodePid === undefined) throw new Error(`${this.#title} is not running`);
    return this.#nodePid;
  }

  async start(): Promise<void> {
    if (this.#child !== undefined) throw new Error(`${this.#title} is running already`);
    const logPath = join(this.#folder, 'server.log');
    const logStart = existsSync(logPath) ? statSync(logPath).size : 0;
    const log = openSync(logPath, 'a');
    const child = spawn(join(this.#programs.home, 'bin', this.dialect), [], { ...this.#account, cwd: this.#folder, stdio: ['ignore', log, log], env: this.#environment() });
    closeSync(log);
    guardProcess(child);
    this.#child = child;
    let failed: Error | undefined;
    child.once('error', (error) => (failed = error));
    child.once('exit', () => {
      this.#child = undefined;
      this.#nodePid = undefined;
    });
    const ready = await eventually(`${this.#title} answers`, startDeadlineMs, async () => (failed !== undefined || this.#child !== child ? 'ended' : await this.#ready()));
    if (ready !== 'ended') {
      this.#nodePid = ready;
      return;
    }
    throw failed ?? new Error(`${this.#title} ended at its start:\n${readFileSync(logPath).subarray(logStart).toString()}`);
  }

  async stop(): Promise<void> {
    if (this.#child === undefined) return;
    this.kill('SIGTERM');
    await this.ended();
  }

  kill(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  async ended(): Promise<void> {
    await eventually(`${this.#title} ends`, stopDeadlineMs, () => this.#child === undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child !== undefined) {
      // What it holds is removed with it, so it need not end in order.
      process.kill(this.#nodePid ?? (this.#child.pid as number), 'SIGKILL');
      await this.ended();
    }
    for (const folder of [this.#folder, this.#dataFolder]) {
      rmSync(folder, { recursive: true, force: true });
      releaseFolder(folder);
    }
  }

  get #title(): string {
    return `${titleOf(this.version)} on port ${this.port}`;
  }

  /** The node's pid once all its shards have come back, or undefined. */
  async #ready(): Promise<number | undefined> {
    const health = await this.request('GET', '/_cluster/health?wait_for_status=yellow&wait_for_no_initializing_shards=true&timeout=1s');
    // Another server may have taken the port in the meantime, and would answer just as well.
    if (health.status !== 200 || (health.body as { cluster_name: string }).cluster_name !== basename(this.#folder)) return undefined;
    const { nodes } = (await this.ask('GET', '/_nodes/_local/process?filter_path=nodes.*.process.id')) as { nodes: Record<string, { process: { id: number } }> };
    return Object.values(nodes)[0]?.process.id;
  }

  #environment(): Record<string, string> {
    const prefix = this.dialect === 'opensearch' ? 'OPENSEARCH' : 'ES';
    return {
      PATH: process.env['PATH'] ?? '',
      LC_ALL: 'C',
      [`${prefix}_JAVA_HOME`]: this.#programs.java,
      [`${prefix}_PATH_CONF`]: join(this.#folder, 'config'),
      [`${prefix}_TMPDIR`]: join(this.#folder, 'temporary'),
    };
  }
}

/** Starts a node; `settings` go into its configuration beside those that every test node has. */
export async function startOpenSearchProcess(version: OpenSearchVersion, programs: OpenSearchPrograms, settings: Readonly<Record<string, string>>): Promise<OpenSearchServer> {
  const account = serverAccount();
  const folder = privateFolder(dialects[version], account);
  // Every change of a mapping or an alias is synced.
  const dataFolder = privateFolder(`${dialects[version]}-data`, account, quickFolder());
  for (const made of [folder, dataFolder]) guardFolder(made);
  for (const name of subfolders) {
    mkdirSync(join(folder, name));
    own(join(folder, name), account);
  }
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    configure(version, programs, folder, account, { ...settings, 'path.data': dataFolder, 'http.port': String(port) });
    const server = new OpenSearchProcess(version, port, { programs, folder, dataFolder, account });
    try {
      await server.start();
      return server;
    } catch (error) {
      const portTaken = error instanceof Error && /BindHttpException|Address already in use/.test(error.message);
      if (portTaken && attempt < portAttemptsMax) continue;
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }
}

function configure(version: OpenSearchVersion, programs: OpenSearchPrograms, folder: string, account: Account | undefined, settings: Readonly<Record<string, string>>): void {
  const dialect = dialects[version];
  const all: Record<string, string> = {
    'cluster.name': basename(folder),
    'node.name': 'test',
    'discovery.type': 'single-node',
    'network.host': '127.0.0.1',
    // The system gives one.
    'transport.port': '0',
    'path.logs': join(folder, 'logs'),
    'path.repo': join(folder, 'repository'),
    // A machine whose disk is nearly full would otherwise block writing.
    'cluster.routing.allocation.disk.threshold_enabled': 'false',
    // Without this, and before the first start, Elasticsearch gives itself certificates and a password.
    ...(dialect === 'elasticsearch' ? { 'xpack.security.enabled': 'false' } : {}),
    ...settings,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`);
  // A short life on few cores: the quick compiler and the small collector.
  const flags = [`-Xms${heap}`, `-Xmx${heap}`, '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', `-Djava.io.tmpdir=${join(folder, 'temporary')}`];
  const agent = join(programs.home, 'agent', 'opensearch-agent.jar');
  // What stands in for the security manager since OpenSearch 3; the node does not start without it.
  if (existsSync(agent)) flags.push(`-javaagent:${agent}`);
  const config = join(folder, 'config');
  writeFileSync(join(config, `${dialect}.yml`), lines.join(''));
  writeFileSync(join(config, 'jvm.options'), `${flags.join('\n')}\n`);
  copyFileSync(join(programs.home, 'config', 'log4j2.properties'), join(config, 'log4j2.properties'));
  for (const name of [`${dialect}.yml`, 'jvm.options', 'log4j2.properties']) own(join(config, name), account);
}

function own(path: string, account: Account | undefined): void {
  if (account !== undefined) chownSync(path, account.uid, account.gid);
}
