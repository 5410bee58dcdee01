import { expect, test } from 'vitest';
import { describePostgres } from '../postgres.ts';
import { runMainJob } from './run.ts';

describePostgres([15, 18], ({ major }) => {
  test('the index equals the tables after random writes during the snapshot and kills at random moments', { timeout: 300_000 }, async () => {
    const { loaded, writes, movies, synsets } = await runMainJob({ major, synsets: 12_000, operations: 4_000, kills: 4, seed: major, print: () => {} });
    expect(loaded).toEqual({ movies: 3201, synsets: 12_000 });
    expect(Math.min(writes.inserts, writes.updates, writes.keyChanges, writes.deletes, writes.rolledBack)).toBeGreaterThan(0);
    for (const compared of [movies, synsets]) {
      expect(compared).toMatchObject({ missing: [], extra: [], different: [], documents: compared.rows });
      expect(compared.rows).toBeGreaterThan(1000);
    }
  });
});
