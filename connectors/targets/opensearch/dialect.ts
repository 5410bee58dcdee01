/** Which server it is, and where the two kinds differ in what tailrace asks of them. */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { parsed, type Cluster } from './cluster.ts';
import { failureOf, serverErrorOf } from './failure.ts';
import { NESTING_MAX } from './nesting.ts';

export interface Dialect {
  readonly kind: 'opensearch' | 'elasticsearch';
  /** As the server says it: `3.6.0`. */
  readonly version: string;
  /** JSON objects of unknown shape as one field. */
  readonly flatObject: Readonly<Record<string, unknown>>;
}

const opensearch = (version: string): Dialect => ({ kind: 'opensearch', version, flatObject: { type: 'flat_object' } });
// Longer values and deeper objects than its defaults would cost the document; OpenSearch has no such settings.
const elasticsearch = (version: string): Dialect => ({ kind: 'elasticsearch', version, flatObject: { type: 'flattened', ignore_above: 8191, depth_limit: NESTING_MAX } });

interface Root {
  readonly version?: { readonly number?: string; readonly distribution?: string };
}

interface Nodes {
  readonly nodes?: Readonly<Record<string, { readonly version?: string; readonly build_flavor?: string }>>;
}

/**
 * Asks `GET /`. A server built without that handler (405) says its version with its nodes; only Elasticsearch is built so.
 * Rejects with TGT_VERSION for a server that tailrace does not support.
 */
export async function askDialect(cluster: Cluster, signal: AbortSignal): Promise<Dialect> {
  const answer = await cluster.request({ method: 'GET', path: '/' }, signal);
  if (answer.status === 200) {
    const { version } = parsed(answer, 'GET /') as Root;
    if (version?.number === undefined) throw new TailraceError('TGT_VERSION', { message: 'What answers at the url of the target is neither OpenSearch nor Elasticsearch.' });
    return supported(version.distribution === 'opensearch' ? opensearch(version.number) : elasticsearch(version.number));
  }
  if (answer.status !== 405) throw failureOf(answer.status, serverErrorOf(answer.body), 'asking for the version');
  const { nodes } = (await cluster.json({ method: 'GET', path: '/_nodes/_local?filter_path=nodes.*.version,nodes.*.build_flavor' }, 'asking for the version', signal)) as Nodes;
  const [node] = Object.values(nodes ?? {});
  if (node?.version === undefined) throw new TailraceError('TGT_VERSION', { message: 'The server does not say which version it is.' });
  return supported(node.build_flavor === undefined ? opensearch(node.version) : elasticsearch(node.version));
}

function supported(dialect: Dialect): Dialect {
  const [major = 0, minor = 0] = dialect.version.split('.').map(Number);
  const isSupported = dialect.kind === 'opensearch' ? major > 2 || (major === 2 && minor >= 19) : major >= 8;
  if (isSupported) return dialect;
  throw new TailraceError('TGT_VERSION', { message: `The server is ${dialectName(dialect)}; tailrace needs OpenSearch 2.19 or later, or Elasticsearch 8 or later.` });
}

export function dialectName({ kind, version }: Dialect): string {
  return `${kind === 'opensearch' ? 'OpenSearch' : 'Elasticsearch'} ${version}`;
}

/** Opens a view of an index that stays as it is; the answer has its id under `id` or `pit_id`. */
export function openViewPath({ kind }: Dialect, physical: string, keepAlive: string): string {
  return kind === 'opensearch' ? `/${physical}/_search/point_in_time?keep_alive=${keepAlive}` : `/${physical}/_pit?keep_alive=${keepAlive}`;
}

export function closeView({ kind }: Dialect, id: string): { readonly path: string; readonly body: string } {
  return kind === 'opensearch' ? { path: '/_search/point_in_time', body: JSON.stringify({ pit_id: [id] }) } : { path: '/_pit', body: JSON.stringify({ id }) };
}
