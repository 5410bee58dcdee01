/** Parts of real tables: rows by key, whatever the key is made of, and by a condition, which may read and nothing else. */
import { describe, expect, test } from 'vitest';
import { decodeKey } from '../../src/change/key.ts';
import type { Chunk } from '../../src/connector/source.ts';
import { encodeKey } from '../change/encode-key.ts';
import { keysOf } from '../capture/chunk-keys.ts';
import { never } from './postgres-control.ts';
import { openReading, readChunks, readTable, rowsOf, type Reading, type ReadingOptions } from './postgres-reading.ts';
import { describePostgres } from './postgres.ts';

const keyOf = (...parts: (string | null)[]): Buffer => encodeKey(parts.map((part) => (part === null ? null : Buffer.from(part))));

const textOf = (key: Uint8Array): (string | null)[] => decodeKey(key).map((part) => (part === null ? null : Buffer.from(part).toString()));

const absentIn = (chunks: readonly Chunk[]): (string | null)[][] => chunks.flatMap(({ absentKeys }) => absentKeys.map((key) => textOf(key)));

const ids = (chunks: readonly Chunk[]): (string | null)[][] => chunks.flatMap((chunk) => keysOf(chunk).map((key) => textOf(key)));

const sorted = (keys: readonly (string | null)[][]): string[] => keys.map((key) => JSON.stringify(key)).toSorted();

describePostgres([15, 18], (postgres) => {
  const open = async (setup: string, options: ReadingOptions): Promise<Reading> => openReading(await postgres.server(), setup, options);
  const byKeys = async (at: Reading, keys: readonly Uint8Array[], rowBytesMax?: number): Promise<Chunk[]> => {
    expect(await at.reader.checkSelection('public.t', { kind: 'keys', keys }, never)).toBe(keys.length);
    return readChunks(at, 'public.t', { selection: { kind: 'keys', keys }, parallel: 2, ...(rowBytesMax === undefined ? {} : { rowBytesMax }) });
  };
  const where = async (at: Reading, predicate: string): Promise<unknown[][]> => (await readTable(at, 'public.t', { selection: { kind: 'where', predicate }, parallel: 2 })).rows;
  const check = async (at: Reading, predicate: string): Promise<number | null> => at.reader.checkSelection('public.t', { kind: 'where', predicate }, never);

  describe('keys', () => {
    test('of several columns find their rows, and those that are nobody’s are told', async () => {
      await using at = await open(
        `CREATE TABLE public.t (a int, b text, c numeric, PRIMARY KEY (b, a)); INSERT INTO public.t SELECT i, 'it''s ' || i % 7, i / 8.0 FROM generate_series(1, 500) i; CREATE PUBLICATION pub FOR TABLE public.t`,
        { tables: ['public.t'] },
      );
      const chunks = await byKeys(at, [keyOf("it's 3", '3'), keyOf("it's 3", '4'), keyOf('', '7'), keyOf("it's 0", '497')]);
      expect(chunks.flatMap(rowsOf).map(([a, b]) => [a, b])).toEqual(expect.arrayContaining([[3, "it's 3"], [497, "it's 0"]]));
      expect(sorted(ids(chunks))).toEqual(sorted([["it's 3", '3'], ["it's 0", '497']]));
      expect(sorted(absentIn(chunks))).toEqual(sorted([["it's 3", '4'], ['', '7']]));
    });

    const types: readonly (readonly [type: string, present: string, absent: string])[] = [
      ['bigint', '9223372036854775807', '-1'],
      ['numeric', '1.00', '2.5'],
      ['uuid', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '00000000-0000-0000-0000-000000000000'],
      ['timestamptz', '2026-01-02 11:04:05.123456+00', '2026-01-02 11:04:05+00'],
      ['timestamp', '-infinity', '2026-01-02 00:00:00'],
      ['interval', 'P1M-1DT1H', 'PT1S'],
      ['bytea', '\\x00ff27', '\\x'],
      ['text[]', '{"a,b",NULL,"\\"q\\""}', '{}'],
      ['int4range', '[1,5)', 'empty'],
      ['public.pair', '(1,"a b")', '(2,)'],
      ['public.mood', 'glad', 'sad'],
      ['public.even', '4', '6'],
      ['public."Odd "" name"', '(1)', '(2)'],
      ['inet', '10.0.0.1', '10.0.0.2'],
      ['macaddr', '08:00:2b:01:02:03', '08:00:2b:01:02:04'],
      ['float8', '0.30000000000000004', 'NaN'],
      ['bit(3)', '101', '111'],
      ['bpchar', 'x', 'y'],
      ['varchar(5)', "a'b\\c", 'none'],
      ['jsonb', '{"a": 1}', '{}'],
      ['"char"', 'x', 'y'],
      ['money', '$1,234.50', '$0.00'],
      ['name', 'n', 'm'],
    ];
    const setup = (type: string, value: string): string => `
      CREATE TYPE public.pair AS (n int, s text); CREATE TYPE public.mood AS ENUM ('glad', 'sad'); CREATE DOMAIN public.even AS int CHECK (VALUE % 2 = 0); CREATE TYPE public."Odd "" name" AS ("a b" int);
      CREATE TABLE public.t (id ${type} PRIMARY KEY, n int); INSERT INTO public.t VALUES ('${value.replaceAll("'", "''")}', 1); CREATE PUBLICATION pub FOR TABLE public.t`;

    test.each(types)('of type %s are compared as what they are', async (type, present, absent) => {
      await using at = await open(setup(type, present), { tables: ['public.t'] });
      const [stored] = await readChunks(at, 'public.t');
      expect(stored === undefined ? [] : ids([stored])).toEqual([[present]]);
      const chunks = await byKeys(at, [keyOf(present), keyOf(absent)]);
      expect([ids(chunks), absentIn(chunks)]).toEqual([[[present]], [[absent]]]);
      expect(chunks[0]?.bytes).toEqual(stored?.bytes);
    });

    test('that are no value of their type are nobody’s, whatever stands beside them', async () => {
      await using at = await open("CREATE DOMAIN public.even AS int CHECK (VALUE % 2 = 0); CREATE TABLE public.t (id public.even PRIMARY KEY); INSERT INTO public.t SELECT i * 2 FROM generate_series(1, 50) i; CREATE PUBLICATION pub FOR TABLE public.t", {
        tables: ['public.t'],
      });
      const bad = ['x', '', '3', '99999999999999999999', "'; DROP TABLE public.t; --", '\u0001'];
      const good = Array.from({ length: 50 }, (_, i) => String(2 * i + 2));
      const chunks = await byKeys(at, [...bad.slice(0, 3), ...good, ...bad.slice(3), '1000'].map((id) => keyOf(id)));
      expect(sorted(ids(chunks))).toEqual(sorted(good.map((id) => [id])));
      expect(sorted(absentIn(chunks))).toEqual(sorted([...bad, '1000'].map((id) => [id])));
    });

    test('that are equal and not the same are told apart: the row is read, the key is absent', async () => {
      await using at = await open("CREATE TABLE public.t (id numeric PRIMARY KEY); INSERT INTO public.t VALUES (1.00); CREATE PUBLICATION pub FOR TABLE public.t", { tables: ['public.t'] });
      const chunks = await byKeys(at, [keyOf('1.0')]);
      expect([ids(chunks), absentIn(chunks)]).toEqual([[['1.00']], [['1.0']]]);
    });

    test('with nulls in them, of a table that is told apart by what the config says', async () => {
      await using at = await open("CREATE TABLE public.t (a int, b text); ALTER TABLE public.t REPLICA IDENTITY FULL; INSERT INTO public.t VALUES (1, NULL), (NULL, 'x'), (2, 'y'); CREATE PUBLICATION pub FOR TABLE public.t", {
        tables: [{ table: 'public.t', key: ['a', 'b'] }],
      });
      const chunks = await byKeys(at, [keyOf('1', null), keyOf(null, 'x'), keyOf('2', 'y'), keyOf('2', null), keyOf(null, null)]);
      expect(sorted(ids(chunks))).toEqual(sorted([['1', null], [null, 'x'], ['2', 'y']]));
      expect(sorted(absentIn(chunks))).toEqual(sorted([['2', null], [null, null]]));
    });

    test('by the hundred thousand are read in ranges of bounded size', async () => {
      await using at = await open("CREATE TABLE public.t (id int PRIMARY KEY, name text); INSERT INTO public.t SELECT i, 'name ' || i FROM generate_series(1, 150000) i WHERE i % 5 > 0; ANALYZE public.t; CREATE PUBLICATION pub FOR TABLE public.t", {
        tables: ['public.t'],
      });
      const keys = Array.from({ length: 100_000 }, (_, i) => keyOf(String(i + 1)));
      const ranges = await at.reader.planRanges('public.t', 2, { kind: 'keys', keys }, never);
      expect(Math.max(...ranges.map(({ length }) => length))).toBeLessThan(64 * 1024);
      const chunks = await byKeys(at, keys);
      expect(chunks.reduce((sum, chunk) => sum + chunk.offsets.length - 1, 0)).toBe(80_000);
      expect(new Set(absentIn(chunks).map(([id]) => id))).toEqual(new Set(keys.flatMap((_, i) => ((i + 1) % 5 === 0 ? [String(i + 1)] : []))));
    });

    test('of large rows are read in chunks of bounded size, each once', async () => {
      await using at = await open("CREATE TABLE public.t (id int PRIMARY KEY, body text); INSERT INTO public.t SELECT i, repeat(md5(i::text), 3000) FROM generate_series(1, 100) i; CREATE PUBLICATION pub FOR TABLE public.t", { tables: ['public.t'] });
      const chunks = await byKeys(at, Array.from({ length: 120 }, (_, i) => keyOf(String(i + 1))), 200_000);
      expect(sorted(ids(chunks))).toEqual(sorted(Array.from({ length: 100 }, (_, i) => [String(i + 1)])));
      expect(absentIn(chunks)).toHaveLength(20);
      expect(Math.max(...chunks.map(({ bytes }) => bytes.length))).toBeLessThan(600_000);
    });

    test('of a partitioned table and of inheritance children are found wherever they are, in the shape that rows have there', async () => {
      await using at = await open(
        `CREATE TABLE public.t (id int PRIMARY KEY, n text); CREATE TABLE public.child (more int, PRIMARY KEY (id)) INHERITS (public.t);
         INSERT INTO public.t VALUES (1, 'root'); INSERT INTO public.child VALUES (2, 'child', 7), (3, 'child', 8); CREATE PUBLICATION pub FOR TABLE public.t, public.child`,
        { tables: ['public.t'] },
      );
      const chunks = await byKeys(at, ['1', '2', '3', '4'].map((id) => keyOf(id)));
      expect(sorted(chunks.flatMap(rowsOf).map((row) => row.map(String)))).toEqual(sorted([['1', 'root'], ['2', 'child', '7'], ['3', 'child', '8']]));
      expect(absentIn(chunks)).toEqual([['4']]);
      await using parts = await open(
        `CREATE TABLE public.t (id int PRIMARY KEY, n text) PARTITION BY RANGE (id); CREATE TABLE public.t1 PARTITION OF public.t FOR VALUES FROM (0) TO (10);
         CREATE TABLE public.t2 (n text, id int NOT NULL); ALTER TABLE public.t ATTACH PARTITION public.t2 FOR VALUES FROM (10) TO (20); INSERT INTO public.t VALUES (1, 'one'), (11, 'eleven');
         CREATE PUBLICATION pub FOR TABLE public.t WITH (publish_via_partition_root = true)`,
        { tables: ['public.t'] },
      );
      const both = await byKeys(parts, ['1', '11', '12', '99'].map((id) => keyOf(id)));
      expect(sorted(both.flatMap(rowsOf).map((row) => row.map(String)))).toEqual(sorted([['1', 'one'], ['11', 'eleven']]));
      expect(sorted(absentIn(both))).toEqual(sorted([['12'], ['99']]));
    });

    test('survive a rewrite of the table, and another name of a column', async () => {
      await using at = await open("CREATE TABLE public.t (id int PRIMARY KEY, n text); INSERT INTO public.t VALUES (1, 'one'); CREATE PUBLICATION pub FOR TABLE public.t", { tables: ['public.t'] });
      const [range] = await at.reader.planRanges('public.t', 1, { kind: 'keys', keys: [keyOf('1'), keyOf('2')] }, never);
      await at.run('VACUUM FULL public.t');
      await at.run('ALTER TABLE public.t RENAME n TO m; ALTER TABLE public.t ADD more int DEFAULT 7');
      const chunk = await at.reader.readChunk({ table: 'public.t', range: range as Uint8Array, rowBytesMax: 1_000_000 }, never);
      if (chunk === 'replan') throw new Error('keys are looked up whatever the file');
      expect(chunk.schema.columns.map(({ name }) => name)).toEqual(['id', 'm', 'more']);
      expect([rowsOf(chunk), absentIn([chunk])]).toEqual([[[1, 'one', 7]], [['2']]]);
    });

    test('that the table cannot have are refused by name before anything is read', async () => {
      await using at = await open('CREATE TABLE public.t (a int, b text); ALTER TABLE public.t REPLICA IDENTITY FULL; CREATE TABLE public.u (a int, b int, PRIMARY KEY (a, b)); CREATE PUBLICATION pub FOR TABLE public.t, public.u', { tables: ['public.t', 'public.u'] });
      const refused = async (table: string, key: Uint8Array): Promise<unknown> => at.reader.checkSelection(table, { kind: 'keys', keys: [keyOf('1', '2'), key] }, never);
      await expect(refused('public.t', keyOf('1'))).rejects.toMatchObject({ code: 'SRC_SELECTION', message: expect.stringContaining('told apart by all of their columns') as string });
      await expect(refused('public.u', keyOf('1'))).rejects.toMatchObject({ code: 'SRC_SELECTION', message: "Key 2 of 2 for public.u has 1 values; the table's key is (a, b)." });
      await expect(refused('public.u', encodeKey([Buffer.alloc(32, 0xff)]))).rejects.toMatchObject({ code: 'SRC_SELECTION', message: expect.stringContaining('too long to be written out') as string });
    });
  });

  describe('a condition', () => {
    const table = "CREATE TABLE public.t (id int PRIMARY KEY, name text, at date); INSERT INTO public.t SELECT i, 'n' || i % 10, date '2026-01-01' + i FROM generate_series(1, 20000) i; ANALYZE public.t; CREATE PUBLICATION pub FOR TABLE public.t";

    test('selects rows, and says before how many it may select', async () => {
      await using at = await open(table, { tables: ['public.t'] });
      const predicate = "id <= 10000 AND name IN ('n1', 'n2') OR (at = '2026-01-15')";
      expect(await check(at, predicate)).toBeGreaterThan(1_000);
      const expected = await at.run(`SELECT id FROM public.t WHERE ${predicate} ORDER BY id`);
      expect((await where(at, predicate)).map(([id]) => Number(id)).toSorted((a, b) => a - b)).toEqual(expected.map(({ id }) => id));
      expect(await where(at, 'false')).toEqual([]);
    });

    test.each([
      ['id = ', 'at character 6', /syntax error/],
      ['nme = 1', 'at character 1', /column "nme" does not exist/],
      ["id = 1 AND lower(name) LIKE like('x')", 'at character', /function like|syntax error/],
      ['id + 1', '', /boolean/],
      ["'é' = name AND nope > 1", 'at character 16', /column "nope" does not exist/],
      ['id = 1) OR (id = 2', 'at character 7', /closed that was not opened/],
      ['(id = 1', 'at character 1', /not closed/],
      ['true; DELETE FROM public.t', 'at character 5', /more than one statement/],
      ['id = 1 -- all', 'at character 8', /comments/],
      ['id = /* x */ 1', 'at character 6', /comments/],
      ["name = E'a\\'; DROP TABLE t; --'", 'at character 8', /escape strings/],
      ['name = $$a$$', 'at character 8', /dollar quotes/],
      ['id = $1', 'at character 6', /parameters/],
      ["name = 'a", 'at character 8', /quote is not closed/],
      [' ', 'at character 1', /empty/],
      ['id / (id - id) = 1', '', /division by zero/],
      ['public.writes(id)', '', /cannot execute INSERT in a read-only transaction/],
      ["set_config('transaction_read_only', 'off', true) = 'off'", '', /read-write mode|read-only/],
      ['id IN (SELECT id FROM public.t FOR UPDATE)', '', /FOR UPDATE|read-only/],
    ])('%s is refused by name and place, and nothing happens', async (predicate, place, why) => {
      const writes = 'CREATE TABLE public.written (n int); CREATE FUNCTION public.writes(n int) RETURNS bool LANGUAGE sql AS $f$ INSERT INTO public.written VALUES (n); SELECT true $f$';
      await using at = await open(`${table}; ${writes}`, { tables: ['public.t'] });
      const error = await check(at, predicate).then(() => null, (thrown: unknown) => thrown as Error & { code?: string });
      expect(error).toMatchObject({ code: 'SRC_SELECTION', message: expect.stringContaining(place) as string });
      expect(error?.message).toMatch(why);
      expect(await at.run('SELECT count(*)::int AS n FROM public.t')).toEqual([{ n: 20_000 }]);
      expect(await at.run('SELECT count(*)::int AS n FROM public.written')).toEqual([{ n: 0 }]);
    });

    test('that is refused only by some row ends the read with the server’s words, whether it fails or would write', async () => {
      const writes = 'CREATE TABLE public.written (n int); CREATE FUNCTION public.writes(n int) RETURNS bool LANGUAGE plpgsql AS $f$ BEGIN IF n = 15000 THEN INSERT INTO public.written VALUES (n); END IF; RETURN true; END $f$';
      await using at = await open(`${table}; ${writes}`, { tables: ['public.t'] });
      for (const [predicate, why] of [['1 / (id - 15000) = 0', 'division by zero'], ['public.writes(id)', 'cannot execute INSERT in a read-only transaction']] as const) {
        await check(at, predicate);
        await expect(where(at, predicate)).rejects.toMatchObject({ code: 'SRC_SELECTION', message: expect.stringContaining(why) as string });
      }
      expect(await at.run('SELECT count(*)::int AS n FROM public.written')).toEqual([{ n: 0 }]);
    });

    test('by which an older server would let a reader write leaves nothing written', async () => {
      await using at = await open(table, { tables: ['public.t'] });
      const predicate = 'pg_catalog.lo_create(0) > 0';
      const refused = check(at, predicate).then(async () => where(at, predicate)).then(() => false, () => true);
      expect(await refused).toBe(postgres.major >= 16);
      expect(await at.run('SELECT count(*)::int AS n FROM pg_largeobject_metadata')).toEqual([{ n: 0 }]);
    });

    test('that changes settings changes nothing of what is read later', async () => {
      await using at = await open(table, { tables: ['public.t'] });
      const [expected] = await readChunks(at, 'public.t');
      expect((await readChunks(at, 'public.t', { selection: { kind: 'where', predicate: "id = 1 AND set_config('datestyle', 'German', false) <> ''" } })).length).toBe(1);
      const [chunk] = await readChunks(at, 'public.t');
      expect(Buffer.from(chunk?.bytes ?? []).equals(Buffer.from(expected?.bytes ?? []))).toBe(true);
    });

    test('is evaluated by the role of the source: what that may not see, it cannot use', async () => {
      const role = `selecting_${postgres.major}`;
      await using at = await open(`${table}; CREATE TABLE public.secret (id int); DROP ROLE IF EXISTS ${role}; CREATE ROLE ${role} LOGIN; GRANT SELECT ON public.t TO ${role}`, { tables: ['public.t'], user: role });
      await expect(check(at, 'id IN (SELECT s.id FROM public.secret s)')).rejects.toMatchObject({ code: 'SRC_SELECTION', message: expect.stringContaining('permission denied for table secret') as string });
      expect(await check(at, 'id IN (SELECT 1)')).toBeGreaterThan(0);
      await at.run(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    });

    test('goes by the publication’s filter too, and has the table planned again when that is rewritten', async () => {
      await using at = await open("CREATE TABLE public.t (id int PRIMARY KEY); INSERT INTO public.t SELECT generate_series(1, 100); CREATE PUBLICATION pub FOR TABLE public.t WHERE (id > 50) WITH (publish = 'insert')", { tables: ['public.t'] });
      expect(await where(at, 'id % 10 = 0')).toEqual([60, 70, 80, 90, 100].map((id) => [id]));
      const [range] = await at.reader.planRanges('public.t', 1, { kind: 'where', predicate: 'id = 60' }, never);
      await at.run('VACUUM FULL public.t');
      expect(await at.reader.readChunk({ table: 'public.t', range: range as Uint8Array, rowBytesMax: 1_000 }, never)).toBe('replan');
    });

    test('whose column got another name is planned again, and then refused', async () => {
      await using at = await open(table, { tables: ['public.t'] });
      const selection = { kind: 'where', predicate: "name = 'n1'" } as const;
      const [range] = await at.reader.planRanges('public.t', 1, selection, never);
      await at.run('ALTER TABLE public.t RENAME name TO title');
      const read = async (): Promise<unknown> => at.reader.readChunk({ table: 'public.t', range: range as Uint8Array, rowBytesMax: 1_000 }, never);
      expect(await read()).toBe('replan');
      await expect(read()).rejects.toMatchObject({ code: 'SRC_SELECTION', message: expect.stringContaining('column "name" does not exist') as string });
    });
  });
});
