import { createHash, createHmac } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { Cluster, pathOf } from '../../../connectors/targets/opensearch/cluster.ts';
import { openSearchConfigSchema } from '../../../connectors/targets/opensearch/config.ts';
import { askDialect, dialectName } from '../../../connectors/targets/opensearch/dialect.ts';
import { nodeClock } from '../../../src/runtime/node/clock.ts';
import { protocolServer, type Told } from './protocol-server.ts';

const { signal } = new AbortController();
const root: Told = { json: { version: { distribution: 'opensearch', number: '3.6.0' } } };

afterEach(() => {
  vi.unstubAllEnvs();
});

async function authorizationWith(config: Record<string, unknown>): Promise<string | undefined> {
  await using server = await protocolServer(() => root);
  const url = new URL(server.url);
  const { user, ...rest } = config as { user?: string };
  if (user !== undefined) [url.username = '', url.password = ''] = user.split(':');
  await using cluster = closing(new Cluster(server.config({ url: url.href, ...rest }), nodeClock));
  await cluster.cluster.request({ method: 'GET', path: '/' }, signal);
  return server.asked[0]?.headers.authorization;
}

const closing = (cluster: Cluster): { readonly cluster: Cluster } & AsyncDisposable => ({ cluster, [Symbol.asyncDispose]: () => cluster.close() });

describe('who we are is shown', () => {
  test('by user and password of the url, of the settings, by a key or a token, or not at all', async () => {
    const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
    expect(await authorizationWith({})).toBeUndefined();
    expect(await authorizationWith({ user: 'me:p%40ss' })).toBe(basic('me:p@ss'));
    expect(await authorizationWith({ auth: { username: 'me', password: 'p:ß' } })).toBe(basic('me:p:ß'));
    expect(await authorizationWith({ auth: { api_key: 'abc=' } })).toBe('ApiKey abc=');
    expect(await authorizationWith({ auth: { bearer_token: 'tok' } })).toBe('Bearer tok');
  });

  test('by the password in a file as it is when the cluster has refused the one before', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tailrace-opensearch-'));
    const file = join(folder, 'password');
    writeFileSync(file, 'old\n');
    const right = `Basic ${Buffer.from('me:new').toString('base64')}`;
    await using server = await protocolServer(({ headers }) => (headers.authorization === right ? root : { status: 401, json: { error: 'who?' } }));
    await using one = closing(new Cluster(server.config({ auth: { username: 'me', password_file: file } }), nodeClock));
    const ask = async (): Promise<unknown> => one.cluster.request({ method: 'GET', path: '/' }, signal);
    await expect(ask()).rejects.toMatchObject({ code: 'TGT_AUTH' });
    writeFileSync(file, 'new\n');
    expect(await ask()).toMatchObject({ status: 200 });
    rmSync(folder, { recursive: true });
    await using other = closing(new Cluster(server.config({ auth: { username: 'me', password_file: file } }), nodeClock));
    await expect(other.cluster.request({ method: 'GET', path: '/' }, signal)).rejects.toMatchObject({ code: 'TGT_AUTH', message: expect.stringContaining(file) as unknown });
  });

  test.each([
    [{ username: 'me', password: 'x', api_key: 'y' }],
    [{ username: 'me' }],
    [{ password: 'x' }],
    [{ username: 'me', password: 'x', password_file: '/y' }],
    [{ aws: { region: 'eu-central-1', access_key_id: 'x' } }],
  ])('in one way only: %j is refused', (auth) => {
    expect(openSearchConfigSchema.safeParse({ type: 'opensearch', url: 'http://localhost', auth }).success).toBe(false);
  });

  test('the cluster is named by a url or by its nodes', () => {
    expect(openSearchConfigSchema.safeParse({ type: 'opensearch' }).success).toBe(false);
    expect(openSearchConfigSchema.safeParse({ type: 'opensearch', url: 'http://a', nodes: ['http://b'] }).success).toBe(false);
    expect(openSearchConfigSchema.safeParse({ type: 'opensearch', nodes: ['http://a', 'http://b'] }).success).toBe(true);
  });
});

/** AWS Signature Version 4, from its specification. */
function signatureOf(secret: string, date: string, region: string, service: string, canonical: string): string {
  const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
  const scope = `${date.slice(0, 8)}/${region}/${service}/aws4_request`;
  let key: Buffer | string = `AWS4${secret}`;
  for (const part of scope.split('/')) key = createHmac('sha256', key).update(part).digest();
  return createHmac('sha256', key).update(`AWS4-HMAC-SHA256\n${date}\n${scope}\n${hash(canonical)}`).digest('hex');
}

describe('requests to AWS are signed', () => {
  test.each([
    ['with the key in the settings', { access_key_id: 'AKID', secret_access_key: 'SECRET', session_token: 'TOKEN' }, {}],
    ['with the key in the environment', {}, { AWS_ACCESS_KEY_ID: 'AKID', AWS_SECRET_ACCESS_KEY: 'SECRET', AWS_SESSION_TOKEN: 'TOKEN' }],
  ])('%s', async (_, given, env) => {
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    await using server = await protocolServer(() => root);
    await using one = closing(new Cluster(server.config({ auth: { aws: { region: 'eu-central-1', ...given } } }), nodeClock));
    const body = Buffer.from('{"index":{}}\n{"a":"é"}\n');
    await one.cluster.request({ method: 'POST', path: '/things/_bulk?require_alias=true&filter_path=errors', body }, signal);
    const { headers } = server.asked[0] as { headers: Record<string, string> };
    const [, names = '', signature = ''] = /SignedHeaders=([^,]+), ?Signature=(\w+)/.exec(headers['authorization'] ?? '') ?? [];
    const hash = createHash('sha256').update(body).digest('hex');
    const canonical = ['POST', '/things/_bulk', 'filter_path=errors&require_alias=true', ...names.split(';').map((name) => `${name}:${headers[name]}`), '', names, hash].join('\n');
    expect(headers['x-amz-security-token']).toBe('TOKEN');
    expect(headers['authorization']).toContain('Credential=AKID/');
    expect(signature).toBe(signatureOf('SECRET', headers['x-amz-date'] ?? '', 'eu-central-1', 'es', canonical));
  });

  test('and without a key nothing is sent', async () => {
    for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN']) vi.stubEnv(name, undefined);
    await using server = await protocolServer(() => root);
    await using one = closing(new Cluster(server.config({ auth: { aws: { region: 'eu-central-1' } } }), nodeClock));
    await expect(one.cluster.request({ method: 'GET', path: '/' }, signal)).rejects.toMatchObject({ code: 'TGT_AUTH', hint: expect.stringContaining('AWS_ACCESS_KEY_ID') as unknown });
    expect(server.asked).toHaveLength(0);
  });
});

describe('what goes wrong on the way', () => {
  test('says neither password nor rows, in no part of the error', async () => {
    const failures: unknown[] = [];
    for (const told of [{ cut: 'before' }, { cut: 'within' }, { silent: true }, { status: 503, text: 'x' }, { status: 401, json: {} }] satisfies Told[]) {
      await using server = await protocolServer(() => told);
      const url = new URL(server.url);
      [url.username, url.password] = ['someone', 'hidden-password'];
      await using one = closing(new Cluster(server.config({ url: url.href, request_timeout_ms: 100 }), nodeClock));
      failures.push(await one.cluster.request({ method: 'POST', path: '/x/_bulk', body: Buffer.from('{"a":"hidden-row"}\n') }, signal).catch((error: unknown) => error));
    }
    expect(failures).toHaveLength(5);
    for (const failure of failures) {
      expect(failure).toMatchObject({ code: expect.stringMatching(/^TGT_(CONN|AUTH)$/) as unknown });
      expect(inspect(failure, { depth: Infinity, showHidden: true }) + JSON.stringify(failure)).not.toMatch(/hidden-|aGlkZGVu|c29tZW9uZ/);
    }
  });

  test('prints nothing, where the client itself would', async () => {
    const printed = vi.spyOn(console, 'log').mockImplementation(() => {});
    await using server = await protocolServer(() => ({ cut: 'within' }));
    await using one = closing(new Cluster(server.config(), nodeClock));
    await expect(one.cluster.request({ method: 'GET', path: '/' }, signal)).rejects.toMatchObject({ code: 'TGT_CONN' });
    expect(printed).not.toHaveBeenCalled();
    printed.mockRestore();
  });

  test('a connection that was kept and is closed by the other side is opened again, without an error', async () => {
    await using server = await protocolServer((_, number) => (number === 2 ? { cut: 'before' } : root));
    await using one = closing(new Cluster(server.config(), nodeClock));
    for (let i = 0; i < 2; i += 1) expect((await one.cluster.request({ method: 'GET', path: '/' }, signal)).status).toBe(200);
    expect(server.asked).toHaveLength(3);
  });

  test('of several nodes one that is down is passed over', async () => {
    await using gone = await protocolServer(() => root);
    await using server = await protocolServer(() => root);
    await gone[Symbol.asyncDispose]();
    await using one = closing(new Cluster(openSearchConfigSchema.parse({ type: 'opensearch', nodes: [gone.url, server.url] }), nodeClock));
    for (let i = 0; i < 4; i += 1) expect((await one.cluster.request({ method: 'GET', path: '/' }, signal)).status).toBe(200);
    expect(server.asked).toHaveLength(4);
  });

  test('an answer larger than wanted is not read to its end', async () => {
    await using server = await protocolServer(() => ({ text: JSON.stringify('x'.repeat(1 << 20)) }));
    await using one = closing(new Cluster(server.config(), nodeClock));
    expect((await one.cluster.request({ method: 'GET', path: '/', bytesMax: 1000 }, signal)).body).toBeNull();
    expect((await one.cluster.request({ method: 'GET', path: '/' }, signal)).body).toHaveLength((1 << 20) + 2);
  });

  test('closing ends what is under way, and nothing is sent afterwards', async () => {
    const arrived = Promise.withResolvers<void>();
    await using server = await protocolServer(() => {
      arrived.resolve();
      return { silent: true };
    });
    const cluster = new Cluster(server.config(), nodeClock);
    const waiting = cluster.request({ method: 'GET', path: '/' }, signal).catch((error: unknown) => error);
    await arrived.promise;
    await cluster.close();
    expect(await waiting).toMatchObject({ code: 'TGT_CONN' });
    await expect(cluster.request({ method: 'GET', path: '/' }, signal)).rejects.toMatchObject({ code: 'TGT_CONN' });
    expect(server.asked).toHaveLength(1);
  });

  test.each(['ftp://x', 'nonsense'])('%s is no url of a cluster', async (url) => {
    const cluster = new Cluster(openSearchConfigSchema.parse({ type: 'opensearch', url }), nodeClock);
    await expect(cluster.request({ method: 'GET', path: '/' }, signal)).rejects.toMatchObject({ code: 'CFG_INVALID' });
  });

  test('names in paths mean themselves', () => {
    expect(pathOf('a b/é?', '_search')).toBe('/a%20b%2F%C3%A9%3F/_search');
  });
});

describe('the server is', () => {
  const nodes = (version: string, more: object): Told => ({ json: { nodes: { n: { version, ...more } } } });

  test.each<[string, Told, Told]>([
    ['OpenSearch 3.6.0', root, {}],
    ['OpenSearch 2.19.5', { json: { version: { distribution: 'opensearch', number: '2.19.5' } } }, {}],
    ['Elasticsearch 8.15.0', { json: { version: { number: '8.15.0', build_flavor: 'default' } } }, {}],
    ['Elasticsearch 9.2.0', { status: 405, json: { error: 'Incorrect HTTP method for uri [/] and method [GET], allowed: [DELETE]' } }, nodes('9.2.0', { build_flavor: 'default' })],
  ])('%s', async (name, atRoot, atNodes) => {
    await using server = await protocolServer(({ path }) => (path === '/' ? atRoot : atNodes));
    await using one = closing(new Cluster(server.config(), nodeClock));
    expect(dialectName(await askDialect(one.cluster, signal))).toBe(name);
  });

  test.each<[string, Told]>([
    ['OpenSearch 2.11', { json: { version: { distribution: 'opensearch', number: '2.11.1' } } }],
    ['Elasticsearch 7', { json: { version: { number: '7.17.0' } } }],
    ['something else', { json: { hello: 'world' } }],
  ])('refused when it is %s', async (_, told) => {
    await using server = await protocolServer(() => told);
    await using one = closing(new Cluster(server.config(), nodeClock));
    await expect(askDialect(one.cluster, signal)).rejects.toMatchObject({ code: 'TGT_VERSION' });
  });

  test('not known yet while something else answers in its place', async () => {
    await using server = await protocolServer(() => ({ text: '<html>starting</html>' }));
    await using one = closing(new Cluster(server.config(), nodeClock));
    await expect(askDialect(one.cluster, signal)).rejects.toMatchObject({ code: 'TGT_CONN' });
  });
});
