/**
 * From the return of COMMIT until a search at a real OpenSearch finds the new text, on an otherwise idle system; beside it the floor: the same
 * change sent to the same node by hand, as one `_bulk` request with `refresh` as it is configured, until a search finds it. The two take turns.
 *
 * `node test/bench/opensearch-searchable.ts [--commits 40] [--refresh 1s,100ms] [--major 18]`
 *
 * A search sees a document at the first refresh behind its write, so that half an interval is what it takes at least, on the average, whoever
 * writes. A read by id waits for no refresh: it says how long the way to the index is. It is done for other commits than the search, because it
 * may have the server refresh.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import type { Client } from 'pg';
import { startOpenSearch, type OpenSearchServer } from '../engines/opensearch.ts';
import { startPostgres } from '../engines/postgres.ts';
import { spawnTailrace } from '../engines/tailrace.ts';
import { median, percentile, printRows, type BenchRow } from './measure.ts';
import { createItems, insertItems, withClient } from './postgres-rows.ts';

const { values } = parseArgs({ options: { commits: { type: 'string', default: '40' }, refresh: { type: 'string', default: '1s,100ms' }, major: { type: 'string', default: '18' } } });
const commits = Number(values.commits);

const ROWS = 1000;
const DEADLINE_MS = 30_000;
const RAW = 'by_hand';

/** Milliseconds from the start of a write, or its commit, until it is found: by id, and by a search. */
interface Waits {
  readonly byId: number[];
  readonly bySearch: number[];
}

async function until(what: string, startMs: number, probe: () => Promise<boolean>): Promise<number> {
  while (!(await probe())) {
    if (performance.now() - startMs > DEADLINE_MS) throw new Error(`${what}: not within ${DEADLINE_MS} ms`);
  }
  return performance.now() - startMs;
}

type Probe = keyof Waits;

const probes: Readonly<Record<Probe, (node: OpenSearchServer, index: string, id: string, text: string) => Promise<boolean>>> = {
  byId: async (node, index, id, text) => {
    const { body } = await node.request('GET', `/${index}/_doc/${id}?_source_includes=name`);
    return (body as { readonly _source?: { readonly name?: string } })._source?.name === text;
  },
  bySearch: async (node, index, _, text) => {
    const { hits } = (await node.ask('POST', `/${index}/_search`, { size: 1, _source: false, query: { match_phrase: { name: text } } })) as { readonly hits: { readonly hits: readonly unknown[] } };
    return hits.hits.length === 1;
  },
};

async function byHand(node: OpenSearchServer, i: number, probe: Probe): Promise<number> {
  const id = String(1 + (i % ROWS));
  const text = `hand ${probe} ${i}`;
  const startMs = performance.now();
  await node.ask('POST', '/_bulk?filter_path=errors', `{"index":{"_index":"${RAW}","_id":"${id}"}}\n${JSON.stringify({ id: Number(id), name: text })}\n`);
  return until(probe, startMs, async () => probes[probe](node, RAW, id, text));
}

async function committed(node: OpenSearchServer, client: Client, i: number, probe: Probe): Promise<number> {
  const id = 1 + (i % ROWS);
  const text = `fresh ${probe} ${i}`;
  await client.query('UPDATE items SET name = $2 WHERE id = $1', [id, text]);
  return until(probe, performance.now(), async () => probes[probe](node, 'items', String(id), text));
}

function rowsOf(refresh: string, ours: Waits, floor: Waits): BenchRow[] {
  const ms = (value: number): string => `${value.toFixed(1)} ms`;
  const row = (what: string, of: (waits: Waits) => number): BenchRow => ({ what: `refresh_interval ${refresh}: ${what}`, value: ms(of(ours)), ceiling: ms(of(floor)), ratio: of(ours) / of(floor) });
  return [
    row('found by a search, p50', ({ bySearch }) => median(bySearch)),
    row('found by a search, p99', ({ bySearch }) => percentile(bySearch, 0.99)),
    row('read by id, p50', ({ byId }) => median(byId)),
    row('read by id, p99', ({ byId }) => percentile(byId, 0.99)),
  ];
}

async function measure(url: string, node: OpenSearchServer, refresh: string): Promise<BenchRow[]> {
  await node.clear();
  await node.ask('PUT', `/${RAW}`, { settings: { number_of_replicas: 0, refresh_interval: refresh }, mappings: { properties: { id: { type: 'long' }, name: { type: 'text' } } } });
  const folder = await mkdtemp(join(tmpdir(), 'tailrace-bench-'));
  const slot = `bench_${refresh}`;
  try {
    await writeFile(join(folder, 'tailrace.yaml'), `sources: { shop: { type: postgres, url: "${url}", slot: ${slot} } }\ntargets: { search: { type: opensearch, url: "${node.url}", refresh_interval: ${refresh} } }\nindices: { items: { from: shop.public.items } }\n`);
    await using daemon = await spawnTailrace(['run'], { cwd: folder });
    await daemon.event('index_serving');
    const [ours, floor]: [Waits, Waits] = [{ byId: [], bySearch: [] }, { byId: [], bySearch: [] }];
    const pauseMs = refresh.endsWith('ms') ? Number.parseInt(refresh, 10) : Number.parseInt(refresh, 10) * 1000;
    await withClient(url, async (client) => {
      for (const probe of ['bySearch', 'byId'] as const) {
        for (let i = 1; i <= commits; i += 1) {
          // At any moment between two refreshes.
          await sleep(Math.random() * pauseMs);
          ours[probe].push(await committed(node, client, i, probe));
          await sleep(Math.random() * pauseMs);
          floor[probe].push(await byHand(node, i, probe));
        }
      }
    });
    daemon.kill('SIGTERM');
    await daemon.exit();
    await withClient(url, async (client) => client.query('SELECT pg_drop_replication_slot($1)', [slot]));
    return rowsOf(refresh, ours, floor);
  } finally {
    await rm(folder, { recursive: true });
  }
}

await using server = await startPostgres({ major: values.major === '15' ? 15 : 18 });
await using node = await startOpenSearch({ version: '3.6.0' });
const url = server.url(await server.createDatabase());
await createItems(url);
await insertItems(url, 1, ROWS, ROWS);
const rows: BenchRow[] = [];
for (const refresh of values.refresh.split(',')) rows.push(...(await measure(url, node, refresh)));
printRows(`Commit to searchable, Postgres ${server.major} into OpenSearch 3.6.0, idle system, ${commits} commits each; the ceiling is the same change sent by hand`, rows);
