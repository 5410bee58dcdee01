/** Damage of an index at a real OpenSearch: all of it is found, nothing else is, and all of it is mended. */
import { expect, test } from 'vitest';
import { describeOpenSearch, startTimeoutMs } from './opensearch.ts';
import { startPostgres } from './postgres.ts';
import { damages, OpenSearchHand } from './verify-damage.ts';
import { VerifyScene, verifiesAndRepairs } from './verify-scene.ts';

describeOpenSearch(['3.6.0'], (openSearch) => {
  test('every kind of damage is found, none else is, and all of it is repaired, while rows are written', { timeout: 2 * startTimeoutMs }, async () => {
    const search = await openSearch.server();
    await using server = await startPostgres({ major: 18 });
    await using scene = await VerifyScene.make({ server, targets: { search: { type: 'opensearch', url: search.url } }, hand: () => new OpenSearchHand(search, 'items-g0001') });
    expect(await verifiesAndRepairs(scene, damages)).toMatchObject({ equal: true, differences: 0, unsettled: 0 });
  });
});
