/** What every OpenSearch or Elasticsearch under test is to a test: a URL, plain requests to it, and the means to stop, kill and restart it. */

/** The versions that tests run on. */
export type OpenSearchVersion = '3.6.0' | '2.19.5' | '9.2.0';

export type OpenSearchDialect = 'opensearch' | 'elasticsearch';

export const dialects: Readonly<Record<OpenSearchVersion, OpenSearchDialect>> = { '3.6.0': 'opensearch', '2.19.5': 'opensearch', '9.2.0': 'elasticsearch' };

export function titleOf(version: OpenSearchVersion): string {
  return `${dialects[version] === 'opensearch' ? 'OpenSearch' : 'Elasticsearch'} ${version}`;
}

export interface Answer {
  readonly status: number;
  /** Parsed when it is JSON, else the text; empty answers are ''. */
  readonly body: unknown;
}

export interface OpenSearchServer extends AsyncDisposable {
  readonly version: OpenSearchVersion;
  readonly dialect: OpenSearchDialect;
  /** `http://127.0.0.1:PORT`, without a slash at the end. The same after a restart. */
  readonly url: string;
  readonly port: number;
  /** The folder that `path.repo` names, for snapshot repositories of type `fs`. */
  readonly repositoryFolder: string;
  /** The node's own process. */
  readonly pid: number;
  /** Any answer, whatever its status. `body` is sent as it is when it is a string, otherwise as JSON. */
  request(method: string, path: string, body?: unknown): Promise<Answer>;
  /** The body of an answer of status 2xx; throws on any other. */
  ask(method: string, path: string, body?: unknown): Promise<unknown>;
  /** Removes every index, alias and repository that a test made. */
  clear(): Promise<void>;
  start(): Promise<void>;
  /** Ends it in order; resolves when it is gone. */
  stop(): Promise<void>;
  /** Sends the node a signal and waits for nothing. */
  kill(signal: NodeJS.Signals): void;
  /** Resolves when the node has ended, as after SIGKILL. */
  ended(): Promise<void>;
}

/** A request that is not answered by then is given up. */
const answerDeadlineMs = 60_000;

export abstract class OpenSearchClientSide {
  readonly version: OpenSearchVersion;
  readonly dialect: OpenSearchDialect;
  readonly url: string;

  constructor(version: OpenSearchVersion, url: string) {
    this.version = version;
    this.dialect = dialects[version];
    this.url = url.replace(/\/$/, '');
  }

  get port(): number {
    return Number(new URL(this.url).port);
  }

  async request(method: string, path: string, body?: unknown): Promise<Answer> {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
    const contentType = path.includes('_bulk') ? 'application/x-ndjson' : 'application/json';
    const answer = await fetch(`${this.url}${path}`, {
      method,
      signal: AbortSignal.timeout(answerDeadlineMs),
      ...(text === undefined ? {} : { body: text, headers: { 'content-type': contentType } }),
    });
    const said = await answer.text();
    const isJson = answer.headers.get('content-type')?.includes('json') === true && said !== '';
    return { status: answer.status, body: isJson ? (JSON.parse(said) as unknown) : said };
  }

  async ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const answer = await this.request(method, path, body);
    if (answer.status < 200 || answer.status > 299) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  async clear(): Promise<void> {
    const names = await this.indices();
    if (names.length > 0) await this.ask('DELETE', `/${names.map(encodeURIComponent).join(',')}`);
    const repositories = Object.keys((await this.ask('GET', '/_snapshot')) as object);
    for (const name of repositories) await this.ask('DELETE', `/_snapshot/${name}`);
  }

  /** Of people, not the server's own. */
  async indices(): Promise<string[]> {
    const listed = (await this.ask('GET', '/_cat/indices?format=json&h=index&expand_wildcards=all')) as { readonly index: string }[];
    return listed.map(({ index }) => index).filter((index) => !index.startsWith('.'));
  }
}
