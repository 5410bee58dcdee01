/** The OpenSearch target keeps the target contract, on real servers of every version that is supported. */
import { expect, test } from 'vitest';
import type { Batch } from '../../src/connector/target.ts';
import { index, outcomes, planOf, scanned, signal } from '../contract/target-fixture.ts';
import { history, numbersFrom } from '../contract/target-history.ts';
import { targetContract } from '../contract/target.ts';
import { MemoryStorage, MemoryTarget } from '../sim/memory-target.ts';
import { connect } from './opensearch-connect.ts';
import { allVersions, describeOpenSearch, titleOf } from './opensearch.ts';

/** Each step is a request here, so fewer of them than in a file. */
const SEEDS = 2;
const KILLS = 6;

describeOpenSearch(allVersions, ({ version, server }) => {
  targetContract(`the OpenSearch target on ${titleOf(version)}`, async () => {
    const node = await server();
    await node.clear();
    return {
      connect: () => connect(node.url),
      // The mapping is strict, and has no such field.
      poison: (id, operation) => ({ kind: 'put', id, version: operation, document: JSON.stringify({ id, undeclared: 1 }) }),
      idBytesMax: 512,
      changedField: { before: { name: 'size', kind: 'int' }, after: { name: 'size', kind: 'text' } },
      process: { module: new URL('./opensearch-connect.ts', import.meta.url).href, argument: node.url, kills: KILLS },
      [Symbol.asyncDispose]: async () => {},
    };
  }, { seeds: SEEDS });

  test.each([1, 2])('the simulator\'s target answers as the server does, operation by operation (seed %i)', async (seed) => {
    const node = await server();
    await node.clear();
    await using real = await connect(node.url);
    await using double = new MemoryTarget('memory', new MemoryStorage({ atomicCursor: false }));
    await using atReal = await real.open(planOf(index), signal);
    await using atDouble = await double.open(planOf(index), signal);
    const ids = Array.from({ length: 12 }, (_, i) => `key ${i}`);
    const batches = history({ seed, ids, changesMax: 30, clears: true, forgetAfter: 0 }).take(60).toArray();
    const next = numbersFrom(seed);
    for (let step = 0, reached = 0; reached < batches.length; step += 1) {
      // Any batch that was reached may come again, at any time.
      const batch = batches[next() < 0.6 ? reached++ : Math.floor(next() * reached)] as Batch;
      expect(await outcomes(atReal, batch), `step ${step}`).toEqual(await outcomes(atDouble, batch));
      if (step % 10 === 9) {
        const version = (batches[Math.floor(next() * reached)]?.operations[0]?.version ?? 0n) + 1n;
        expect(await atReal.sweep(version, signal), `step ${step}`).toBe(await atDouble.sweep(version, signal));
        const removed = ids.filter(() => next() < 0.1);
        for (const one of [atReal, atDouble]) await one.remove(removed, signal);
      }
      if (step % 5 === 0) expect(await scanned(atReal), `step ${step}`).toEqual(await scanned(atDouble));
    }
    expect(await scanned(atReal)).toEqual(await scanned(atDouble));
  });
});
