/** A real Postgres server in a container, for machines with Docker and without Postgres. */
import { GenericContainer, getContainerRuntimeClient, Wait, type StartedTestContainer } from 'testcontainers';
import { loopbackUrl, PostgresClientSide, type PostgresMajor, type PostgresServer, type StopMode } from './postgres-client.ts';
import { testSettings } from './postgres-process.ts';
import { eventually, freePort } from './servers.ts';

const containerPort = 5432;
const startDeadlineMs = 180_000;
const answerDeadlineMs = 60_000;
const stopDeadlineMs = 60_000;
const stopSignals: Record<StopMode, NodeJS.Signals> = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' };

/** True when a container engine answers. */
export async function containersAvailable(): Promise<boolean> {
  try {
    await getContainerRuntimeClient();
    return true;
  } catch {
    // No engine, or none that this account may use: either way tests look further.
    return false;
  }
}

class PostgresContainer extends PostgresClientSide implements PostgresServer {
  readonly #container: StartedTestContainer;

  constructor(major: PostgresMajor, port: number, container: StartedTestContainer) {
    super(major, loopbackUrl(port));
    this.#container = container;
  }

  get pid(): number {
    throw this.#noProcess('a pid');
  }

  get dataDirectory(): string {
    throw this.#noProcess('a data folder');
  }

  async start(): Promise<void> {
    const handle = await this.#handle();
    await handle.start();
    await this.answers();
  }

  async answers(): Promise<void> {
    await eventually(`PostgreSQL ${this.major} answers on port ${this.port}`, answerDeadlineMs, async () => await this.query('SELECT 1'));
  }

  async stop(mode: StopMode = 'fast'): Promise<void> {
    const handle = await this.#handle();
    if (!(await handle.inspect()).State.Running) return;
    await handle.kill({ signal: stopSignals[mode] });
    await eventually(`PostgreSQL ${this.major} ends`, stopDeadlineMs, async () => !(await handle.inspect()).State.Running);
  }

  kill(signal: NodeJS.Signals): void {
    // Nobody waits for the engine's answer, as nobody waits for a signal; `stop` and `start` see whether it worked.
    this.#signal(signal).catch((error: unknown) => console.error('the container could not be sent a signal:', error));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#container.stop({ remove: true, removeVolumes: true });
  }

  async #signal(signal: NodeJS.Signals): Promise<void> {
    const handle = await this.#handle();
    await handle.kill({ signal });
  }

  async #handle() {
    const { container } = await getContainerRuntimeClient();
    return container.getById(this.#container.getId());
  }

  #noProcess(what: string): Error {
    return new Error(`this test needs ${what}, and this PostgreSQL ${this.major} runs in a container: install PostgreSQL or set TAILRACE_TEST_POSTGRES_${this.major}_BIN`);
  }
}

/** Starts a container with a fixed port on loopback, so that a restart keeps the port. */
export async function startPostgresContainer(major: PostgresMajor, settings: Readonly<Record<string, string>>): Promise<PostgresServer> {
  const port = await freePort();
  const flags = Object.entries({ ...testSettings, ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const container = await new GenericContainer(`postgres:${major}`)
    .withEnvironment({ POSTGRES_HOST_AUTH_METHOD: 'trust', POSTGRES_INITDB_ARGS: '--encoding=UTF8 --locale=C' })
    .withCommand(['postgres', ...flags])
    .withExposedPorts({ container: containerPort, host: port })
    // Twice: the image starts the server once for its own set-up.
    .withWaitStrategy(Wait.forLogMessage('database system is ready to accept connections', 2))
    .withStartupTimeout(startDeadlineMs)
    .start();
  const server = new PostgresContainer(major, port, container);
  await server.answers();
  return server;
}
