/**
 * Runs seeds and says on standard output what came of each, one JSON line per seed. Needs `--import test/sim/build/register.ts`.
 *
 *     node --import ./test/sim/build/register.ts test/sim/run.ts FIRST COUNT [--trace] [--until-found]
 */
import process from 'node:process';
import { simulate } from './simulation.ts';

const [first = '1', count = '1', ...flags] = process.argv.slice(2);
const keepTrace = flags.includes('--trace');

for (let seed = Number(first); seed < Number(first) + Number(count); seed += 1) {
  const startedMs = performance.now();
  const { plan, trace, ...result } = await simulate({ seed, keepTrace });
  const tookMs = Math.round(performance.now() - startedMs);
  const isBad = result.findings.length > 0;
  if (keepTrace) process.stdout.write(`${trace.join('\n')}\n${JSON.stringify(plan)}\n`);
  process.stdout.write(`${JSON.stringify({ ...result, tookMs, ...(isBad && !keepTrace ? { trace } : {}) })}\n`);
  if (isBad && flags.includes('--until-found')) break;
}
