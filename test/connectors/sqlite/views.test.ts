import { execFileSync } from 'node:child_process';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import type { FieldPlan } from '../../../src/connector/target.ts';
import { batchOf, put } from '../../contract/target-fixture.ts';
import { installed } from '../../requirement.ts';
import { plan, temporaryFolder, type Folder } from './folder.ts';

const { signal } = new AbortController();

const shoe = { name: 'Red shoe', price: 12.5, tags: ['summer', 'canvas'], in_stock: true };
const fields: FieldPlan[] = [
  { name: 'id', kind: 'text' },
  { name: 'name', kind: 'text' },
  { name: 'price', kind: 'decimal' },
  { name: 'tags', kind: 'array' },
  { name: 'in_stock', kind: 'boolean' },
];

/** Another program's look into the file. */
function query(folder: Folder, sql: string): Record<string, unknown>[] {
  const db = new DatabaseSync(folder.file, { readOnly: true });
  try {
    return db.prepare(sql).all().map((row) => ({ ...row }));
  } finally {
    db.close();
  }
}

async function withIndex(index: string, fieldPlan: readonly FieldPlan[], document: Readonly<Record<string, unknown>>, look: (folder: Folder) => void | Promise<void>): Promise<void> {
  using folder = temporaryFolder();
  await using target = folder.target();
  const generation = await target.open(plan(index, fieldPlan), signal);
  await generation.apply(batchOf(2, put('p1', 1n, document), put('p2', 2n, { name: 'Blue hat' }), { kind: 'delete', id: 'p3', version: 2n }), signal);
  await generation.promote(signal);
  await look(folder);
}

describe('an index is a view of its name', () => {
  test('with id, version, document and a column per field, and without what was deleted', () =>
    withIndex('products', fields, shoe, (folder) => {
      expect(query(folder, 'SELECT name, price FROM products ORDER BY id')).toEqual([
        { name: 'Red shoe', price: 12.5 },
        { name: 'Blue hat', price: null },
      ]);
      expect(query(folder, "SELECT * FROM products WHERE id = 'p1'")).toEqual([
        { id: 'p1', version: 1, document: JSON.stringify({ id: 'p1', ...shoe }), id_: 'p1', name: 'Red shoe', price: 12.5, tags: '["summer","canvas"]', in_stock: 1 },
      ]);
      expect(query(folder, "EXPLAIN QUERY PLAN SELECT * FROM products WHERE id = 'p1'")[0]?.['detail']).toMatch(/^SEARCH .* USING INDEX/);
    }));

  test('and is searched in the view behind it with _text', () =>
    withIndex('products', fields, shoe, (folder) => {
      expect(query(folder, "SELECT id, name, price FROM products_text WHERE products_text MATCH 'shoe canvas' ORDER BY rank")).toEqual([{ id: 'p1', name: 'Red shoe', price: 12.5 }]);
      expect(query(folder, "SELECT id FROM products_text WHERE products_text MATCH 'tags : shoe'")).toEqual([]);
      expect(query(folder, "SELECT highlight(products_text, 1, '[', ']') AS marked FROM products_text WHERE products_text MATCH 'shoe'")).toEqual([{ marked: 'Red [shoe]' }]);
    }));

  test.runIf(installed('sqlite3'))('which any sqlite3 program reads, older ones too', () =>
    withIndex('products', fields, shoe, (folder) => {
      const run = (sql: string): string => execFileSync('sqlite3', [folder.file, sql], { encoding: 'utf8' }).trim();
      expect(run("SELECT name, price FROM products WHERE id = 'p1'")).toBe('Red shoe|12.5');
      expect(run("SELECT id FROM products_text WHERE products_text MATCH 'name : red'")).toBe('p1');
      expect(run("SELECT snippet(products_text, -1, '<', '>', '', 3) FROM products_text WHERE products_text MATCH 'canvas'")).toBe('summer <canvas>');
    }));

  test('whatever the index and its fields are called', async () => {
    const odd = ['a b', "it's", 'say "x"', 'back\\slash', 'semi;colon', 'größe', 'select', '$.x', 'a.b', '[0]', '7', '', 'tab\t', 'rank', 'version', 'document', 'Name', 'name', 'NAME', 'rid', 'rowid', '_text', '__proto__'];
    const oddFields = odd.map((name, i): FieldPlan => ({ name, kind: i % 2 === 0 ? 'text' : 'json' }));
    // By hand: `__proto__` is no key of an object literal.
    const json = `{${odd.map((name, i) => `${JSON.stringify(name)}:"word${i}"`).join(',')}}`;
    using folder = temporaryFolder();
    await using target = folder.target();
    const index = 'Odd "index"; name\'s -- ü';
    const generation = await target.open(plan(index, oddFields), signal);
    expect(await generation.apply(batchOf(1, { kind: 'put', id: 'x', version: 1n, document: json }), signal)).toEqual([{ outcome: 'applied' }]);
    await generation.promote(signal);
    const [row] = query(folder, `SELECT * FROM "${index.replaceAll('"', '""')}"`);
    const own = new Set(['id', 'version', 'document']);
    const columns = Object.entries(row ?? {}).filter(([name]) => !own.has(name));
    expect(columns.map(([, value]) => String(value)).toSorted()).toEqual(odd.flatMap((name, i) => (name === '' ? [] : [`word${i}`])).toSorted());
    expect(columns.map(([name]) => name)).toEqual(expect.arrayContaining(['say "x"', 'version_', 'document_', 'Name', 'name_', 'NAME__']));
    for (const [i] of odd.entries()) expect((await target.search({ index, text: `word${i}`, limit: 5 }, signal)).map(({ id }) => id), odd[i]).toEqual(['x']);
    for (const name of ['größe', 'a.b', '$.x', '7', '[0]', 'rank', 'select']) {
      expect(await target.search({ index, text: `${name}:word${odd.indexOf(name)}`, limit: 5 }, signal), name).toHaveLength(1);
      expect(await target.search({ index, text: `${name}:word${odd.indexOf('semi;colon')}`, limit: 5 }, signal), name).toEqual([]);
    }
  });

  test('even with thousands of fields', async () => {
    const many = Array.from({ length: 2500 }, (_, i): FieldPlan => ({ name: `f${i}`, kind: 'text' }));
    await withIndex('wide', many, Object.fromEntries(many.map(({ name }) => [name, `in${name}`])), (folder) => {
      expect(query(folder, "SELECT f0, f1900 FROM wide WHERE id = 'p1'")).toEqual([{ f0: 'inf0', f1900: 'inf1900' }]);
      for (const word of ['inf0', 'inf1900', 'inf2499']) expect(query(folder, `SELECT id FROM wide_text WHERE wide_text MATCH '${word}'`)).toEqual([{ id: 'p1' }]);
    });
  });

  test('and shows a field that came later once the generation is opened with it', async () => {
    using folder = temporaryFolder();
    await using target = folder.target();
    const first = await target.open(plan('products', fields), signal);
    await first.promote(signal);
    const again = await target.open(plan('products', [...fields, { name: 'colour', kind: 'text' }]), signal);
    await again.apply(batchOf(1, put('p1', 1n, { ...shoe, colour: 'crimson' })), signal);
    expect(query(folder, 'SELECT name, colour FROM products')).toEqual([{ name: 'Red shoe', colour: 'crimson' }]);
    expect(await target.search({ index: 'products', text: 'crimson', limit: 5 }, signal)).toHaveLength(1);
  });
});

describe('the names that an index takes', () => {
  test.each(['tailrace_x', 'SQLITE_x', '', 'nul\0'])('are not %j', async (index) => {
    using folder = temporaryFolder();
    await using target = folder.target();
    await expect(target.open(plan(index), signal)).rejects.toMatchObject({ code: 'CFG_INVALID' });
  });

  test.each([
    ['products', 'products_text'],
    ['products_text', 'products'],
    ['Products', 'products'],
  ])('are not taken by two: %s, then %s', async (first, second) => {
    using folder = temporaryFolder();
    await using target = folder.target();
    await target.open(plan(first), signal);
    await expect(target.open(plan(second), signal)).rejects.toMatchObject({ code: 'CFG_INVALID', message: expect.stringContaining(`"${first}"`) as unknown });
  });

  test('are not taken from what somebody else made in the file, until it is gone', async () => {
    using folder = temporaryFolder();
    await using target = folder.target();
    const generation = await target.open(plan('products'), signal);
    const other = new DatabaseSync(folder.file);
    other.exec('CREATE TABLE Products (mine TEXT)');
    await expect(generation.promote(signal)).rejects.toMatchObject({ code: 'TGT_SCHEMA', message: expect.stringContaining('table called "Products"') as unknown });
    other.exec('DROP TABLE Products');
    other.close();
    await generation.promote(signal);
    expect(query(folder, 'SELECT id FROM products')).toEqual([]);
  });
});

describe('views that somebody has changed', () => {
  const written = (folder: Folder, sql: string): void => {
    const db = new DatabaseSync(folder.file);
    db.exec(sql);
    db.close();
  };

  test.each(['DROP VIEW products', 'DROP VIEW products_text', 'DROP VIEW products; DROP VIEW products_text'])('are missed after %s, and made again', async (sql) => {
    using folder = temporaryFolder();
    await using target = folder.target();
    const generation = await target.open(plan('products', fields), signal);
    await generation.promote(signal);
    expect(await generation.seen(signal)).toBe('this');
    written(folder, sql);
    expect([await generation.seen(signal), (await target.generations(signal))[0]?.promoted]).toEqual(['nothing', false]);
    await generation.promote(signal);
    expect([await generation.seen(signal), query(folder, 'SELECT id, name FROM products_text')]).toEqual(['this', []]);
  });

  test('are not put in the place of what somebody has made there, which is named, also when fields are added', async () => {
    using folder = temporaryFolder();
    await using target = folder.target();
    const generation = await target.open(plan('products', fields), signal);
    await generation.promote(signal);
    written(folder, 'DROP VIEW products; CREATE VIEW products AS SELECT 7 AS theirs');
    expect(await generation.seen(signal)).toMatchObject({ code: 'TGT_SCHEMA', message: expect.stringContaining('has a view called "products"') as unknown });
    await generation.prepare([{ name: 'more', kind: 'text' }], signal);
    await expect(generation.promote(signal)).rejects.toMatchObject({ code: 'TGT_SCHEMA' });
    expect(query(folder, 'SELECT * FROM products')).toEqual([{ theirs: 7 }]);
    written(folder, 'DROP VIEW products');
    await generation.promote(signal);
    expect(query(folder, 'SELECT more FROM products')).toEqual([]);
  });
});
