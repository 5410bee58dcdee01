/**
 * The main job: movies and synsets are indexed while thousands of random writes go on and tailrace is killed again and again; in the end the
 * index must equal the tables, row by row.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPostgres } from '../postgres.ts';
import type { PostgresMajor } from '../postgres-client.ts';
import { spawnTailrace } from '../tailrace.ts';
import { compare, type Comparison } from './compare.ts';
import { load, type Loaded } from './load.ts';
import { runWorkload, type WorkloadCounts } from './workload.ts';

export interface MainJobOptions {
  readonly major: PostgresMajor;
  readonly synsets: number;
  readonly operations: number;
  readonly kills: number;
  readonly seed: number;
  readonly print: (line: string) => void;
}

export interface MainJobResult {
  readonly loaded: Loaded;
  readonly writes: WorkloadCounts;
  readonly kills: number;
  readonly seconds: number;
  readonly movies: Comparison;
  readonly synsets: Comparison;
}

/** About how long tailrace lives between two kills. */
const LIFE_MS = 1_800;
const CATCH_UP_WITHIN_MS = 10 * 60_000;

const config = (url: string): string => `
sources: { shop: { type: postgres, url: "${url}" } }
indices:
  movies: { from: shop.public.movies }
  synsets: { from: shop.public.synsets }
`;

export async function runMainJob(options: MainJobOptions): Promise<MainJobResult> {
  const { major, synsets, operations, kills, seed, print } = options;
  await using server = await startPostgres({ major });
  const url = server.url(await server.createDatabase());
  const folder = await mkdtemp(join(tmpdir(), 'tailrace-main-job-'));
  try {
    const loaded = await load(url, synsets);
    print(`loaded ${loaded.movies} movies and ${loaded.synsets} synsets`);
    const configPath = join(folder, 'tailrace.yaml');
    await writeFile(configPath, config(url));
    const startedMs = performance.now();
    const writing = runWorkload({ url, seed, operations, writers: 4, durationMs: (kills + 1) * LIFE_MS });
    await Promise.all([writing, killAgainAndAgain(configPath, folder, kills, print)]);
    const writes = await writing;
    print(`writes: ${JSON.stringify(writes)}`);
    await using last = await spawnTailrace(['run', '--once', '--config', configPath], { cwd: folder });
    const ending = await last.exit(CATCH_UP_WITHIN_MS);
    if (ending.code !== 0) throw new Error(`run --once ended with ${JSON.stringify(ending)}:\n${last.output.slice(-4000)}`);
    const databasePath = join(folder, 'tailrace-data', 'search.db');
    const compared = {
      movies: await compare({ url, table: 'movies', id: 'id::text', databasePath, index: 'movies' }),
      synsets: await compare({ url, table: 'synsets', id: "pos || ':' || place", databasePath, index: 'synsets' }),
    };
    return { loaded, writes, kills, seconds: (performance.now() - startedMs) / 1000, ...compared };
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function killAgainAndAgain(configPath: string, folder: string, kills: number, print: (line: string) => void): Promise<void> {
  for (let i = 1; i <= kills; i += 1) {
    await using daemon = await spawnTailrace(['run', '--config', configPath], { cwd: folder });
    // The first half of each life is start-up; kills must fall into it too.
    await sleep(LIFE_MS * (0.3 + 1.4 * Math.random()));
    if (daemon.ending !== undefined) throw new Error(`tailrace ended by itself with ${JSON.stringify(daemon.ending)}:\n${daemon.output.slice(-4000)}`);
    daemon.kill('SIGKILL');
    await daemon.exit();
    print(`kill ${i} of ${kills}: last event ${daemon.lines.at(-1)?.msg ?? 'none'}`);
  }
}

/** True when the index and the table have the same rows. */
export function isEqual({ missing, extra, different }: Comparison): boolean {
  return missing.length === 0 && extra.length === 0 && different.length === 0;
}
