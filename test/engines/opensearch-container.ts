/** A real OpenSearch or Elasticsearch in a container, for machines with Docker. */
import { GenericContainer, getContainerRuntimeClient, Wait, type StartedTestContainer } from 'testcontainers';
import { dialects, OpenSearchClientSide, titleOf, type OpenSearchServer, type OpenSearchVersion } from './opensearch-client.ts';
import { eventually, freePort } from './servers.ts';

const containerPort = 9200;
const startDeadlineMs = 300_000;
const answerDeadlineMs = 150_000;
const stopDeadlineMs = 60_000;
const heap = '-Xms512m -Xmx512m';
const repositoryFolder = '/tmp/repository';

const images = { opensearch: 'opensearchproject/opensearch', elasticsearch: 'elasticsearch' } as const;

class OpenSearchContainer extends OpenSearchClientSide implements OpenSearchServer {
  readonly repositoryFolder = repositoryFolder;
  readonly #container: StartedTestContainer;

  constructor(version: OpenSearchVersion, port: number, container: StartedTestContainer) {
    super(version, `http://127.0.0.1:${port}`);
    this.#container = container;
  }

  get pid(): number {
    throw new Error(`this test needs a pid, and this ${titleOf(this.version)} runs in a container`);
  }

  async start(): Promise<void> {
    await (await this.#handle()).start();
    await this.answers();
  }

  async answers(): Promise<void> {
    const path = '/_cluster/health?wait_for_status=yellow&wait_for_no_initializing_shards=true&timeout=1s';
    await eventually(`${titleOf(this.version)} answers on port ${this.port}`, answerDeadlineMs, async () => (await this.request('GET', path)).status === 200);
  }

  async stop(): Promise<void> {
    if (!(await this.#running())) return;
    this.kill('SIGTERM');
    await this.ended();
  }

  kill(signal: NodeJS.Signals): void {
    // Nobody waits for the engine's answer, as nobody waits for a signal; `ended` and `start` see whether it worked.
    this.#signal(signal).catch((error: unknown) => console.error('the container could not be sent a signal:', error));
  }

  async ended(): Promise<void> {
    await eventually(`${titleOf(this.version)} ends`, stopDeadlineMs, async () => !(await this.#running()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#container.stop({ remove: true, removeVolumes: true });
  }

  async #running(): Promise<boolean> {
    return (await (await this.#handle()).inspect()).State.Running;
  }

  async #signal(signal: NodeJS.Signals): Promise<void> {
    await (await this.#handle()).kill({ signal });
  }

  async #handle() {
    const { container } = await getContainerRuntimeClient();
    return container.getById(this.#container.getId());
  }
}

/** Starts a container with a fixed port on loopback, so that a restart keeps the port. */
export async function startOpenSearchContainer(version: OpenSearchVersion, settings: Readonly<Record<string, string>>): Promise<OpenSearchServer> {
  const port = await freePort();
  const dialect = dialects[version];
  const container = await new GenericContainer(`${images[dialect]}:${version}`)
    .withEnvironment({
      'discovery.type': 'single-node',
      'path.repo': repositoryFolder,
      'cluster.routing.allocation.disk.threshold_enabled': 'false',
      ...(dialect === 'opensearch' ? { DISABLE_SECURITY_PLUGIN: 'true', DISABLE_INSTALL_DEMO_CONFIG: 'true', OPENSEARCH_JAVA_OPTS: heap } : { 'xpack.security.enabled': 'false', ES_JAVA_OPTS: heap }),
      ...settings,
    })
    .withExposedPorts({ container: containerPort, host: port })
    .withWaitStrategy(Wait.forHttp('/_cluster/health?wait_for_status=yellow&timeout=1s', containerPort))
    .withStartupTimeout(startDeadlineMs)
    .start();
  const server = new OpenSearchContainer(version, port, container);
  await server.answers();
  return server;
}
