/** Which of two writes a real server takes for the later one, and from whom it takes any: versions beyond 53 bits, epochs of the log, other logs. */
import { expect, test } from 'vitest';
import { batchOf, del, index, outcomes, planOf, put, signal, versions } from '../contract/target-fixture.ts';
import { faultScene } from './opensearch-fault-scene.ts';
import type { OpenSearchSuite } from './opensearch.ts';

export function testOrder({ server }: OpenSearchSuite): void {
  test('versions that differ beyond 53 bits keep their order, in puts and in deletes', async () => {
    await using scene = await faultScene(await server());
    const { generation, target } = scene;
    const [odd, even, top] = [2n ** 53n + 1n, 2n ** 53n + 2n, 2n ** 63n - 1n];
    expect(await outcomes(generation, batchOf(1, put('up', odd), put('down', even), put('gone', odd), put('top', top - 1n)))).toEqual(['applied', 'applied', 'applied', 'applied']);
    expect(await outcomes(generation, batchOf(2, put('up', even), put('down', odd), del('gone', even), put('top', top)))).toEqual(['applied', 'stale', 'applied', 'applied']);
    expect(await outcomes(generation, batchOf(3, put('gone', odd), del('up', odd), put('top', top - 1n)))).toEqual(['stale', 'stale', 'stale']);
    expect(await versions(target, index, ['up', 'down', 'gone', 'top'])).toEqual([even, even, null, top]);
  });

  test('an index of another epoch of the log, or of another log, is refused, and not called stale', async () => {
    await using scene = await faultScene(await server());
    const { generation, target } = scene;
    const plan = planOf(index);
    await outcomes(generation, batchOf(1, put('a', 5n)));
    for (const binding of [{ ...plan.binding, epoch: 4 }, { ...plan.binding, logId: 'log-2' }]) {
      await expect(target.open({ ...plan, binding }, signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY', message: expect.stringMatching(/epoch|another data directory/) as unknown });
    }
    // Whoever had it goes on with it.
    expect(await outcomes(generation, batchOf(2, put('a', 6n)))).toEqual(['applied']);
  });
}
