/** Movies and synsets come into an index in each of the four ways, into a file and into a cluster: the same scene, and the same end. */
import { describe, expect, test } from 'vitest';
import { ways } from './four-ways.ts';
import { openSearchPlace, type IndexPlace } from './index-place.ts';
import { runMainJob } from './main-job/run.ts';
import { describeOpenSearch } from './opensearch.ts';
import { describePostgres } from './postgres.ts';

const TEST_MS = 300_000;
const SYNSETS = 3_000;
const MOVIES = 3_201;

function testFourWays(place: () => Promise<IndexPlace | undefined>): void {
  test.for(ways)('%s: the index is the table, row by row', { timeout: TEST_MS }, async (way) => {
    const into = await place();
    const result = await runMainJob({ major: 18, way, ...(into === undefined ? {} : { place: into }), synsets: SYNSETS, operations: 1_500, kills: 3, seed: 5, print: () => {} });
    expect(result.loaded).toEqual({ movies: MOVIES, synsets: SYNSETS });
    const { writes, snapshotRows, changes } = result;
    if (way === 'snapshot only') expect({ snapshotRows, changes }).toEqual({ snapshotRows: result.movies.rows + result.synsets.rows, changes: 0 });
    else if (way === 'stream only') expect(snapshotRows).toBe(0);
    // Where it is killed, how much the snapshot still finds is chance.
    else expect(Math.min(snapshotRows, changes)).toBeGreaterThan(result.kills === 0 ? 2_500 : 0);
    expect(Math.min(writes.inserts, writes.updates, writes.keyChanges, writes.deletes, writes.rolledBack)).toBeGreaterThan(0);
    for (const compared of [result.movies, result.synsets]) {
      expect(compared).toMatchObject({ missing: [], extra: [], different: [], doubled: [], documents: compared.rows });
      expect(compared.rows).toBeGreaterThan(2_500);
    }
  });
}

describePostgres([18], () => {
  describe('into SQLite', () => testFourWays(async () => undefined));

  describeOpenSearch(['3.6.0'], ({ server }) => {
    testFourWays(async () => {
      const node = await server();
      await node.clear();
      return openSearchPlace(node);
    });
  });
});
