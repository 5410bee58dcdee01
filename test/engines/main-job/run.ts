/**
 * The main job: movies and synsets are indexed while thousands of random writes go on and tailrace is killed again and again, or on another of the
 * ways of loading; in the end the index must equal the tables, row by row.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadOnWay, type CameBy, type Loading, type Way } from '../four-ways.ts';
import { sqlitePlace, type IndexPlace } from '../index-place.ts';
import { startPostgres } from '../postgres.ts';
import type { PostgresMajor } from '../postgres-client.ts';
import { eventually } from '../servers.ts';
import { compare, isEqual, type Comparison } from './compare.ts';

export interface MainJobOptions {
  readonly major: PostgresMajor;
  readonly way?: Way;
  /** Where the indices are; by default in a file of the job's own. */
  readonly place?: IndexPlace;
  readonly synsets: number;
  readonly operations: number;
  readonly kills: number;
  readonly seed: number;
  readonly print: (line: string) => void;
}

export interface MainJobResult extends Loading, CameBy {
  readonly seconds: number;
  readonly movies: Comparison;
  readonly synsets: Comparison;
}

/** Readers of some targets see what was written only a moment later. */
const SEEN_WITHIN_MS = 10_000;

const config = (url: string, target: string): string => `
sources: { shop: { type: postgres, url: "${url}" } }
targets: { search: ${target} }
indices:
  movies: { from: shop.public.movies }
  synsets: { from: shop.public.synsets }
`;

export async function runMainJob(options: MainJobOptions): Promise<MainJobResult> {
  const { major, way = 'half and half with kills', synsets, operations, kills, seed, print } = options;
  await using server = await startPostgres({ major });
  const url = server.url(await server.createDatabase());
  const folder = await mkdtemp(join(tmpdir(), 'tailrace-main-job-'));
  try {
    const place = options.place ?? sqlitePlace(join(folder, 'search.db'));
    const configPath = join(folder, 'tailrace.yaml');
    await writeFile(configPath, config(url, place.target));
    const startedMs = performance.now();
    const loading = await loadOnWay(way, { url, folder, configPath, synsets, operations, kills, seed, print });
    const seconds = (performance.now() - startedMs) / 1000;
    return {
      ...loading,
      seconds,
      movies: await seen({ url, table: 'movies', id: 'id::text', place, index: 'movies' }),
      synsets: await seen({ url, table: 'synsets', id: "pos || ':' || place", place, index: 'synsets' }),
    };
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The last comparison when the two do not become equal. */
async function seen(options: Parameters<typeof compare>[0]): Promise<Comparison> {
  let last: Comparison | undefined;
  await eventually('the index to equal the table', SEEN_WITHIN_MS, async () => isEqual((last = await compare(options)))).catch((error: unknown) => {
    if (last === undefined) throw error;
  });
  return last as Comparison;
}
