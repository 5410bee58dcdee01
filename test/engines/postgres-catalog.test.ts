/** The catalog against real servers: which relations are a table, what tells rows apart, what DDL is noticed. */
import { describe, expect, test } from 'vitest';
import { Catalog } from '../../connectors/sources/postgres/catalog/catalog.ts';
import { readDocument } from '../../connectors/sources/postgres/catalog/document.ts';
import { decodeKnown, encodeKnown, type KnownTables } from '../../connectors/sources/postgres/catalog/known-tables.ts';
import type { TableChange } from '../../connectors/sources/postgres/catalog/table-changes.ts';
import type { Relation } from '../../connectors/sources/postgres/pgoutput/relation.ts';
import type { TableRequest } from '../../src/connector/source.ts';
import { openControl, testConfig, type TestControl, never } from './postgres-control.ts';
import { describePostgres, type PostgresServer } from './postgres.ts';
import { eventually } from './servers.ts';

interface Scene extends AsyncDisposable {
  readonly control: TestControl;
  run(sql: string): Promise<void>;
  load(...tables: (string | TableRequest)[]): Promise<Catalog>;
  /** With what an earlier session knew. */
  open(known: KnownTables, ...tables: (string | TableRequest)[]): ReturnType<typeof Catalog.open>;
  oid(name: string): Promise<number>;
}

async function scene(server: PostgresServer, setup: string): Promise<Scene> {
  const database = await server.createDatabase();
  await server.query(setup, database);
  const control = openControl(testConfig(server.url(database)));
  return {
    control,
    run: async (sql) => {
      await server.query(sql, database);
    },
    load: async (...tables) =>
      Catalog.load(
        control.query,
        tables.map((table) => (typeof table === 'string' ? { table } : table)),
        { publication: 'pub' },
        never,
      ),
    open: async (known, ...tables) =>
      Catalog.open(
        control.query,
        tables.map((table) => (typeof table === 'string' ? { table } : table)),
        { publication: 'pub', known },
        never,
      ),
    oid: async (name) => Number((await control.query('SELECT to_regclass($1)::oid AS oid', [name], never))[0]?.['oid']),
    [Symbol.asyncDispose]: async () => control[Symbol.asyncDispose](),
  };
}

/** The first table's columns: `name:kind:key ordinal`. */
function columnsOf(catalog: Catalog): string[] {
  const [table] = catalog.tables;
  return (table?.schema.columns ?? []).map((column) => `${column.name}:${column.kind}:${column.keyOrdinal}`);
}

describePostgres([15, 18], (postgres) => {
  const open = async (setup: string): Promise<Scene> => scene(await postgres.server(), setup);

  test('a table whose drop is committed while the catalog is read ends no reading', async () => {
    await using at = await open('CREATE TABLE public.t (id int PRIMARY KEY); CREATE TABLE public.u (id int PRIMARY KEY); CREATE PUBLICATION pub FOR TABLE public.t, public.u');
    const dropping = at.run('BEGIN; DROP TABLE public.u; SELECT pg_sleep(1); COMMIT');
    const isLocked = "SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = (SELECT oid FROM pg_class WHERE relname = 'u')";
    await eventually('the table is being dropped', 5000, async () => ((await at.control.query(isLocked, [], never)).length > 0 ? true : undefined));
    const read = async (): Promise<string[]> => (await readDocument(at.control.query, ['public.t', 'public.u'], 'pub', never)).document.relations.map(({ name }) => name);
    expect(await read()).toContain('t');
    await dropping;
    expect(await read()).toEqual(['t']);
  });

  test('a table has its published columns in attribute order and its primary key in index order', async () => {
    await using at = await open(`
      CREATE TABLE public.products (gone int, title text, b int, a bigint, price numeric(10,2) NOT NULL, twice int GENERATED ALWAYS AS (b * 2) STORED, PRIMARY KEY (a, b));
      ALTER TABLE public.products DROP COLUMN gone;
      INSERT INTO public.products SELECT 't', i, i, 1 FROM generate_series(1, 40) i; ANALYZE public.products;
      CREATE PUBLICATION pub FOR TABLE public.products`);
    const catalog = await at.load('public.products');
    expect(columnsOf(catalog)).toEqual(['title:text:0', 'b:int:2', 'a:bigint:1', 'price:decimal:0']);
    const [table] = catalog.tables;
    expect(table?.schema.columns[3]).toEqual({ name: 'price', kind: 'decimal', sourceType: 'numeric(10,2)', nullable: false, keyOrdinal: 0, decoding: { as: 'decimal' } });
    expect(table?.estimatedRows).toBe(40);
    expect(catalog.leavesOf('public.products')[0]?.shape.keyIndexes).toEqual([2, 1]);
    expect(catalog.tableOf(await at.oid('public.products'))).toBe('public.products');
    expect(catalog.tableOf(1259)).toBeUndefined();
  });

  test('stored generated columns are read where the publication sends them', async () => {
    await using at = await open('CREATE TABLE public.g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)');
    const sends = postgres.major === 18;
    await at.run(sends ? 'CREATE PUBLICATION pub FOR TABLE public.g WITH (publish_generated_columns = stored)' : 'CREATE PUBLICATION pub FOR TABLE public.g');
    expect(columnsOf(await at.load('public.g'))).toEqual(sends ? ['id:int:1', 'twice:int:0'] : ['id:int:1']);
  });

  test('a column list and a row filter of the publication are those of the leaves', async () => {
    await using at = await open(`
      CREATE TABLE public.orders (id int PRIMARY KEY, note text, state text, secret text);
      CREATE PUBLICATION pub FOR TABLE public.orders (state, id, note) WHERE (id > 10) WITH (publish = 'insert')`);
    const catalog = await at.load('public.orders');
    expect(columnsOf(catalog)).toEqual(['id:int:1', 'note:text:0', 'state:text:0']);
    expect(catalog.leavesOf('public.orders')[0]?.filter).toBe('(id > 10)');
  });

  test('names with capitals, quotes, blanks, dots and percent signs are found as they are', async () => {
    await using at = await open(`
      CREATE SCHEMA "We.ird ""Schema"""; CREATE TABLE "We.ird ""Schema"""."T%able.Ümlaut" ("I d" int PRIMARY KEY, "a""b" text);
      CREATE PUBLICATION pub FOR TABLE "We.ird ""Schema"""."T%able.Ümlaut"`);
    const catalog = await at.load('We.ird "Schema".T%able.Ümlaut');
    expect(columnsOf(catalog)).toEqual(['I d:int:1', 'a"b:text:0']);
  });

  test('a name with dots that two tables share is refused', async () => {
    await using at = await open('CREATE SCHEMA a; CREATE SCHEMA "a.b"; CREATE TABLE a."b.c" (id int PRIMARY KEY); CREATE TABLE "a.b".c (id int PRIMARY KEY); CREATE PUBLICATION pub FOR ALL TABLES');
    await expect(at.load('a.b.c')).rejects.toMatchObject({ code: 'SRC_TABLE_MISSING', message: expect.stringContaining('"a"."b.c"') as string });
  });

  describe('identity', () => {
    const cases: readonly (readonly [name: string, ddl: string, key: readonly string[] | undefined, expected: readonly string[] | readonly [code: string, hint: string]])[] = [
      ['the primary key', 'id int PRIMARY KEY, u int', undefined, ['id']],
      ['the replica identity index', 'id int PRIMARY KEY, u int NOT NULL, CONSTRAINT ux UNIQUE (u)); ALTER TABLE public.t REPLICA IDENTITY USING INDEX ux; SELECT (1', undefined, ['u']],
      ['the primary key under FULL', 'id int PRIMARY KEY, u int); ALTER TABLE public.t REPLICA IDENTITY FULL; SELECT (1', undefined, ['id']],
      ['a never-null unique index under FULL', 'id int, u int NOT NULL UNIQUE, v int UNIQUE); ALTER TABLE public.t REPLICA IDENTITY FULL; SELECT (1', undefined, ['u']],
      ['the whole row under FULL without a unique index', 'id int, v int UNIQUE); ALTER TABLE public.t REPLICA IDENTITY FULL; SELECT (1', undefined, []],
      ['a configured key within the primary key', 'a int, b int, PRIMARY KEY (a, b)', ['b'], ['b']],
      ['a configured key under FULL', 'a int, b int); ALTER TABLE public.t REPLICA IDENTITY FULL; SELECT (1', ['b', 'a'], ['b', 'a']],
      ['nothing: no primary key', 'id int', undefined, ['SRC_NO_IDENTITY', 'ALTER TABLE "public"."t" REPLICA IDENTITY FULL;']],
      ['nothing: a deferrable primary key', 'id int PRIMARY KEY DEFERRABLE', undefined, ['SRC_NO_IDENTITY', 'ALTER TABLE "public"."t" REPLICA IDENTITY FULL;']],
      ['nothing: no primary key, but an index that serves', 'id int NOT NULL, CONSTRAINT ux UNIQUE (id)', undefined, ['SRC_NO_IDENTITY', 'ALTER TABLE "public"."t" REPLICA IDENTITY USING INDEX "ux";']],
      ['nothing: NOTHING', 'id int PRIMARY KEY); ALTER TABLE public.t REPLICA IDENTITY NOTHING; SELECT (1', undefined, ['SRC_NO_IDENTITY', 'ALTER TABLE "public"."t" REPLICA IDENTITY DEFAULT;']],
      ['nothing: a configured key outside the primary key', 'id int PRIMARY KEY, u int NOT NULL, CONSTRAINT ux UNIQUE (u)', ['u'], ['SRC_NO_IDENTITY', 'ALTER TABLE "public"."t" REPLICA IDENTITY USING INDEX "ux";']],
      ['nothing: a configured key that no index has', 'id int PRIMARY KEY, u int', ['u'], ['SRC_NO_IDENTITY', 'ALTER TABLE "public"."t" REPLICA IDENTITY FULL;']],
      ['nothing: a configured key that is no column', 'id int PRIMARY KEY', ['nope'], ['SRC_NO_IDENTITY', 'Correct `key` in the configuration.']],
    ];
    test.for(cases)('is %s', async ([, ddl, key, expected]) => {
      await using at = await open(`CREATE TABLE public.t (${ddl}); CREATE PUBLICATION pub FOR TABLE public.t`);
      const loading = at.load({ table: 'public.t', key });
      if (expected[0]?.startsWith('SRC_') === true) await expect(loading).rejects.toMatchObject({ code: expected[0], hint: expected[1] });
      else {
        const { schema } = (await loading).leavesOf('public.t')[0]?.shape ?? {};
        const key = (schema?.columns ?? []).filter((column) => column.keyOrdinal > 0).toSorted((a, b) => a.keyOrdinal - b.keyOrdinal);
        expect(key.map((column) => column.name)).toEqual(expected);
      }
    });

    test('the hint is a statement that mends it', async () => {
      await using at = await open('CREATE TABLE public.t (id int NOT NULL, CONSTRAINT "u ""x" UNIQUE (id)); CREATE PUBLICATION pub FOR TABLE public.t');
      const { hint } = await at.load('public.t').then(() => ({ hint: '' }), (error: { hint: string }) => error);
      await at.run(hint);
      expect(columnsOf(await at.load('public.t'))).toEqual(['id:int:1']);
    });

    test('a key that the column list leaves out is refused with the statement', async () => {
      await using at = await open("CREATE TABLE public.t (id int PRIMARY KEY, a int); CREATE PUBLICATION pub FOR TABLE public.t (a) WITH (publish = 'insert')");
      await expect(at.load('public.t')).rejects.toMatchObject({ code: 'SRC_PUBLICATION', hint: 'ALTER PUBLICATION "pub" SET TABLE "public"."t" ("a", "id");' });
    });
  });

  test.for([
    ['public.nope', 'SRC_TABLE_MISSING', 'There is no table'],
    ['public.v', 'SRC_TABLE_KIND', 'a view'],
    ['public.m', 'SRC_TABLE_KIND', 'a materialised view'],
    ['public.u', 'SRC_TABLE_KIND', 'an unlogged table'],
    ['public.f', 'SRC_TABLE_KIND', 'a foreign table'],
    ['public.s', 'SRC_TABLE_KIND', 'a sequence'],
    ['public.pf', 'SRC_TABLE_KIND', 'a foreign table'],
    ['pg_catalog.pg_class', 'SRC_TABLE_KIND', 'catalog'],
  ] as const)('%s cannot be tailed: %s', async ([table, code, text]) => {
    await using at = await open(`
      CREATE TABLE public.t (id int PRIMARY KEY); CREATE VIEW public.v AS SELECT 1 AS a; CREATE MATERIALIZED VIEW public.m AS SELECT 1 AS a;
      CREATE UNLOGGED TABLE public.u (id int PRIMARY KEY); CREATE SEQUENCE public.s;
      CREATE FOREIGN DATA WRAPPER w; CREATE SERVER r FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE public.f (id int) SERVER r;
      CREATE TABLE public.pf (id int) PARTITION BY LIST (id); CREATE FOREIGN TABLE public.pf1 PARTITION OF public.pf FOR VALUES IN (1) SERVER r;
      CREATE PUBLICATION pub FOR ALL TABLES`);
    await expect(at.load(table)).rejects.toMatchObject({ code, message: expect.stringContaining(text) as string });
  });

  describe('partitions', () => {
    const partitioned = `
      CREATE TABLE public.o (id int, at int, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
      CREATE TABLE public.o1 PARTITION OF public.o FOR VALUES FROM (0) TO (10);
      CREATE TABLE public.o2 (note text, at int NOT NULL, id int NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
      CREATE TABLE public.o21 PARTITION OF public.o2 FOR VALUES FROM (10) TO (15);
      ALTER TABLE public.o ATTACH PARTITION public.o2 FOR VALUES FROM (10) TO (20);`;

    test('are one table, with the root\'s columns when the publication sends them as the root', async () => {
      await using at = await open(`${partitioned} CREATE PUBLICATION pub FOR TABLE public.o WITH (publish_via_partition_root = true)`);
      const catalog = await at.load('public.o');
      for (const name of ['public.o', 'public.o1', 'public.o2', 'public.o21']) expect(catalog.tableOf(await at.oid(name))).toBe('public.o');
      expect(columnsOf(catalog)).toEqual(['id:int:1', 'at:int:2', 'note:text:0']);
      const leaves = catalog.leavesOf('public.o');
      expect(leaves.map((leaf) => leaf.relation.name)).toEqual(['o1', 'o21']);
      expect(leaves.map((leaf) => leaf.columns.map((column) => column.name).join())).toEqual(['id,at,note', 'id,at,note']);
    });

    test('are one table, each leaf with its own column order, when the publication sends them as themselves', async () => {
      await using at = await open(`${partitioned} CREATE PUBLICATION pub FOR TABLE public.o`);
      const catalog = await at.load('public.o');
      const leaves = catalog.leavesOf('public.o');
      expect(leaves.map((leaf) => leaf.columns.map((column) => column.name).join())).toEqual(['id,at,note', 'note,at,id']);
      expect(leaves.map((leaf) => leaf.shape.keyIndexes)).toEqual([[0, 1], [2, 1]]);
    });

    test('a truncate of one leaf is a part, of all leaves the whole', async () => {
      await using at = await open(`${partitioned} CREATE PUBLICATION pub FOR TABLE public.o`);
      const catalog = await at.load('public.o');
      const [o, o1, o21] = [await at.oid('public.o'), await at.oid('public.o1'), await at.oid('public.o21')];
      expect(catalog.truncated([o1])).toEqual({ whole: [], part: ['public.o'] });
      expect(catalog.truncated([o1, o21, 1259])).toEqual({ whole: ['public.o'], part: [] });
      await at.run('ALTER PUBLICATION pub SET (publish_via_partition_root = true)');
      const rooted = await at.load('public.o');
      expect(rooted.truncated([o])).toEqual({ whole: ['public.o'], part: [] });
    });

    test('a leaf alone is a table when it is published as itself, and refused when the root stands for it', async () => {
      await using at = await open(`${partitioned} CREATE PUBLICATION pub FOR TABLE public.o`);
      const catalog = await at.load('public.o1');
      expect(catalog.tableOf(await at.oid('public.o1'))).toBe('public.o1');
      expect(catalog.tableOf(await at.oid('public.o21'))).toBeUndefined();
      await at.run('ALTER PUBLICATION pub SET (publish_via_partition_root = true)');
      await expect(at.load('public.o1')).rejects.toMatchObject({ code: 'SRC_PUBLICATION', message: expect.stringContaining('as rows of public.o') as string });
      await expect(at.load('public.o', 'public.o21')).rejects.toMatchObject({ code: 'SRC_TABLE_KIND', message: expect.stringContaining('public.o21 is a partition of public.o') as string });
    });

    test('a leaf without replica identity is named', async () => {
      await using at = await open(`${partitioned} ALTER TABLE public.o21 REPLICA IDENTITY NOTHING; CREATE PUBLICATION pub FOR TABLE public.o WITH (publish_via_partition_root = true)`);
      await expect(at.load('public.o')).rejects.toMatchObject({ code: 'SRC_NO_IDENTITY', hint: 'ALTER TABLE "public"."o21" REPLICA IDENTITY DEFAULT;' });
    });
  });

  test('inheritance children are part of their parent only where the publication sends them', async () => {
    await using at = await open(`
      CREATE TABLE public.parent (id int PRIMARY KEY); CREATE TABLE public.child (extra text, PRIMARY KEY (id)) INHERITS (public.parent);
      CREATE PUBLICATION pub FOR TABLE ONLY public.parent`);
    expect((await at.load('public.parent')).tableOf(await at.oid('public.child'))).toBeUndefined();
    await at.run('ALTER PUBLICATION pub ADD TABLE public.child');
    const catalog = await at.load('public.parent');
    expect(catalog.tableOf(await at.oid('public.child'))).toBe('public.parent');
    expect(catalog.leavesOf('public.parent').map((leaf) => leaf.columns.length)).toEqual([1, 2]);
    const both = await at.load('public.parent', 'public.child');
    expect(both.tableOf(await at.oid('public.child'))).toBe('public.child');
    expect(both.leavesOf('public.parent')).toHaveLength(1);
  });

  test('a publication that is missing, or does not send the table, is named with its statement', async () => {
    await using at = await open('CREATE TABLE public.t (id int PRIMARY KEY)');
    await expect(at.load('public.t')).rejects.toMatchObject({ code: 'SRC_PUBLICATION' });
    await at.run('CREATE PUBLICATION pub');
    await expect(at.load('public.t')).rejects.toMatchObject({ code: 'SRC_PUBLICATION', hint: 'ALTER PUBLICATION "pub" ADD TABLE "public"."t";' });
  });

  describe('refresh', () => {
    const setup = `
      CREATE TABLE public.t (id int PRIMARY KEY, a text, b int); INSERT INTO public.t SELECT i, 'x', i FROM generate_series(1, 10) i;
      CREATE TABLE public.o (id int PRIMARY KEY) PARTITION BY RANGE (id); CREATE TABLE public.o1 PARTITION OF public.o FOR VALUES FROM (0) TO (10);
      CREATE TABLE public.loose (id int PRIMARY KEY); INSERT INTO public.loose VALUES (15);
      CREATE TYPE public.pair AS (x int); CREATE TABLE public.c (id int PRIMARY KEY, p public.pair);
      CREATE PUBLICATION pub FOR TABLE public.t, public.o, public.c`;
    const cases: readonly (readonly [ddl: string, table: string, reread: boolean, sweep: boolean, reason: RegExp])[] = [
      ['ALTER TABLE public.t ADD COLUMN n int', 'public.t', false, false, /column n was added/],
      ["ALTER TABLE public.t ADD COLUMN n int DEFAULT 7", 'public.t', true, false, /column n was added/],
      ['ALTER TABLE public.t ADD COLUMN n float DEFAULT random()', 'public.t', true, false, /column n was added/],
      ['ALTER TABLE public.t DROP COLUMN b', 'public.t', false, false, /column b of public.t is no longer sent/],
      ['ALTER TABLE public.t RENAME COLUMN b TO c', 'public.t', true, false, /b of public.t was renamed to c/],
      ["ALTER TABLE public.t ALTER COLUMN b TYPE text USING 'n' || b", 'public.t', true, false, /column b of public.t is now text/],
      ['ALTER TABLE public.t ALTER COLUMN a TYPE varchar', 'public.t', false, false, /column a of public.t is now character varying/],
      ['ALTER TABLE public.t REPLICA IDENTITY FULL', 'public.t', false, false, /replica identity of public.t changed/],
      ['ALTER TABLE public.o ATTACH PARTITION public.loose FOR VALUES FROM (10) TO (20)', 'public.o', true, false, /public.loose became a part of public.o/],
      ['CREATE TABLE public.o2 PARTITION OF public.o FOR VALUES FROM (10) TO (20)', 'public.o', false, false, /public.o2 became a part/],
      ['ALTER TABLE public.o DETACH PARTITION public.o1', 'public.o', true, true, /public.o1 is no longer a part/],
      ['DROP TABLE public.o1', 'public.o', true, true, /public.o1 is no longer a part/],
      ['DROP TABLE public.t; CREATE TABLE public.t (id int PRIMARY KEY); ALTER PUBLICATION pub ADD TABLE public.t', 'public.t', true, true, /dropped and made again/],
      ['ALTER PUBLICATION pub SET TABLE public.t WHERE (id > 5), public.o, public.c', 'public.t', true, true, /row filter of public.t changed/],
      ['ALTER PUBLICATION pub SET TABLE public.t (id, a), public.o, public.c', 'public.t', true, true, /column b of public.t is no longer sent/],
      ['ALTER PUBLICATION pub DROP TABLE public.t; ALTER PUBLICATION pub ADD TABLE public.t', 'public.t', true, true, /public.t was published anew/],
      ['ALTER PUBLICATION pub DROP TABLE public.o; ALTER PUBLICATION pub ADD TABLE public.o', 'public.o', true, true, /public.o1 was published anew/],
      ['ALTER TABLE public.t ALTER COLUMN b TYPE int USING b * 2', 'public.t', true, false, /column b of public.t may have been given other values/],
      ['ALTER TABLE public.t ALTER COLUMN id TYPE int USING id * 2', 'public.t', true, true, /column id of public.t may have been given other values/],
    ];
    /** What the changes of one table come to. */
    const sumOf = (changes: readonly TableChange[]): object => ({
      tables: [...new Set(changes.map(({ table }) => table))],
      reread: changes.some(({ reread }) => reread),
      sweep: changes.some(({ sweep }) => sweep),
      reasons: changes.map(({ reason }) => reason).join(', '),
    });
    test.for(cases)('%s', async ([ddl, table, reread, sweep, reason]) => {
      await using at = await open(setup);
      const catalog = await at.load('public.t', 'public.o', 'public.c');
      expect(await catalog.fingerprint(at.control.query, never)).toBe(catalog.loadedFingerprint);
      await at.run(ddl);
      expect(await catalog.fingerprint(at.control.query, never)).not.toBe(catalog.loadedFingerprint);
      const changes = await catalog.refresh(at.control.query, never);
      expect(sumOf(changes)).toEqual({ tables: [table], reread, sweep, reasons: expect.stringMatching(reason) as string });
      expect(await catalog.fingerprint(at.control.query, never)).toBe(catalog.loadedFingerprint);
    });

    test.for(cases)('%s, while nobody watched', async ([ddl, table, reread, sweep, reason]) => {
      await using at = await open(setup);
      const { known } = await at.load('public.t', 'public.o', 'public.c');
      const state = encodeKnown(known);
      expect((await at.open(decodeKnown(state), 'public.t', 'public.o', 'public.c')).changes).toEqual([]);
      await at.run(ddl);
      const { catalog, changes } = await at.open(decodeKnown(state), 'public.t', 'public.o', 'public.c');
      expect(sumOf(changes)).toEqual({ tables: [table], reread, sweep, reasons: expect.stringMatching(reason) as string });
      expect((await at.open(catalog.known, 'public.t', 'public.o', 'public.c')).changes).toEqual([]);
    });

    test('a table that is not asked for stays known, and is compared when it comes back', async () => {
      await using at = await open(setup);
      const { known } = await at.load('public.t', 'public.o');
      const without = (await at.open(known, 'public.o')).catalog.known;
      await at.run('ALTER TABLE public.t ADD COLUMN n int DEFAULT 7');
      expect((await at.open(without, 'public.t', 'public.o')).changes).toMatchObject([{ table: 'public.t', reread: true }]);
    });

    test('a type that a column is made of counts as well', async () => {
      await using at = await open(setup);
      const catalog = await at.load('public.c');
      await at.run('ALTER TYPE public.pair ADD ATTRIBUTE y text');
      expect(await catalog.fingerprint(at.control.query, never)).not.toBe(catalog.loadedFingerprint);
      await catalog.refresh(at.control.query, never);
      expect(catalog.tables[0]?.schema.columns[1]?.decoding).toEqual({ as: 'composite', fields: [{ name: 'x', decoding: { as: 'int' } }, { name: 'y', decoding: { as: 'text' } }] });
    });

    test('rows, VACUUM FULL and TRUNCATE alone are no change of the tables', async () => {
      await using at = await open(setup);
      const catalog = await at.load('public.t');
      await at.run('INSERT INTO public.t VALUES (99); ANALYZE public.t');
      expect(await catalog.fingerprint(at.control.query, never)).toBe(catalog.loadedFingerprint);
      await at.run('TRUNCATE public.t');
      expect(await catalog.refresh(at.control.query, never)).toEqual([]);
    });

    test('a published column that comes back is read again', async () => {
      await using at = await open(`${setup}; ALTER PUBLICATION pub SET TABLE public.t (id, a)`);
      const catalog = await at.load('public.t');
      await at.run('ALTER PUBLICATION pub SET TABLE public.t');
      expect(await catalog.refresh(at.control.query, never)).toContainEqual({ table: 'public.t', reread: true, sweep: false, lingers: true, reason: 'column b of public.t is now published' });
    });

    test('a table keeps its key: by the new name of a column, and the whole row although it could be told apart now', async () => {
      await using at = await open('CREATE TABLE public.a (id int PRIMARY KEY); CREATE TABLE public.b (id int NOT NULL); ALTER TABLE public.b REPLICA IDENTITY FULL; CREATE PUBLICATION pub FOR TABLE public.a, public.b');
      const catalog = await at.load('public.a', 'public.b');
      await at.run('ALTER TABLE public.a RENAME COLUMN id TO ident; ALTER TABLE public.b ADD PRIMARY KEY (id)');
      await catalog.refresh(at.control.query, never);
      expect(catalog.tables.map(({ schema }) => schema.columns.map(({ name, keyOrdinal }) => [name, keyOrdinal]))).toEqual([[['ident', 1]], [['id', 0]]]);
      await at.run('ALTER TABLE public.b REPLICA IDENTITY DEFAULT');
      await expect(catalog.refresh(at.control.query, never)).rejects.toMatchObject({ code: 'SRC_NO_IDENTITY', hint: expect.stringContaining('ALTER TABLE "public"."b" REPLICA IDENTITY FULL;') });
    });

    const otherKeys: readonly (readonly [ddl: string, now: string, mends: string])[] = [
      ['ALTER TABLE public.t DROP CONSTRAINT t_pkey; ALTER TABLE public.t ADD PRIMARY KEY (b)', '(b)', 'ALTER TABLE public.t DROP CONSTRAINT t_pkey; ALTER TABLE public.t ADD PRIMARY KEY (id)'],
      ['ALTER TABLE public.t DROP CONSTRAINT t_pkey; ALTER TABLE public.t ADD PRIMARY KEY (id, b)', '(id, b)', 'ALTER TABLE "public"."t" ADD UNIQUE ("id")'],
      ['ALTER TABLE public.t DROP CONSTRAINT t_pkey; ALTER TABLE public.t REPLICA IDENTITY FULL', 'all of their columns', 'ALTER TABLE "public"."t" ADD UNIQUE ("id")'],
      ['CREATE UNIQUE INDEX other ON public.t (b); ALTER TABLE public.t ALTER b SET NOT NULL, REPLICA IDENTITY USING INDEX other', '(b)', 'ALTER TABLE "public"."t" REPLICA IDENTITY DEFAULT'],
    ];
    test.for(otherKeys)('another key that came while nobody watched is refused: %s', async ([ddl, now, mends]) => {
      await using at = await open(setup);
      const { known } = await at.load('public.t');
      await at.run(ddl);
      const message = `The rows of public.t were told apart by (id), and by ${now} now: their documents would get other ids.`;
      await expect(at.open(known, 'public.t')).rejects.toMatchObject({ code: 'SRC_NO_IDENTITY', message, hint: expect.stringContaining('tailrace run --rebuild SOURCE') });
      // A key of the configuration's own is another index; one that is taken away again as well.
      const given = await at.open(known, { table: 'public.t', key: now === '(b)' ? ['b'] : ['id'] });
      expect(given.catalog.known.get('public.t')?.keyGiven).toBe(true);
      expect((await at.open(given.catalog.known, 'public.t')).catalog.known.get('public.t')?.keyGiven).toBe(false);
      await at.run(mends);
      expect(columnsOf((await at.open(known, 'public.t')).catalog)[0]).toBe('id:int:1');
    });

    test('a key that still tells all rows apart is kept, whatever else does, and under a new name', async () => {
      await using at = await open(setup);
      const { known } = await at.load('public.t');
      await at.run('ALTER TABLE public.t REPLICA IDENTITY FULL; ALTER TABLE public.t ALTER b SET NOT NULL; ALTER TABLE public.t DROP CONSTRAINT t_pkey; ALTER TABLE public.t ADD PRIMARY KEY (b), ADD UNIQUE (id); ALTER TABLE public.t RENAME COLUMN id TO ident');
      const { catalog } = await at.open(known, 'public.t');
      expect(columnsOf(catalog)).toEqual(['ident:int:1', 'a:text:0', 'b:int:0']);
    });

    test('columns of a table without a key are all of its key: it is read again and swept', async () => {
      await using at = await open('CREATE TABLE public.b (id int); ALTER TABLE public.b REPLICA IDENTITY FULL; CREATE PUBLICATION pub FOR TABLE public.b');
      const catalog = await at.load('public.b');
      for (const ddl of ['ADD COLUMN c int', 'DROP COLUMN c', "ALTER id TYPE text USING 'n' || id"]) {
        await at.run(`ALTER TABLE public.b ${ddl}`);
        expect(await catalog.refresh(at.control.query, never)).toMatchObject([{ reread: true, sweep: true }]);
      }
    });

    test('an identity that no longer covers the key stops, and the catalog stays as it was', async () => {
      await using at = await open(setup);
      const catalog = await at.load('public.t');
      await at.run('ALTER TABLE public.t DROP CONSTRAINT t_pkey; ALTER TABLE public.t ADD PRIMARY KEY (b)');
      await expect(catalog.refresh(at.control.query, never)).rejects.toMatchObject({ code: 'SRC_NO_IDENTITY' });
      expect(columnsOf(catalog)[0]).toBe('id:int:1');
    });
  });

  describe('shapes of rows in the stream', () => {
    const relation = (oid: number, columns: readonly [name: string, typeOid: number, identity: boolean][], more: Partial<Relation> = {}): Relation => ({
      oid,
      namespace: 'public',
      name: 't',
      replicaIdentity: 'd',
      columns: columns.map(([name, typeOid, identity]) => ({ name, typeOid, typeModifier: -1, identity })),
      typeNames: new Map(),
      ...more,
    });

    test('are the same as those of the snapshot', async () => {
      await using at = await open('CREATE TABLE public.t (id int PRIMARY KEY, a text); CREATE PUBLICATION pub FOR TABLE public.t');
      const catalog = await at.load('public.t');
      const shape = await catalog.shapeOf(relation(await at.oid('public.t'), [['id', 23, true], ['a', 25, false]]), never);
      expect(shape).toEqual(catalog.leavesOf('public.t')[0]?.shape);
    });

    test('of the past have the columns of the past', async () => {
      await using at = await open('CREATE TABLE public.t (id int PRIMARY KEY, a text); CREATE PUBLICATION pub FOR TABLE public.t');
      const catalog = await at.load('public.t');
      const shape = await catalog.shapeOf(relation(await at.oid('public.t'), [['old', 3807, false], ['id', 23, true]]), never);
      expect(shape.schema.columns.map((column) => `${column.name} ${column.sourceType}`)).toEqual(['old jsonb[]', 'id integer']);
      expect(shape.keyIndexes).toEqual([1]);
    });

    test('a type whose OID is gone is found by its name, or is text', async () => {
      await using at = await open('CREATE TABLE public.t (id int PRIMARY KEY, a text); CREATE PUBLICATION pub FOR TABLE public.t; CREATE EXTENSION hstore');
      const catalog = await at.load('public.t');
      const typeNames = new Map([
        [990001, { namespace: 'public', name: 'hstore' }],
        [990002, { namespace: 'public', name: 'nobody' }],
      ]);
      const gone = relation(await at.oid('public.t'), [['id', 23, true], ['h', 990001, false], ['n', 990002, false], ['x', 990003, false]], { typeNames });
      const { columns } = (await catalog.shapeOf(gone, never)).schema;
      expect(columns.slice(1).map((column) => [column.kind, column.sourceType, column.decoding])).toEqual([
        ['object', 'public.hstore', { as: 'hstore' }],
        ['other', 'public.nobody', { as: 'text' }],
        ['other', 'type 990003', { as: 'text' }],
      ]);
    });

    test('an identity that does not cover the key is refused', async () => {
      await using at = await open('CREATE TABLE public.t (id int PRIMARY KEY, a text); CREATE PUBLICATION pub FOR TABLE public.t');
      const catalog = await at.load('public.t');
      const oid = await at.oid('public.t');
      await expect(catalog.shapeOf(relation(oid, [['id', 23, false], ['a', 25, true]]), never)).rejects.toMatchObject({ code: 'SRC_NO_IDENTITY' });
      await expect(catalog.shapeOf(relation(oid, [['id', 23, true]], { replicaIdentity: 'n' }), never)).rejects.toMatchObject({ code: 'SRC_NO_IDENTITY' });
      const full = await catalog.shapeOf(relation(oid, [['id', 23, false], ['a', 25, false]], { replicaIdentity: 'f' }), never);
      expect(full.keyIndexes).toEqual([0]);
    });
  });
});
