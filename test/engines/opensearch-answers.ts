/** Answers that get lost, are torn, late or somebody else's: nothing is lost, applied twice or put down to another document. */
import { expect, test } from 'vitest';
import { batchOf, del, index, outcomes, put, signal, versions } from '../contract/target-fixture.ts';
import { history, numbersFrom, TargetModel } from '../contract/target-history.ts';
import type { Fault } from './opensearch-fault-proxy.ts';
import { expectExactly, faultScene, load } from './opensearch-fault-scene.ts';
import type { OpenSearchSuite } from './opensearch.ts';

const ids = Array.from({ length: 120 }, (_, i) => `key ${i}`);
const batchesOf = (seed: number, count: number) => history({ seed, ids, changesMax: 120, clears: false, forgetAfter: 0 }).take(count).toArray();

const noRoom = { kind: 'answer', status: 429, body: '{"error":{"type":"rejected_execution_exception","reason":"no room"},"status":429}' } as const;
const page = '<html><body>Bad gateway</body></html>';

export function testAnswers({ server }: OpenSearchSuite): void {
  test.each<[string, Fault]>([
    ['is lost', { kind: 'lose the answer' }],
    ['breaks off', { kind: 'cut the answer' }],
    ['comes in half', { kind: 'shorten the answer' }],
    ['lacks a result', { kind: 'drop a result' }],
  ])('an answer that %s leaves everything applied once, and the batch sent again changes nothing', async (_, fault) => {
    await using scene = await faultScene(await server());
    const { generation, proxy, target } = scene;
    await outcomes(generation, batchOf(1, put('a', 1n), put('b', 1n)));
    proxy.rule = ({ isWrite }) => (isWrite ? fault : undefined);
    const batch = batchOf(2, put('a', 2n, { n: 2 }), del('b', 2n), put('c', 2n));
    await expect(generation.apply(batch, signal)).rejects.toMatchObject({ code: 'TGT_CONN' });
    proxy.rule = () => undefined;
    expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([2n, null, 2n]);
    // A delete wins over its own version, too: once more it takes nothing away.
    expect(await outcomes(generation, batch)).toEqual(['stale', 'applied', 'stale']);
    expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([2n, null, 2n]);
    expect(await outcomes(generation, batchOf(3, put('a', 3n)))).toEqual(['applied']);
  });

  test('a request that breaks off on its way may be applied in part, and sent again all of it is', async () => {
    await using scene = await faultScene(await server());
    const { generation, proxy } = scene;
    const model = new TargetModel({ capabilities: { atomicCursor: false } });
    await load(generation, [batchOf(1, ...Array.from({ length: 40 }, (_, i) => put(`k${i}`, 1n)))], model);
    let cuts = 5;
    proxy.rule = ({ isWrite }) => (isWrite && (cuts -= 1) >= 0 ? { kind: 'cut the request' } : undefined);
    const text = 'amber '.repeat(3_000);
    const names = Array.from({ length: 40 }, (_, i) => `k${i}`);
    const { failures } = await load(generation, [batchOf(2, ...names.map((id, i) => (i % 4 === 0 ? del(id, 2n) : put(id, 2n, { text }))))], model);
    expect(new Set(failures)).toEqual(new Set(['TGT_CONN']));
    await expectExactly(generation, names, model);
  });

  test('a history in which answers are lost, torn, refused and late at random comes to what the model says', async () => {
    await using scene = await faultScene(await server());
    const next = numbersFrom(11);
    const faults: readonly Fault[] = [{ kind: 'cut the request' }, { kind: 'lose the answer' }, { kind: 'cut the answer' }, { kind: 'shorten the answer' }, { kind: 'drop a result' }, noRoom, { kind: 'answer', status: 502, body: page, type: 'text/html' }, { kind: 'refuse operations', isRefused: (at) => at % 3 === 1 }];
    scene.proxy.rule = ({ isWrite }) => (isWrite && next() < 0.5 ? faults[Math.floor(next() * faults.length)] : undefined);
    const model = new TargetModel({ capabilities: { atomicCursor: false } });
    const { failures, retries } = await load(scene.generation, batchesOf(3, 40), model);
    scene.proxy.rule = () => undefined;
    expect(new Set(failures)).toEqual(new Set(['TGT_CONN']));
    expect(retries).toBeGreaterThan(0);
    await expectExactly(scene.generation, ids, model);
  });
}

export function testBusyServer({ server }: OpenSearchSuite): void {
  test('operations that the server has no room for are to be sent again, each at its place, and the others are applied', async () => {
    await using scene = await faultScene(await server());
    const { generation, proxy, target } = scene;
    await outcomes(generation, batchOf(1, put('k5', 9n)));
    const isRefused = (at: number): boolean => at % 4 === 2;
    proxy.rule = ({ isWrite }) => (isWrite ? { kind: 'refuse operations', isRefused } : undefined);
    const operations = Array.from({ length: 20 }, (_, i) => (i % 3 === 0 ? del(`k${i}`, 5n) : put(`k${i}`, 5n, i === 7 ? { undeclared: 1 } : { n: i })));
    const expected = operations.map((_, i) => (isRefused(i) ? 'retry' : i === 5 ? 'stale' : i === 7 ? 'poison' : 'applied'));
    expect(await outcomes(generation, batchOf(5, ...operations))).toEqual(expected);
    proxy.rule = () => undefined;
    const held = operations.map((one, i) => (i === 5 ? 9n : isRefused(i) || one.kind === 'delete' || i === 7 ? null : 5n));
    expect(await versions(target, index, operations.map(({ id }) => id))).toEqual(held);
    const again = operations.filter((_, i) => isRefused(i));
    expect(await outcomes(generation, batchOf(5, ...again))).toEqual(again.map(() => 'applied'));
  });

  test('a storm of 429 ends with everything applied, and retry-after is passed on', async () => {
    await using scene = await faultScene(await server());
    const { generation, proxy } = scene;
    proxy.rule = ({ isWrite }) => (isWrite ? { ...noRoom, retryAfter: '2' } : undefined);
    expect(await generation.apply(batchOf(1, put('x', 1n), del('y', 1n)), signal)).toEqual([{ outcome: 'retry', reason: 'rejected_execution_exception', afterMs: 2000 }, { outcome: 'retry', reason: 'rejected_execution_exception', afterMs: 2000 }]);
    let storm = 60;
    proxy.rule = ({ isWrite }) => (isWrite && (storm -= 1) > 0 ? (storm % 2 === 0 ? noRoom : { kind: 'refuse operations', isRefused: (at) => at % 2 === 0 }) : undefined);
    const model = new TargetModel({ capabilities: { atomicCursor: false } });
    const { failures, retries } = await load(generation, batchesOf(5, 15), model);
    expect(failures).toEqual([]);
    expect(retries).toBeGreaterThan(100);
    await expectExactly(generation, ids, model);
  });

  test('requests under way at once stay within their bound while answers are slow, and become fewer while the server refuses', async () => {
    await using scene = await faultScene(await server(), { max_requests: 4, max_request_documents: 10 });
    const { generation, proxy } = scene;
    const slow = (ms: number): Fault => ({ kind: 'hold the answer', until: new Promise((resolve) => setTimeout(resolve, ms)) });
    proxy.rule = ({ isWrite }) => (isWrite ? slow(50) : undefined);
    const operations = (version: bigint) => Array.from({ length: 600 }, (_, i) => put(`k${i}`, version));
    expect(new Set(await outcomes(generation, batchOf(1, ...operations(1n))))).toEqual(new Set(['applied']));
    expect(proxy.writesAtOnceMax).toBeGreaterThan(1);
    expect(proxy.writesAtOnceMax).toBeLessThanOrEqual(4);
    proxy.rule = ({ isWrite }) => (isWrite ? noRoom : undefined);
    for (let i = 0; i < 6; i += 1) await outcomes(generation, batchOf(2, put('k0', 2n)));
    proxy.writesAtOnceMax = 0;
    proxy.rule = ({ isWrite }) => (isWrite ? slow(20) : undefined);
    expect(new Set(await outcomes(generation, batchOf(3, ...operations(3n).slice(0, 20))))).toEqual(new Set(['applied']));
    expect(proxy.writesAtOnceMax).toBe(1);
  });

  test('an answer that does not come is given up after its time, and the batch goes through later', async () => {
    await using scene = await faultScene(await server(), { request_timeout_ms: 400 });
    const { generation, proxy, target } = scene;
    const never = new Promise<void>(() => {});
    proxy.rule = ({ isWrite }) => (isWrite ? { kind: 'hold', until: never } : undefined);
    await expect(generation.apply(batchOf(1, put('a', 1n)), signal)).rejects.toMatchObject({ code: 'TGT_CONN' });
    const controller = new AbortController();
    const reason = new Error('enough');
    const called = generation.apply(batchOf(1, put('a', 1n)), controller.signal);
    controller.abort(reason);
    await expect(called).rejects.toBe(reason);
    proxy.rule = () => undefined;
    expect(await versions(target, index, ['a'])).toEqual([null]);
    expect(await outcomes(generation, batchOf(1, put('a', 1n)))).toEqual(['applied']);
  });
}

export function testRefusedEntry({ server }: OpenSearchSuite): void {
  test.each([
    ['the password is refused', 401, 'TGT_AUTH', '{"error":{"type":"security_exception","reason":"missing authentication credentials"},"status":401}'],
    ['a right is missing', 403, 'TGT_BLOCKED', '{"error":{"type":"security_exception","reason":"no permissions for [indices:data/write/bulk]"},"status":403}'],
    ['a quota is used up', 402, 'TGT_BLOCKED', '{"error":{"type":"service_quota_exceeded","reason":"OCU"},"status":402}'],
    ['a proxy says 502', 502, 'TGT_CONN', page],
    ['a proxy says 503', 503, 'TGT_CONN', page],
  ])('while %s (%i) nothing is refused for good, and afterwards it goes on', async (_, status, code, body) => {
    await using scene = await faultScene(await server());
    const { generation, proxy } = scene;
    const model = new TargetModel({ capabilities: { atomicCursor: false } });
    let refusals = 6;
    const type = body === page ? 'text/html' : 'application/json';
    proxy.rule = () => ((refusals -= 1) > 0 ? { kind: 'answer', status, body, type } : undefined);
    const { failures } = await load(generation, batchesOf(9, 5), model);
    expect(failures.length).toBeGreaterThan(0);
    expect(new Set(failures)).toEqual(new Set([code]));
    await expectExactly(generation, ids, model);
  });
}
