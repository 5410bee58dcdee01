/**
 * The four ways in which rows come into an index: all of them by the snapshot, all of them by the stream, both, and both while the daemon is
 * killed again and again. Whichever it is, the index must be the table in the end. Written once, for indices wherever they are.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { runCli } from '../cmd/run-cli.ts';
import { createTables, load, type Loaded } from './main-job/load.ts';
import { runWorkload, type WorkloadCounts } from './main-job/workload.ts';
import { spawnTailrace, type TailraceProcess } from './tailrace.ts';

export const ways = ['snapshot only', 'stream only', 'half and half', 'half and half with kills'] as const;

export type Way = (typeof ways)[number];

export interface LoadingScene {
  /** Of the database, which has no table yet. */
  readonly url: string;
  /** Where the daemon runs, with its config beside it. */
  readonly folder: string;
  readonly configPath: string;
  readonly synsets: number;
  readonly operations: number;
  /** Of the daemon, on the way that has some. */
  readonly kills: number;
  readonly seed: number;
  readonly print: (line: string) => void;
}

export interface Loading {
  readonly loaded: Loaded;
  readonly writes: WorkloadCounts;
  readonly kills: number;
}

/** Where the rows came from. */
export interface CameBy {
  /** Entries of the log: rows that snapshots read, and changes that the stream brought. */
  readonly snapshotRows: number;
  readonly changes: number;
}

const WRITERS = 4;

/** About how long the daemon lives between two kills. */
const LIFE_MS = 1_800;

/** Writes are spread over so long where the daemon is not killed. */
const WRITING_MS = 3_000;

const CATCH_UP_WITHIN_MS = 10 * 60_000;

/** Loads both data sets on one of the ways, writes to them, and returns when the daemon says that all of it is searchable. */
export async function loadOnWay(way: Way, scene: LoadingScene): Promise<Loading & CameBy> {
  const { url, print } = scene;
  await createTables(url);
  const loading = await choreography[way](scene);
  await caughtUp(scene);
  const cameBy = await cameByOf(scene);
  print(`${way}: ${JSON.stringify({ ...loading.loaded, ...cameBy })}, writes: ${JSON.stringify(loading.writes)}`);
  return { ...loading, ...cameBy };
}

const choreography: Readonly<Record<Way, (scene: LoadingScene) => Promise<Loading>>> = {
  'snapshot only': async (scene) => {
    const loaded = await load(scene.url, scene.synsets);
    return { loaded, writes: await write(scene, 0), kills: 0 };
  },

  'stream only': async (scene) => {
    await using daemon = await started(scene);
    // Both are built, of no row.
    await daemon.event('index_serving', { where: ({ index }) => index === 'movies' });
    await daemon.event('index_serving', { where: ({ index }) => index === 'synsets' });
    const loaded = await load(scene.url, scene.synsets);
    const writes = await write(scene, WRITING_MS);
    await ended(daemon);
    return { loaded, writes, kills: 0 };
  },

  'half and half': async (scene) => {
    const first = await load(scene.url, scene.synsets, 0, 0.5);
    await using daemon = await started(scene);
    await daemon.event('snapshot_planned');
    const second = await load(scene.url, scene.synsets, 0.5, 1);
    const writes = await write(scene, WRITING_MS);
    await ended(daemon);
    return { loaded: sum(first, second), writes, kills: 0 };
  },

  'half and half with kills': async (scene) => {
    const first = await load(scene.url, scene.synsets, 0, 0.5);
    const writing = async (): Promise<readonly [Loaded, WorkloadCounts]> => {
      const second = await load(scene.url, scene.synsets, 0.5, 1);
      return [second, await write(scene, (scene.kills + 1) * LIFE_MS)];
    };
    const [[second, writes]] = await Promise.all([writing(), killAgainAndAgain(scene)]);
    return { loaded: sum(first, second), writes, kills: scene.kills };
  },
};

async function started({ configPath, folder }: LoadingScene): Promise<TailraceProcess> {
  return spawnTailrace(['run', '--config', configPath], { cwd: folder });
}

async function write({ url, seed, operations }: LoadingScene, durationMs: number): Promise<WorkloadCounts> {
  return runWorkload({ url, seed, operations, writers: WRITERS, durationMs });
}

function sum(one: Loaded, other: Loaded): Loaded {
  return { movies: one.movies + other.movies, synsets: one.synsets + other.synsets };
}

async function ended(daemon: TailraceProcess): Promise<void> {
  daemon.kill('SIGTERM');
  const ending = await daemon.exit();
  if (ending.code !== 0) throw new Error(`tailrace ended with ${JSON.stringify(ending)}:\n${daemon.output.slice(-4000)}`);
}

async function caughtUp({ configPath, folder }: LoadingScene): Promise<void> {
  await using last = await spawnTailrace(['run', '--once', '--config', configPath], { cwd: folder });
  const ending = await last.exit(CATCH_UP_WITHIN_MS);
  if (ending.code !== 0) throw new Error(`run --once ended with ${JSON.stringify(ending)}:\n${last.output.slice(-4000)}`);
}

async function cameByOf({ configPath, folder }: LoadingScene): Promise<CameBy> {
  const { stdout } = await runCli(['log', 'tail', '-n', '100000000', '--json', '--config', configPath], { cwd: folder });
  const entries = stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as { readonly op?: string });
  const snapshotRows = entries.filter(({ op }) => op === 'read').length;
  return { snapshotRows, changes: entries.filter(({ op }) => op !== undefined).length - snapshotRows };
}

async function killAgainAndAgain(scene: LoadingScene): Promise<void> {
  const { kills, print } = scene;
  for (let i = 1; i <= kills; i += 1) {
    await using daemon = await started(scene);
    // The first half of each life is start-up; kills must fall into it too.
    await sleep(LIFE_MS * (0.3 + 1.4 * Math.random()));
    if (daemon.ending !== undefined) throw new Error(`tailrace ended by itself with ${JSON.stringify(daemon.ending)}:\n${daemon.output.slice(-4000)}`);
    daemon.kill('SIGKILL');
    await daemon.exit();
    print(`kill ${i} of ${kills}: last event ${daemon.lines.at(-1)?.msg ?? 'none'}`);
  }
}
