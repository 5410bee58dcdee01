/** Fills the small disk that it is given through a SQLite target, frees space, goes on; prints what happened as JSON lines. */
import { existsSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { codeOf } from '../../../src/errors/tailrace-error.ts';
import type { Batch, Target } from '../../../src/connector/target.ts';
import { connect } from './connect.ts';

const folder = process.argv[2] ?? '';
const { signal } = new AbortController();
const ballast = join(folder, 'ballast');
const say = (said: object): void => console.log(JSON.stringify(said));
const ids = Array.from({ length: 20 }, (_, i) => `k${i}`);
const plan = { index: 'things', generation: 1, binding: { logId: 'l', epoch: 1, fingerprint: 'f' }, fields: [], isBuilding: false, options: {} };

function batchAt(cursor: number): Batch {
  const operations = ids.map((id) => ({ kind: 'put', id, version: BigInt(cursor), document: JSON.stringify({ cursor, text: `word${cursor} `.repeat(300) }) }) as const);
  return { operations, cursor };
}

async function held(target: Target): Promise<bigint[]> {
  const documents = await target.fetch('things', ids, signal);
  return [...new Set(documents.map((one) => one?.version ?? 0n))];
}

async function attempt(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
    return 'done';
  } catch (error) {
    // The answer is the error's code.
    return codeOf(error) ?? String(error);
  }
}

function fill(): void {
  writeFileSync(ballast, Buffer.alloc(statfsSync(folder).bavail * statfsSync(folder).bsize));
}

{
  await using target = await connect(folder);
  const generation = await target.open(plan, signal);
  await generation.promote(signal);
  await generation.apply(batchAt(1), signal);
  fill();
  let cursor = 2;
  let outcome = 'done';
  // What the file and its log have reserved is used up first.
  for (; outcome === 'done' && cursor < 1000; cursor += outcome === 'done' ? 1 : 0) outcome = await attempt(() => generation.apply(batchAt(cursor), signal));
  say({ outcome, again: await attempt(() => generation.apply(batchAt(cursor), signal)), left: [await generation.cursor(), ...(await held(target)).map(Number)], before: cursor - 1 });
  rmSync(ballast);
  say({ freed: await attempt(() => generation.apply(batchAt(cursor), signal)), left: [await generation.cursor(), ...(await held(target)).map(Number)], reached: cursor });
}
fill();
{
  await using target = await connect(folder);
  const outcome = await attempt(() => target.open({ ...plan, index: 'others' }, signal));
  rmSync(ballast);
  say({ opening: outcome, freed: await attempt(() => target.open({ ...plan, index: 'others' }, signal)), wal: existsSync(join(folder, 'search.db-wal')) });
}
