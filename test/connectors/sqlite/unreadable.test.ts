/** What somebody has made of the file behind the target's back is in nobody's way: it is replaced and removed like any document. */
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import type { TargetGeneration } from '../../../src/connector/target.ts';
import { batchOf, del, index, outcomes, planOf, put, scanned, signal } from '../../contract/target-fixture.ts';
import { temporaryFolder } from './folder.ts';

const versionsIn = async (generation: TargetGeneration): Promise<string[]> => (await scanned(generation)).map(({ id, version }) => `${id} ${version}`);

test('a document that is no JSON any more is replaced, deleted, removed and swept', async () => {
  using folder = temporaryFolder();
  await using target = folder.target();
  await using generation = await target.open(planOf(index), signal);
  await generation.promote(signal);
  await outcomes(generation, batchOf(1, ...['a', 'b', 'c', 'd', 'e', 'sound'].map((id, i) => put(id, BigInt(i + 1), { text: `amber ${id}x` }))));
  {
    using file = new DatabaseSync(folder.file);
    file.exec(`UPDATE tailrace_1_documents SET document = 'no JSON' WHERE id <> 'sound'`);
  }
  expect(await outcomes(generation, batchOf(2, put('a', 10n, { text: 'azure' }), del('b', 11n)))).toEqual(['applied', 'applied']);
  await generation.remove(['c'], signal);
  expect(await generation.sweep(5n, signal)).toBe(1);
  expect(await versionsIn(generation)).toEqual(['a 10', 'e 5', 'sound 6']);
  expect(await outcomes(generation, { operations: [put('later', 21n)], clearBelow: 6n, cursor: 3 })).toEqual(['applied']);
  expect(await versionsIn(generation)).toEqual(['a 10', 'later 21', 'sound 6']);
  expect(await generation.stats()).toMatchObject({ documents: 3 });
  const found = async (text: string): Promise<string[]> => (await target.search({ index, text, limit: 10 }, signal)).map(({ id }) => id);
  expect([await found('azure'), await found('amber'), await found('ax'), await found('soundx')]).toEqual([['a'], ['sound'], [], ['sound']]);
});
