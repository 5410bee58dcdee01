/** The target contract, generations: side by side, promoted, listed, dropped. */
import { expect, test } from 'vitest';
import type { GenerationListing, Target } from '../../src/connector/target.ts';
import { batchOf, del, eventually, index, outcomes, planOf, put, scanned, signal, versions, type Run, type TargetFixture } from './target-fixture.ts';

export function testGenerations(run: Run, factory: () => Promise<TargetFixture>): void {
  test(
    'an index that was never promoted shows readers nothing',
    run(async ({ target }) => {
      await using hidden = await target.open(planOf('hidden'), signal);
      await outcomes(hidden, batchOf(1, put('a', 1n, { text: 'amber' })));
      expect(await versions(target, 'hidden', ['a'])).toEqual([null]);
      expect(await target.search({ index: 'hidden', text: 'amber', limit: 5 }, signal)).toEqual([]);
      expect(await versions(target, 'unheard_of', ['a', 'b'])).toEqual([null, null]);
      await hidden.promote(signal);
      await hidden.promote(signal);
      expect(await versions(target, 'hidden', ['a'])).toEqual([1n]);
    }),
  );

  test(
    'generations and indices stand side by side, each with its own documents and versions',
    run(async ({ target, generation }) => {
      await using second = await target.open(planOf(index, 2), signal);
      await using other = await target.open(planOf('others'), signal);
      await other.promote(signal);
      await outcomes(generation, batchOf(9, put('a', 9n, { n: 1 })));
      expect(await outcomes(second, batchOf(2, put('a', 2n, { n: 2 })))).toEqual(['applied']);
      expect(await outcomes(other, batchOf(1, put('a', 1n, { n: 3 })))).toEqual(['applied']);
      expect(await versions(target, index, ['a'])).toEqual([9n]);
      expect(await versions(target, 'others', ['a'])).toEqual([1n]);
      await second.promote(signal);
      expect(await versions(target, index, ['a'])).toEqual([2n]);
      expect(await outcomes(generation, batchOf(10, put('a', 10n)))).toEqual(['applied']);
      expect(await versions(target, index, ['a'])).toEqual([2n]);
      await generation.promote(signal);
      expect(await versions(target, index, ['a'])).toEqual([10n]);
    }),
  );

  test(
    'a concurrent reader sees the old generation, then the new one, never a mixture and never none',
    run(async ({ target, generation }) => {
      const ids = Array.from({ length: 40 }, (_, i) => `k${i}`);
      await using second = await target.open(planOf(index, 2), signal);
      await outcomes(generation, batchOf(1, ...ids.map((id) => put(id, 1n))));
      await outcomes(second, batchOf(2, ...ids.map((id) => put(id, 2n))));
      const seen: string[] = [];
      const read = async (): Promise<void> => {
        seen.push([...new Set(await versions(target, index, ids))].join());
      };
      await read();
      const reading = (async () => {
        for (let i = 0; i < 30; i += 1) await read();
      })();
      await second.promote(signal);
      const late = versions(target, index, ids);
      await reading;
      expect([...new Set(await late)]).toEqual([2n]);
      await read();
      expect(seen.join(' ')).toMatch(/^1( 1)*( 2)+$/);
    }),
  );

  test.each([
    ['another log', { logId: 'log-2' }],
    ['another epoch', { epoch: 4 }],
    ['another configuration', { fingerprint: 'f-2' }],
  ])('a generation is not opened for %s, and what is there stays', (_, difference) =>
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(1, put('a', 1n)));
      const plan = planOf(index);
      await expect(target.open({ ...plan, binding: { ...plan.binding, ...difference } }, signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY', message: expect.stringContaining(index) as unknown });
      await using again = await target.open(plan, signal);
      expect(await outcomes(again, batchOf(2, put('a', 1n), put('b', 2n)))).toEqual(['stale', 'applied']);
    })(),
  );

  test('documents, remembered deletes and the promotion are there when the target is opened again', async () => {
    await using fixture = await factory();
    {
      await using target = await fixture.connect();
      await using generation = await target.open(planOf(index), signal);
      await generation.promote(signal);
      await outcomes(generation, batchOf(9, put('a', 1n), put('b', 2n), del('c', 9n)));
    }
    await using target = await fixture.connect();
    expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([1n, 2n, null]);
    await using generation = await target.open(planOf(index), signal);
    expect(await outcomes(generation, batchOf(10, put('a', 1n), put('b', 3n), put('c', 8n)))).toEqual(['stale', 'applied', 'stale']);
    await eventually(async () => expect((await generation.stats()).documents).toBe(2));
  });
}

export function testListing(run: Run, factory: () => Promise<TargetFixture>): void {
  test('a storage with nothing in it lists nothing', async () => {
    await using fixture = await factory();
    await using target = await fixture.connect();
    expect(await target.generations(signal)).toEqual([]);
    await target.drop(index, 1, signal);
    expect(await target.generations(signal)).toEqual([]);
  });

  test(
    'every generation is listed, with its cursor, its documents and whether readers see it, also to a second connection',
    run(async ({ fixture, target, generation }) => {
      const kept = (cursor: number): number | null => (target.capabilities.atomicCursor ? cursor : null);
      await using second = await target.open(planOf(index, 2), signal);
      await using other = await target.open(planOf('others', 7), signal);
      await outcomes(generation, batchOf(9, put('a', 1n), put('b', 2n), del('c', 9n)));
      await outcomes(other, batchOf(2 ** 47));
      const listed: GenerationListing[] = [
        { index: 'others', generation: 7, promoted: false, cursor: kept(2 ** 47), documents: 0 },
        { index, generation: 1, promoted: true, cursor: kept(9), documents: 2 },
        { index, generation: 2, promoted: false, cursor: null, documents: 0 },
      ];
      await using beside = await fixture.connect();
      for (const one of [target, beside]) await eventually(async () => expect(await one.generations(signal)).toEqual(listed));
      await second.promote(signal);
      await outcomes(second, batchOf(10, put('a', 10n)));
      const after = listed.map((one) => (one.index !== index ? one : one.generation === 1 ? { ...one, promoted: false } : { ...one, promoted: true, cursor: kept(10), documents: 1 }));
      for (const one of [target, beside]) await eventually(async () => expect(await one.generations(signal)).toEqual(after));
      expect(await versions(target, index, ['a', 'b'])).toEqual([10n, null]);
    }),
  );
}

export function testDropping(run: Run): void {
  const numbers = async (target: Target): Promise<[string, number][]> => (await target.generations(signal)).map((one) => [one.index, one.generation]);

  test(
    'a dropped generation is gone with everything in it, dropping it again changes nothing, and the others stay as they are',
    run(async ({ target, generation }) => {
      await using second = await target.open(planOf(index, 2), signal);
      await using other = await target.open(planOf('others'), signal);
      await other.promote(signal);
      await outcomes(generation, batchOf(3, put('a', 1n, { text: 'amber' }), del('b', 3n)));
      await outcomes(second, batchOf(4, put('a', 4n, { text: 'basalt' })));
      await outcomes(other, batchOf(5, put('a', 5n)));
      await second.promote(signal);
      await target.drop(index, 1, signal);
      await target.drop(index, 1, signal);
      await target.drop('unheard_of', 1, signal);
      expect(await numbers(target)).toEqual([['others', 1], [index, 2]]);
      expect(await versions(target, index, ['a', 'b'])).toEqual([4n, null]);
      expect(await versions(target, 'others', ['a'])).toEqual([5n]);
      expect(await outcomes(second, batchOf(6, put('a', 4n), put('c', 6n)))).toEqual(['stale', 'applied']);
      await eventually(async () => expect((await target.search({ index, text: 'basalt', limit: 5 }, signal)).map(({ id }) => id)).toEqual(['a']));
    }),
  );

  test(
    'work on a dropped generation ends with TGT_IDENTITY, and its number opened again is new and empty',
    run(async ({ target }) => {
      await using second = await target.open(planOf(index, 2), signal);
      await outcomes(second, batchOf(3, put('a', 3n), del('b', 3n)));
      await target.drop(index, 2, signal);
      const gone = { code: 'TGT_IDENTITY' };
      await expect(second.apply(batchOf(4, put('a', 4n)), signal)).rejects.toMatchObject(gone);
      await expect(second.sweep(9n, signal)).rejects.toMatchObject(gone);
      await expect(second.promote(signal)).rejects.toMatchObject(gone);
      await expect(second.prepare([{ name: 'colour', kind: 'text' }], signal)).rejects.toMatchObject(gone);
      await expect(second.remove(['a'], signal)).rejects.toMatchObject(gone);
      await expect(scanned(second)).rejects.toMatchObject(gone);
      expect(await numbers(target)).toEqual([[index, 1]]);
      const plan = planOf(index, 2);
      await using again = await target.open({ ...plan, binding: { ...plan.binding, fingerprint: 'another' } }, signal);
      expect(await again.cursor()).toBeNull();
      expect((await again.stats()).documents).toBe(0);
      expect(await outcomes(again, batchOf(3, put('a', 2n), put('b', 2n)))).toEqual(['applied', 'applied']);
      await again.promote(signal);
      expect(await versions(target, index, ['a', 'b'])).toEqual([2n, 2n]);
    }),
  );

  test(
    'the generation that readers see is not dropped',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(1, put('a', 1n)));
      await expect(target.drop(index, 1, signal)).rejects.toMatchObject({ code: 'INVARIANT' });
      expect(await outcomes(generation, batchOf(2, put('b', 2n)))).toEqual(['applied']);
      expect(await versions(target, index, ['a', 'b'])).toEqual([1n, 2n]);
    }),
  );

  test(
    'readers of an index find its documents at every moment of a drop',
    run(async ({ target, generation }) => {
      const ids = Array.from({ length: 500 }, (_, i) => `k${i}`);
      await using second = await target.open(planOf(index, 2), signal);
      for (const one of [generation, second]) await outcomes(one, batchOf(1, ...ids.map((id) => put(id, 1n, { text: `amber ${id}` }))));
      await second.promote(signal);
      const reading = (async () => {
        for (let i = 0; i < 20; i += 1) expect(new Set(await versions(target, index, ids))).toEqual(new Set([1n]));
      })();
      await target.drop(index, 1, signal);
      await reading;
    }),
  );
}
