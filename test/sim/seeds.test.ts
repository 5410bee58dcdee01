/**
 * Many seeds, each a run of the production engine in a world of its own, held to the promises. `TAILRACE_SIM_SEEDS=n` says how many,
 * `TAILRACE_SIM_SEED=n` runs one; a seed that fails is printed with the command that replays it.
 */
import process from 'node:process';
import { expect, test } from 'vitest';
import { DEMANDED } from './audit/coverage.ts';
import { eachOf, runSeeds, type SeedReport } from './run-seeds.ts';

const SEEDS_DEFAULT = 300;
const PROCESSES = 2;
/** Seeds that one process runs: few enough for all to end at about the same time. */
const SHARE = 25;
const RUN_WITHIN_MS = 60 * 60_000;

const one = process.env['TAILRACE_SIM_SEED'];
const first = one === undefined ? 1 : Number(one);
const count = one === undefined ? Number(process.env['TAILRACE_SIM_SEEDS'] ?? SEEDS_DEFAULT) : 1;

async function run(from: number, howMany: number): Promise<readonly SeedReport[]> {
  const { reports, failure } = await runSeeds({ first: from, count: howMany });
  expect(failure).toBeNull();
  return reports;
}

let reports: readonly SeedReport[] = [];

test('every seed keeps every promise', { timeout: RUN_WITHIN_MS }, async () => {
  const starts = Array.from({ length: Math.ceil(count / SHARE) }, (_, i) => first + i * SHARE);
  reports = (await eachOf(starts, PROCESSES, async (from) => run(from, Math.min(SHARE, first + count - from)))).flat();
  expect(reports).toHaveLength(count);
  const broken = reports.filter(({ findings }) => findings.length > 0);
  const told = broken.map(({ seed, findings }) => `seed ${seed}: ${findings.map(({ promise, message }) => `${promise} ${message}`).join('; ')}\n  TAILRACE_SIM_SEED=${seed} npm run test:sim`);
  expect(told.join('\n')).toBe('');
});

test.runIf(count >= SEEDS_DEFAULT)('the seeds bring about everything that is worth a test', () => {
  const seen = new Set(reports.flatMap(({ coverage }) => Object.keys(coverage)));
  expect(DEMANDED.filter((kind) => !seen.has(kind))).toEqual([]);
});

test('a seed is one run: again it is the same to the last event', { timeout: RUN_WITHIN_MS }, async () => {
  const [before, after] = await Promise.all([run(first, 3), run(first, 3)]);
  expect(after.map(({ seed, traceHash }) => [seed, traceHash])).toEqual(before.map(({ seed, traceHash }) => [seed, traceHash]));
});
