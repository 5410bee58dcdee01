/** The target contract, a generation's way to its readers: built unseen, promoted whole, swapped and swapped back under load. */
import { expect, test } from 'vitest';
import { batchOf, del, eventually, index, outcomes, planOf, put, signal, versions, type Run, type TargetFixture } from './target-fixture.ts';

const SWAPS = 10;

/** A target in memory answers without ever giving timers their turn. */
const turn = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export function testBuilding(run: Run, factory: () => Promise<TargetFixture>): void {
  test(
    'a generation that is being built is seen by nobody, and once promoted all of it is found at once, and all that follows',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(1, put('old', 1n, { text: 'amber' })));
      await using building = await target.open(planOf(index, { generation: 2, isBuilding: true }), signal);
      const found = async (text: string): Promise<string[]> => (await target.search({ index, text, limit: 1000 }, signal)).map(({ id }) => id).toSorted();
      const ids = Array.from({ length: 300 }, (_, i) => `k${i}`).toSorted();
      for (let from = 0; from < ids.length; from += 100) await outcomes(building, batchOf(2, ...ids.slice(from, from + 100).map((id) => put(id, 2n, { text: 'amber' }))));
      await outcomes(building, batchOf(3, del('k7', 3n), put('k8', 3n, { text: 'basalt' })));
      await eventually(async () => expect(await found('amber')).toEqual(['old']));
      await building.promote(signal);
      expect(await found('amber')).toEqual(ids.filter((id) => id !== 'k7' && id !== 'k8'));
      expect(await found('basalt')).toEqual(['k8']);
      expect(await outcomes(building, batchOf(5, put('k7', 2n), put('k9', 5n, { text: 'basalt' })))).toEqual(['stale', 'applied']);
      await eventually(async () => expect(await found('basalt')).toEqual(['k8', 'k9']));
    }),
  );

  test(
    'a generation says what readers find: it, another one, or nothing',
    run(async ({ target, generation }) => {
      await using unbuilt = await target.open(planOf('others', { isBuilding: true }), signal);
      await using building = await target.open(planOf(index, { generation: 2, isBuilding: true }), signal);
      const seen = async (): Promise<unknown[]> => Promise.all([generation, building, unbuilt].map(async (one) => one.seen(signal)));
      expect(await seen()).toEqual(['this', 'another', 'nothing']);
      await building.promote(signal);
      expect(await seen()).toEqual(['another', 'this', 'nothing']);
      await target.drop(index, 1, signal);
      await expect(generation.seen(signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    }),
  );

  test('a build that was broken off goes on where it was, and ends like any other', async () => {
    await using fixture = await factory();
    for (const part of [1, 2]) {
      await using target = await fixture.connect();
      await using building = await target.open(planOf(index, { isBuilding: true }), signal);
      await outcomes(building, batchOf(part, put(`p${part}`, BigInt(part), { text: 'amber' })));
      expect(await versions(target, index, [`p${part}`])).toEqual([null]);
    }
    {
      await using target = await fixture.connect();
      await using building = await target.open(planOf(index, { isBuilding: true }), signal);
      await building.promote(signal);
      expect((await target.search({ index, text: 'amber', limit: 5 }, signal)).map(({ id }) => id).toSorted()).toEqual(['p1', 'p2']);
    }
    await using target = await fixture.connect();
    await using serving = await target.open(planOf(index), signal);
    await outcomes(serving, batchOf(3, put('p3', 3n, { text: 'amber' }), put('p1', 1n)));
    await eventually(async () => expect((await target.search({ index, text: 'amber', limit: 5 }, signal)).map(({ id }) => id).toSorted()).toEqual(['p1', 'p2', 'p3']));
  });

  test('a generation that was promoted and opened as one that is being built is still what readers see', async () => {
    await using fixture = await factory();
    {
      await using target = await fixture.connect();
      await using generation = await target.open(planOf(index, { isBuilding: true }), signal);
      await outcomes(generation, batchOf(1, put('a', 1n)));
      await generation.promote(signal);
    }
    // The daemon died after the promotion and before it had noted it.
    await using target = await fixture.connect();
    await using generation = await target.open(planOf(index, { isBuilding: true }), signal);
    expect(await versions(target, index, ['a'])).toEqual([1n]);
    await generation.promote(signal);
    await outcomes(generation, batchOf(2, put('b', 2n, { text: 'basalt' })));
    await eventually(async () => expect((await target.search({ index, text: 'basalt', limit: 5 }, signal)).map(({ id }) => id)).toEqual(['b']));
  });
}

export function testSwaps(run: Run): void {
  test(
    `a reader that looks at all ids during ${SWAPS} swaps there and back, while both generations are written, sees no id missing, too many or twice`,
    run(async ({ target, generation }) => {
      const ids = Array.from({ length: 300 }, (_, i) => `k${i}`).toSorted();
      await using second = await target.open(planOf(index, 2), signal);
      const both = [generation, second];
      for (const one of both) await outcomes(one, batchOf(1, ...ids.map((id) => put(id, 1n, { text: 'amber' }))));
      // So that the first swap starts from an index in which everything is found.
      await second.promote(signal);
      await generation.promote(signal);
      let ended = false;
      const writing = (async () => {
        for (let version = 2n; !ended; version += 1n) {
          const operations = ids.filter((_, i) => (BigInt(i) + version) % 6n === 0n).map((id) => put(id, version, { text: 'amber', n: Number(version) }));
          for (const one of both) await outcomes(one, batchOf(Number(version), ...operations));
          await turn();
        }
      })();
      let looks = 0;
      const reading = (async () => {
        for (; !ended; looks += 1) {
          const hits = await target.search({ index, text: 'amber', limit: 1000 }, signal);
          expect(hits.map(({ id }) => id).toSorted(), `look ${looks}`).toEqual(ids);
          expect(await versions(target, index, ids)).not.toContain(null);
          await turn();
        }
      })();
      const swapping = (async () => {
        for (let swap = 1; swap <= SWAPS; swap += 1) {
          await (swap % 2 === 1 ? second : generation).promote(signal);
          const before = looks;
          await eventually(async () => expect(looks).toBeGreaterThan(before));
          expect((await target.generations(signal)).filter(({ promoted }) => promoted).map((one) => one.generation)).toEqual([swap % 2 === 1 ? 2 : 1]);
        }
      })().finally(() => (ended = true));
      await Promise.all([swapping, writing.finally(() => (ended = true)), reading.finally(() => (ended = true))]);
      expect(looks).toBeGreaterThanOrEqual(SWAPS);
    }),
  );
}
