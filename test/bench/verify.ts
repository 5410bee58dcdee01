/**
 * Verification of an index of rows of about 300 bytes, beside what it cannot do without: reading the same rows (COPY by psql, thrown away) and every
 * document of the target, with nothing compared. The two go on beside each other, as they do in a verification. How fast documents are read by id is
 * what it would cost to compare them one by one.
 *
 * `node test/bench/verify.ts [--rows 500000] [--rounds 3] [--target sqlite|opensearch]`; both targets by default
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { connectors } from '../../connectors/index.ts';
import type { ConfigInput } from '../../src/config/config-schema.ts';
import { defineConfig } from '../../src/config/define.ts';
import type { Target, TargetContext, TargetGeneration } from '../../src/connector/target.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { startPipeline } from '../../src/pipeline/start.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { startOpenSearch } from '../engines/opensearch.ts';
import { startPostgres } from '../engines/postgres.ts';
import { median, perSecond, printRows, residentBytesOf } from './measure.ts';
import { clientProgram, withClient } from './postgres-rows.ts';

const { values } = parseArgs({ options: { rows: { type: 'string', default: '500000' }, rounds: { type: 'string', default: '3' }, target: { type: 'string' } } });
const rows = Number(values.rows);
const rounds = Number(values.rounds);

/** Ids that are asked for at one time, and requests on their way, as where documents are compared one by one. */
const IDS_AT_ONCE = 1_000;
const IN_FLIGHT = 4;

const { signal } = new AbortController();
const seconds = async (work: () => Promise<unknown>): Promise<number> => {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1000;
};

await using server = await startPostgres({ major: 18, settings: { shared_buffers: '256MB', max_wal_size: '8GB' } });
const url = server.url(await server.createDatabase());
await withClient(url, async (client) => {
  await client.query('CREATE TABLE items (id int PRIMARY KEY, name text, body text, price numeric(10,2), stock int, tags text[], changed timestamptz)');
  await client.query(`INSERT INTO items SELECT n, 'item ' || n, repeat(md5(n::text), 6), n % 1000 + 0.25, n % 77, ARRAY['red', 'tag ' || n % 9], now() FROM generate_series(1, ${rows}) n`);
  await client.query('VACUUM ANALYZE items');
});
const psql = await clientProgram('psql');
const copy = async (): Promise<unknown> => promisify(execFile)('sh', ['-c', `'${psql}' '${url}' -c 'COPY (SELECT * FROM items) TO STDOUT' > /dev/null`]);

for (const kind of values.target === undefined ? (['sqlite', 'opensearch'] as const) : [values.target]) await measure(kind);

async function measure(kind: string): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'tailrace-bench-'));
  await using started = new AsyncDisposableStack();
  started.defer(async () => rm(folder, { recursive: true }));
  const target: NonNullable<ConfigInput<typeof connectors>['targets']>[string] = kind === 'sqlite' ? { type: 'sqlite' } : { type: 'opensearch', url: started.use(await startOpenSearch({ version: '3.6.0' })).url };
  const config = defineConfig({ data_directory: folder, sources: { shop: { type: 'postgres', url, slot: `bench_${kind}` } }, targets: { search: target }, indices: { items: { from: 'shop.public.items', verify: { before_swap: false } } } }, { connectors });
  // As the applier holds it, so that nobody is fenced.
  let generation: TargetGeneration | undefined;
  const watched = watchedConnectors((opened) => (generation = opened));
  const pipeline = started.use(await startPipeline(config, { connectors: watched, runtime: nodeRuntime(silentLogger), version: 'bench', pid: process.pid, loadTransform: async () => undefined }));
  await pipeline.caughtUp(AbortSignal.timeout(600_000));
  const ours: number[] = [];
  const ceilings: { readonly copy: number; readonly scan: number; readonly byId: number; readonly both: number }[] = [];
  const cpu: number[] = [];
  let resident = 0;
  for (let round = 0; round < rounds; round += 1) {
    const before = process.cpuUsage();
    ours.push(await seconds(async () => verified(pipeline)));
    const { user, system } = process.cpuUsage(before);
    cpu.push((user + system) / rows);
    resident = Math.max(resident, residentBytesOf(process.pid));
    const held = generation as TargetGeneration;
    const scan = async (): Promise<unknown> => Array.fromAsync(held.scan(signal), (page) => page.length);
    ceilings.push({ copy: await seconds(copy), scan: await seconds(scan), byId: await seconds(async () => fetchAll(held)), both: await seconds(async () => Promise.all([copy(), scan()])) });
  }
  const wall = median(ours);
  const of = (what: keyof (typeof ceilings)[number]): number => median(ceilings.map((one) => one[what]));
  printRows(`verify of ${rows} rows in ${kind}, median of ${rounds}`, [
    { what: 'rows per second', value: perSecond(rows, wall), ceiling: perSecond(rows, of('both')), ratio: of('both') / wall, bar: '>= 100,000/s' },
    { what: 'of that ceiling: rows by COPY alone', value: perSecond(rows, of('copy')) },
    { what: 'of that ceiling: documents by a scan alone', value: perSecond(rows, of('scan')) },
    { what: 'beside it: documents by id alone', value: perSecond(rows, of('byId')) },
    { what: 'CPU of Node per row, all threads', value: `${median(cpu).toFixed(2)} µs` },
    { what: 'resident memory at most', value: `${(resident / 2 ** 20).toFixed(0)} MiB` },
  ]);
}

async function verified(pipeline: Pipeline): Promise<void> {
  const { report } = await pipeline.verifications.begin({ index: 'items', extent: 'all', repair: false, rowsPerSecond: null }, signal).ended;
  if (!report.equal || report.documents !== rows) throw new Error(`not all of it was equal: ${JSON.stringify(report)}`);
}

async function fetchAll(generation: TargetGeneration): Promise<void> {
  let next = 1;
  const worker = async (): Promise<void> => {
    while (next <= rows) {
      const ids = Array.from({ length: Math.min(IDS_AT_ONCE, rows - next + 1) }, (_, i) => String(next + i));
      next += IDS_AT_ONCE;
      const documents = await generation.fetch(ids, signal);
      if (documents.includes(null)) throw new Error('a document is missing');
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
}

function watchedConnectors(onOpened: (generation: TargetGeneration) => void): typeof connectors {
  const targets = Object.fromEntries(
    Object.entries(connectors.targets).map(([name, connector]) => {
      const create = (settings: never, context: TargetContext): Target => {
        const target = connector.create(settings, context);
        const open = target.open.bind(target);
        target.open = async (plan, s) => {
          const opened = await open(plan, s);
          onOpened(opened);
          return opened;
        };
        return target;
      };
      return [name, { ...connector, create }];
    }),
  );
  return { ...connectors, targets: targets as unknown as typeof connectors.targets };
}
