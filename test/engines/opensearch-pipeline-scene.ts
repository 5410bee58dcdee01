/**
 * What tests of the whole way from Postgres to OpenSearch stand on: a stage whose index is in a cluster, behind a proxy that passes everything on
 * until it is told otherwise; the daemon's own words; and an eye on the alias that readers use.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { StatusReport } from '../../src/observe/status-report.ts';
import { Stage, type StageOptions } from '../chaos/stage.ts';
import { runCli, type CliResult } from '../cmd/run-cli.ts';
import { openSearchPlace } from './index-place.ts';
import type { OpenSearchServer } from './opensearch.ts';
import { startFaultProxy, type OpenSearchFaultProxy } from './opensearch-fault-proxy.ts';
import type { PostgresServer } from './postgres.ts';
import { eventually } from './servers.ts';
import type { TailraceProcess } from './tailrace.ts';

/** What is waited for on a busy machine: a restarted node, a pause between two attempts, and the work itself. */
export const SOON_MS = 90_000;

/** The daemon's pauses between two attempts are up to 30 s long. */
export const testMs = 240_000;

const LOOK_EVERY_MS = 5;

export interface OpenSearchStage extends AsyncDisposable {
  readonly stage: Stage;
  readonly node: OpenSearchServer;
  readonly proxy: OpenSearchFaultProxy;
  /** Runs a command in the stage's folder to its end. */
  cli(...args: readonly string[]): Promise<CliResult>;
  status(): Promise<StatusReport>;
  /** Names of the indices behind the alias `items`. */
  served(): Promise<readonly string[]>;
  /** Bytes of history between what the slot has confirmed and the source's end. */
  slotLagBytes(): Promise<number>;
}

export interface OpenSearchStageOptions extends Omit<StageOptions, 'place' | 'port'> {
  /** Of the target, beside type and url, as YAML. */
  readonly target?: string;
}

/** An empty cluster, and a database with a table `items` of so many rows. */
export async function openSearchStage(postgres: PostgresServer, node: OpenSearchServer, rows: number, options: OpenSearchStageOptions = {}): Promise<OpenSearchStage> {
  await node.clear();
  const proxy = await startFaultProxy(node.url);
  const settings = ['refresh_interval: 100ms', ...(options.target === undefined ? [] : [options.target])].join(', ');
  const stage = await Stage.make(postgres, rows, { ...options, place: openSearchPlace(node, { url: proxy.url, settings }) });
  const cli = async (...args: readonly string[]): Promise<CliResult> => runCli(args, { cwd: stage.folder });
  return {
    stage,
    node,
    proxy,
    cli,
    status: async () => JSON.parse((await cli('status', '--json')).stdout) as StatusReport,
    served: async () => ((await node.ask('GET', '/_cat/aliases/items?format=json&h=index')) as { readonly index: string }[]).map(({ index }) => index),
    slotLagBytes: async () => {
      const [row] = await postgres.query(`SELECT (pg_current_wal_lsn() - confirmed_flush_lsn)::bigint AS behind FROM pg_replication_slots WHERE database = '${new URL(stage.url).pathname.slice(1)}'`);
      return Number(row?.['behind']);
    },
    [Symbol.asyncDispose]: async () => {
      await stage[Symbol.asyncDispose]();
      await proxy[Symbol.asyncDispose]();
    },
  };
}

export interface Watching extends AsyncDisposable {
  /** How often it was looked, with an answer. */
  readonly looks: number;
  /** Answers that had not exactly one index, from the first one on that had. */
  readonly wrong: readonly string[];
  /** Every index that was seen, in the order in which they were. */
  readonly seen: readonly string[];
}

/** Looks at the alias again and again until it is disposed of. While the node does not answer there is nothing to be seen. */
export function watchAlias(node: OpenSearchServer): Watching {
  const stopped = new AbortController();
  const seen: string[] = [];
  const wrong: string[] = [];
  let looks = 0;
  const watching = (async () => {
    while (!stopped.signal.aborted) {
      // A node that is starting says that it does not know its state yet.
      const answer = await node.request('GET', '/_alias/items').catch(() => undefined);
      if (answer !== undefined && answer.status !== 503 && answer.status !== 500) {
        looks += 1;
        const indices = answer.status === 200 ? Object.keys(answer.body as object) : [];
        if (indices.length === 1 && seen.at(-1) !== indices[0]) seen.push(indices[0] as string);
        if (indices.length !== 1 && seen.length > 0) wrong.push(`${answer.status} ${indices.join()}`);
      }
      await pause(LOOK_EVERY_MS);
    }
  })();
  return {
    get looks() {
      return looks;
    },
    wrong,
    seen,
    [Symbol.asyncDispose]: async () => {
      stopped.abort();
      await watching;
    },
  };
}

/** Writes to the table until it is disposed of; rejects then with what went wrong. */
export function writing(stage: Stage): AsyncDisposable & { readonly rounds: number } {
  const stopped = new AbortController();
  let rounds = 0;
  const work = (async () => {
    while (!stopped.signal.aborted) {
      await stage.write(1);
      rounds += 1;
    }
  })();
  work.catch(() => {});
  return {
    get rounds() {
      return rounds;
    },
    [Symbol.asyncDispose]: async () => {
      stopped.abort();
      await work;
    },
  };
}

/** Waits until the index is in this state by the daemon's own word; gives the status. */
export async function indexIs(on: OpenSearchStage, phase: string, code: string | null): Promise<StatusReport['indices'][number]> {
  let last = '';
  const found = await eventually(`index items is ${phase} with ${code}`, SOON_MS, async () => {
    const [index] = (await on.status()).indices;
    last = JSON.stringify(index);
    return index?.phase === phase && (index.error?.code ?? null) === code ? index : undefined;
  }).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}; it was ${last}`);
  });
  return found;
}

/** What the daemon complained about: events and codes, each once. */
export function complaints(daemon: TailraceProcess): readonly string[] {
  const complained = daemon.lines.filter(({ level }) => level === 'warn' || level === 'error');
  return [...new Set(complained.map(({ msg, error }) => `${msg} ${(error as { readonly code?: string } | undefined)?.code ?? 'without a code'}`))].toSorted();
}
