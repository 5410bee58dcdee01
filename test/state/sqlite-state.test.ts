import { chmodSync, cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import { JOBS_ENDED_MAX, type JobRecord, type DeadLetter, type DeadLetterFilter } from '../../src/state/state-store.ts';
import { recordOf } from './generation-record.ts';
import { asOrdinaryUser, giveToOrdinaryUser } from '../ordinary-user.ts';

const readOnly = { bytesOf: (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0 };

let folder = '';
let path = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tailrace-state-'));
  path = join(folder, 'state.db');
});
afterEach(() => rmSync(folder, { recursive: true }));

const generation = recordOf({ startSeq: 17 });
const letter: DeadLetter = { index: 'products', generation: 1, id: '42', seq: 9, code: 'DOC_FAILED', reason: 'no', parkedAtMs: 5 };

describe('the state store', () => {
  test('keeps what was put into it across a reopening', () => {
    {
      using state = openSqliteState({ path });
      state.bindLog('log-1');
      state.putGenerations(generation);
      state.putGenerations({ ...generation, phase: 'serving' });
      state.putCursor('products', 1, 100);
      state.putCursor('products', 1, 120);
      state.park([letter]);
    }
    using state = openSqliteState({ path });
    expect(state.logId).toBe('log-1');
    expect(state.generations()).toEqual([{ ...generation, phase: 'serving' }]);
    expect([state.cursor('products', 1), state.cursor('products', 2)]).toEqual([120, null]);
    expect(state.deadLetters()).toEqual([letter]);
  });

  test('keeps the newest letter of a document, and forgets it when a newer version is in the index', () => {
    using state = openSqliteState({ path });
    state.park([letter, { ...letter, seq: 12, reason: 'later' }, { ...letter, seq: 3, reason: 'replayed' }]);
    expect(state.deadLetters('products').map(({ seq, reason }) => [seq, reason])).toEqual([[12, 'later']]);
    state.unpark('products', 1, ['42'], 11);
    expect(state.deadLetterCount('products', 1)).toBe(1);
    state.unpark('products', 1, ['42'], 12);
    expect(state.deadLetterCount('products', 1)).toBe(0);
  });

  test('gives letters in parts, in one order, each once', () => {
    using state = openSqliteState({ path });
    const letters = [2, 1, 3].flatMap((seq) => ['books', 'products'].flatMap((index) => [1, 2].map((number) => ({ ...letter, index, generation: number, seq, id: `id ${9 - seq}` }))));
    state.park(letters);
    const inParts = (index?: string): string[] => {
      const read: string[] = [];
      for (let after: DeadLetter | undefined; ; ) {
        const part = state.someDeadLetters({ index, after, limit: 5 });
        expect(part.length).toBeLessThanOrEqual(5);
        read.push(...part.map((one) => `${one.index} ${one.generation} ${one.seq}`));
        after = part.at(-1);
        if (after === undefined) return read;
      }
    };
    const expected = letters.map((one) => `${one.index} ${one.generation} ${one.seq}`).toSorted();
    expect([inParts(), state.deadLetterTotal({})]).toEqual([expected, 12]);
    expect([inParts('products'), state.deadLetterTotal({ index: 'products' })]).toEqual([expected.filter((text) => text.startsWith('products')), 6]);
  });

  test('gives the letters of a document, or of a code, and counts the same ones', () => {
    using state = openSqliteState({ path });
    state.park(['books', 'products'].flatMap((index) => [1, 2].map((seq) => ({ ...letter, index, seq, id: `id ${seq}`, code: seq === 1 ? ('DOC_FAILED' as const) : ('TGT_REJECTED' as const) }))));
    const like = (filter: DeadLetterFilter): unknown => [state.someDeadLetters({ ...filter, limit: 9 }).map(({ index, seq }) => `${index} ${seq}`), state.deadLetterTotal(filter)];
    expect(like({ index: 'books', id: 'id 2' })).toEqual([['books 2'], 1]);
    expect(like({ code: 'DOC_FAILED' })).toEqual([['books 1', 'products 1'], 2]);
    expect(like({ index: 'products', code: 'DOC_FAILED', id: 'id 2' })).toEqual([[], 0]);
  });

  test('forgets a generation with its cursor and its letters, and no other', () => {
    using state = openSqliteState({ path });
    const second = { ...generation, generation: 2 };
    for (const record of [generation, second]) state.putGenerations(record);
    for (const number of [1, 2]) state.putCursor('products', number, number);
    state.park([letter, { ...letter, generation: 2 }]);
    state.forgetGeneration('products', 1);
    state.forgetGeneration('products', 9);
    expect(state.generations()).toEqual([second]);
    expect([state.cursor('products', 1), state.cursor('products', 2)]).toEqual([null, 2]);
    expect(state.deadLetters()).toEqual([{ ...letter, generation: 2 }]);
  });

  test('keeps all of a generation, replaces several at once, and never forgets the last number', () => {
    const all = recordOf({ generation: 3, phase: 'retired', definition: '{"a":1}', incarnation: 'uuid', reason: 'mapping', wholeSeq: 9, held: true, abandoned: true, createdAtMs: 5, retiredAtMs: 6, fingerprint: 'f3' });
    {
      using state = openSqliteState({ path });
      state.putGenerations(generation, all);
    }
    using state = openSqliteState({ path });
    expect(state.generations()).toEqual([generation, all]);
    expect([state.lastBegun('products'), state.lastBegun('books')]).toEqual([{ generation: 3, fingerprint: 'f3' }, null]);
    state.forgetGeneration('products', 3);
    state.putGenerations({ ...generation, phase: 'serving' });
    expect([state.generations(), state.lastBegun('products')]).toEqual([[{ ...generation, phase: 'serving' }], { generation: 3, fingerprint: 'f3' }]);
  });

  test('keeps jobs, all that run and the newest of those that ended', () => {
    using state = openSqliteState({ path });
    const job: Omit<JobRecord, 'id'> = { index: 'products', kind: 'resync', what: { rows: 'all' }, phase: 'running', outcome: null, createdAtMs: 5, endedAtMs: null };
    const first = state.addJob(job);
    expect([first, state.addJob(job).id, state.jobs()]).toEqual([{ ...job, id: 1 }, 2, [{ ...job, id: 1 }, { ...job, id: 2 }]]);
    for (let i = 0; i < JOBS_ENDED_MAX + 10; i += 1) state.putJob({ ...state.addJob(job), phase: 'done', outcome: 'It is.', endedAtMs: i });
    state.addJob(job);
    const ids = state.jobs().map(({ id }) => id);
    expect([ids.slice(0, 4), ids.length]).toEqual([[1, 2, 13, 14], JOBS_ENDED_MAX + 3]);
    expect(state.jobs()[2]).toEqual({ ...job, id: 13, phase: 'done', outcome: 'It is.', endedAtMs: 10 });
  });

  test('takes over a file of the first format, in which one generation of an index was fed', () => {
    const database = new DatabaseSync(path);
    database.exec(`
      CREATE TABLE binding (only INTEGER PRIMARY KEY CHECK (only = 1), log_id TEXT NOT NULL);
      CREATE TABLE generation (name TEXT NOT NULL, number INTEGER NOT NULL, phase TEXT NOT NULL, start_seq INTEGER NOT NULL, fingerprint TEXT NOT NULL, PRIMARY KEY (name, number)) WITHOUT ROWID;
      CREATE TABLE cursor (name TEXT NOT NULL, number INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (name, number)) WITHOUT ROWID;
      CREATE TABLE dead_letter (name TEXT NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, parked_at_ms INTEGER NOT NULL, PRIMARY KEY (name, number, id)) WITHOUT ROWID;
      INSERT INTO generation VALUES ('a', 1, 'serving', 1, 'f1'), ('a', 2, 'serving', 2, 'f2'), ('b', 1, 'serving', 1, 'f1'), ('b', 2, 'building', 2, 'f2'), ('b', 3, 'building', 3, 'f3');
      PRAGMA user_version = 1;`);
    database.close();
    const shown = (options: { readonly readOnly?: typeof readOnly }): unknown[] => {
      using state = openSqliteState({ path, ...options });
      return [state.generations().map(({ index, generation: number, phase, abandoned }) => `${index}${number} ${phase} ${abandoned}`), state.jobs()];
    };
    expect(shown({ readOnly })).toEqual([['a1 serving false', 'a2 serving false', 'b1 serving false', 'b2 building false', 'b3 building false'], []]);
    expect(shown({})).toEqual([['a1 dropping true', 'a2 serving false', 'b1 serving true', 'b2 dropping true', 'b3 building false'], []]);
    using state = openSqliteState({ path });
    expect(state.lastBegun('b')).toEqual({ generation: 3, fingerprint: 'f3' });
  });

  test('can be read while another process writes, and is not written by a reader', () => {
    using writer = openSqliteState({ path });
    writer.putGenerations(generation);
    using reader = openSqliteState({ path, readOnly });
    expect(reader.generations()).toHaveLength(1);
    expect(() => reader.putCursor('products', 1, 1)).toThrow(/readonly/);
  });

  test('is refused at the start when it may not be written', async () => {
    openSqliteState({ path })[Symbol.dispose]();
    chmodSync(path, 0o400);
    for (const one of [folder, path]) giveToOrdinaryUser(one);
    await asOrdinaryUser(() => {
      const refusal = { code: 'STATE_FORBIDDEN', message: expect.stringMatching(/state\.db cannot be opened or written: .*readonly/) as unknown, hint: expect.stringContaining('writable for the user that runs tailrace') as unknown };
      expect(() => openSqliteState({ path })).toThrow(expect.objectContaining(refusal));
    });
  });

  test('can be read where nothing may be written, and where a daemon that died has left changes beside it that is refused', async () => {
    const left = join(folder, 'left');
    mkdirSync(left);
    {
      using state = openSqliteState({ path });
      state.putGenerations(generation);
      for (const suffix of ['', '-wal']) cpSync(`${path}${suffix}`, join(left, `state.db${suffix}`));
    }
    for (const one of [path, join(left, 'state.db'), join(left, 'state.db-wal'), left, folder]) {
      giveToOrdinaryUser(one);
      chmodSync(one, one === folder || one === left ? 0o500 : 0o400);
    }
    const before = new Set(readdirSync(folder, { recursive: true, encoding: 'utf8' }));
    await asOrdinaryUser(() => {
      using state = openSqliteState({ path, readOnly });
      expect(state.generations()).toEqual([generation]);
      expect(() => openSqliteState({ path: join(left, 'state.db'), readOnly })).toThrow(expect.objectContaining({ code: 'STATE_FORBIDDEN' }));
    });
    expect(new Set(readdirSync(folder, { recursive: true, encoding: 'utf8' }))).toEqual(before);
    for (const one of [folder, left]) chmodSync(one, 0o700);
  });

  test('leaves a file of a newer version untouched', () => {
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 99');
    database.close();
    expect(() => openSqliteState({ path })).toThrow(expect.objectContaining({ code: 'STATE_TOO_NEW' }));
  });

  test('names a file that is no state', () => {
    writeFileSync(path, 'x'.repeat(8192));
    expect(() => openSqliteState({ path })).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }));
  });
});
