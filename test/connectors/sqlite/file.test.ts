import { chmodSync, existsSync, mkdirSync, openSync, closeSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { openForReading, openForWriting } from '../../../connectors/targets/sqlite/file.ts';
import { sqliteTarget } from '../../../connectors/targets/sqlite/index.ts';
import { APPLICATION_ID, SCHEMA_VERSION } from '../../../connectors/targets/sqlite/layout.ts';
import { silentLogger } from '../../../src/runtime/logger.ts';
import { nodeRuntime } from '../../../src/runtime/node/runtime.ts';
import { batchOf, put } from '../../contract/target-fixture.ts';
import { asOrdinaryUser, giveToOrdinaryUser } from '../../ordinary-user.ts';
import { mayMakeUnwritable, unwritable } from '../../requirement.ts';
import { plan, temporaryFolder, type Folder } from './folder.ts';
import { inspect } from './inspect.ts';

const { signal } = new AbortController();

/** Whatever the target is asked, the file stays byte for byte what it was. */
async function expectRefused(folder: Folder, expected: { readonly code: string; readonly message: unknown }): Promise<void> {
  const before = readFileSync(folder.file);
  await using target = folder.target();
  await expect(target.open(plan('products'), signal)).rejects.toMatchObject(expected);
  await expect(target.search({ index: 'products', text: 'x', limit: 1 }, signal)).rejects.toMatchObject(expected);
  expect(await target.check(signal)).toMatchObject([{ level: 'problem', ...expected, fix: expect.stringMatching(/\w/) as unknown }]);
  expect(readFileSync(folder.file)).toEqual(before);
  expect(existsSync(`${folder.file}-wal`)).toBe(false);
}

describe('the file', () => {
  test('is made with its folder when it is first written to, not when it is looked at', async () => {
    using folder = temporaryFolder();
    const path = join(folder.path, 'deep', 'er', 'shop.db');
    await using target = folder.target({ path });
    expect(await target.check(signal)).toMatchObject([{ level: 'ok', message: 'Will be made.' }]);
    expect(await target.search({ index: 'products', text: 'x', limit: 1 }, signal)).toEqual([]);
    expect(await target.generations(signal)).toEqual([]);
    await target.drop('products', 1, signal);
    expect(existsSync(join(folder.path, 'deep'))).toBe(false);
    await target.open(plan('products'), signal);
    expect(await target.check(signal)).toMatchObject([{ level: 'ok', message: 'Holds 1 index.' }]);
  });

  test('is durable with every commit, and one file again when the target is closed', async () => {
    using folder = temporaryFolder();
    const db = openForWriting(folder.file);
    expect([db.prepare('PRAGMA journal_mode').get(), db.prepare('PRAGMA synchronous').get()]).toEqual([{ journal_mode: 'wal' }, { synchronous: 2 }]);
    db.close();
    {
      await using target = folder.target();
      const generation = await target.open(plan('products'), signal);
      await generation.promote(signal);
      await generation.apply(batchOf(1, put('a', 1n)), signal);
      await target.fetch('products', ['a'], signal);
      expect(statSync(`${folder.file}-wal`).size).toBeGreaterThan(0);
    }
    expect(existsSync(`${folder.file}-wal`)).toBe(false);
  });

  test('can be searched where nothing may be written, and nothing is made beside it', async () => {
    using folder = temporaryFolder();
    {
      await using target = folder.target();
      const generation = await target.open(plan('products'), signal);
      await generation.apply(batchOf(1, put('a', 1n)), signal);
      await generation.promote(signal);
    }
    const before = new Set(readdirSync(folder.path));
    for (const path of [folder.file, folder.path]) giveToOrdinaryUser(path);
    chmodSync(folder.path, 0o500);
    await asOrdinaryUser(() => {
      const db = openForReading(folder.file);
      expect(db?.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.['n']).toBeGreaterThan(0);
      db?.close();
    });
    chmodSync(folder.path, 0o700);
    expect(new Set(readdirSync(folder.path))).toEqual(before);
  });

  test('of another program is refused and left alone', async () => {
    using folder = temporaryFolder();
    const db = new DatabaseSync(folder.file);
    db.exec('CREATE TABLE theirs (x)');
    db.close();
    await expectRefused(folder, { code: 'TGT_SCHEMA', message: `${folder.file} is a database of another program.` });
  });

  test('with another application id is refused, though it be empty', async () => {
    using folder = temporaryFolder();
    const db = new DatabaseSync(folder.file);
    db.exec('PRAGMA application_id = 7');
    db.close();
    await expectRefused(folder, { code: 'TGT_SCHEMA', message: `${folder.file} is a database of another program.` });
  });

  test('that is no database is refused and left alone', async () => {
    using folder = temporaryFolder();
    writeFileSync(folder.file, 'A letter to the reader, which is long enough to be taken for a page of something. '.repeat(50));
    await expectRefused(folder, { code: 'TGT_SCHEMA', message: `${folder.file} is no SQLite database.` });
  });

  test('of a newer tailrace is refused and left alone', async () => {
    using folder = temporaryFolder();
    const db = new DatabaseSync(folder.file);
    db.exec(`CREATE TABLE tailrace_generations (x); PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
    db.close();
    await expectRefused(folder, { code: 'STATE_TOO_NEW', message: expect.stringContaining(`its layout is ${SCHEMA_VERSION + 1}`) });
  });

  test('that was emptied by hand is taken for a new one', async () => {
    using folder = temporaryFolder();
    writeFileSync(folder.file, '');
    await using target = folder.target();
    const generation = await target.open(plan('products'), signal);
    expect(await generation.cursor()).toBeNull();
  });

  test.each(['removed', 'replaced'])('that was %s while it is open is not written to any more, and readers see what is there now', async (how) => {
    using folder = temporaryFolder();
    await using target = folder.target();
    const generation = await target.open(plan('products'), signal);
    await generation.promote(signal);
    await generation.apply(batchOf(1, put('a', 1n)), signal);
    expect(await target.fetch('products', ['a'], signal)).not.toEqual([null]);
    for (const suffix of ['', '-wal', '-shm']) rmSync(folder.file + suffix);
    if (how === 'replaced') {
      await using other = folder.target({ path: join(folder.path, 'other.db') });
      await other.open(plan('products'), signal);
      await other[Symbol.asyncDispose]();
      renameSync(join(folder.path, 'other.db'), folder.file);
    }
    await expect(generation.apply(batchOf(2, put('b', 2n)), signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY', message: expect.stringContaining('removed or replaced') as unknown });
    expect(await target.fetch('products', ['a'], signal)).toEqual([null]);
    const again = await target.open(plan('products'), signal);
    expect(await again.cursor()).toBeNull();
    await expect(generation.apply(batchOf(2, put('b', 2n)), signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    await again.apply(batchOf(1, put('a', 1n)), signal);
    expect((await again.stats()).documents).toBe(1);
  });

  test('that is damaged stops the target', async () => {
    using folder = temporaryFolder();
    const operations = Array.from({ length: 2000 }, (_, i) => put(`k${i}`, 1n, { text: `word${i}` }));
    {
      await using target = folder.target();
      await (await target.open(plan('products'), signal)).apply(batchOf(1, ...operations), signal);
    }
    const db = new DatabaseSync(folder.file);
    const { rootpage } = db.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'tailrace_1_documents'").get() as { rootpage: number };
    db.close();
    const bytes = openSync(folder.file, 'r+');
    writeSync(bytes, Buffer.alloc(4096, 0xa5), 0, 4096, (rootpage - 1) * 4096);
    closeSync(bytes);
    await using target = folder.target();
    const generation = await target.open(plan('products'), signal);
    await expect(generation.apply(batchOf(2, put('k7', 2n)), signal)).rejects.toMatchObject({ code: 'TGT_CORRUPT', message: expect.stringContaining('malformed') as unknown });
  });

  test.runIf(mayMakeUnwritable())('that may not be written pauses the target', async () => {
    using folder = temporaryFolder();
    {
      const closed = unwritable(folder.path);
      await using target = folder.target();
      await expect(target.open(plan('products'), signal)).rejects.toMatchObject({ code: 'TGT_BLOCKED' });
      expect(await target.check(signal)).toMatchObject([{ level: 'problem', code: 'TGT_BLOCKED' }]);
      closed[Symbol.dispose]();
      const generation = await target.open(plan('products'), signal);
      await generation.apply(batchOf(1, put('a', 1n)), signal);
    }
    const closed = unwritable(folder.file);
    await using again = folder.target();
    await expect(again.open(plan('products'), signal)).rejects.toMatchObject({ code: 'TGT_BLOCKED' });
    expect(await again.check(signal)).toMatchObject([{ level: 'problem', code: 'TGT_BLOCKED' }]);
    closed[Symbol.dispose]();
    await (await again.open(plan('products'), signal)).apply(batchOf(2, put('a', 2n)), signal);
  });

  test('is made for this account alone, with what SQLite puts beside it and the folder around it, whatever its umask; a later change of its permissions stays', async () => {
    using folder = temporaryFolder();
    const mask = process.umask(0);
    try {
      const path = join(folder.path, 'data', 'search.db');
      const modes = (): string[] => [path, `${path}-wal`, `${path}-shm`].map((file) => (statSync(file).mode & 0o777).toString(8));
      {
        await using target = folder.target({ path });
        await (await target.open(plan('products'), signal)).apply(batchOf(1, put('a', 1n)), signal);
        expect(modes()).toEqual(['600', '600', '600']);
        expect((statSync(join(folder.path, 'data')).mode & 0o777).toString(8)).toBe('700');
      }
      chmodSync(path, 0o640);
      await using target = folder.target({ path });
      await (await target.open(plan('products'), signal)).apply(batchOf(2, put('a', 2n)), signal);
      expect(modes()).toEqual(['640', '640', '640']);
    } finally {
      process.umask(mask);
    }
  });

  test('that cannot be there pauses the target until it can', async () => {
    using folder = temporaryFolder();
    const inTheWay = join(folder.path, 'data');
    writeFileSync(inTheWay, '');
    await using target = folder.target({ path: join(inTheWay, 'search.db') });
    await expect(target.open(plan('products'), signal)).rejects.toMatchObject({ code: 'TGT_BLOCKED' });
    rmSync(inTheWay);
    mkdirSync(inTheWay);
    await target.open(plan('products'), signal);
  });

  test('that is a folder is refused', async () => {
    using folder = temporaryFolder();
    mkdirSync(folder.file);
    await using target = folder.target();
    const refused = { code: 'TGT_SCHEMA', message: `${folder.file} is a folder.` };
    await expect(target.open(plan('products'), signal)).rejects.toMatchObject(refused);
    expect(await target.check(signal)).toMatchObject([{ level: 'problem', ...refused }]);
  });

  test('has its generations listed without a byte of it being changed, and uses the pages of a dropped one again', async () => {
    using folder = temporaryFolder();
    const documents = Array.from({ length: 2000 }, (_, i) => put(`k${i}`, BigInt(i + 1), { text: `word${i} ${'amber '.repeat(20)}` }));
    const fill = async (generation: number): Promise<void> => {
      await using target = folder.target();
      await using opened = await target.open(plan('products', [], generation), signal);
      await opened.apply(batchOf(2000, ...documents), signal);
      await opened.promote(signal);
      if (generation > 1) await target.drop('products', generation - 1, signal);
    };
    await fill(1);
    await fill(2);
    const before = readFileSync(folder.file);
    {
      await using target = folder.target();
      expect(await target.generations(signal)).toEqual([{ index: 'products', generation: 2, promoted: true, cursor: 2000, documents: 2000 }]);
    }
    expect(readFileSync(folder.file)).toEqual(before);
    for (const generation of [3, 4]) await fill(generation);
    expect(statSync(folder.file).size).toBeLessThan(before.length * 1.1);
    const db = new DatabaseSync(folder.file, { readOnly: true });
    expect(db.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name LIKE 'tailrace_%_documents'").get()).toEqual({ n: 1 });
    db.close();
    inspect(folder.file);
  });

  test('has a size only while one generation has it to itself', async () => {
    using folder = temporaryFolder();
    await using target = folder.target();
    const generation = await target.open(plan('products'), signal);
    expect((await generation.stats()).bytes).toBeGreaterThan(4096);
    await target.open(plan('products', [], 2), signal);
    expect((await generation.stats()).bytes).toBeNull();
  });
});

describe('the configuration', () => {
  const parse = (config: object) => sqliteTarget.configSchema.safeParse({ type: 'sqlite', ...config });

  test('has a default for everything, and knows what it does not know', () => {
    expect(parse({}).data).toEqual({ type: 'sqlite', text: { tokenizer: 'unicode61', remove_diacritics: true } });
    expect(parse({ text: { tokenizer: 'porter' } }).data?.text).toEqual({ tokenizer: 'porter', remove_diacritics: true });
    for (const wrong of [{ file: 'x' }, { path: '' }, { text: { tokenizer: 'nltk' } }, { text: { stemmer: 'porter' } }]) expect(parse(wrong).success).toBe(false);
  });

  test('puts the file into the data directory, or where it says', async () => {
    using folder = temporaryFolder();
    const context = { name: 'search', runtime: nodeRuntime(silentLogger), dataDirectory: folder.path };
    for (const [path, file] of [
      [undefined, join(folder.path, 'search.db')],
      ['shop.db', join(folder.path, 'shop.db')],
      [join(folder.path, 'elsewhere', 'x.db'), join(folder.path, 'elsewhere', 'x.db')],
    ] as const) {
      await using target = sqliteTarget.create(sqliteTarget.configSchema.parse({ type: 'sqlite', path }), context);
      await target.open(plan('products'), signal);
      expect(existsSync(file)).toBe(true);
    }
  });
});
