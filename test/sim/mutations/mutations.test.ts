/**
 * Whether the simulator would notice: defects are put into the engine one by one, and each must be found within so many seeds. A few run always;
 * TAILRACE_SIM_MUTATIONS=1 runs all of them, and a name instead of 1 runs that one.
 */
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { limits } from '../build/limits.ts';
import { patched, type Patch } from '../build/patch.ts';
import { runSeeds } from '../run-seeds.ts';
import { mutations } from './mutations.ts';

/** Most seeds that a defect may stay hidden for. */
const FOUND_WITHIN_SEEDS = 300;
const FOUND_WITHIN_MS = 20 * 60_000;

/** Defects of each kind that are found at once. */
const ALWAYS = ['confirm-before-durable', 'ordinal-dropped', 'window-ignored', 'cursor-before-result', 'item-errors-ignored'];

const wanted = process.env['TAILRACE_SIM_MUTATIONS'];
const chosen = wanted === '1' ? mutations : mutations.filter(({ name }) => (wanted === undefined ? ALWAYS.includes(name) : name === wanted));

function textOf({ file }: Patch): string {
  return readFileSync(fileURLToPath(new URL(`../../../${file}`, import.meta.url)), 'utf8');
}

test.each([{ name: 'limits', patches: limits }, ...mutations])('$name fits the source texts', ({ patches }) => {
  for (const patch of patches) expect(patched(textOf(patch), [patch])).not.toBe(textOf(patch));
});

describe.concurrent('the simulator finds it:', { timeout: FOUND_WITHIN_MS }, () => {
  test.each(chosen)('$name', async ({ name, defect }) => {
    const { reports, failure } = await runSeeds({ first: 1, count: FOUND_WITHIN_SEEDS, mutation: name, untilFound: true });
    const found = reports.at(-1)?.findings[0];
    // An error that the engine lets fall ends the process: that is noticed as well.
    const told = found === undefined ? (failure ?? `nobody notices in ${reports.length} seeds: ${defect}`) : `${found.promise} in seed ${reports.length}: ${found.message}`;
    if (wanted !== undefined) process.stdout.write(`${name}: ${told.slice(0, 200)}\n`);
    expect(found !== undefined || failure !== null, told).toBe(true);
  });
});
