/** The target contract, what verification and repair rest on: scans, removal whatever the version, and the name of a storage's past. */
import { expect, test } from 'vitest';
import type { StoredDocument } from '../../src/connector/target.ts';
import { batchOf, del, index, outcomes, planOf, put, scanned, signal, versions, type Run, type TargetFixture } from './target-fixture.ts';

const oddIds = ['a', 'A', 'ä', 'a ', ' a', 'a/b', 'a:b', 'a%3Ab', '%N', "o'clock", 'say "x"', 'back\\slash', 'tab\tnew\nline', '_x', '-', '.', '..', '日本語', '😀', '0', '00', '1e3', 'null', '__proto__', 'constructor', 'a,b', 'a*', '#?&=', 'é', 'e\u0301'];

const ordered = (ids: readonly string[]): string[] => ids.toSorted((a, b) => (a < b ? -1 : 1));

export function testScans(run: Run): void {
  test(
    'a scan shows every document once, with its id, its version and its text',
    run(async ({ generation }) => {
      expect(await scanned(generation)).toEqual([]);
      const great = 2n ** 53n;
      const exact = '{"id":"exact","exact":12345678901234567890.123456789}';
      await outcomes(generation, batchOf(1, ...oddIds.map((id, i) => put(id, great + BigInt(i), { n: i })), { kind: 'put', id: 'exact', version: 2n ** 63n - 1n, document: exact }));
      await outcomes(generation, batchOf(2, del('A', 2n ** 60n), del('never', 5n)));
      const expected = oddIds.map((id, n) => ({ id, version: great + BigInt(n), document: { id, n } as unknown })).filter(({ id }) => id !== 'A');
      const shown = (await scanned(generation)).map(({ id, version, document }) => ({ id, version, document: id === 'exact' ? document : (JSON.parse(document) as unknown) }));
      expect(shown).toEqual([...expected, { id: 'exact', version: 2n ** 63n - 1n, document: exact }].toSorted((a, b) => (a.id < b.id ? -1 : 1)));
    }),
  );

  test(
    'everything that was applied before is in a scan, at once, also of a generation that readers do not see',
    run(async ({ target }) => {
      await using building = await target.open(planOf(index, { generation: 2, isBuilding: true }), signal);
      for (let i = 0; i < 8; i += 1) {
        await outcomes(building, batchOf(i, put(`k${i}`, BigInt(i + 1)), put('again', BigInt(i + 1)), del(`k${i - 2}`, BigInt(i + 1))));
        const expected = [`again ${i + 1}`, ...(i > 0 ? [`k${i - 1} ${i}`] : []), `k${i} ${i + 1}`];
        expect((await scanned(building)).map(({ id, version }) => `${id} ${version}`)).toEqual(expected);
      }
    }),
  );

  test(
    'a scan shows what was there when its first page was asked for, whatever is applied meanwhile',
    run(async ({ generation }) => {
      const ids = Array.from({ length: 6000 }, (_, i) => `k${i}`);
      for (let from = 0; from < ids.length; from += 2000) await outcomes(generation, batchOf(1, ...ids.slice(from, from + 2000).map((id) => put(id, 1n, { text: 'amber' }))));
      const pages = generation.scan(signal)[Symbol.asyncIterator]();
      const shown: StoredDocument[] = [];
      for (let page = await pages.next(), step = 0; page.done !== true; page = await pages.next(), step += 1) {
        shown.push(...page.value);
        // From both ends, so that some of it is before and some behind what the scan has reached.
        const at = (step * 40) % 2900;
        const version = BigInt(10 + step);
        const touched = [...ids.slice(at, at + 20), ...ids.slice(ids.length - at - 20, ids.length - at)];
        await outcomes(generation, batchOf(2, ...touched.map((id, i) => (i % 2 === 0 ? del(id, version) : put(id, version))), put(`new ${step}`, version)));
      }
      expect(ordered(shown.map(({ id }) => id))).toEqual(ordered(ids));
      expect(new Set(shown.map(({ version }) => version))).toEqual(new Set([1n]));
      expect((await scanned(generation)).some(({ id }) => id === 'new 0')).toBe(true);
    }),
  );

  test(
    'ids and documents of a generation are those of a scan, whichever generation readers see',
    run(async ({ target, generation }) => {
      await using building = await target.open(planOf(index, { generation: 2, isBuilding: true }), signal);
      const exact = '{"id":"exact","exact":12345678901234567890.123456789}';
      await outcomes(generation, batchOf(1, ...oddIds.map((id, i) => put(id, BigInt(i + 1), { n: i }))));
      await outcomes(building, batchOf(1, ...oddIds.slice(0, 9).map((id, i) => put(id, BigInt(i + 100), { n: i })), { kind: 'put', id: 'exact', version: 2n ** 63n - 1n, document: exact }));
      await outcomes(building, batchOf(2, del('A', 1000n), put('a', 1001n, { n: -1 })));
      for (const one of [generation, building]) {
        const shown = await scanned(one);
        expect(ordered((await Array.fromAsync(one.ids(signal))).flat())).toEqual(shown.map(({ id }) => id));
        const asked = [...shown.map(({ id }) => id).toReversed(), 'nobody', 'A', 'half \ud800', ''];
        const held = await one.fetch(asked, signal);
        expect(held).toEqual(asked.map((id) => shown.find((document) => document.id === id) ?? null));
      }
      expect((await building.fetch(['exact', 'A', 'a'], signal)).map((held) => held?.version ?? null)).toEqual([2n ** 63n - 1n, null, 1001n]);
      expect(await building.fetch([], signal)).toEqual([]);
    }),
  );

  test(
    'the ids of a generation are those of the moment when the first page was asked for',
    run(async ({ generation }) => {
      const ids = Array.from({ length: 25_000 }, (_, i) => `k${i}`);
      for (let from = 0; from < ids.length; from += 5000) await outcomes(generation, batchOf(1, ...ids.slice(from, from + 5000).map((id) => put(id, 1n))));
      const shown: string[] = [];
      for await (const page of generation.ids(signal)) {
        shown.push(...page);
        await outcomes(generation, batchOf(2, del(`k${shown.length}`, 2n), put(`new ${shown.length}`, 2n)));
      }
      expect(ordered(shown)).toEqual(ordered(ids));
    }),
  );

  test(
    'two scans go on side by side, and one that is left early is in nobody\'s way',
    run(async ({ target, generation }) => {
      await using second = await target.open(planOf(index, 2), signal);
      const ids = Array.from({ length: 2500 }, (_, i) => `k${i}`);
      for (const one of [generation, second]) await outcomes(one, batchOf(1, ...ids.map((id) => put(id, 1n))));
      for (let i = 0; i < 5; i += 1) for await (const page of second.scan(signal)) if (page.length > 0) break;
      const [one, other, third] = await Promise.all([scanned(generation), scanned(generation), scanned(second)]);
      for (const shown of [one, other, third]) expect(shown.map(({ id }) => id)).toEqual(ordered(ids));
      await target.drop(index, 2, signal);
      expect(await outcomes(generation, batchOf(2, put('k0', 2n)))).toEqual(['applied']);
    }),
  );
}

export function testRemovingByHand(run: Run): void {
  test(
    'documents are removed whatever their version, and any version of them may be put afterwards',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(9, put('great', 2n ** 62n), put('a', 10n), put('b', 10n), put('stays', 10n), del('gone', 10n)));
      await generation.remove(['great', 'a', 'nobody', 'gone'], signal);
      await generation.remove([], signal);
      await generation.remove(['great'], signal);
      expect(await versions(target, index, ['great', 'a', 'b', 'stays', 'gone'])).toEqual([null, null, 10n, 10n, null]);
      expect(await outcomes(generation, batchOf(9, put('great', 3n), put('a', 10n), put('stays', 9n), put('gone', 4n), put('nobody', 1n)))).toEqual(['applied', 'applied', 'stale', 'applied', 'applied']);
      expect(await outcomes(generation, batchOf(9, put('great', 2n), del('a', 9n), put('gone', 4n)))).toEqual(['stale', 'stale', 'stale']);
      expect(await versions(target, index, ['great', 'a', 'stays', 'gone', 'nobody'])).toEqual([3n, 10n, 10n, 4n, 1n]);
    }),
  );

  test(
    'many documents with ids of any content are removed, and no others',
    run(async ({ generation }) => {
      const many = Array.from({ length: 1200 }, (_, i) => `k${i}`);
      await outcomes(generation, batchOf(1, ...oddIds.map((id) => put(id, 5n)), ...many.map((id) => put(id, 5n))));
      const removed = [...oddIds, ...many].filter((_, i) => i % 2 === 0);
      await generation.remove(removed, signal);
      const kept = [...oddIds, ...many].filter((_, i) => i % 2 === 1);
      expect((await scanned(generation)).map(({ id }) => id)).toEqual(ordered(kept));
      expect(new Set(await outcomes(generation, batchOf(2, ...removed.map((id) => put(id, 1n)))))).toEqual(new Set(['applied']));
    }),
  );
}

export function testIncarnations(factory: () => Promise<TargetFixture>): void {
  test('an incarnation stays the same when the generation is opened again, written or promoted, and is another one when it was dropped and made anew', async () => {
    await using fixture = await factory();
    const seen: string[] = [];
    const open = async (isNew: boolean): Promise<void> => {
      await using target = await fixture.connect();
      await using generation = await target.open(planOf(index), signal);
      if (target.capabilities.atomicCursor) return expect(generation.incarnation).toBe('');
      expect(generation.incarnation).not.toBe('');
      if (isNew) expect(seen).not.toContain(generation.incarnation);
      else expect(generation.incarnation).toBe(seen.at(-1));
      seen.push(generation.incarnation);
      await outcomes(generation, batchOf(seen.length, put('a', BigInt(seen.length))));
      if (!isNew) await generation.prepare([{ name: 'colour', kind: 'text' }], signal);
      expect(generation.incarnation).toBe(seen.at(-1));
    };
    const replace = async (): Promise<void> => {
      await using target = await fixture.connect();
      await using second = await target.open(planOf(index, 2), signal);
      await second.promote(signal);
      if (!target.capabilities.atomicCursor) expect(seen).not.toContain(second.incarnation);
      await target.drop(index, 1, signal);
    };
    await open(true);
    await open(false);
    await open(false);
    await replace();
    await open(true);
    await open(false);
  });
}
