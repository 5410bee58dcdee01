/**
 * Many seeds, each a run of the production engine in a world of its own, held to the promises. `TAILRACE_SIM_SEEDS=n` says how many,
 * `TAILRACE_SIM_SEED=n` runs one; a seed that fails is printed with the command that replays it.
 */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

interface SeedReport {
  readonly seed: number;
  readonly findings: readonly { readonly promise: string; readonly message: string }[];
  readonly traceHash: string;
}

const SEEDS_DEFAULT = 100;
const PROCESSES = 2;
const RUN_WITHIN_MS = 20 * 60_000;

const one = process.env['TAILRACE_SIM_SEED'];
const first = one === undefined ? 1 : Number(one);
const count = one === undefined ? Number(process.env['TAILRACE_SIM_SEEDS'] ?? SEEDS_DEFAULT) : 1;

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** Runs seeds in a process of their own: the world replaces some modules of the engine while it loads. */
async function run(from: number, howMany: number): Promise<SeedReport[]> {
  const child = spawn(process.execPath, ['--import', path('./build/register.ts'), path('./run.ts'), String(from), String(howMany)], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const reports: SeedReport[] = [];
  for await (const line of createInterface({ input: child.stdout })) reports.push(JSON.parse(line) as SeedReport);
  expect(await exited).toBe(0);
  return reports;
}

test('every seed keeps every promise', { timeout: RUN_WITHIN_MS }, async () => {
  const share = Math.ceil(count / PROCESSES);
  const starts = Array.from({ length: Math.ceil(count / share) }, (_, i) => first + i * share);
  const reports = (await Promise.all(starts.map(async (from) => run(from, Math.min(share, first + count - from))))).flat();
  expect(reports).toHaveLength(count);
  const broken = reports.filter(({ findings }) => findings.length > 0);
  const told = broken.map(({ seed, findings }) => `seed ${seed}: ${findings.map(({ promise, message }) => `${promise} ${message}`).join('; ')}\n  TAILRACE_SIM_SEED=${seed} npm run test:sim`);
  expect(told.join('\n')).toBe('');
});

test('a seed is one run: again it is the same to the last event', { timeout: RUN_WITHIN_MS }, async () => {
  const [before, after] = await Promise.all([run(first, 3), run(first, 3)]);
  expect(after.map(({ seed, traceHash }) => [seed, traceHash])).toEqual(before.map(({ seed, traceHash }) => [seed, traceHash]));
});
