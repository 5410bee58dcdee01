/** The target contract, seen from outside: cursors, ends that come early, search. */
import { expect, test } from 'vitest';
import type { Target } from '../../src/connector/target.ts';
import { batchOf, del, eventually, index, outcomes, planOf, put, signal, versions, type Run, type TargetFixture } from './target-fixture.ts';

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
      await expect(generation.prepare([{ name: 'colour', kind: 'text' }], aborted)).rejects.toBe(reason);
      await expect(generation.remove(['a'], aborted)).rejects.toBe(reason);
      await expect(Array.fromAsync(generation.scan(aborted))).rejects.toBe(reason);
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
