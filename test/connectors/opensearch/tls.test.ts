/** The real TLS stack against a certificate of an authority of its own. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Cluster } from '../../../connectors/targets/opensearch/cluster.ts';
import { openSearchConfigSchema } from '../../../connectors/targets/opensearch/config.ts';
import { nodeClock } from '../../../src/runtime/node/clock.ts';

const folder = mkdtempSync(join(tmpdir(), 'tailrace-tls-'));
const file = (name: string): string => join(folder, name);

/** A certificate that is its own authority. */
function certificate(name: string, host: string): void {
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.crt`)], { stdio: 'ignore' });
}

/** Says in its answer whether the client showed a certificate that is known. */
function serve(name: string): Promise<ReturnType<typeof createServer>> {
  const options = { key: readFileSync(file(`${name}.key`)), cert: readFileSync(file(`${name}.crt`)), ca: readFileSync(file('client.crt')), requestCert: true, rejectUnauthorized: false };
  const server = createServer(options, (request, response) => response.end(JSON.stringify({ known: (request.socket as TLSSocket).authorized })));
  return new Promise((resolve) => server.listen(0, () => resolve(server)));
}

beforeAll(() => {
  certificate('server', 'localhost');
  certificate('elsewhere', 'elsewhere.example');
  certificate('client', 'tailrace');
});
afterAll(() => rmSync(folder, { recursive: true }));

const inTime = { ca: file('server.crt') };

test.each<[string, string, Record<string, unknown>, unknown]>([
  ['a certificate of an authority that is not known is refused', 'server', {}, 'TGT_CONN'],
  ['of one that is named it is taken', 'server', inTime, { known: false }],
  ['one for another host is refused', 'elsewhere', { ca: file('elsewhere.crt') }, 'TGT_CONN'],
  ['unless only the authority counts', 'elsewhere', { ca: file('elsewhere.crt'), mode: 'verify-ca' }, { known: false }],
  ['and then by nobody else', 'elsewhere', { ca: file('server.crt'), mode: 'verify-ca' }, 'TGT_CONN'],
  ['nothing is checked when that is said', 'elsewhere', { mode: 'insecure' }, { known: false }],
  ['a certificate of our own is shown', 'server', { ...inTime, cert: file('client.crt'), key: file('client.key') }, { known: true }],
  ['a file that is not there is named', 'server', { ca: file('nowhere.crt') }, 'CFG_INVALID'],
])('%s', async (_, name, tls, expected) => {
  const server = await serve(name);
  const config = openSearchConfigSchema.parse({ type: 'opensearch', url: `https://localhost:${(server.address() as AddressInfo).port}`, tls });
  const cluster = new Cluster(config, nodeClock);
  const { signal } = new AbortController();
  const outcome: unknown = await cluster.json({ method: 'GET', path: '/' }, 'looking', signal).catch((error: unknown) => (error as { code: string }).code);
  expect(outcome).toEqual(expected);
  await cluster.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
