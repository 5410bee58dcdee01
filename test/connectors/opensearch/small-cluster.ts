/** A cluster with one node and hardly any rules: indices with settings, mappings and aliases, so that a test can change them behind the target's back. */
import { bulkAnswer, bulkLines, protocolServer, type Asked, type BulkLine, type ProtocolServer, type Told } from './protocol-server.ts';

export interface SmallIndex {
  uuid: string;
  history: string;
  settings: Record<string, unknown>;
  mappings: { _meta?: Record<string, unknown>; dynamic?: unknown; properties?: Record<string, unknown> };
  aliases: Record<string, object>;
}

export interface SmallCluster extends AsyncDisposable {
  readonly server: ProtocolServer;
  readonly indices: Map<string, SmallIndex>;
  /** Asked first: what it returns is the answer. */
  intercept: (asked: Asked) => Told | undefined;
  /** What each line of a write comes to, where the alias is there. */
  result: (line: BulkLine) => number | { readonly status: number; readonly type: string };
}

const acknowledged: Told = { json: { acknowledged: true } };
const missing = (name: string): Told => ({ status: 404, json: { error: { type: 'index_not_found_exception', reason: `no such index [${name}]` } } });

export async function smallCluster(): Promise<SmallCluster> {
  const indices = new Map<string, SmallIndex>();
  let made = 0;
  const create = (name: string, body: string): Told => {
    if (indices.has(name)) return { status: 400, json: { error: { type: 'resource_already_exists_exception', reason: 'exists' } } };
    const { settings = {}, mappings = {}, aliases = {} } = JSON.parse(body) as Partial<SmallIndex>;
    made += 1;
    indices.set(name, { uuid: `uuid-${made}`, history: `history-${made}`, settings: { 'index.number_of_shards': '1', ...settings }, mappings, aliases });
    return acknowledged;
  };
  const change = (name: string, body: string, part: string): Told => {
    const index = indices.get(name);
    if (index === undefined) return missing(name);
    const given = JSON.parse(body) as Record<string, unknown>;
    if (part === '_settings') for (const [setting, value] of Object.entries(given)) if (value === null) delete index.settings[setting]; else index.settings[setting] = value;
    if (part === '_mapping') index.mappings = { ...index.mappings, ...given, properties: { ...index.mappings.properties, ...(given['properties'] as object | undefined) } };
    return acknowledged;
  };
  const move = (body: string): Told => {
    const { actions } = JSON.parse(body) as { actions: Record<'add' | 'remove', { index: string; alias: string; must_exist?: boolean }>[] };
    if (actions.some(({ remove }) => remove?.must_exist === true && indices.get(remove.index)?.aliases[remove.alias] === undefined)) return { status: 404, json: { error: { type: 'aliases_not_found_exception', reason: 'missing' } } };
    for (const { add, remove } of actions) {
      if (remove !== undefined) delete indices.get(remove.index)?.aliases[remove.alias];
      if (add !== undefined) (indices.get(add.index) as SmallIndex).aliases[add.alias] = {};
    }
    return acknowledged;
  };
  const look = (name: string): Told => {
    const pattern = new RegExp(`^${name.replaceAll('*', '.*')}$`);
    const found = [...indices].filter(([own, { aliases }]) => pattern.test(own) || Object.keys(aliases).some((alias) => pattern.test(alias)));
    return { json: Object.fromEntries(found.map(([own, { uuid, settings, mappings, aliases }]) => [own, { settings: { ...settings, 'index.uuid': uuid }, mappings, aliases }])) };
  };
  const write = (alias: string, body: string): Told => {
    const lines = bulkLines(body);
    if ([...indices.values()].some(({ aliases }) => aliases[alias] !== undefined)) return bulkAnswer(lines, cluster.result);
    return { json: { errors: true, items: lines.map(({ action }) => ({ [action]: { status: 404, error: { type: 'index_not_found_exception', reason: `no such index [${alias}]` } } })) } };
  };
  const tell = (asked: Asked): Told => {
    const told = cluster.intercept(asked);
    if (told !== undefined) return told;
    const { method, body } = asked;
    const [first = '', second = ''] = (asked.path.split('?')[0] ?? '').slice(1).split('/').map(decodeURIComponent);
    if (first === '') return { json: { version: { distribution: 'opensearch', number: '3.6.0' } } };
    if (first === '_aliases') return move(body);
    if (first === '_cluster') return { json: { status: 'green', timed_out: false, number_of_data_nodes: 1 } };
    if (second === '_bulk') return write(first, body);
    if (second === '_stats') return { json: { indices: Object.fromEntries([...indices].map(([name, { uuid, history }]) => [name, { uuid, shards: { 0: [{ commit: { user_data: { history_uuid: history } } }] } }])) } };
    if (second === '_refresh') return indices.has(first) ? acknowledged : missing(first);
    if (method === 'PUT') return second === '' ? create(first, body) : change(first, body, second);
    return method === 'DELETE' ? (indices.delete(first) ? acknowledged : missing(first)) : look(first);
  };
  const server = await protocolServer(tell);
  const cluster: SmallCluster = { server, indices, intercept: () => undefined, result: ({ action }) => (action === 'index' ? 201 : 404), [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
  return cluster;
}
