/** The demo's course: database, shop, snapshot, search, one changed row, the same search. Everything that it prints was measured or read in this run. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from 'pg';
import { ExitCode } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { readConfig } from '../config-file.ts';
import { startDaemon } from '../daemon/daemon.ts';
import { listenForStop } from '../daemon/stop-signals.ts';
import { standardError } from '../terminal/output.ts';
import { serverAccount } from './account.ts';
import { findPostgresBinaries } from './postgres-package.ts';
import { startPostgres } from './postgres-server.ts';
import { DemoScreen, type DemoResult } from './screen.ts';
import { seedShop } from './shop.ts';
import { openWorkspace } from './workspace.ts';

const CLEAN_UP_WITHIN_MS = 30_000;
const CHANGED_WITHIN_MS = 30_000;
const SEARCH_EVERY_MS = 1;

export const SEARCHED = 'nordic brass desk lamp';

export interface DemoOptions {
  readonly once: boolean;
  readonly json: boolean;
  readonly debug: boolean;
}

export async function runDemo({ once, json, debug }: DemoOptions): Promise<ExitCode> {
  const binaries = findPostgresBinaries();
  const screen = new DemoScreen(json);
  using stop = listenForStop({ withinMs: CLEAN_UP_WITHIN_MS, onStop: () => screen.say(''), onGivenUp: () => screen.clear() });
  const { signal } = stop;
  try {
    await using workspace = openWorkspace(serverAccount());
    screen.title();
    const startedMs = performance.now();
    await using postgres = await screen.step('Starting PostgreSQL', async () => startPostgres(binaries, workspace, signal), ({ version, url }) => `PostgreSQL ${version} on ${new URL(url).host}`);
    const client = await postgres.connect();
    await screen.step('Filling a shop', async () => seedShop(client), ({ products, orders }) => `a shop with ${products.toLocaleString('en-US')} products and ${orders.toLocaleString('en-US')} orders`);
    signal.throwIfAborted();
    const configPath = writeConfig(workspace.folder, postgres.url);
    const snapshotStartMs = performance.now();
    await using daemon = await startDaemon(await readConfig({ config: configPath }), {
      logging: { format: json ? 'json' : 'pretty', colour: standardError.hasColours, debug, write: (line) => screen.logLine(line) },
      onStopRequested: () => stop.request('admin'),
    });
    const { pipeline } = daemon;
    const rows = await screen.reading(pipeline, async () => {
      await untilInStep(pipeline, signal);
      return pipeline.status().indices.reduce((sum, { counters }) => sum + counters.applied, 0);
    });
    const snapshotMs = performance.now() - snapshotStartMs;
    screen.read(rows, snapshotMs);
    const change = await changeOneRow(pipeline, client, screen, signal);
    await client.end();
    const result: DemoResult = { rows, snapshot_ms: rounded(snapshotMs), ...change, postgres_version: postgres.version, total_ms: rounded(performance.now() - startedMs) };
    screen.result(result);
    if (once) return ExitCode.ok;
    screen.whatToTry(configPath, postgres.url);
    await Promise.race([pipeline.finished, aborted(signal)]);
    screen.say('Stopping, and removing everything the demo has made.');
    return ExitCode.ok;
  } finally {
    screen.clear();
  }
}

/** A pipeline that stopped by itself has an error to show. */
async function untilInStep(pipeline: Pipeline, signal: AbortSignal): Promise<void> {
  await Promise.race([pipeline.finished, pipeline.caughtUp(signal)]);
}

type Change = Pick<DemoResult, 'query' | 'before' | 'sql' | 'after' | 'commit_to_searchable_ms'>;

/** Searches, changes the best hit in the database, and searches again and again until the result shows it. */
async function changeOneRow(pipeline: Pipeline, client: Client, screen: DemoScreen, signal: AbortSignal): Promise<Change> {
  const search = async (): Promise<string | undefined> => (await pipeline.search({ index: 'products', text: SEARCHED, limit: 1 }, signal))[0]?.document;
  const before = await search();
  if (before === undefined) throw new TailraceError('INVARIANT', { message: `The demo's own product is not found by "${SEARCHED}".` });
  screen.found(SEARCHED, before);
  const sql = `UPDATE products SET name = 'Nordic Brass Desk Lamp (last one)', price = 129.00, stock = 1 WHERE id = ${idOf(before)}`;
  screen.changing(sql);
  // One statement is one transaction: when the promise resolves, COMMIT has returned.
  await client.query(sql);
  const committedMs = performance.now();
  for (;;) {
    const after = await search();
    const waitedMs = performance.now() - committedMs;
    if (after !== undefined && after !== before) return { query: SEARCHED, before, sql, after, commit_to_searchable_ms: rounded(waitedMs) };
    if (waitedMs > CHANGED_WITHIN_MS) throw new TailraceError('TIMED_OUT', { message: `The changed row was not searchable within ${CHANGED_WITHIN_MS / 1000} s of its COMMIT.` });
    await pause(SEARCH_EVERY_MS, undefined, { signal });
  }
}

function idOf(document: string): number {
  const { id } = JSON.parse(document) as { id: number };
  return Number(id);
}

/** Readable by nobody else: the url in it has the password. */
function writeConfig(folder: string, url: string): string {
  const path = join(folder, 'tailrace.yaml');
  const text = `# The demo's config: a dozen lines are enough. Yours would say \`url: !env SHOP_URL\`.
data_directory: data
logging: { level: warn }
sources:
  shop: { type: postgres, url: "${url}" }
indices:
  products: { from: shop.public.products }
  orders: { from: shop.public.orders }
`;
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

function rounded(ms: number): number {
  return Math.round(ms * 10) / 10;
}

async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
