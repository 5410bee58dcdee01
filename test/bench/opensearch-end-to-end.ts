/**
 * From Postgres into a real OpenSearch, beside a raw replayer: the same documents as prebuilt NDJSON, sent to the same node, into an index with the
 * same mapping and the same settings for loading. The two take turns. Loading (a snapshot into a new index) and following (a backlog of inserts in
 * transactions of 1000) are measured apart, each until all of it is applied; what comes behind that before readers get a new index (the comparison
 * with the table, refresh, alias) is told beside it.
 *
 * `node test/bench/opensearch-end-to-end.ts [--rows 100000] [--rounds 3] [--lanes 4] [--batch 2000] [--major 18]`
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startOpenSearch, type OpenSearchServer } from '../engines/opensearch.ts';
import { startPostgres } from '../engines/postgres.ts';
import { spawnTailrace, type LogLine, type TailraceProcess } from '../engines/tailrace.ts';
import { versionOf } from '../../src/change/seq.ts';
import { cpuSecondsOf, median, perSecond, printRows } from './measure.ts';
import { createItems, insertItems, withClient } from './postgres-rows.ts';

const { values } = parseArgs({
  options: { rows: { type: 'string', default: '100000' }, rounds: { type: 'string', default: '3' }, lanes: { type: 'string', default: '4' }, batch: { type: 'string', default: '2000' }, major: { type: 'string', default: '18' } },
});
const count = Number(values.rows);
const batchDocuments = Number(values.batch);

const PER_TRANSACTION = 1000;
const RAW = 'replayed';
const POLL_MS = 5;
const DEADLINE_MS = 30 * 60_000;

interface Spent {
  readonly seconds: number;
  /** Of the process that sends. */
  readonly cpuSeconds: number;
}

/** Events of the daemon. */
type Span = readonly [from: string, to: string];

const timeOf = (line: LogLine): number => Number(line['time']);

/** Until the daemon says `to`, from when it said `from`, by its own log's time; its CPU is read when the lines are seen. */
async function between(daemon: TailraceProcess, [from, to]: Span): Promise<Spent> {
  const first = await daemon.event(from, { deadlineMs: DEADLINE_MS });
  const cpuBefore = cpuSecondsOf(daemon.pid);
  let cpuSeconds = 0;
  const find = (): LogLine | undefined => daemon.lines.find(({ msg }) => msg === to);
  while (find() === undefined && daemon.ending === undefined) {
    // One that has just ended has nothing more to be read.
    try {
      cpuSeconds = cpuSecondsOf(daemon.pid) - cpuBefore;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && (error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
    await sleep(POLL_MS);
  }
  const last = await daemon.event(to);
  return { seconds: (timeOf(last) - timeOf(first)) / 1000, cpuSeconds };
}

async function replayed(node: OpenSearchServer, bodies: readonly string[], properties: unknown): Promise<Spent> {
  await node.ask('PUT', `/${RAW}`, { settings: { number_of_replicas: 0, refresh_interval: '-1' }, mappings: { dynamic: 'strict', properties } });
  const startMs = performance.now();
  const cpu = process.cpuUsage();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < bodies.length) {
      const { errors } = (await node.ask('POST', `/${RAW}/_bulk?filter_path=errors`, bodies[next++])) as { readonly errors: boolean };
      if (errors) throw new Error('the replayer was refused');
    }
  };
  await Promise.all(Array.from({ length: Number(values.lanes) }, lane));
  await node.ask('POST', `/${RAW}/_refresh`);
  const { user, system } = process.cpuUsage(cpu);
  const spent = { seconds: (performance.now() - startMs) / 1000, cpuSeconds: (user + system) / 1e6 };
  const { count: held } = (await node.ask('GET', `/${RAW}/_count`)) as { readonly count: number };
  if (held !== count) throw new Error(`the replayer brought ${held} of ${count}`);
  await node.ask('DELETE', `/${RAW}`);
  return spent;
}

/** The documents of rows from `first` on, as requests. */
async function bodiesOf(url: string, first: number): Promise<string[]> {
  return withClient(url, async (client) => {
    const { rows } = await client.query<{ id: string; document: unknown }>('SELECT id::text AS id, to_jsonb(i) AS document FROM items i WHERE id >= $1 AND id < $2 ORDER BY i.id', [first, first + count]);
    const lines = rows.map(({ id, document }, i) => `{"index":{"_id":"${id}","version":${versionOf(1, i + 1)},"version_type":"external"}}\n${JSON.stringify(document)}\n`);
    return Array.from({ length: Math.ceil(lines.length / batchDocuments) }, (_, i) => lines.slice(i * batchDocuments, (i + 1) * batchDocuments).join(''));
  });
}

interface Round {
  readonly load: Spent;
  readonly serve: Spent;
  readonly loadRaw: Spent;
  readonly follow: Spent;
  readonly followRaw: Spent;
}

async function round(number: number, node: OpenSearchServer, server: Awaited<ReturnType<typeof startPostgres>>): Promise<Round> {
  await node.clear();
  const url = server.url(await server.createDatabase());
  await createItems(url);
  await insertItems(url, 1, count, count);
  const folder = await mkdtemp(join(tmpdir(), 'tailrace-bench-'));
  try {
    await writeFile(join(folder, 'tailrace.yaml'), `sources: { shop: { type: postgres, url: "${url}", slot: bench_${number} } }\ntargets: { search: { type: opensearch, url: "${node.url}" } }\nindices: { items: { from: shop.public.items } }\n`);
    const run = async (args: readonly string[], ...spans: readonly Span[]): Promise<Spent[]> => {
      await using daemon = await spawnTailrace(args, { cwd: folder });
      const spent: Spent[] = [];
      for (const span of spans) spent.push(await between(daemon, span));
      daemon.kill('SIGTERM');
      await daemon.exit();
      return spent;
    };
    const [load, serve] = (await run(['run'], ['snapshot_planned', 'generation_ready'], ['generation_ready', 'index_serving'])) as [Spent, Spent];
    const { 'items-g0001': { mappings } } = (await node.ask('GET', '/items-g0001/_mapping')) as { readonly 'items-g0001': { readonly mappings: { readonly properties: unknown } } };
    const loadRaw = await replayed(node, await bodiesOf(url, 1), mappings.properties);
    await insertItems(url, count + 1, count, PER_TRANSACTION);
    const [follow] = (await run(['run', '--once'], ['source_connected', 'caught_up'])) as [Spent];
    const followRaw = await replayed(node, await bodiesOf(url, count + 1), mappings.properties);
    await node.ask('POST', '/items/_refresh');
    const { count: held } = (await node.ask('GET', '/items/_count')) as { readonly count: number };
    if (held !== 2 * count) throw new Error(`the index has ${held} documents of ${2 * count}`);
    await withClient(url, async (client) => client.query('SELECT pg_drop_replication_slot($1)', [`bench_${number}`]));
    return { load, serve, loadRaw, follow, followRaw };
  } finally {
    await rm(folder, { recursive: true });
  }
}

await using server = await startPostgres({ major: values.major === '15' ? 15 : 18 });
// Its small heap is full of garbage until it has to be collected: a breaker that counts that refuses what there is room for.
await using node = await startOpenSearch({ version: '3.6.0', settings: { 'indices.breaker.total.use_real_memory': 'false' } });
const rounds: Round[] = [];
// The first one warms the node up.
for (let i = 0; i <= Number(values.rounds); i += 1) {
  const one = await round(i, node, server);
  if (i > 0) rounds.push(one);
}
const of = (part: keyof Round, what: keyof Spent): number => median(rounds.map((one) => one[part][what]));
const ratio = (part: 'load' | 'follow', raw: 'loadRaw' | 'followRaw'): number => median(rounds.map((one) => one[raw].seconds / one[part].seconds));
const micros = (part: keyof Round): string => `${((of(part, 'cpuSeconds') / count) * 1e6).toFixed(1)} µs`;
printRows(`Postgres ${server.major} into OpenSearch 3.6.0, ${count} rows of about 350 bytes, ${rounds.length} rounds; the ceiling is a raw replayer of the same NDJSON (${batchDocuments} documents a request, ${values.lanes} side by side)`, [
  { what: 'loading (snapshot)', value: perSecond(count, of('load', 'seconds')), ceiling: perSecond(count, of('loadRaw', 'seconds')), ratio: ratio('load', 'loadRaw'), bar: '>= 0.9' },
  { what: 'loading: CPU of the sending process per document', value: micros('load'), ceiling: micros('loadRaw') },
  { what: 'loading: from then until readers get it', value: `${of('serve', 'seconds').toFixed(1)} s` },
  { what: 'following (stream)', value: perSecond(count, of('follow', 'seconds')), ceiling: perSecond(count, of('followRaw', 'seconds')), ratio: ratio('follow', 'followRaw'), bar: '>= 0.9' },
  { what: 'following: CPU of the sending process per document', value: micros('follow'), ceiling: micros('followRaw') },
]);
