/**
 * An applier that is killed at any moment, again and again, on a real log and a real state file: a target that keeps the cursor has at every such
 * moment exactly what the log says up to it; one that does not has it as soon as the log is gone over to its end.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { ENTRY_OVERHEAD_BYTES, writeEntry } from '../../src/change/entry.ts';
import { documentIdOf } from '../../src/change/key.ts';
import { Op } from '../../src/change/operation.ts';
import { seqOf } from '../../src/change/seq.ts';
import { FrameKind } from '../../src/connector/log-store.ts';
import type { StoredDocument } from '../../src/connector/target.ts';
import { openLog } from '../../src/log/open.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import { encodeKey } from '../change/encode-key.ts';
import { numbersFrom } from '../contract/target-history.ts';
import { never, optionsOf, registersOf } from '../log/fixtures.ts';
import { applyLog, index, planOf, table, targetOf, UNBUILDABLE, type ApplierTask } from './killed-applier.ts';
import { describeOpenSearch } from './opensearch.ts';

const KILLS = { file: 200, openSearch: 30 } as const;
const FRAMES = 150;
const CHANGES_PER_FRAME_MAX = 30;
const KEYS = 200;

/** Every change of the log, from seq 1 on. A row of null is a delete, a key of null empties the table. */
interface Change {
  readonly key: string | null;
  readonly row: string | null;
}

function changesOf(seed: number): Change[][] {
  const next = numbersFrom(seed);
  const change = (): Change => {
    const nature = next();
    if (nature < 0.001) return { key: null, row: null };
    const key = `k${Math.floor(next() * KEYS)}`;
    return { key, row: nature < 0.3 ? null : nature < 0.33 ? UNBUILDABLE : `row ${Math.floor(next() * 1e9)}` };
  };
  return Array.from({ length: FRAMES }, () => Array.from({ length: 1 + Math.floor(next() * CHANGES_PER_FRAME_MAX) }, change));
}

/** What the first `count` changes come to: `row seq` of documents, by key. */
function fold(changes: readonly Change[], count: number): Map<string, string> {
  const held = new Map<string, string>();
  for (const [i, { key, row }] of changes.slice(0, count).entries()) {
    if (key === null) held.clear();
    else if (row === null || row === UNBUILDABLE) held.delete(documentIdOf(encodeKey([Buffer.from(key)])));
    else held.set(documentIdOf(encodeKey([Buffer.from(key)])), `${row} ${i + 1}`);
  }
  return held;
}

const folded = (pages: readonly (readonly StoredDocument[])[]): Map<string, string> => new Map(pages.flat().map(({ id, version, document }) => [id, `${(JSON.parse(document) as { row: string }).row} ${seqOf(version)}`]));

function hashOf(held: ReadonlyMap<string, string>): string {
  return createHash('sha256').update(JSON.stringify([...held].toSorted(([a], [b]) => (a < b ? -1 : 1)))).digest('hex');
}

interface Scene extends AsyncDisposable {
  readonly folder: string;
  readonly changes: readonly Change[];
  readonly logId: string;
  readonly epoch: number;
}

/** A log with a history in it, in a folder of its own. */
async function scene(): Promise<Scene> {
  const folder = await mkdtemp(join(tmpdir(), 'tailrace-killed-'));
  const frames = changesOf(17);
  await using log = await openLog(optionsOf(join(folder, 'log')), nodeRuntime(silentLogger));
  const registers = registersOf({ 'schema:1': JSON.stringify({ id: 1, source: 'shop', table, format: 'test/1', columns: [] }) });
  for (const [i, changes] of frames.entries()) {
    const entries = Buffer.concat(changes.map(entryOf));
    await log.append({ kind: FrameKind.stream, source: 'shop', snapshot: 0, entries, count: changes.length, transactions: [], registers: i === 0 ? registers : [] }, never);
  }
  return { folder, changes: frames.flat(), logId: log.logId, epoch: log.epoch, [Symbol.asyncDispose]: async () => rm(folder, { recursive: true, force: true }) };
}

function entryOf({ key: text, row: value }: Change): Buffer {
  const key = encodeKey([Buffer.from(text ?? '')]);
  const row = Buffer.from(value ?? '');
  const entry = Buffer.alloc(ENTRY_OVERHEAD_BYTES + key.length + row.length);
  writeEntry(entry, 0, text === null ? Op.truncate : value === null ? Op.delete : Op.update, 0, 1, key, 0, key.length, row, 0, row.length);
  return entry;
}

/** Runs an applier and kills it `delayMs` after it has begun; resolves to whether it had come to the end of the log. */
async function applyUntilKilled(task: ApplierTask, delayMs: number): Promise<boolean> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('./killed-applier.ts', import.meta.url)), JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (bytes: Buffer) => (complaint += bytes.toString()));
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const words: string[] = [];
  for await (const word of createInterface({ input: child.stdout })) {
    words.push(word);
    if (word === 'begun') setTimeout(() => child.kill('SIGKILL'), delayMs);
  }
  await closed;
  expect(child.signalCode, complaint).toBe('SIGKILL');
  return words.includes('through');
}

/** Applies to the end of the log, and returns what the target has. */
async function applied(task: ApplierTask, { logId, epoch }: Scene): Promise<Map<string, string>> {
  const stop = new AbortController();
  await applyLog(task, stop.signal, ({ cursor }, durableSeq) => {
    if (cursor === durableSeq) stop.abort();
  }).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  return held(task, logId, epoch);
}

async function held(task: ApplierTask, logId: string, epoch: number): Promise<Map<string, string>> {
  await using target = await targetOf(task);
  await using generation = await target.open(planOf(task, logId, epoch), never);
  return folded(await Array.fromAsync(generation.scan(never)));
}

/** Ids of parked documents are those of keys whose last change makes none. */
function expectLetters({ folder, changes }: Scene, { generation }: ApplierTask): void {
  const parked = new Set<string>();
  for (const { key, row } of changes) {
    if (key === null) parked.clear();
    else if (row === UNBUILDABLE) parked.add(key);
    else parked.delete(key);
  }
  using state = openSqliteState({ path: join(folder, 'state.db') });
  const letters = state.deadLetters(index).filter((letter) => letter.generation === generation);
  expect(letters.map(({ id }) => id).toSorted()).toEqual([...parked].toSorted());
}

/** Kills in the middle of the log. */
async function killInFile(kills: number, seed: number): Promise<number> {
  await using at = await scene();
  const next = numbersFrom(seed);
  let generation = 1;
  let places = 0;
  for (let kill = 0; kill < kills; kill += 1) {
    const task: ApplierTask = { folder: at.folder, generation, url: null };
    const isThrough = await applyUntilKilled(task, next() * 25);
    await using target = await targetOf(task);
    await using opened = await target.open(planOf(task, at.logId, at.epoch), never);
    const cursor = (await opened.cursor()) ?? 0;
    expect(folded(await Array.fromAsync(opened.scan(never))), `kill ${kill}, at ${cursor}`).toEqual(fold(at.changes, cursor));
    if (cursor > 0 && cursor < at.changes.length) places += 1;
    if (isThrough) generation += 1;
  }
  const last: ApplierTask = { folder: at.folder, generation, url: null };
  expect(await applied(last, at)).toEqual(fold(at.changes, at.changes.length));
  expectLetters(at, last);
  return places;
}

test(`an applier into a file that is killed ${KILLS.file} times leaves at every moment what the log says up to the cursor beside it`, { timeout: 900_000 }, async () => {
  // Two side by side: a process spends most of its short life on its start.
  const [first, second] = await Promise.all([killInFile(KILLS.file / 2, 5), killInFile(KILLS.file / 2, 7)]);
  // Most of them hit it in the middle of the log.
  expect(first + second).toBeGreaterThan(KILLS.file / 3);
});

describeOpenSearch(['3.6.0'], ({ server }) => {
  test(`an applier that is killed ${KILLS.openSearch} times comes to the same index as one that is not, in a file`, { timeout: 600_000 }, async () => {
    await using at = await scene();
    const node = await server();
    await node.clear();
    const next = numbersFrom(6);
    let generation = 1;
    const hashes = new Set<string>();
    const expected = hashOf(await applied({ folder: at.folder, generation: 900, url: null }, at));
    for (let kill = 0; kill < KILLS.openSearch; kill += 1) {
      const task: ApplierTask = { folder: at.folder, generation, url: node.url };
      if (!(await applyUntilKilled(task, next() * 150))) continue;
      hashes.add(hashOf(await applied(task, at)));
      expectLetters(at, task);
      generation += 1;
    }
    const last: ApplierTask = { folder: at.folder, generation, url: node.url };
    hashes.add(hashOf(await applied(last, at)));
    expectLetters(at, last);
    expect(hashes).toEqual(new Set([expected]));
    expect(expected).toBe(hashOf(fold(at.changes, at.changes.length)));
  });
});
