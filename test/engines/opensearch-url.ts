/** An OpenSearch or Elasticsearch that somebody else runs and names by URL: tests use it, and neither stop it nor change its settings. */
import { dialects, OpenSearchClientSide, titleOf, type OpenSearchServer, type OpenSearchVersion } from './opensearch-client.ts';
import { EngineMissing } from './servers.ts';

class OpenSearchElsewhere extends OpenSearchClientSide implements OpenSearchServer {
  get pid(): number {
    throw this.#notOurs();
  }

  get repositoryFolder(): string {
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

  async ended(): Promise<void> {
    await Promise.reject(this.#notOurs());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
  }

  #notOurs(): Error {
    return new Error(`this test needs a ${titleOf(this.version)} of its own, and the environment names one by URL`);
  }
}

/**
 * The server at `url`, when it is of the same product and major as `version` and holds no index: tests remove every index that they find, and
 * must not find anybody else's.
 */
export async function openSearchAt(url: string, version: OpenSearchVersion): Promise<OpenSearchServer> {
  const server = new OpenSearchElsewhere(version, url);
  const wanted = version.split('.')[0];
  // Not `GET /`, which a bare Elasticsearch does not answer.
  const { nodes } = (await server.ask('GET', '/_nodes/_local?filter_path=nodes.*.version,nodes.*.build_flavor')) as { nodes: Record<string, { version: string; build_flavor?: string }> };
  const [node] = Object.values(nodes);
  // Elasticsearch alone tells a flavor of its build.
  const dialect = node?.build_flavor === undefined ? 'opensearch' : 'elasticsearch';
  if (dialect !== dialects[version] || node?.version.split('.')[0] !== wanted) throw new EngineMissing(`${url} is no ${titleOf(version)}, but ${dialect} ${node?.version}`);
  const foreign = await server.indices();
  if (foreign.length > 0) throw new EngineMissing(`${url} holds indices (${foreign.slice(0, 3).join(', ')}), and tests would remove them: name an empty server`);
  return server;
}
