import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { askDaemonForLines } from '../../cmd/daemon/admin-client.ts';
import type { TailraceConfig } from '../../src/config/definition.ts';
import { adminSettings } from '../../src/config/engine-settings.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { openLog } from '../../src/log/open.ts';
import type { LogStore } from '../../src/connector/log-store.ts';
import { startAdmin, type AdminServer } from '../../src/observe/admin/server.ts';
import { RESYNC_BYTES_MAX } from '../../src/observe/admin/resync-routes.ts';
import { routes, type AdminSubject } from '../../src/observe/admin/routes.ts';
import { DEAD_LETTERS_MAX, type DeadLetterPage } from '../../src/observe/reports.ts';
import { Scrubber } from '../../src/observe/logging/scrub.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { nodeHttpServe } from '../../src/runtime/node/http.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { Secret } from '../../src/runtime/secret.ts';
import type { JobRecord } from '../../src/state/state-store.ts';
import { recordOf } from '../state/generation-record.ts';
import { appendRows, testFormat } from './log-fixture.ts';
import { indexStatus, pipelineStatus } from './sample-status.ts';

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

interface Ask {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string | undefined;
}

function ask(at: { socketPath: string } | { port: number }, path: string, { method = 'GET', headers = {}, body: given }: Ask = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ ...at, host: '127.0.0.1', path, method, headers }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
      response.on('error', reject);
    });
    sent.on('error', reject).end(given);
  });
}

const runtime = nodeRuntime(silentLogger);
/** More than two answers hold. */
const LETTERS = 2 * DEAD_LETTERS_MAX + 5;
let folder: string;
let log: LogStore;
let stops: number;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tailrace-admin-'));
  stops = 0;
  const limits = { segmentBytes: 1 << 20, segmentMaxAgeMs: 3_600_000, maxBytes: 1 << 28, minAgeMs: 0, onFull: 'block' as const, compression: 'none' as const };
  log = await openLog({ directory: join(folder, 'log'), ...limits }, runtime);
});

afterEach(async () => {
  await log[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const job: JobRecord = { id: 3, index: 'products', kind: 'resync', what: { rows: 'all', generation: 2, swap: true }, phase: 'running', outcome: null, createdAtMs: 5, endedAtMs: null };

/** Orders that were given. */
const ordered: unknown[] = [];

const resyncs: AdminSubject['resyncs'] = {
  begin: async (request) => {
    ordered.push(request);
    return Promise.resolve([job]);
  },
  plan: async ({ held }) => Promise.resolve([{ index: 'products', table: 'shop.public.products', rows: 'all', generation: 2, gives_up: null, swap: !held, estimated_rows: 4_000 }]),
  cancel: () => [job],
  steer: async (index, paused) => Promise.resolve([{ source: 'shop', table: 'public.products', snapshot: 5, paused, indices: [index] }]),
};

/** Verifications that were asked for, each with its signal. */
const verified: { readonly request: unknown; readonly signal: AbortSignal }[] = [];

const verifications: AdminSubject['verifications'] = {
  begin: (request, signal) => {
    if (request.index === 'busy') throw new TailraceError('USAGE', { message: 'Index busy is being verified already.' });
    verified.push({ request, signal });
    const running = indexStatus.verify?.running;
    const report = indexStatus.verify?.last;
    if (running == null || report == null) throw new Error('the sample has both');
    const found = [{ kind: 'stale' as const, id: '57', key: null, field: 'name', storedVersion: 2n ** 48n + 5n, seq: 9 }, { kind: 'missing' as const, id: '58', key: null, field: null, storedVersion: null, seq: 9 }];
    const ended = request.index === 'slow' ? new Promise<never>(() => {}) : request.index === 'failing' ? Promise.reject(new TailraceError('TGT_CONN', { message: 'It is away.' })) : Promise.resolve({ report, found });
    return { ended, progress: () => running };
  },
};

function subject(): AdminSubject {
  return {
    log,
    status: () => pipelineStatus,
    search: async ({ text, limit }) => (text === 'none' ? [] : [{ id: '7', score: 1.5, document: `{"id":7,"name":${JSON.stringify(text)},"big":12345678901234567890,"limit":${limit}}` }]),
    dropDeadLetters: () => 3,
    retryDeadLetters: async ({ index }) => Promise.resolve({ index, asked: 2, snapshots: [5] }),
    deadLetters: ({ index, after, limit }) => {
      const letters = Array.from({ length: LETTERS }, (_, i) => ({ index: index ?? 'products', generation: 1, id: `9-${i}`, seq: 12 + i, code: 'DOC_FAILED' as const, reason: 'no such field', parkedAtMs: 5 }));
      return { total: LETTERS, letters: letters.filter(({ seq }) => seq > (after?.seq ?? 0)).slice(0, limit) };
    },
    positions: () => ({ log: { id: 'a', epoch: 1, first_seq: 1, durable_seq: 0 }, sources: [], indices: [] }),
    schemas: () => [],
    generations: () => indexStatus.generations.slice(),
    jobs: () => [job],
    resyncs,
    verifications,
    promote: (index, generation) => recordOf({ index, generation, phase: 'ready' }),
    drop: (index, generation) => recordOf({ index, generation, phase: 'dropping' }),
    dropLeft: async (...left) => void ordered.push(left.slice(0, 3)),
  };
}

async function start(settings: unknown = {}, other: Partial<AdminSubject> = {}): Promise<AdminServer> {
  return startAdmin(adminSettings.parse(settings), join(folder, 'admin.sock'), {
    subject: { ...subject(), ...other },
    config: { data_directory: '/d', sources: [{ name: 'shop', type: 'postgres', settings: { url: new Secret('postgres://hunter22') } }] } as unknown as TailraceConfig,
    entries: { formats: new Map([[testFormat.name, testFormat]]), formatPosition: (source, position) => `${source}@${Buffer.from(position).toString('hex')}` },
    scrubber: new Scrubber(),
    metrics: async () => ({ contentType: 'text/plain', text: 'tailrace_ready 1\n' }),
    after: (ms, task) => nodeClock.schedule(ms, task),
    requestStop: () => (stops += 1),
    serve: nodeHttpServe,
    logger: silentLogger,
  });
}

function portOf(admin: AdminServer): { port: number } {
  return { port: Number(new URL(admin.url ?? '').port) };
}

describe('the unix socket', () => {
  test('may be opened by its owner only, and is gone when the daemon is', async () => {
    const admin = await start();
    expect(statSync(admin.socketPath).mode & 0o777).toBe(0o600);
    expect(admin.url).toBeNull();
    await admin[Symbol.asyncDispose]();
    expect(() => statSync(admin.socketPath)).toThrow('ENOENT');
  });

  test('that a killed daemon left behind is replaced; one that answers, or a file of that name, is left alone', async () => {
    const { createServer } = await import('node:net');
    const path = join(folder, 'admin.sock');
    const other = createServer((connection) => connection.destroy());
    await new Promise<void>((resolve) => other.listen(path, resolve));
    await expect(start()).rejects.toMatchObject({ code: 'CFG_INVALID', message: expect.stringContaining('something listens there already') as unknown });
    // As the kernel leaves it after SIGKILL: the name stays, nobody answers.
    await new Promise<void>((resolve) => other.close(() => resolve()));
    const { spawnSync } = await import('node:child_process');
    spawnSync(process.execPath, ['-e', `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`]);
    expect(statSync(path).isSocket()).toBe(true);
    await using admin = await start();
    expect((await ask(admin, '/healthz')).status).toBe(200);
  });

  test('at a path that is no socket is refused', async () => {
    writeFileSync(join(folder, 'admin.sock'), 'mine');
    await expect(start()).rejects.toMatchObject({ code: 'CFG_INVALID' });
  });

  test('with a path that is too long for a socket is refused with the limit', async () => {
    await expect(startAdmin(adminSettings.parse({}), `/tmp/${'x'.repeat(120)}`, {} as never)).rejects.toMatchObject({ code: 'CFG_INVALID', message: expect.stringContaining('103') as unknown });
  });

  test('answers everything, and takes the command to stop', async () => {
    await using admin = await start();
    for (const [path, { method }] of Object.entries(routes)) {
      if (method === 'GET') expect((await ask(admin, path === '/v1/search' ? '/v1/search?index=products&text=lamp' : path)).status, path).toBe(200);
    }
    expect(stops).toBe(0);
    expect((await ask(admin, '/v1/stop')).status).toBe(405);
    expect(await ask(admin, '/v1/stop', { method: 'POST' })).toMatchObject({ status: 202, body: '{"stopping":true}\n' });
    expect(stops).toBe(1);
  });
});

describe('commands about generations', () => {
  const post = async (admin: AdminServer, path: string, body?: string): Promise<Answer> => ask(admin, path, { method: 'POST', body });

  test('are taken over the socket, and say what is begun', async () => {
    await using admin = await start();
    expect(await post(admin, '/v1/resync?index=products')).toMatchObject({ status: 202, body: expect.stringContaining('"what":{"rows":"all","generation":2,"swap":true}') as unknown });
    await post(admin, '/v1/resync?table=shop.public.products&swap=0');
    await post(admin, '/v1/resync?index=products', JSON.stringify({ keys: ['12345678901234567890', '"a"'] }));
    await post(admin, '/v1/resync?index=products', JSON.stringify({ where: 'price > 3' }));
    expect(ordered).toEqual([
      { index: 'products', held: false, wanted: null },
      { table: 'shop.public.products', held: true, wanted: null },
      { index: 'products', held: false, wanted: { kind: 'keys', keys: ['12345678901234567890', '"a"'] } },
      { index: 'products', held: false, wanted: { kind: 'where', predicate: 'price > 3' } },
    ]);
    expect(JSON.parse((await post(admin, '/v1/resync?index=products&dry_run=1')).body)).toMatchObject({ plans: [{ index: 'products', rows: 'all', generation: 2, swap: true }] });
    expect(JSON.parse((await post(admin, '/v1/resync/cancel?index=products')).body)).toMatchObject({ jobs: [{ id: 3 }] });
    expect(JSON.parse((await post(admin, '/v1/resync/pause?index=products')).body)).toEqual({ snapshots: [{ source: 'shop', table: 'public.products', snapshot: 5, paused: true, indices: ['products'] }] });
    expect((await post(admin, '/v1/resync/resume?index=products')).body).toContain('"paused":false');
    expect(JSON.parse((await post(admin, '/v1/generations/promote?index=products&generation=2')).body)).toEqual({ index: 'products', generation: 2, promoted: true });
    expect(JSON.parse((await post(admin, '/v1/generations/drop?index=products&generation=1')).body)).toEqual({ index: 'products', generation: 1, dropped: true });
    ordered.length = 0;
    expect(JSON.parse((await post(admin, '/v1/generations/drop?index=old&generation=4&at=search')).body)).toEqual({ index: 'old', generation: 4, dropped: true });
    expect(ordered).toEqual([['old', 4, 'search']]);
    expect(JSON.parse((await ask(admin, '/v1/jobs')).body)).toEqual({ jobs: [{ id: 3, index: 'products', kind: 'resync', what: { rows: 'all', generation: 2, swap: true }, phase: 'running', outcome: null, created_ms: 5, ended_ms: null }] });
  });

  test('that lack something, or are refused, change nothing', async () => {
    const refused = new TailraceError('USAGE', { message: 'Readers see it.' });
    await using admin = await start({}, { drop: () => { throw refused; } });
    expect((await post(admin, '/v1/resync')).status).toBe(400);
    for (const body of ['{', '7', '{}', '{"keys":[]}', '{"keys":[7]}', '{"keys":["7"],"where":"x"}']) expect((await post(admin, '/v1/resync?index=products', body)).status, body).toBe(400);
    expect((await post(admin, '/v1/resync?table=shop.public.products', '{"keys":["7"]}')).status).toBe(400);
    expect((await post(admin, '/v1/resync?table=shop.public.products&index=products')).status).toBe(400);
    expect(await post(admin, '/v1/resync?index=products', JSON.stringify({ where: 'x'.repeat(RESYNC_BYTES_MAX) }))).toMatchObject({ status: 400, body: expect.stringContaining('more than 16777216 bytes') as unknown });
    expect((await ask(admin, '/healthz')).status).toBe(200);
    expect((await post(admin, '/v1/generations/promote?index=products&generation=x')).status).toBe(400);
    expect(await post(admin, '/v1/generations/drop?index=products&generation=1')).toMatchObject({ status: 400, body: expect.stringContaining('Readers see it.') as unknown });
    expect((await ask(admin, '/v1/resync?index=products')).status).toBe(405);
  });
});

describe('answers', () => {
  test('to /readyz follow the status, and /healthz says that the process works', async () => {
    await using admin = await start({}, { status: () => ({ ...pipelineStatus, ready: false, problems: ['Source shop is waiting'] }) });
    expect(await ask(admin, '/readyz')).toMatchObject({ status: 503, body: '{"ready":false}\n' });
    expect(await ask(admin, '/healthz')).toMatchObject({ status: 200, body: '{"alive":true}\n' });
  });

  test('to /v1/status have secrets scrubbed from errors', async () => {
    const error = { code: 'TGT_CONN', message: 'no answer from http://elastic:changeme@db', did: 'd', hint: 'h' };
    await using admin = await start({}, { status: () => ({ ...pipelineStatus, problems: ['at http://elastic:changeme@db'], indices: [{ ...indexStatus, error }] }) });
    const { body } = await ask(admin, '/v1/status');
    expect(body).not.toContain('changeme');
    expect(JSON.parse(body)).toMatchObject({ running: true, indices: [{ error: { message: 'no answer from http://[secret]@db' } }], log: { durable_seq: 3_456 } });
  });

  test('to /v1/config show no secret', async () => {
    await using admin = await start();
    expect(JSON.parse((await ask(admin, '/v1/config')).body)).toEqual({ data_directory: '/d', sources: [{ name: 'shop', type: 'postgres', settings: { url: '[secret]' } }] });
  });

  test('to /v1/search hold documents with every digit', async () => {
    await using admin = await start();
    const { body } = await ask(admin, '/v1/search?index=products&text=desk%20lamp&limit=3');
    expect(body).toBe('{"index":"products","text":"desk lamp","limit":3,"hits":[{"id":"7","score":1.5,"document":{"id":7,"name":"desk lamp","big":12345678901234567890,"limit":3}}]}\n');
  });

  test('to a wrong question say what is wrong; to an error of ours its code; and the socket stays up', async () => {
    const search = (): Promise<never> => Promise.reject(new TailraceError('TGT_CONN', { message: 'refused by postgres://u:hunter22@db' }));
    await using admin = await start({}, { search });
    expect(await ask(admin, '/v1/search?index=products')).toMatchObject({ status: 400 });
    expect(await ask(admin, '/v1/log/entries?first=-1')).toMatchObject({ status: 400 });
    const failed = await ask(admin, '/v1/search?index=products&text=x');
    expect(failed.status).toBe(500);
    expect(JSON.parse(failed.body)).toMatchObject({ error: { code: 'TGT_CONN', message: 'refused by postgres://[secret]@db' } });
    expect((await ask(admin, '/nothing')).status).toBe(404);
    expect((await ask(admin, '/constructor')).status).toBe(404);
  });
});

describe('over TCP', () => {
  test('nothing listens unless the config says so', async () => {
    await using admin = await start();
    expect(admin.url).toBeNull();
  });

  test('without a token there is state but no rows and no commands', async () => {
    await using admin = await start({ http: { port: 0 } });
    const at = portOf(admin);
    const statuses: Record<string, number> = {};
    for (const [path, { method }] of Object.entries(routes)) statuses[path] = (await ask(at, path, { method })).status;
    expect(statuses).toEqual({
      '/healthz': 200, '/readyz': 200, '/metrics': 200, '/v1/status': 200, '/v1/config': 403, '/v1/positions': 200, '/v1/schemas': 200, '/v1/log/stat': 200,
      '/v1/log/entries': 403, '/v1/search': 403, '/v1/dead-letters': 403, '/v1/dead-letters/drop': 403, '/v1/dead-letters/retry': 403, '/v1/stop': 403,
      '/v1/verify': 403,
      '/v1/generations': 200, '/v1/jobs': 200, '/v1/generations/promote': 403, '/v1/generations/drop': 403, '/v1/resync': 403, '/v1/resync/cancel': 403, '/v1/resync/pause': 403, '/v1/resync/resume': 403,
    });
    expect(stops).toBe(0);
  });

  test('dead letters come in parts of a bounded size, each with how many there are and where the next begins', async () => {
    await using admin = await start();
    const pages: DeadLetterPage[] = [];
    for (let next: string | null = ''; next !== null; ) {
      const { status, body } = await ask(admin, `/v1/dead-letters?index=products&limit=999999${next === '' ? '' : `&after=${next}`}`);
      expect(status).toBe(200);
      const page = JSON.parse(body) as DeadLetterPage;
      pages.push(page);
      ({ next } = page);
    }
    expect(pages.map((page) => [page.total, page.dead_letters.length])).toEqual([[LETTERS, DEAD_LETTERS_MAX], [LETTERS, DEAD_LETTERS_MAX], [LETTERS, 5]]);
    expect(new Set(pages.flatMap((page) => page.dead_letters.map(({ id }) => id))).size).toBe(LETTERS);
    expect((await ask(admin, '/v1/dead-letters?after=nonsense')).status).toBe(400);
  });

  test('dead letters are dropped over the socket: those of one index, by id or by code', async () => {
    const dropped: unknown[] = [];
    const dropDeadLetters = (filter: unknown): number => dropped.push(filter);
    await using admin = await start({}, { dropDeadLetters });
    const drop = async (query: string): Promise<{ status: number; body: string }> => ask(admin, `/v1/dead-letters/drop?${query}`, { method: 'POST' });
    expect(await drop('index=products&id=a%2Fb')).toMatchObject({ status: 200, body: '{"dropped":1}\n' });
    expect(await drop('index=products&code=DOC_FAILED')).toMatchObject({ body: '{"dropped":2}\n' });
    expect((await drop('id=a')).status).toBe(400);
    expect(await ask(admin, '/v1/dead-letters/retry?index=products&id=a', { method: 'POST' })).toMatchObject({ status: 202, body: '{"index":"products","asked":2,"snapshots":[5]}\n' });
    expect((await ask(admin, '/v1/dead-letters/drop?index=products')).status).toBe(405);
    expect(dropped).toEqual([{ index: 'products', id: 'a/b', code: undefined }, { index: 'products', id: undefined, code: 'DOC_FAILED' }]);
  });

  test('with a token everything but health and readiness needs it, and commands are still refused', async () => {
    await using admin = await start({ http: { port: 0, token: 'correct-horse' } });
    const at = portOf(admin);
    const status = async (path: string, authorization?: string): Promise<number> => (await ask(at, path, authorization === undefined ? {} : { headers: { authorization } })).status;
    expect(await status('/healthz')).toBe(200);
    expect(await status('/readyz')).toBe(200);
    for (const wrong of [undefined, 'Bearer wrong', 'Bearer correct-horse-and-more', 'Basic correct-horse', 'Bearer ']) expect(await status('/metrics', wrong), wrong).toBe(401);
    expect(await status('/metrics', 'Bearer correct-horse')).toBe(200);
    expect(await status('/v1/dead-letters', 'bearer correct-horse')).toBe(200);
    expect((await ask(at, '/v1/stop', { method: 'POST', headers: { authorization: 'Bearer correct-horse' } })).status).toBe(403);
    expect((await ask(at, '/nothing')).status).toBe(401);
  });

  test('a page whose own name points at loopback gets no answer', async () => {
    await using admin = await start({ http: { port: 0 } });
    const at = portOf(admin);
    const withHost = async (host: string): Promise<number> => (await ask(at, '/v1/status', { headers: { host } })).status;
    for (const host of ['evil.example', 'evil.example:7373', '127.0.0.1.evil.example', '10.0.0.1']) expect(await withHost(host), host).toBe(403);
    for (const host of ['localhost', 'LOCALHOST:7373', '127.0.0.1', '[::1]:7373']) expect(await withHost(host), host).toBe(200);
  });

  test('an address that others reach needs a token; a port that is taken is named', async () => {
    const open = startAdmin({ http: { host: '0.0.0.0', port: 0 } }, join(folder, 'open.sock'), { serve: nodeHttpServe, logger: silentLogger } as never);
    await expect(open).rejects.toMatchObject({ code: 'CFG_INVALID', message: expect.stringContaining('admin.http.token') as unknown });
    await using admin = await start({ http: { port: 0 } });
    const { port } = portOf(admin);
    const again = startAdmin(adminSettings.parse({ http: { port } }), join(folder, 'other.sock'), { serve: nodeHttpServe, logger: silentLogger } as never);
    await expect(again).rejects.toMatchObject({ code: 'ADMIN_IN_USE', message: `tailrace cannot listen on 127.0.0.1:${port}: something listens there already.` });
    expect(() => statSync(join(folder, 'other.sock'))).toThrow('ENOENT');
  });

  test('a token in the settings is a secret', () => {
    expect(adminSettings.parse({ http: { token: 'x' } }).http?.token).toBeInstanceOf(Secret);
  });
});

describe('log entries', () => {
  test('are one line for each change, with its transaction, and with its row when that is asked for', async () => {
    await appendRows(log, [{ id: '1', row: 'one' }, { id: '2', row: 'two' }, { id: '3', row: null }]);
    await using admin = await start();
    const lines = async (query: string): Promise<unknown[]> => (await ask(admin, `/v1/log/entries?${query}`)).body.trimEnd().split('\n').map((line) => JSON.parse(line) as unknown);
    expect(await lines('')).toEqual([
      { seq: 1, op: 'insert', source: 'shop', table: 'public.products', id: '1', transaction: '77', position: 'shop@0a', commit_time_ms: 1_000, snapshot: null, row_bytes: 3 },
      { seq: 2, op: 'insert', source: 'shop', table: 'public.products', id: '2', transaction: '77', position: 'shop@0a', commit_time_ms: 1_000, snapshot: null, row_bytes: 3 },
      { seq: 3, op: 'delete', source: 'shop', table: 'public.products', id: '3', transaction: '77', position: 'shop@0a', commit_time_ms: 1_000, snapshot: null, row_bytes: 0 },
    ]);
    expect(await lines('first=2&rows=1')).toMatchObject([{ seq: 2, row: { name: 'two' } }, { seq: 3, row_bytes: 0 }]);
    expect(await lines('first=1&last=1')).toMatchObject([{ seq: 1 }]);
  });

  test('of rows that cannot be read show why, and the bytes', async () => {
    await appendRows(log, [{ id: '1', row: 'unreadable' }]);
    await using admin = await start();
    const { body } = await ask(admin, '/v1/log/entries?rows=1');
    expect(JSON.parse(body)).toMatchObject({ row_error: 'SRC_UNDECODABLE', row_base64: Buffer.from('unreadable').toString('base64') });
  });

  test('of a log that is damaged end with a line that says so', async () => {
    await appendRows(log, [{ id: '1', row: 'one' }]);
    const reader = (): never => {
      throw new TailraceError('LOG_CORRUPT', { message: 'bytes changed' });
    };
    const damaged = Object.create(log, { reader: { value: reader }, firstSeq: { value: 1 }, durableSeq: { value: 1 }, registers: { value: new Map() } }) as LogStore;
    await using admin = await start({}, { log: damaged });
    const { status, body } = await ask(admin, '/v1/log/entries');
    expect(status).toBe(200);
    expect(JSON.parse(body)).toMatchObject({ error: { code: 'LOG_CORRUPT', message: 'bytes changed' } });
  });

  test('that are followed come as they are appended, and following ends with the client', async () => {
    await appendRows(log, [{ id: '1', row: 'one' }]);
    await using admin = await start();
    const seen: string[] = [];
    await new Promise<void>((resolve, reject) => {
      const sent = httpRequest({ socketPath: admin.socketPath, path: '/v1/log/entries?follow=1&rows=1' }, (response) => {
        response.setEncoding('utf8').on('data', (chunk: string) => {
          seen.push(...chunk.trimEnd().split('\n'));
          if (seen.length === 1) appendRows(log, [{ id: '2', row: 'two' }]).catch(reject);
          else {
            sent.destroy();
            resolve();
          }
        });
        response.on('error', () => {});
      });
      sent.on('error', reject).end();
    });
    expect(seen.map((line) => (JSON.parse(line) as { row: unknown }).row)).toEqual([{ name: 'one' }, { name: 'two' }]);
  });
});

describe('a verification', () => {
  const lines = async (admin: AdminServer, query: Readonly<Record<string, string>>): Promise<Record<string, unknown>[]> =>
    (await Array.fromAsync(askDaemonForLines(admin.socketPath, { path: '/v1/verify', method: 'POST', query }))).map((line) => JSON.parse(line) as Record<string, unknown>);

  test('is told while it goes on, and its report is the last line', async () => {
    await using admin = await start();
    const told = await lines(admin, { index: 'products', sample: '5%', repair: '1', rate: '100', generation: '2', limit: '1' });
    expect(told.map((line) => Object.keys(line)[0])).toEqual(['progress', 'difference', 'report']);
    expect(told[1]).toEqual({ difference: { id: '57', kind: 'stale', field: 'name', stored_version: '281474976710661', stored_seq: 5 } });
    expect(verified.at(-1)?.request).toEqual({ index: 'products', generation: 2, extent: { share: 0.05 }, repair: true, rowsPerSecond: 100 });
    await expect.poll(() => verified.at(-1)?.signal.aborted).toBe(true);
  });

  test('is refused, or fails, by name', async () => {
    await using admin = await start();
    await expect(lines(admin, { index: 'busy' })).rejects.toMatchObject({ code: 'USAGE', message: 'Index busy is being verified already.' });
    await expect(lines(admin, { index: 'products', sample: 'few' })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(lines(admin, { index: 'failing' })).rejects.toMatchObject({ code: 'TGT_CONN' });
  });

  test('is called off when nobody reads on', async () => {
    await using admin = await start();
    for await (const line of askDaemonForLines(admin.socketPath, { path: '/v1/verify', method: 'POST', query: { index: 'slow' } })) if (line !== '') break;
    await expect.poll(() => verified.at(-1)?.signal.aborted).toBe(true);
  });
});
