/** `tailrace init` on real databases: what it writes can be loaded, and passes `tailrace check`. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { repository, runCli, shapeDifferences, type CliResult } from '../cmd/run-cli.ts';
import type { PostgresServer } from './postgres-client.ts';
import { describePostgres } from './postgres.ts';

interface Written {
  readonly sources: Readonly<Record<string, unknown>>;
  readonly indices: Readonly<Record<string, { readonly from: string; readonly text_fields?: readonly string[]; readonly fields?: Readonly<Record<string, boolean>> }>>;
}

const shop = `
  CREATE TABLE products (id bigint PRIMARY KEY, name text NOT NULL, description text, price numeric(20,2), photo bytea, "passwordHash" text);
  INSERT INTO products SELECT i, 'kettle ' || i, 'hot', i, '\\x00', 'x' FROM generate_series(1, 250) i;
  CREATE SCHEMA sales;
  CREATE TABLE sales.products (sku text PRIMARY KEY, title text);
  CREATE TABLE "order.lines" (a int, b int, "a ""note""" text, PRIMARY KEY (b, a));
  CREATE TABLE "true" ("no" int PRIMARY KEY, "on" text, "{x}: y" text);
  CREATE TABLE "Größe
2" (id int PRIMARY KEY);
  CREATE TABLE "表" (id int PRIMARY KEY, "名前" text);
  CREATE TABLE sqlite_stuff (id int PRIMARY KEY);
  CREATE TABLE ${'x'.repeat(60)}1 (id int PRIMARY KEY);
  CREATE TABLE ${'x'.repeat(60)}2 (id int PRIMARY KEY);
  CREATE TABLE "UserAccounts-g0001" (id uuid PRIMARY KEY, secret_tokens text, api_key text, tokenizer text);
  CREATE TABLE logged (at timestamptz, line text);
  ALTER TABLE logged REPLICA IDENTITY FULL;
  CREATE TABLE measured (at date, sensor int, value real, PRIMARY KEY (at, sensor)) PARTITION BY RANGE (at);
  CREATE TABLE measured_2026 PARTITION OF measured FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
  CREATE TABLE parent (id int PRIMARY KEY);
  CREATE TABLE child (PRIMARY KEY (id)) INHERITS (parent);
  CREATE TABLE events (at timestamptz, what text);
  CREATE TABLE guarded (id int NOT NULL, what text);
  CREATE UNIQUE INDEX guarded_id ON guarded (id);
  CREATE UNLOGGED TABLE cache (id int PRIMARY KEY);
  CREATE VIEW latest AS SELECT * FROM products;
  CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM products;
  ANALYZE;`;

describePostgres([15, 18], (postgres) => {
  let server: PostgresServer;
  let folder: string;
  let database: string;

  const url = (user = 'postgres'): string => server.url(database, user).replace('@', ':not-to-be-seen-5a1c@');
  const cli = async (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<CliResult> => runCli(args, { cwd: folder, env });
  const written = (name: string): Written => parse(readFileSync(join(folder, name), 'utf8'), { customTags: [{ tag: '!env', resolve: (text: string) => text }] }) as Written;
  const variable = (): string => `${database.toUpperCase()}_URL`;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tailrace-init-'));
    server = await postgres.server();
    database = await server.createDatabase();
    await server.query(shop, database);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  describe('a database with tables of every kind', () => {
    let result: CliResult;
    beforeAll(async () => {
      result = await cli(['init', url()]);
    });

    test('gets an index for each table that can have one, with names that a config and its target take', () => {
      expect(result).toMatchObject({ code: 0, stderr: '' });
      const { sources, indices } = written('tailrace.yaml');
      expect(sources).toEqual({ [database]: { type: 'postgres', url: variable() } });
      expect(Object.fromEntries(Object.entries(indices).map(([name, { from }]) => [from.slice(database.length + 1), name]))).toEqual({
        'public.products': 'products',
        'sales.products': 'sales_products',
        'public."order.lines"': 'order_lines',
        'public.true': 'true',
        'public."Größe\n2"': 'gro_e_2',
        'public.表': 'table',
        'public.sqlite_stuff': 'public_sqlite_stuff',
        [`public.${'x'.repeat(60)}1`]: 'x'.repeat(48),
        [`public.${'x'.repeat(60)}2`]: `public_${'x'.repeat(41)}`,
        'public.UserAccounts-g0001': 'user_accounts_g0001',
        'public.logged': 'logged',
        'public.measured': 'measured',
        'public.parent': 'parent',
        'public.child': 'child',
      });
    });

    test('has the text of each row searched, and leaves out bytes and what is a secret by its name', () => {
      const { indices } = written('tailrace.yaml');
      expect(indices['products']).toMatchObject({ text_fields: ['name', 'description'], fields: { photo: false, passwordHash: false } });
      expect(indices['order_lines']).toMatchObject({ text_fields: ['a "note"'] });
      expect(indices['true']).toMatchObject({ text_fields: ['on', '{x}: y'] });
      expect(indices['user_accounts_g0001']).toMatchObject({ text_fields: ['tokenizer'], fields: { secret_tokens: false, api_key: false } });
      expect(indices['measured']).not.toHaveProperty('text_fields');
      expect(indices['sales_products']).toMatchObject({ text_fields: ['title'] });
    });

    test('tells in comments how many rows there are, what tells them apart, and what to run for the tables that are left out', () => {
      const text = readFileSync(join(folder, 'tailrace.yaml'), 'utf8');
      expect(text).toContain('  # about 250 rows, key (id); without photo (bytea), passwordHash (by its name a secret)\n  products:');
      expect(text).toContain('key (b, a)');
      expect(text).toMatch(/key \(the whole row\)\n {2}# ! it has no key:/);
      expect(text).toMatch(/# public\.events: Table public\.events has REPLICA IDENTITY DEFAULT and no primary key: .*\n {2}# {3}ALTER TABLE "?public"?\."?events"? REPLICA IDENTITY FULL;\n {2}# then events: \{ from: /);
      expect(text).toMatch(/# {3}ALTER TABLE .*guarded"? REPLICA IDENTITY USING INDEX "?guarded_id"?;/);
      expect(text).toMatch(/# public\.cache: /);
      expect(text).toMatch(/# ! public\.child inherit from it and are not read with it\n {2}parent: /);
    });

    test('passes the check, and what is said to be left out is what is shown', async () => {
      const checked = await cli(['check', '--json'], { [variable()]: url() });
      expect(JSON.parse(checked.stdout)).toMatchObject({ ok: true });
      expect(result.stdout).toMatch(/^Wrote .*tailrace\.yaml: 14 indices from /);
      expect(result.stdout).toMatch(/\nproducts +public\.products +250 +id +name, description +photo, passwordHash\n/);
      expect(result.stdout).toMatch(/✗ {2}table public\.events: /);
      expect(result.stdout).toContain('Left alone, because nothing tells of their changes: 1 view, 1 materialised view.');
      expect(result.stdout).toContain(`export ${variable()}=...`);
    });

    test('shows no password, and writes none', () => {
      expect(result.stdout + result.stderr + readFileSync(join(folder, 'tailrace.yaml'), 'utf8')).not.toContain('not-to-be-seen');
    });

    test('is not proposed over a file that is there', async () => {
      const before = statSync(join(folder, 'tailrace.yaml')).mtimeMs;
      expect(await cli(['init', url()])).toMatchObject({ code: 64, stdout: '', stderr: expect.stringMatching(/The file .*tailrace\.yaml is there already\.\n {2}It was left as it is\./) as unknown });
      expect(statSync(join(folder, 'tailrace.yaml')).mtimeMs).toBe(before);
      expect(await cli(['init', url(), '--out', 'no/such/folder.yaml'])).toMatchObject({ code: 64, stderr: expect.stringContaining('cannot be written (ENOENT)') as unknown });
    });
  });

  test('only the tables that are asked for are proposed, for the target that is named, as documented', async () => {
    const { code, stdout } = await cli(['init', url(), '--tables', 'products,m*', '--to', 'opensearch=https://user:hunter22@search:9200', '--out', 'some.yaml', '--json']);
    expect(code).toBe(0);
    const report = JSON.parse(stdout) as Record<string, unknown>;
    expect(report).toMatchObject({ written: join(folder, 'some.yaml'), target: { name: 'search', type: 'opensearch' }, environment: [{ name: variable() }, { name: 'SEARCH_URL' }] });
    expect((report['indices'] as { index: string }[]).map(({ index }) => index)).toEqual(['measured', 'products', 'sales_products']);
    const [, documented = ''] = /<!-- shape: init -->\n```json\n([^]*?)\n```/.exec(readFileSync(join(repository, 'docs', 'cli.md'), 'utf8')) ?? [];
    expect(shapeDifferences(JSON.parse(documented), report)).toEqual([]);
    const text = readFileSync(join(folder, 'some.yaml'), 'utf8');
    expect(text).toContain('\ntargets:\n  search: { type: opensearch, url: !env SEARCH_URL }\n');
    expect(text.trim().split('\n').length).toBeLessThanOrEqual(15);
    expect(text + stdout).not.toContain('hunter22');
    const embedded = await cli(['init', url(), '--tables', 'sales.*', '--tables', '"nothing', '--to', 'sqlite=found.db', '--out', 'other.yaml']);
    expect(embedded).toMatchObject({ code: 64, stderr: expect.stringContaining('has no table `"nothing`') as unknown });
    expect((await cli(['init', url(), '--tables', 'sales.*', '--to', 'sqlite=found.db', '--out', 'other.yaml'])).code).toBe(0);
    expect(readFileSync(join(folder, 'other.yaml'), 'utf8')).toContain('\n  search: { type: sqlite, path: found.db }\n');
    expect((await cli(['check', '--config', 'other.yaml'], { [variable()]: url() })).stdout).toContain('Ready');
  });

  test('a database without tables of its own is told of, and nothing is written', async () => {
    const empty = await server.createDatabase();
    await server.query('CREATE VIEW v AS SELECT 1 AS one', empty);
    const result = await cli(['init', server.url(empty), '--out', 'empty.yaml']);
    expect(result.code).toBe(65);
    expect(result.stderr).toMatch(/has no table of its own that could be indexed, only 1 view\.\n {2}Nothing was written\.\n/);
    expect(existsSync(join(folder, 'empty.yaml'))).toBe(false);
  });

  test('a user without rights is told the statements that give them, after which the same command works', async () => {
    const user = `${database}_poor`;
    await server.query(`CREATE ROLE ${user} LOGIN PASSWORD 'not-to-be-seen-5a1c'; CREATE SCHEMA closed; CREATE TABLE closed.t (id int PRIMARY KEY, a text)`, database);
    const first = await cli(['init', url(user), '--tables', 'closed.t', '--out', 'poor.yaml']);
    expect(first.code).toBe(1);
    expect(first.stdout).toMatch(/^Nothing was written: no table of \S+ can be indexed as it is\.\n/);
    expect(existsSync(join(folder, 'poor.yaml'))).toBe(false);
    const grants = first.stdout.split('\n').map((line) => line.trim()).filter((line) => line.startsWith('GRANT'));
    expect(grants).toHaveLength(2);
    await server.query(grants.join('\n'), database);
    expect(await cli(['init', url(user), '--tables', 'closed.t', '--out', 'poor.yaml'])).toMatchObject({ code: 0 });
    expect(Object.keys(written('poor.yaml').indices)).toEqual(['t']);
  });

  test('a database that is not there, and a url that is none, are refused in one sentence without the url', async () => {
    const missing = await cli(['init', url().replace(database, 'no_such_db'), '--out', 'missing.yaml']);
    expect(missing.stderr).toMatch(/no_such_db.*does not exist.*\n {2}Nothing was written\./);
    expect((await cli(['init', 'postgres://u:hunter22@127.0.0.1:1/d', '--out', 'missing.yaml'])).code).toBe(75);
    for (const [given, said] of [['mysql://u:hunter22@h/d', 'No source is read whose url begins with mysql://.'], ['u:hunter22@h', 'The url of the database does not begin like one.']] as const) {
      const refused = await cli(['init', given, '--out', 'missing.yaml']);
      expect(refused).toMatchObject({ code: 64, stderr: expect.stringContaining(said) as unknown });
      expect(refused.stderr).not.toContain('hunter22');
    }
    expect((await cli(['init', url(), '--to', 'opensarch=https://h', '--out', 'missing.yaml'])).stderr).toContain('did you mean `opensearch`?');
    expect((await cli(['init', url(), '--to', 'opensearch=nonsense', '--out', 'missing.yaml'])).stderr).toContain('is no url');
    expect(existsSync(join(folder, 'missing.yaml'))).toBe(false);
  });

  test('two that write the same file at once do not write over each other', async () => {
    writeFileSync(join(folder, 'kept.yaml'), 'mine');
    expect((await cli(['init', url(), '--out', 'kept.yaml'])).code).toBe(64);
    expect(readFileSync(join(folder, 'kept.yaml'), 'utf8')).toBe('mine');
    const both = await Promise.all([1, 2].map(async () => cli(['init', url(), '--out', 'both.yaml'])));
    expect(both.map(({ code }) => String(code)).toSorted()).toEqual(['0', '64']);
  });
});
