/** The simulator's target keeps the contract that real targets keep, in both its natures, and its faults are what they say. */
import { describe, expect, test } from 'vitest';
import type { Batch, Operation } from '../../src/connector/target.ts';
import { targetContract } from '../contract/target.ts';
import { batchOf, del, outcomes, planOf, put } from '../contract/target-fixture.ts';
import { MemoryStorage, MemoryTarget, type ApplyFault } from './memory-target.ts';

const { signal } = new AbortController();
const poison = (id: string, version: bigint): Operation => ({ kind: 'put', id, version, document: '{' });

/** Documents that say `later` are put off. */
function puttingOff({ operations }: Batch): ApplyFault | undefined {
  const results = new Map(operations.flatMap((operation, place) => (operation.kind === 'put' && operation.document.includes('"later":true') ? [[place, { outcome: 'retry' as const }] as const] : [])));
  return results.size === 0 ? undefined : { kind: 'items', results };
}

/** How often a server like OpenSearch refreshes here. */
const REFRESH_INTERVAL_MS = 20;

for (const atomicCursor of [true, false]) {
  targetContract(`the simulator's target (${atomicCursor ? 'with' : 'without'} an atomic cursor)`, async () => {
    const storage = new MemoryStorage({ atomicCursor });
    const refreshing = atomicCursor ? undefined : setInterval(() => storage.refresh(), REFRESH_INTERVAL_MS);
    return {
      connect: async () => new MemoryTarget('memory', storage, { before: puttingOff }),
      poison,
      putOff: (id, version) => put(id, version, { later: true }),
      changedField: atomicCursor ? undefined : { before: { name: 'size', kind: 'int' }, after: { name: 'size', kind: 'text' } },
      [Symbol.asyncDispose]: async () => clearInterval(refreshing),
    };
  });
}

async function opened(atomicCursor: boolean, faultOf: (batch: Batch) => ApplyFault | undefined = () => undefined) {
  const storage = new MemoryStorage({ atomicCursor });
  const target = new MemoryTarget('memory', storage, { before: faultOf });
  const generation = await target.open(planOf('things'), signal);
  await generation.promote(signal);
  const held = async (...ids: string[]) => (await target.fetch('things', ids, signal)).map((one) => one?.version ?? null);
  return { storage, target, generation, held };
}

describe("the simulator's target has faults:", () => {
  test('a refused batch has no effect', async () => {
    const { generation, held } = await opened(true, ({ cursor }) => (cursor === 1 ? { kind: 'reject', code: 'TGT_BLOCKED' } : undefined));
    await expect(generation.apply(batchOf(1, put('a', 1n)), signal)).rejects.toMatchObject({ code: 'TGT_BLOCKED' });
    expect(await held('a')).toEqual([null]);
    expect(await generation.cursor()).toBeNull();
  });

  test.each([true, false])('a lost answer leaves the effect, and a crash of the server takes it back (atomic cursor: %s)', async (atomicCursor) => {
    const { storage, generation, held } = await opened(atomicCursor, ({ cursor }) => (cursor === 2 ? { kind: 'lost_answer' } : undefined));
    await generation.apply(batchOf(1, put('a', 1n), put('gone', 1n)), signal);
    const second: Batch = { operations: [put('a', 2n), del('gone', 2n), put('b', 2n)], clearBelow: 1n, cursor: 2 };
    await expect(generation.apply(second, signal)).rejects.toMatchObject({ code: 'TGT_CONN' });
    expect(await held('a', 'gone', 'b')).toEqual([2n, null, 2n]);
    storage.crash();
    expect(await held('a', 'gone', 'b')).toEqual([1n, 1n, null]);
    expect(await generation.cursor()).toBe(atomicCursor ? 1 : null);
    expect(await outcomes(generation, { ...second, cursor: 3 })).toEqual(['applied', 'applied', 'applied']);
    storage.crash();
    expect(await held('a', 'gone', 'b')).toEqual([2n, null, 2n]);
  });

  test('a torn batch takes effect in part, or not at all where the cursor is atomic', async () => {
    const torn = ({ cursor }: Batch): ApplyFault | undefined => (cursor === 1 ? { kind: 'torn', operations: 2 } : undefined);
    for (const atomicCursor of [true, false]) {
      const { generation, held } = await opened(atomicCursor, torn);
      await expect(generation.apply(batchOf(1, put('a', 1n), put('b', 1n), put('c', 1n)), signal)).rejects.toMatchObject({ code: 'TGT_CONN' });
      expect(await held('a', 'b', 'c')).toEqual(atomicCursor ? [null, null, null] : [1n, 1n, null]);
      expect(await generation.cursor()).toBeNull();
    }
  });

  test('single operations are put off or refused, at their place, and the cursor waits for them', async () => {
    const results = new Map([
      [0, { outcome: 'retry', afterMs: 5 }],
      [2, { outcome: 'poison', code: 'TGT_REJECTED', reason: 'odd' }],
    ] as const);
    const { generation, held } = await opened(true, ({ cursor }) => (cursor === 1 ? { kind: 'items', results } : undefined));
    expect(await outcomes(generation, batchOf(1, put('a', 1n), put('b', 1n), put('c', 1n)))).toEqual(['retry', 'applied', 'poison']);
    expect(await held('a', 'b', 'c')).toEqual([null, 1n, null]);
    expect(await generation.cursor()).toBeNull();
    expect(await outcomes(generation, batchOf(2, put('a', 1n)))).toEqual(['applied']);
    expect(await generation.cursor()).toBe(2);
  });

  test('forgotten deletes let an older put come back', async () => {
    const { storage, generation, held } = await opened(false);
    await generation.apply(batchOf(2, del('a', 2n)), signal);
    expect(await outcomes(generation, batchOf(2, put('a', 1n)))).toEqual(['stale']);
    storage.forgetDeletes();
    expect(await outcomes(generation, batchOf(2, put('a', 1n)))).toEqual(['applied']);
    expect(await held('a')).toEqual([1n]);
  });

  test('a search sees what was written before the last refresh or promotion, a fetch and a scan see everything', async () => {
    const { storage, target, generation, held } = await opened(false);
    const found = async () => (await target.search({ index: 'things', text: 'amber', limit: 5 }, signal)).map(({ id }) => id);
    await generation.apply(batchOf(1, put('a', 1n, { text: 'amber' })), signal);
    expect([await found(), (await generation.stats()).documents]).toEqual([[], 0]);
    expect(await held('a')).toEqual([1n]);
    expect((await Array.fromAsync(generation.scan(signal))).flat().map(({ id }) => id)).toEqual(['a']);
    storage.refresh();
    expect([await found(), (await generation.stats()).documents]).toEqual([['a'], 1]);
    await generation.apply(batchOf(2, del('a', 2n), put('b', 2n, { text: 'amber' })), signal);
    expect(await found()).toEqual(['a']);
    await generation.promote(signal);
    expect(await found()).toEqual(['b']);
  });

  test('a field keeps its kind where storage is like OpenSearch, and none of the others in the call is taken', async () => {
    const { generation } = await opened(false);
    await generation.prepare([{ name: 'seq', kind: 'bigint' }], signal);
    const changed = [{ name: 'new', kind: 'text' }, { name: 'seq', kind: 'text' }] as const;
    await expect(generation.prepare(changed, signal)).rejects.toMatchObject({ code: 'TGT_MAPPING' });
    await generation.prepare([{ name: 'new', kind: 'int' }], signal);
  });

  test('a batch can be held back before and after it takes effect', async () => {
    const steps: string[] = [];
    const storage = new MemoryStorage({ atomicCursor: true });
    const gate = Promise.withResolvers<undefined>();
    const target = new MemoryTarget('memory', storage, { before: () => gate.promise, after: async () => void steps.push('effect') });
    const generation = await target.open(planOf('things'), signal);
    const applying = generation.apply(batchOf(1, put('a', 1n)), signal).then(() => steps.push('answer'));
    expect((await generation.stats()).documents).toBe(0);
    gate.resolve(undefined);
    await applying;
    expect(steps).toEqual(['effect', 'answer']);
    expect((await generation.stats()).documents).toBe(1);
  });
});
