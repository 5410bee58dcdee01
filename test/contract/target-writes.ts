/** The target contract, writing: which version wins, what is refused, what is removed, and that any history comes to the same end. */
import { expect, test } from 'vitest';
import type { Batch } from '../../src/connector/target.ts';
import { batchOf, del, eventually, expectModel, index, outcomes, planOf, put, scanned, signal, versions, type Run } from './target-fixture.ts';
import { history, numbersFrom, repeatedDelete, TargetModel } from './target-history.ts';

export function testDocuments(run: Run): void {
  test(
    'a document is there with its exact version, in the order asked for, and null stands for one that is not',
    run(async ({ target, generation }) => {
      expect(await outcomes(generation, batchOf(2, put('a', 1n, { n: 1 }), put('b', 2n, { n: 2 })))).toEqual(['applied', 'applied']);
      const held = await target.fetch(index, ['b', 'nobody', 'a'], signal);
      expect(held.map((one) => one?.version ?? null)).toEqual([2n, null, 1n]);
      expect(JSON.parse(held[0]?.document ?? '')).toEqual({ id: 'b', n: 2 });
    }),
  );

  test(
    'a write wins only over a lower version',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(5, put('a', 5n, { text: 'first' })));
      expect(await outcomes(generation, batchOf(5, put('a', 5n, { text: 'same' })))).toEqual(['stale']);
      expect(await outcomes(generation, batchOf(5, put('a', 4n, { text: 'older' })))).toEqual(['stale']);
      expect(await outcomes(generation, batchOf(5, del('a', 4n)))).toEqual(['stale']);
      expect(JSON.parse((await target.fetch(index, ['a'], signal))[0]?.document ?? '')).toEqual({ id: 'a', text: 'first' });
      expect(await outcomes(generation, batchOf(6, put('a', 6n, { text: 'newer' })))).toEqual(['applied']);
      expect(JSON.parse((await target.fetch(index, ['a'], signal))[0]?.document ?? '')).toEqual({ id: 'a', text: 'newer' });
    }),
  );

  test(
    'a delete is remembered: an older put is stale after it, a newer one uses the key again',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(1, put('a', 1n)));
      expect(await outcomes(generation, batchOf(10, del('a', 10n), del('never', 10n)))).toEqual(['applied', 'applied']);
      expect(await outcomes(generation, batchOf(10, put('a', 9n), put('never', 9n)))).toEqual(['stale', 'stale']);
      expect(await versions(target, index, ['a', 'never'])).toEqual([null, null]);
      expect(await outcomes(generation, batchOf(11, put('a', 11n), put('never', 11n)))).toEqual(['applied', 'applied']);
      expect(await versions(target, index, ['a', 'never'])).toEqual([11n, 11n]);
    }),
  );

  test(
    'a delete wins over a document of its own version, too, and only the next version comes after it',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(5, put('a', 5n), put('b', 5n)));
      expect(await outcomes(generation, batchOf(6, del('a', 5n), put('b', 5n, { n: 'again' })))).toEqual(['applied', 'stale']);
      expect(await versions(target, index, ['a', 'b'])).toEqual([null, 5n]);
      await eventually(async () => expect((await generation.stats()).documents).toBe(1));
      expect(await outcomes(generation, batchOf(6, del('a', 5n), put('b', 4n)))).toEqual([repeatedDelete(target), 'stale']);
      expect(await outcomes(generation, batchOf(6, put('a', 5n)))).toEqual(['stale']);
      expect(await outcomes(generation, batchOf(6, put('a', 6n)))).toEqual(['applied']);
      expect(await versions(target, index, ['a', 'b'])).toEqual([6n, 5n]);
    }),
  );

  test(
    'versions beyond 2^53 keep their order, up to the greatest',
    run(async ({ target, generation }) => {
      const low = 2n ** 53n + 1n;
      const high = 2n ** 53n + 2n;
      await outcomes(generation, batchOf(1, put('a', low), put('b', high), put('c', 2n ** 63n - 2n)));
      expect(await outcomes(generation, batchOf(2, put('a', high), put('b', low), put('c', 2n ** 63n - 1n)))).toEqual(['applied', 'stale', 'applied']);
      expect(await outcomes(generation, batchOf(2, put('a', low), del('c', 2n ** 63n - 2n)))).toEqual(['stale', 'stale']);
      expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([high, high, 2n ** 63n - 1n]);
    }),
  );

  test(
    'ids of any content stay apart',
    run(async ({ target, generation }) => {
      const ids = ['a', 'A', 'ä', 'a ', ' a', 'a/b', 'a:b', 'a%3Ab', '%N', '%E', "o'clock", 'say "x"', '_x', '-', '.', '..', '日本語', '😀', '0', '00', '1e3', 'null', '__proto__', 'constructor', 'a,b', 'a*', '#?&=', 'é', 'e\u0301'];
      const batch = batchOf(100, ...ids.map((id, i) => put(id, BigInt(i + 1), { n: i })));
      expect(await outcomes(generation, batch)).toEqual(ids.map(() => 'applied'));
      const held = await target.fetch(index, ids, signal);
      expect(held.map((one) => JSON.parse(one?.document ?? 'null') as unknown)).toEqual(ids.map((id, n) => ({ id, n })));
      await outcomes(generation, batchOf(200, ...ids.filter((_, i) => i % 2 === 0).map((id) => del(id, 200n))));
      expect(await versions(target, index, ids)).toEqual(ids.map((_, i) => (i % 2 === 0 ? null : BigInt(i + 1))));
    }),
  );

  test(
    'long ids come back whole, or are refused one by one where the target has a limit',
    run(async ({ fixture: { idBytesMax = Number.POSITIVE_INFINITY }, target, generation }) => {
      const ids = ['x'.repeat(511), 'x'.repeat(512), 'é'.repeat(256), 'x'.repeat(513), 'é'.repeat(257), 'x'.repeat(20_000)];
      const isTaken = ids.map((id) => Buffer.byteLength(id) <= idBytesMax);
      const refusable = ['applied', 'poison'] as const;
      expect(await outcomes(generation, batchOf(1, put('short', 1n), ...ids.map((id) => put(id, 1n))))).toEqual(['applied', ...isTaken.map((taken) => refusable[taken ? 0 : 1])]);
      expect(await versions(target, index, ['short', ...ids])).toEqual([1n, ...isTaken.map((taken) => (taken ? 1n : null))]);
    }),
  );

  test(
    'large documents come back whole, and numbers keep their digits',
    run(async ({ target, generation }) => {
      const document = `{"id":"big","text":${JSON.stringify('lorem "ipsum"\n\t\\ é 😀 '.repeat(50_000))},"exact":12345678901234567890.123456789}`;
      expect(await outcomes(generation, batchOf(2, { kind: 'put', id: 'big', version: 2n, document }))).toEqual(['applied']);
      const [held] = await target.fetch(index, ['big'], signal);
      expect(JSON.parse(held?.document ?? 'null')).toEqual(JSON.parse(document));
      expect(held?.document).toContain('12345678901234567890.123456789');
    }),
  );

  test(
    'a batch of thousands is one call',
    run(async ({ target, generation }) => {
      const operations = Array.from({ length: 5000 }, (_, i) => put(`k${i}`, BigInt(i + 1), { n: i }));
      expect(new Set(await outcomes(generation, batchOf(5000, ...operations)))).toEqual(new Set(['applied']));
      await eventually(async () => expect((await generation.stats()).documents).toBe(5000));
      expect(await versions(target, index, ['k0', 'k4999', 'k5000'])).toEqual([1n, 5000n, null]);
    }),
  );

  test(
    'batches of disjoint keys may be sent at once',
    run(async ({ target, generation }) => {
      const batches = Array.from({ length: 8 }, (_, b) => batchOf(b + 1, ...Array.from({ length: 50 }, (__, i) => put(`b${b}-${i}`, BigInt(b + 1)))));
      const results = await Promise.all(batches.map((batch) => outcomes(generation, batch)));
      expect(new Set(results.flat())).toEqual(new Set(['applied']));
      const ids = batches.flatMap(({ operations }) => operations.map(({ id }) => id));
      expect(await versions(target, index, ids)).toEqual(batches.flatMap(({ operations }) => operations.map(({ version }) => version)));
    }),
  );
}

export function testRefusals(run: Run): void {
  test('results stand at the place of their operation, and a refused document stops no other', async (context) => {
    await run(async ({ fixture, target, generation }) => {
      const { poison } = fixture;
      if (poison === undefined) return context.skip('this target refuses no single document');
      await outcomes(generation, batchOf(5, put('old', 5n), put('bad', 5n, { text: 'good' })));
      const mixed = batchOf(9, put('a', 6n), poison('bad', 7n), put('old', 4n), del('b', 8n), poison('new', 8n), put('c', 9n));
      const results = await generation.apply(mixed, signal);
      expect(results.map(({ outcome }) => outcome)).toEqual(['applied', 'poison', 'stale', 'applied', 'poison', 'applied']);
      for (const result of results) if (result.outcome === 'poison') expect(result).toMatchObject({ code: 'TGT_REJECTED', reason: expect.stringMatching(/\w/) as unknown });
      expect(await versions(target, index, ['a', 'bad', 'old', 'b', 'new', 'c'])).toEqual([6n, 5n, 5n, null, null, 9n]);
      expect(await outcomes(generation, mixed)).toEqual(['stale', 'poison', 'stale', repeatedDelete(target), 'poison', 'stale']);
      expect(await outcomes(generation, batchOf(11, put('bad', 10n), put('new', 11n)))).toEqual(['applied', 'applied']);
      await eventually(async () => expect((await generation.stats()).documents).toBe(5));
    })();
  });

  test('the cursor stays before a batch with a refused document, so that it is met again', async (context) => {
    await run(async ({ fixture, target, generation }) => {
      const { poison } = fixture;
      if (poison === undefined || !target.capabilities.atomicCursor) return context.skip('needs an atomic cursor and a document to refuse');
      await outcomes(generation, batchOf(5, put('a', 5n)));
      await outcomes(generation, batchOf(8, put('b', 7n), poison('bad', 8n)));
      expect(await generation.cursor()).toBe(5);
      expect(await versions(target, index, ['b'])).toEqual([7n]);
      await outcomes(generation, batchOf(9));
      expect(await generation.cursor()).toBe(9);
    })();
  });

  test('an operation that is put off stops no other, the cursor stays before its batch, and sent again it is applied', async (context) => {
    await run(async ({ fixture, target, generation }) => {
      const { putOff } = fixture;
      if (putOff === undefined) return context.skip('this target puts off no single operation');
      const kept = (cursor: number): number | null => (target.capabilities.atomicCursor ? cursor : null);
      await outcomes(generation, batchOf(5, put('a', 5n)));
      expect(await outcomes(generation, batchOf(8, put('b', 6n), putOff('later', 7n), del('a', 8n)))).toEqual(['applied', 'retry', 'applied']);
      expect(await generation.cursor()).toBe(kept(5));
      expect(await versions(target, index, ['a', 'b', 'later'])).toEqual([null, 6n, null]);
      expect(await outcomes(generation, batchOf(8, put('later', 7n)))).toEqual(['applied']);
      expect(await generation.cursor()).toBe(kept(8));
      expect(await versions(target, index, ['a', 'b', 'later'])).toEqual([null, 6n, 7n]);
    })();
  });
}

export function testHistories(run: Run, seedCount: number): void {
  const ids = Array.from({ length: 9 }, (_, i) => `key ${i}`);
  const seeds = Array.from({ length: seedCount }, (_, i) => i + 1);

  test.each(seeds)('duplicates and batches from any time come to what the newest versions say (seed %i)', (seed) =>
    run(async ({ target, generation }) => {
      const batches = history({ seed, ids, changesMax: 12, clears: false, forgetAfter: 0 }).take(40).toArray();
      const next = numbersFrom(seed);
      const model = new TargetModel(target);
      for (let step = 0, reached = 0; reached < batches.length; step += 1) {
        const at = next() < 0.5 ? reached++ : Math.floor(next() * reached);
        const batch = batches[at] as Batch;
        expect(await outcomes(generation, batch), `step ${step}, batch ${at}`).toEqual(model.apply(batch));
        if (step % 7 === 0) await expectModel(target, index, ids, model);
      }
      await expectModel(target, index, ids, model);
    })(),
  );

  test.each(seeds)('a replay from any older batch, through truncates, ends as before (seed %i)', (seed) =>
    run(async ({ target, generation }) => {
      const atomic = target.capabilities.atomicCursor;
      const batches = history({ seed, ids, changesMax: 40, clears: true, forgetAfter: 6 }).take(40).toArray();
      const next = numbersFrom(seed);
      const model = new TargetModel(target);
      for (let reached = 0; reached < batches.length; reached += 1) {
        // No further back than the batches themselves say.
        const from = next() < 0.3 ? Math.max(0, reached - 1 - Math.floor(next() * 5)) : reached;
        for (let at = from; at <= reached; at += 1) {
          const batch = batches[at] as Batch;
          const expected = model.apply(batch);
          const got = await outcomes(generation, batch);
          if (atomic) expect(got, `batch ${at} from ${from}`).toEqual(expected);
          else expect(new Set(['applied', 'stale']).isSupersetOf(new Set(got))).toBe(true);
        }
        await expectModel(target, index, ids, model);
      }
      await eventually(async () => expect((await generation.stats()).documents).toBe(model.count));
    })(),
  );
}

export function testRemoval(run: Run): void {
  test(
    'clearing removes every document below a version before the batch, and no other',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(12, put('a', 1n), put('b', 9n), put('c', 10n), put('d', 12n)));
      expect(await outcomes(generation, { operations: [put('e', 13n), put('a', 14n)], clearBelow: 10n, cursor: 14 })).toEqual(['applied', 'applied']);
      expect(await versions(target, index, ['a', 'b', 'c', 'd', 'e'])).toEqual([14n, null, 10n, 12n, 13n]);
      await outcomes(generation, { operations: [], clearBelow: 20n, cursor: 20 });
      expect(await versions(target, index, ['a', 'b', 'c', 'd', 'e'])).toEqual([null, null, null, null, null]);
      await eventually(async () => expect((await generation.stats()).documents).toBe(0));
      expect(await outcomes(generation, batchOf(22, put('a', 21n), put('b', 22n)))).toEqual(['applied', 'applied']);
      await outcomes(generation, { operations: [], clearBelow: 22n, cursor: 23 });
      expect(await versions(target, index, ['a', 'b'])).toEqual([null, 22n]);
    }),
  );

  test(
    'clearing and sweeping work with the greatest versions',
    run(async ({ target, generation }) => {
      const great = 2n ** 63n - 9n;
      await outcomes(generation, batchOf(1, put('a', great - 1n), put('b', great)));
      await outcomes(generation, { operations: [put('c', great + 2n)], clearBelow: great, cursor: 2 });
      expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([null, great, great + 2n]);
      expect(await generation.sweep(great + 1n, signal)).toBe(1);
      await using again = await target.open(planOf(index), signal);
      await eventually(async () => expect((await again.stats()).documents).toBe(1));
      expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([null, null, great + 2n]);
    }),
  );

  test('where cursor and documents are one, nothing older than a clearing or a sweep comes back', async (context) => {
    await run(async ({ target, generation }) => {
      if (!target.capabilities.atomicCursor) return context.skip('needs an atomic cursor');
      await outcomes(generation, batchOf(5, put('a', 5n), del('b', 4n)));
      await outcomes(generation, { operations: [], clearBelow: 10n, cursor: 10 });
      expect(await outcomes(generation, batchOf(5, put('a', 5n), put('b', 9n), put('c', 9n)))).toEqual(['stale', 'stale', 'stale']);
      await generation.sweep(20n, signal);
      expect(await outcomes(generation, batchOf(10, put('a', 19n), put('d', 20n)))).toEqual(['stale', 'applied']);
      expect(await versions(target, index, ['a', 'b', 'c', 'd'])).toEqual([null, null, null, 20n]);
    })();
  });

  test(
    'a sweep removes what is older than a version and says how many documents went',
    run(async ({ target, generation }) => {
      const operations = Array.from({ length: 2500 }, (_, i) => put(`k${i}`, BigInt(i + 1)));
      await outcomes(generation, batchOf(2500, ...operations));
      await outcomes(generation, batchOf(2501, del('k0', 2501n), del('never', 5n)));
      await eventually(async () => expect((await generation.stats()).documents).toBe(2499));
      expect(await generation.sweep(2201n, signal)).toBe(2199);
      expect(await generation.sweep(2201n, signal)).toBe(0);
      expect(await versions(target, index, ['k0', 'k1', 'k2199', 'k2200', 'k2499'])).toEqual([null, null, null, 2201n, 2500n]);
      await eventually(async () => expect((await generation.stats()).documents).toBe(300));
    }),
  );

  test(
    'a sweep beside newer writes removes what is older and nothing that is newer',
    run(async ({ target, generation }) => {
      const ids = Array.from({ length: 1500 }, (_, i) => `k${i}`);
      await outcomes(generation, batchOf(1, ...ids.map((id) => put(id, 10n))));
      const isRewritten = (_: string, i: number): boolean => i % 3 === 0;
      const writing = (async () => {
        for (let from = 0; from < ids.length; from += 150) {
          const operations = ids.slice(from, from + 150).filter((_, i) => isRewritten('', from + i)).flatMap((id) => [put(id, 20n), put(`new ${id}`, 20n)]);
          expect(new Set(await outcomes(generation, batchOf(2, ...operations)))).toEqual(new Set(['applied']));
        }
      })();
      const swept = await generation.sweep(20n, signal);
      await writing;
      expect(swept).toBeGreaterThanOrEqual(1000);
      await generation.sweep(20n, signal);
      const rewritten = ids.filter(isRewritten);
      expect(await versions(target, index, ids)).toEqual(ids.map((id, i) => (isRewritten(id, i) ? 20n : null)));
      expect((await scanned(generation)).map(({ id }) => id)).toEqual([...rewritten, ...rewritten.map((id) => `new ${id}`)].toSorted());
    }),
  );

  test(
    'deletes may be forgotten below a version, later ones are remembered, and readers see no difference',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(9, put('a', 1n), put('b', 2n), put('c', 3n), del('d', 9n)));
      await outcomes(generation, batchOf(11, del('a', 10n), del('b', 11n)));
      await outcomes(generation, { operations: [put('e', 12n)], forgetBelow: 11n, cursor: 12 });
      expect(await versions(target, index, ['a', 'b', 'c', 'd', 'e'])).toEqual([null, null, 3n, null, 12n]);
      expect(await outcomes(generation, batchOf(12, put('b', 10n), put('c', 3n)))).toEqual(['stale', 'stale']);
    }),
  );
}
