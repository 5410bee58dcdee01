/** The target contract, seen from outside: generations and their promotion, cursors, ends that come early, search. */
import { expect, test } from 'vitest';
import type { Target } from '../../src/connector/target.ts';
import { batchOf, del, eventually, index, outcomes, planOf, put, signal, versions, type Run, type TargetFixture } from './target-fixture.ts';

export function testGenerations(run: Run, factory: () => Promise<TargetFixture>): void {
  test(
    'an index that was never promoted shows readers nothing',
    run(async ({ target }) => {
      await using hidden = await target.open(planOf('hidden'), signal);
      await outcomes(hidden, batchOf(1, put('a', 1n, { text: 'amber' })));
      expect(await versions(target, 'hidden', ['a'])).toEqual([null]);
      expect(await target.search({ index: 'hidden', text: 'amber', limit: 5 }, signal)).toEqual([]);
      expect(await versions(target, 'unheard of', ['a', 'b'])).toEqual([null, null]);
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
      await outcomes(generation, batchOf(9, put('a', 9n, { g: 1 })));
      expect(await outcomes(second, batchOf(2, put('a', 2n, { g: 2 })))).toEqual(['applied']);
      expect(await outcomes(other, batchOf(1, put('a', 1n, { g: 3 })))).toEqual(['applied']);
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

export function testCursors(factory: () => Promise<TargetFixture>): void {
  test('the cursor is null when new, then where the last batch ended, and no replay moves it back', async () => {
    await using fixture = await factory();
    {
      await using target = await fixture.connect();
      await using generation = await target.open(planOf(index), signal);
      const kept = (cursor: number): number | null => (target.capabilities.atomicCursor ? cursor : null);
      expect(await generation.cursor()).toBeNull();
      await outcomes(generation, batchOf(7, put('a', 1n)));
      expect(await generation.cursor()).toBe(kept(7));
      await outcomes(generation, batchOf(2 ** 47));
      expect(await generation.cursor()).toBe(kept(2 ** 47));
      await outcomes(generation, batchOf(7, put('a', 1n)));
      expect(await generation.cursor()).toBe(kept(2 ** 47));
    }
    await using target = await fixture.connect();
    await using generation = await target.open(planOf(index), signal);
    expect(await generation.cursor()).toBe(target.capabilities.atomicCursor ? 2 ** 47 : null);
  });
}

export function testEnding(run: Run): void {
  test(
    'what was called off before it began does nothing, and says why it was called off',
    run(async ({ target, generation }) => {
      const reason = new Error('enough');
      const aborted = AbortSignal.abort(reason);
      await expect(generation.apply(batchOf(1, put('a', 1n)), aborted)).rejects.toBe(reason);
      await expect(generation.sweep(9n, aborted)).rejects.toBe(reason);
      await expect(target.fetch(index, ['a'], aborted)).rejects.toBe(reason);
      expect(await versions(target, index, ['a'])).toEqual([null]);
      expect(await outcomes(generation, batchOf(1, put('a', 1n)))).toEqual(['applied']);
    }),
  );

  test(
    'a batch that is called off under way may be sent again',
    run(async ({ target, generation }) => {
      const controller = new AbortController();
      const operations = Array.from({ length: 500 }, (_, i) => put(`k${i}`, BigInt(i + 1)));
      const attempt = generation.apply(batchOf(500, ...operations), controller.signal).catch((error: unknown) => error);
      controller.abort(new Error('enough'));
      await attempt;
      const again = await outcomes(generation, batchOf(500, ...operations));
      expect(new Set(['applied', 'stale']).isSupersetOf(new Set(again))).toBe(true);
      expect(await versions(target, index, ['k0', 'k499'])).toEqual([1n, 500n]);
    }),
  );

  test(
    'a preflight finds nothing wrong with a target that works, and changes nothing',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(1, put('a', 1n)));
      expect((await target.check(signal)).filter(({ level }) => level === 'problem')).toEqual([]);
      expect(await versions(target, index, ['a'])).toEqual([1n]);
    }),
  );
}

export function testSearch(run: Run): void {
  const found = async (target: Target, text: string, limit = 10): Promise<string[]> => (await target.search({ index, text, limit }, signal)).map(({ id }) => id).toSorted();

  test(
    'a word finds the documents that have it now, best first, up to the limit',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(4, put('a', 1n, { text: 'amber and basalt' }), put('b', 2n, { text: 'basalt', tags: ['cedar'] }), put('c', 3n, { text: 'delta' }), put('d', 4n, { text: 'ember' })));
      await eventually(async () => expect(await found(target, 'basalt')).toEqual(['a', 'b']));
      expect(await found(target, 'BASALT')).toEqual(['a', 'b']);
      expect(await found(target, 'cedar')).toEqual(['b']);
      expect(await found(target, 'basalt', 1)).toHaveLength(1);
      const hits = await target.search({ index, text: 'basalt', limit: 10 }, signal);
      expect(hits.map(({ score }) => score)).toEqual(hits.map(({ score }) => score).toSorted((a, b) => b - a));
      for (const { id, document } of hits) expect(JSON.parse(document)).toMatchObject({ id });

      await outcomes(generation, batchOf(8, put('a', 5n, { text: 'only delta now' }), del('c', 6n), put('d', 7n, { text: 'ember', seq: 7 })));
      await eventually(async () => expect(await found(target, 'basalt')).toEqual(['b']));
      await eventually(async () => expect(await found(target, 'delta')).toEqual(['a']));
      expect(await found(target, 'ember')).toEqual(['d']);
      await outcomes(generation, { operations: [], clearBelow: 8n, cursor: 9 });
      await eventually(async () => expect(await found(target, 'ember')).toEqual([]));
    }),
  );

  test(
    'whatever is typed is searched for, and is never an error',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(1, put('a', 1n, { text: 'amber' })));
      const typed = ['', ' ', '"', "'", '"amber', 'amber"', '(', ')', 'amber)', '*', '**', 'amb*', 'AND', 'amber AND', 'OR OR', 'NOT amber', 'NEAR(', 'NEAR(amber, 2)', ':', 'a:', ':a', 'a:b:c', 'text:', 'text:amber', 'nosuch:amber', '-amber', '+amber', '^amber', '{', '}', '{text}:amber', '[1 TO 2]', '/re/', '\\', '~', 'amber~2', '\0', 'am\0ber', '\u{d800}', '😀', 'é', '--', ';--', "'; DROP TABLE x; --", 'x'.repeat(50_000), 'amber '.repeat(5000), '"'.repeat(1001)];
      for (const text of typed) expect(Array.isArray(await target.search({ index, text, limit: 3 }, signal)), JSON.stringify(text.slice(0, 40))).toBe(true);
      await eventually(async () => expect(await found(target, 'amber')).toEqual(['a']));
    }),
  );
}
