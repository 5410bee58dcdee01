/**
 * The contract of `src/connector/target.ts` as tests: every target passes them, and so does the simulator's double. They speak to the
 * target through its interface only; its capabilities decide which apply.
 */
import { describe, expect, test } from 'vitest';
import { expectModel, index, planOf, signal, type Run, type TargetFixture } from './target-fixture.ts';
import type { HistoryShape } from './target-history.ts';
import { killAndCompare } from './target-kills.ts';
import { testCursors, testEnding, testSearch } from './target-readers.ts';
import { testDropping, testGenerations, testListing } from './target-generations.ts';
import { testPreparing } from './target-fields.ts';
import { testIncarnations, testRemovingByHand, testScans } from './target-repair.ts';
import { testBuilding, testSwaps } from './target-swaps.ts';
import { testDocuments, testHistories, testRefusals, testRemoval } from './target-writes.ts';

const KILLS = 50;
const SEEDS = 8;

/** Registers the tests. Each has a storage of its own from `factory`, and in it an open, promoted generation of the index `things`. */
export function targetContract(name: string, factory: () => Promise<TargetFixture>, { seeds = SEEDS }: { readonly seeds?: number } = {}): void {
  const run: Run = (body) => async () => {
    await using fixture = await factory();
    {
      await using target = await fixture.connect();
      await using generation = await target.open(planOf(index), signal);
      await generation.promote(signal);
      await body({ fixture, target, generation });
    }
    await fixture.inspect?.();
  };
  describe(`${name} keeps the target contract:`, () => {
    testDocuments(run);
    testRefusals(run);
    testHistories(run, seeds);
    testRemoval(run);
    testGenerations(run, factory);
    testListing(run, factory);
    testDropping(run);
    testBuilding(run, factory);
    testSwaps(run);
    testPreparing(run, factory);
    testScans(run);
    testRemovingByHand(run);
    testIncarnations(factory);
    testCursors(factory);
    testEnding(run);
    testSearch(run);
    testKills(factory);
  });
}

function testKills(factory: () => Promise<TargetFixture>): void {
  test('processes that are killed at any moment leave nothing torn: documents and cursor are those of a prefix, and nothing confirmed is lost', { timeout: 300_000 }, async (context) => {
    await using fixture = await factory();
    if (fixture.process === undefined) return context.skip('no other process can reach this storage');
    const { kills = KILLS } = fixture.process;
    const shape: HistoryShape = { seed: 20_261_122, ids: Array.from({ length: 300 }, (_, i) => `key-${i}`), changesMax: 400, clears: true, forgetAfter: 8 };
    const done = await killAndCompare(fixture, fixture.process, planOf(index), shape, kills, expectModel);
    await fixture.inspect?.();
    // A loop whose children never got to write would prove nothing.
    expect(done.batches).toBeGreaterThan(kills);
    expect(done.unconfirmed).toBeGreaterThan(0);
  });
}
