import { describe, expect, test } from 'vitest';
import { BulkSender } from '../../../connectors/targets/opensearch/bulk.ts';
import { Cluster } from '../../../connectors/targets/opensearch/cluster.ts';
import { Pressure } from '../../../connectors/targets/opensearch/pressure.ts';
import type { ItemResult, Operation } from '../../../src/connector/target.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { nodeClock } from '../../../src/runtime/node/clock.ts';
import { bulkAnswer, bulkLines, protocolServer, type Asked, type BulkLine, type ProtocolServer, type Told } from './protocol-server.ts';

const { signal } = new AbortController();
const put = (id: string, document: object | string = { id }): Operation => ({ kind: 'put', id, version: 7n, document: typeof document === 'string' ? document : JSON.stringify(document) });
const del = (id: string): Operation => ({ kind: 'delete', id, version: 7n });

interface Sending extends AsyncDisposable {
  readonly send: (operations: readonly Operation[], signal?: AbortSignal) => Promise<ItemResult[]>;
  readonly pressure: Pressure;
}

function sending(server: ProtocolServer, { bytesMax = 1 << 20, countMax = 1000, requestsMax = 4, config = {} }: { bytesMax?: number; countMax?: number; requestsMax?: number; config?: Record<string, unknown> } = {}): Sending {
  const cluster = new Cluster(server.config(config), nodeClock);
  const pressure = new Pressure({ requestsMax, requestBytesMax: bytesMax });
  const sender = new BulkSender({ cluster, pressure, clock: nodeClock, countMax });
  const onGone = async (): Promise<never> => {
    throw new TailraceError('TGT_FENCED', { message: 'gone' });
  };
  return { send: (operations, given = signal) => sender.send({ operations, alias: 'things-g0001-w1-00', physical: 'things-g0001', onGone }, given), pressure, [Symbol.asyncDispose]: () => cluster.close() };
}

const outcomes = (results: readonly ItemResult[]): string[] => results.map(({ outcome }) => outcome);
const everything = (line: BulkLine): number => (line.action === 'index' ? 201 : 200);
const answered = (of: (line: BulkLine) => ReturnType<Parameters<typeof bulkAnswer>[1]>) => ({ body }: Asked): Told => bulkAnswer(bulkLines(body), of);

describe('results', () => {
  test('stand at the place of their operation, whatever each came to', async () => {
    await using server = await protocolServer(
      answered(({ id }) => {
        if (id === 'stale') return { status: 409, type: 'version_conflict_engine_exception' };
        if (id === 'bad') return { status: 400, type: 'mapper_parsing_exception', reason: 'failed to parse field [n] of type [long] in document with id \'bad\'. Preview of field\'s value: \'secret\'' };
        if (id === 'full') return { status: 429, type: 'rejected_execution_exception' };
        if (id === 'away') return { status: 503, type: 'unavailable_shards_exception' };
        return id === 'never' ? 404 : 200;
      }),
    );
    await using one = sending(server);
    const results = await one.send([put('a'), put('stale'), del('never'), put('bad'), put('full'), del('b'), put('away'), del('stale'), put('')]);
    expect(outcomes(results)).toEqual(['applied', 'stale', 'applied', 'poison', 'retry', 'applied', 'retry', 'stale', 'poison']);
    expect(results[3]).toEqual({ outcome: 'poison', code: 'TGT_REJECTED', reason: 'The server refused the document (mapper_parsing_exception: field "n" of type long).' });
    expect(server.asked[0]?.path).toBe('/things-g0001-w1-00/_bulk?require_alias=true&filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason');
    expect(server.asked[0]?.headers['content-type']).toBe('application/x-ndjson');
  });

  test('of operations that cannot be sent are there without a request', async () => {
    await using server = await protocolServer(answered(everything));
    await using one = sending(server);
    const deep = `{"a":${'['.repeat(300)}${' '.repeat(200)}${']'.repeat(300)}}`;
    const results = await one.send([put(''), put('x'.repeat(513)), put('é'.repeat(257)), put('\ud800'), put('deep', deep)]);
    expect(outcomes(results)).toEqual(['poison', 'poison', 'poison', 'poison', 'poison']);
    expect(server.asked).toHaveLength(0);
    expect(outcomes(await one.send([put('é'.repeat(256)), put('', {}), del('x'.repeat(512))]))).toEqual(['applied', 'poison', 'applied']);
    expect(await one.send([])).toEqual([]);
    expect(server.asked).toHaveLength(1);
  });

  test('of a batch of several requests are all there, each request within its limits', async () => {
    await using server = await protocolServer(answered(({ id }) => (Number(id.slice(1)) % 7 === 0 ? { status: 409, type: 'version_conflict_engine_exception' } : 201)));
    await using one = sending(server, { bytesMax: 64 * 1024, countMax: 90 });
    const operations = Array.from({ length: 1000 }, (_, i) => put(`k${i}`, { text: 'x'.repeat(i % 50 === 0 ? 30_000 : 10) }));
    expect(outcomes(await one.send(operations))).toEqual(operations.map((_, i) => (i % 7 === 0 ? 'stale' : 'applied')));
    expect(server.asked.length).toBeGreaterThan(11);
    for (const { body } of server.asked) {
      expect(bulkLines(body).length).toBeLessThanOrEqual(90);
      expect(body.length).toBeLessThan(64 * 1024 + 100);
    }
    expect(server.asked.flatMap(({ body }) => bulkLines(body).map(({ id }) => id)).toSorted()).toEqual(operations.map(({ id }) => id).toSorted());
  });
});

describe('a request that is refused as a whole', () => {
  test('with 400 is taken apart down to the one document that it is refused for', async () => {
    await using server = await protocolServer(({ body }) => {
      const lines = bulkLines(body);
      if (!lines.some(({ id }) => id === 'bad')) return bulkAnswer(lines, everything);
      return { status: 400, json: { error: { type: 'illegal_argument_exception', reason: 'secret' }, status: 400 } };
    });
    await using one = sending(server);
    const operations = Array.from({ length: 33 }, (_, i) => (i === 20 ? put('bad') : i % 3 === 0 ? del(`k${i}`) : put(`k${i}`)));
    const results = await one.send(operations);
    expect(outcomes(results)).toEqual(operations.map(({ id }) => (id === 'bad' ? 'poison' : 'applied')));
    expect(JSON.stringify(results[20])).not.toContain('secret');
    expect(server.asked.length).toBeLessThan(16);
  });

  test('with 413 is sent in smaller parts, later ones are smaller at once, and a document that is too large by itself is refused', async () => {
    await using server = await protocolServer(({ body }) => (body.length > 100_000 ? { status: 413, text: '' } : bulkAnswer(bulkLines(body), everything)));
    await using one = sending(server);
    const operations = Array.from({ length: 40 }, (_, i) => put(`k${i}`, { text: 'x'.repeat(i === 5 ? 200_000 : 20_000) }));
    expect(outcomes(await one.send(operations))).toEqual(operations.map((_, i) => (i === 5 ? 'poison' : 'applied')));
    expect(one.pressure.requestBytes).toBeLessThan(1 << 20);
  });

  test('with 429 is wanted again after the time that the server says, and fewer are sent at once', async () => {
    await using server = await protocolServer(() => ({ status: 429, json: { error: { type: 'rejected_execution_exception', reason: 'x' } }, headers: { 'retry-after': '2' } }));
    await using one = sending(server);
    const before = one.pressure.concurrency;
    expect(await one.send([put('a'), del('b')])).toEqual([{ outcome: 'retry', reason: 'rejected_execution_exception', afterMs: 2000 }, { outcome: 'retry', reason: 'rejected_execution_exception', afterMs: 2000 }]);
    expect(one.pressure.concurrency).toBeLessThan(before);
  });

  test('for want of memory is wanted again, and requests become smaller', async () => {
    await using server = await protocolServer(() => ({ status: 429, json: { error: { type: 'circuit_breaking_exception', reason: 'x' } } }));
    await using one = sending(server);
    expect(outcomes(await one.send([put('a', { text: 'x'.repeat(300_000) }), put('b')]))).toEqual(['retry', 'retry']);
    expect(one.pressure.requestBytes).toBeLessThan(300_000);
  });

  test.each<[string, Told, string]>([
    ['401', { status: 401, json: { error: 'who?' } }, 'TGT_AUTH'],
    ['403', { status: 403, json: { error: { type: 'security_exception', reason: 'no permissions for [indices:data/write/bulk]' } } }, 'TGT_BLOCKED'],
    ['402', { status: 402, json: {} }, 'TGT_BLOCKED'],
    ['a block of the cluster', { status: 403, json: { error: { type: 'cluster_block_exception', reason: 'blocked by: [FORBIDDEN/6/cluster read-only (api)];' } } }, 'TGT_BLOCKED'],
    ['a full disk', { status: 429, json: { error: { type: 'cluster_block_exception', reason: 'read-only-allow-delete' } } }, 'TGT_BLOCKED'],
    ['502', { status: 502, text: '<html>bad gateway</html>' }, 'TGT_CONN'],
    ['503', { status: 503, json: { error: { type: 'cluster_block_exception', reason: 'state not recovered' } } }, 'TGT_BLOCKED'],
    ['504', { status: 504, text: '' }, 'TGT_CONN'],
    ['404', { status: 404, json: { error: { type: 'index_not_found_exception', reason: 'no such index' } } }, 'TGT_FENCED'],
    ['what is not known', { status: 418, json: { error: { type: 'teapot_exception', reason: 'secret' } } }, 'UNKNOWN'],
    ['400 for what no document is to blame for', { status: 400, json: { error: { type: 'teapot_exception', reason: 'secret' } } }, 'UNKNOWN'],
  ])('with %s rejects', async (_, told, code) => {
    await using server = await protocolServer(() => told);
    await using one = sending(server);
    const failure = await one.send([put('a'), put('b')]).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code });
    expect(String((failure as Error).message)).not.toContain('secret');
  });
});

describe('items that concern the whole index', () => {
  test.each<[string, { status: number; type: string; reason: string }, string]>([
    ['a full disk, although its status says "later"', { status: 429, type: 'cluster_block_exception', reason: 'index [x] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];' }, 'TGT_BLOCKED'],
    ['a closed index, although its status says that the document is bad', { status: 400, type: 'index_closed_exception', reason: 'closed' }, 'TGT_BLOCKED'],
    ['a missing right', { status: 403, type: 'security_exception', reason: 'no permissions' }, 'TGT_BLOCKED'],
    ['an alias that is gone', { status: 404, type: 'index_not_found_exception', reason: 'no such index' }, 'TGT_FENCED'],
    ['an error that nobody has seen', { status: 400, type: 'teapot_exception', reason: 'secret' }, 'UNKNOWN'],
    ['an error within the server', { status: 500, type: 'null_pointer_exception', reason: 'secret' }, 'TGT_CONN'],
  ])('reject the batch: %s', async (_, item, code) => {
    await using server = await protocolServer(answered(({ id }) => (id === 'b' ? item : 201)));
    await using one = sending(server);
    const failure = await one.send([put('a'), put('b')]).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code });
    expect(String((failure as Error).message)).not.toContain('secret');
  });

  test('an alias that is gone is noticed by a request of deletes only, by its guard', async () => {
    await using server = await protocolServer(() => ({ json: { errors: true, items: [{ delete: { status: 404 } }, { update: { status: 404, error: { type: 'index_not_found_exception' } } }] } }));
    await using one = sending(server);
    await expect(one.send([del('a')])).rejects.toMatchObject({ code: 'TGT_FENCED' });
  });
});

describe('an answer that does not come, or not whole', () => {
  test.each<[string, Told]>([
    ['the connection is cut before it', { cut: 'before' }],
    ['the connection is cut within it', { cut: 'within' }],
    ['it is cut off', { text: '{"errors":false,"items":[{"index":{"status":201}}' }],
    ['it is not the cluster\'s', { text: '<html>hello</html>' }],
    ['it has too few results', { json: { errors: false, items: [{ index: { status: 201 } }] } }],
    ['it has too many results', { json: { errors: false, items: Array.from({ length: 3 }, () => ({ index: { status: 201 } })) } }],
    ['its results are of other lines', { json: { errors: false, items: [{ delete: { status: 200 } }, { index: { status: 201 } }] } }],
    ['it has none', { json: { errors: false } }],
  ])('leaves nothing concluded: %s', async (_, told) => {
    await using server = await protocolServer(() => told);
    await using one = sending(server);
    await expect(one.send([put('a'), put('b')])).rejects.toMatchObject({ code: 'TGT_CONN' });
  });

  test('is given up after the request\'s time', async () => {
    await using server = await protocolServer(() => ({ silent: true }));
    await using one = sending(server, { config: { request_timeout_ms: 150 } });
    await expect(one.send([put('a')])).rejects.toMatchObject({ code: 'TGT_CONN', message: expect.stringContaining('150 ms') as unknown });
  });

  test('is not waited for when work is called off', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    await using server = await protocolServer(() => {
      controller.abort(reason);
      return { silent: true };
    });
    await using one = sending(server);
    await expect(one.send([put('a')], controller.signal)).rejects.toBe(reason);
  });

  test('fails the batch only when its other requests have ended', async () => {
    let open = 0;
    let openAtTheEnd = -1;
    await using server = await protocolServer(async ({ body }) => {
      open += 1;
      const lines = bulkLines(body);
      if (lines[0]?.id !== 'k0') await nodeClock.sleep(80);
      open -= 1;
      return lines[0]?.id === 'k0' ? { status: 503, text: '' } : bulkAnswer(lines, everything);
    });
    await using one = sending(server, { countMax: 1 });
    await one.send([put('k0'), put('k1')]).catch(() => (openAtTheEnd = open));
    expect(openAtTheEnd).toBe(0);
  });
});
