/** Completing rows against real tables: missing values by key, and whether a row without a key is still there. */
import { describe, expect, test } from 'vitest';
import { postgresFormat } from '../../connectors/sources/postgres/types/row-format.ts';
import { TupleLayout } from '../../connectors/sources/postgres/tuple.ts';
import { jsonOf } from '../../src/change/value.ts';
import type { IncompleteRow } from '../../src/connector/source.ts';
import { never } from './postgres-control.ts';
import { namesOf, openReading, readChunks, type Reading, type ReadingOptions } from './postgres-reading.ts';
import { describePostgres, startPostgres } from './postgres.ts';
import { keysOf } from '../capture/chunk-keys.ts';

/** The rows of a table as an update that left these columns alone would bring them. */
async function withoutColumns(at: Reading, table: string, missing: readonly string[]): Promise<IncompleteRow[]> {
  const chunks = await readChunks(at, table);
  return chunks.flatMap((chunk, schemaId) => keysOf(chunk).map((key, i) => ({ schemaId, schema: chunk.schema, key, row: leaveOut(chunk.bytes.subarray(chunk.offsets[i], chunk.offsets[i + 1]), namesOf(chunk.schema), missing) })));
}

function leaveOut(row: Uint8Array, names: readonly string[], missing: readonly string[]): Uint8Array {
  const layout = new TupleLayout();
  layout.read(row, 0, row.length);
  const parts: Uint8Array[] = [row.subarray(0, 2)];
  names.forEach((name, i) => parts.push(missing.includes(name) ? Buffer.from('u') : row.subarray(layout.columns[i], layout.columns[i + 1])));
  return Buffer.concat(parts);
}

/** Completed rows as JSON by column, `gone` as it is. */
async function complete(at: Reading, rows: readonly IncompleteRow[]): Promise<string[]> {
  const answers = await at.completer.completeRows(rows, never);
  return answers.map((answer, i) => {
    const { schema } = rows[i] as IncompleteRow;
    return answer === 'gone' ? answer : jsonOf(postgresFormat.decoder({ ...schema, id: 1, source: 'test' }, namesOf(schema)).decode(answer));
  });
}

describePostgres([15, 18], (postgres) => {
  const open = async (setup: string, options: ReadingOptions): Promise<Reading> => openReading(await postgres.server(), setup, options);
  const table = { tables: ['public.t'] };

  test('missing values come from the row as it is, in the order asked for', async () => {
    await using at = await open("CREATE TABLE public.t (id int PRIMARY KEY, a text, big text, n text); INSERT INTO public.t SELECT i, 'a' || i, 'big' || i FROM generate_series(1, 600) i; CREATE PUBLICATION pub FOR TABLE public.t", table);
    const rows = (await withoutColumns(at, 'public.t', ['big', 'n'])).toReversed();
    await at.run("DELETE FROM public.t WHERE id = 7; UPDATE public.t SET a = 'newer', big = 'newer', n = 'x' WHERE id = 8");
    const answers = await complete(at, rows);
    expect(answers).toHaveLength(600);
    expect(answers[600 - 7]).toBe('gone');
    // The event's own columns stay the event's: the newer ones come with the event that made them.
    expect(answers[600 - 8]).toBe('[8,"a8","newer","x"]');
    expect(answers[600 - 9]).toBe('[9,"a9","big9",null]');
  });

  test('rows of several tables and of several gaps are completed together', async () => {
    await using at = await open(
      "CREATE TABLE public.t (id int PRIMARY KEY, a text, b text); CREATE TABLE public.s (id int PRIMARY KEY, a text); INSERT INTO public.t VALUES (1, 'a', 'b'); INSERT INTO public.s VALUES (1, 'sa'); CREATE PUBLICATION pub FOR TABLE public.t, public.s",
      { tables: ['public.t', 'public.s'] },
    );
    const rows = [...(await withoutColumns(at, 'public.t', ['b'])), ...(await withoutColumns(at, 'public.s', ['a'])), ...(await withoutColumns(at, 'public.t', ['a', 'b'])), ...(await withoutColumns(at, 'public.t', []))];
    expect(await complete(at, rows)).toEqual(['[1,"a","b"]', '[1,"sa"]', '[1,"a","b"]', '[1,"a","b"]']);
    expect(await complete(at, [])).toEqual([]);
  });

  test.for([
    ['text', "E'it''s \\\\ \"quoted\" \\n $1 ünï 🙂'"],
    ['text', "''"],
    ['varchar(3)', "'ab '"],
    ['char(5)', "'ab'"],
    ['"char"', "'x'"],
    ['name', "'A b'"],
    ['numeric(10,2)', '1.50'],
    ['numeric', "'NaN'"],
    ['float8', '0.1::float8 + 0.2::float8'],
    ['float8', "'-Infinity'"],
    ['timestamptz', "'2026-03-29 01:30:00.123456+01'"],
    ['timestamp', "'0044-03-15 12:00:00 BC'"],
    ['interval', "'1 mon -1 day 00:00:01.5'"],
    ['bytea', "'\\x00ff27'"],
    ['uuid', "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
    ['bool', 'true'],
    ['inet', "'10.0.0.1'"],
    ['bit(3)', "'101'"],
    ['public."Mood, kind of"', "'sad ''n'' low'"],
    ['public.word', "'within'"],
    ['public.citext', "'MiXed'"],
    ['text[]', "ARRAY['a,b', NULL, '{}']"],
    ['int4range', "'[1,5)'"],
    ['public.pair', "ROW(1, 'x,\"y')"],
    ['public.pair', 'ROW(NULL, NULL)'],
    ['oid', '4294967295'],
  ] as const)('a row is found by a key of type %s: %s', async ([type, value]) => {
    await using at = await open(
      `CREATE TYPE public."Mood, kind of" AS ENUM ('sad ''n'' low', 'ok'); CREATE DOMAIN public.word AS text CHECK (value <> ''); CREATE TYPE public.pair AS (a int, b text); CREATE EXTENSION citext SCHEMA public;
       CREATE TABLE public.t ("Key ""k""" ${type} PRIMARY KEY, body text); INSERT INTO public.t VALUES (${value}, 'body'); CREATE PUBLICATION pub FOR TABLE public.t`,
      table,
    );
    const [whole] = await withoutColumns(at, 'public.t', []);
    const rows = await withoutColumns(at, 'public.t', ['body']);
    const [answer] = await at.completer.completeRows(rows, never);
    expect(answer).toEqual(whole?.row);
    await at.run('DELETE FROM public.t');
    expect(await complete(at, rows)).toEqual(['gone']);
  });

  test('a key that is equal but not the same is another row\'s', async () => {
    await using at = await open("CREATE EXTENSION citext SCHEMA public; CREATE TABLE public.t (a numeric, b public.citext, body text, PRIMARY KEY (a, b)); INSERT INTO public.t VALUES (1.0, 'x', 'body'); CREATE PUBLICATION pub FOR TABLE public.t", table);
    const rows = await withoutColumns(at, 'public.t', ['body']);
    expect(await complete(at, rows)).toEqual(['[1.0,"x","body"]']);
    await at.run('UPDATE public.t SET a = 1.00');
    expect(await complete(at, rows)).toEqual(['gone']);
    await at.run("UPDATE public.t SET a = 1.0, b = 'X'");
    expect(await complete(at, rows)).toEqual(['gone']);
  });

  test('the index of the key is used whatever the search path is', async () => {
    await using at = await open("CREATE EXTENSION citext SCHEMA public; CREATE TABLE public.t (k public.citext PRIMARY KEY, body text); INSERT INTO public.t SELECT 'k' || i, 'b' FROM generate_series(1, 20000) i; ANALYZE public.t; CREATE PUBLICATION pub FOR TABLE public.t", table);
    const [row] = await withoutColumns(at, 'public.t', ['body']);
    const before = Number((await at.run("SELECT idx_scan AS n FROM pg_stat_user_tables WHERE relname = 't'"))[0]?.['n']);
    expect(await complete(at, [row as IncompleteRow])).toEqual(['["k1","b"]']);
    await at.completer[Symbol.asyncDispose]();
    await expect.poll(async () => Number((await at.run("SELECT idx_scan AS n FROM pg_stat_user_tables WHERE relname = 't'"))[0]?.['n']), { timeout: 10_000 }).toBeGreaterThan(before);
  });

  test('a configured key with nulls finds its rows', async () => {
    await using at = await open(
      "CREATE TABLE public.t (a int, b text, body text); ALTER TABLE public.t REPLICA IDENTITY FULL; INSERT INTO public.t VALUES (1, NULL, 'one'), (NULL, 'x', 'two'), (NULL, NULL, 'three'), (1, 'x', 'four'); CREATE PUBLICATION pub FOR TABLE public.t",
      { tables: [{ table: 'public.t', key: ['b', 'a'] }] },
    );
    const rows = await withoutColumns(at, 'public.t', ['body']);
    expect(await complete(at, rows)).toEqual(['[1,null,"one"]', '[null,"x","two"]', '[null,null,"three"]', '[1,"x","four"]']);
  });

  test('a key longer than a key may be is found by the values in the row', async () => {
    await using at = await open("CREATE TABLE public.t (k text, body text); ALTER TABLE public.t REPLICA IDENTITY FULL; INSERT INTO public.t SELECT repeat(chr(64 + i), 50000), 'b' || i FROM generate_series(1, 3) i; CREATE PUBLICATION pub FOR TABLE public.t", { tables: [{ table: 'public.t', key: ['k'] }] });
    const rows = await withoutColumns(at, 'public.t', ['body']);
    expect(rows.map((row) => row.key.length)).toEqual([36, 36, 36]);
    expect((await complete(at, rows)).map((text) => text.slice(-5))).toEqual(['"b1"]', '"b2"]', '"b3"]']);
  });

  test('a value that is too large comes left out, with its length', async () => {
    await using at = await open("CREATE TABLE public.t (id int PRIMARY KEY, body text); INSERT INTO public.t VALUES (1, repeat('x', 3000000)); CREATE PUBLICATION pub FOR TABLE public.t", { ...table, settings: { max_value_bytes: 1024 * 1024 } });
    await expect(complete(at, await withoutColumns(at, 'public.t', ['body']))).rejects.toMatchObject({ code: 'SRC_VALUE_TOO_LARGE', message: expect.stringContaining('3000000 bytes in column body') as string });
  });

  describe('partitions', () => {
    const partitioned = `
      CREATE TABLE public.t (id int, at int, n int, body text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
      CREATE TABLE public.t1 PARTITION OF public.t FOR VALUES FROM (0) TO (10);
      CREATE TABLE public.t2 (body text, n int, at int NOT NULL, id int NOT NULL, PRIMARY KEY (id, at)); ALTER TABLE public.t ATTACH PARTITION public.t2 FOR VALUES FROM (10) TO (20);
      INSERT INTO public.t SELECT i, i % 20, i, 'b' || i FROM generate_series(1, 40) i;`;
    test.for([
      ['the root', 'CREATE PUBLICATION pub FOR TABLE public.t WHERE (n > 20) WITH (publish_via_partition_root = true, publish = $$insert$$)', 20],
      ['the leaves', 'CREATE PUBLICATION pub FOR TABLE public.t', 40],
      ['leaves with filters of their own', 'CREATE PUBLICATION pub FOR TABLE public.t1 WHERE (n > 10), public.t2 WITH (publish = $$insert$$)', 31],
    ] as const)('are searched where the publication says: %s', async ([, publication, count]) => {
      await using at = await open(`${partitioned} ${publication}`, table);
      const rows = await withoutColumns(at, 'public.t', ['body']);
      const whole = await withoutColumns(at, 'public.t', []);
      expect(await at.completer.completeRows(rows, never)).toEqual(whole.map((row) => row.row));
      expect(rows).toHaveLength(count);
    });
  });

  test('a row that no longer passes the row filter is gone: its delete is on the way', async () => {
    await using at = await open("CREATE TABLE public.t (id int PRIMARY KEY, n int, k0 text); INSERT INTO public.t VALUES (1, 5, 'x'); CREATE PUBLICATION pub FOR TABLE public.t WHERE (n > 0 AND k0 <> 'q') WITH (publish = 'insert')", table);
    const rows = await withoutColumns(at, 'public.t', ['k0']);
    expect(await complete(at, rows)).toEqual(['[1,5,"x"]']);
    await at.run('UPDATE public.t SET n = -1');
    expect(await complete(at, rows)).toEqual(['gone']);
  });

  describe('tables without a key', () => {
    const setup = `
      CREATE TYPE public.pair AS (a int, b text);
      CREATE TABLE public.t (i int, j json, p public.pair, x point, c char(4), ok bool, ip inet, f float8, t text);
      ALTER TABLE public.t REPLICA IDENTITY FULL; CREATE PUBLICATION pub FOR TABLE public.t;
      INSERT INTO public.t VALUES (1, '{"a":  1}', ROW(1, 'x'), '(1,2)', 'ab', true, '10.0.0.1', 'NaN', 'a'), (1, '{"a":  1}', ROW(1, 'x'), '(1,2)', 'ab', true, '10.0.0.1', 'NaN', 'a'),
        (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), (NULL, NULL, ROW(NULL, NULL), NULL, NULL, NULL, NULL, NULL, ''), (2, '{}', NULL, NULL, '', false, '::1/64', -0.0, E'a\\\\b"c,{}NULL')`;

    test('tell whether a row like the deleted one is left', async () => {
      await using at = await open(setup, table);
      const rows = await withoutColumns(at, 'public.t', []);
      const whole = rows.map((row) => row.row);
      expect(await at.completer.completeRows(rows, never)).toEqual(whole);
      await at.run("DELETE FROM public.t WHERE ctid = (SELECT min(ctid) FROM public.t WHERE i = 1)");
      expect(await at.completer.completeRows(rows, never)).toEqual(whole);
      await at.run('DELETE FROM public.t WHERE i = 1; DELETE FROM public.t WHERE i IS NULL AND t IS NULL');
      expect((await at.completer.completeRows(rows, never)).map((answer) => answer === 'gone')).toEqual([true, true, true, false, false]);
      await at.run("UPDATE public.t SET p = NULL, t = NULL; UPDATE public.t SET f = 0 WHERE i = 2");
      expect((await at.completer.completeRows(rows, never)).map((answer) => answer === 'gone')).toEqual([true, true, false, true, true]);
    });
  });

  describe('DDL in between', () => {
    const setup = "CREATE TABLE public.t (id int PRIMARY KEY, body text, other text); INSERT INTO public.t VALUES (1, 'body', 'other'); CREATE PUBLICATION pub FOR TABLE public.t";

    test('a column that is gone stays missing and is never null, the others are completed', async () => {
      await using at = await open(setup, table);
      const rows = await withoutColumns(at, 'public.t', ['body', 'other']);
      await at.run('ALTER TABLE public.t DROP COLUMN body');
      const [answer] = await at.completer.completeRows(rows, never);
      const { schema } = rows[0] as IncompleteRow;
      const read = (...columns: string[]): unknown => postgresFormat.decoder({ ...schema, id: 1, source: 'test' }, columns).decode(answer as Uint8Array);
      expect(read('id', 'other')).toEqual([1, 'other']);
      expect(() => read('body')).toThrow(expect.objectContaining({ code: 'SRC_UNDECODABLE', message: expect.stringContaining('column body, which was dropped') as string }));
      expect(at.changes).toHaveLength(1);
    });

    test('a column of another type now is not read as the old one', async () => {
      await using at = await open(setup, table);
      const rows = await withoutColumns(at, 'public.t', ['other']);
      await at.run("ALTER TABLE public.t ALTER other TYPE int USING 7");
      await at.deps.refreshCatalog(never);
      await expect(complete(at, rows)).rejects.toMatchObject({ code: 'SRC_UNDECODABLE' });
    });

    test('a renamed table is found under its name of now', async () => {
      await using at = await open(setup, table);
      const rows = await withoutColumns(at, 'public.t', ['other']);
      await at.run('ALTER TABLE public.t RENAME TO elsewhere');
      await expect(complete(at, rows)).rejects.toMatchObject({ code: 'SRC_TABLE_MISSING' });
      await at.run('ALTER TABLE public.elsewhere RENAME TO t');
      expect(await complete(at, rows)).toEqual(['[1,"body","other"]']);
    });
  });

  test('a read without rights is refused with the grant', async () => {
    const role = `completer_${postgres.major}`;
    await using at = await open(`DROP ROLE IF EXISTS ${role}; CREATE ROLE ${role} LOGIN; CREATE TABLE public.t (id int PRIMARY KEY, body text); INSERT INTO public.t VALUES (1, 'x'); CREATE PUBLICATION pub FOR TABLE public.t; GRANT SELECT ON public.t TO ${role}`, { ...table, user: role });
    const rows = await withoutColumns(at, 'public.t', ['body']);
    await at.run(`REVOKE SELECT ON public.t FROM ${role}`);
    await expect(complete(at, rows)).rejects.toMatchObject({ code: 'SRC_GRANT' });
    await at.run(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });

  test('a row is not completed from a snapshot that does not show its own change', async () => {
    await using server = await startPostgres({ major: postgres.major, settings: { max_prepared_transactions: '5' } });
    await using at = await openReading(server, "CREATE TABLE public.t (id int PRIMARY KEY, body text); INSERT INTO public.t VALUES (1, 'old'); CREATE PUBLICATION pub FOR TABLE public.t", table);
    const rows = await withoutColumns(at, 'public.t', ['body']);
    await at.run("BEGIN; UPDATE public.t SET body = 'new'; PREPARE TRANSACTION 'g'");
    at.visibility.record(Number((await at.run('SELECT transaction::text AS xid FROM pg_prepared_xacts'))[0]?.['xid']));
    const completing = complete(at, rows);
    await expect.poll(async () => (await at.run("SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'tailrace' AND query LIKE 'SELECT pg_current_snapshot%'"))[0]?.['n'], { timeout: 10_000 }).toBe(1);
    await at.run("COMMIT PREPARED 'g'");
    expect(await completing).toEqual(['[1,"new"]']);
  });

  describe('a database that knows no encoding', () => {
    test('keeps bytes that are not UTF-8, in keys and in values', async () => {
      const server = await postgres.server();
      const database = `ascii_${postgres.major}`;
      await server.query(`DROP DATABASE IF EXISTS ${database}`);
      await server.query(`CREATE DATABASE ${database} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0`);
      const setup = "CREATE TABLE public.t (k text PRIMARY KEY, body text); INSERT INTO public.t VALUES (convert_from('\\x4dfc6c6c', 'SQL_ASCII'), convert_from('\\xff27', 'SQL_ASCII')), ('plain', 'ü'); CREATE PUBLICATION pub FOR TABLE public.t";
      await using at = await openReading(server, setup, { ...table, database, encoding: 'SQL_ASCII' });
      const rows = await withoutColumns(at, 'public.t', ['body']);
      expect(await complete(at, rows)).toEqual(['["\\\\x4dfc6c6c","\\\\xff27"]', '["plain","ü"]']);
      expect(Buffer.from(rows[0]?.key ?? []).subarray(4).toString('hex')).toBe('4dfc6c6c');
    });
  });
});
