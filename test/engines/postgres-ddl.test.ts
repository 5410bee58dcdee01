/** Whatever was done to tables, publication and config while no daemon ran, the index shows at the next start what the table shows. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ConfigInput } from '../../src/config/config-schema.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { documentsIn } from './indexed-documents.ts';
import { describePostgres } from './postgres.ts';
import { CATCH_UP_MS, catchUpShop, startShop } from './shop-pipeline.ts';

const setup = `
  CREATE TABLE t (id int PRIMARY KEY, a text, b int); INSERT INTO t SELECT i, 'x' || i, i FROM generate_series(1, 40) i;
  CREATE TABLE o (id int PRIMARY KEY, v int) PARTITION BY RANGE (id); CREATE TABLE o1 PARTITION OF o FOR VALUES FROM (0) TO (10); CREATE TABLE o2 PARTITION OF o FOR VALUES FROM (10) TO (20);
  INSERT INTO o SELECT i, i FROM generate_series(1, 19) i;
  CREATE TABLE loose (id int PRIMARY KEY, v int); INSERT INTO loose VALUES (25, 1), (26, 2)`;

describePostgres([15, 18], ({ server }) => {
  let folder = '';
  let url = '';
  let database: Client;

  beforeEach(async () => {
    const running = await server();
    url = running.url(await running.createDatabase());
    database = new Client({ connectionString: url });
    await database.connect();
    await database.query(setup);
    folder = await mkdtemp(join(tmpdir(), 'tailrace-ddl-'));
  });
  afterEach(async () => {
    await database.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND database = current_database()');
    await database.end();
    await rm(folder, { recursive: true });
  });

  const both: ConfigInput['indices'] = { t: { from: 'shop.public.t' }, o: { from: 'shop.public.o' } };

  async function start(indices: ConfigInput['indices'], rebuild?: string[]): Promise<Pipeline> {
    return startShop({ folder, url, indices, rebuild });
  }

  async function catchUp(indices: ConfigInput['indices'], rebuild?: string[]): Promise<void> {
    await catchUpShop({ folder, url, indices, rebuild });
  }

  /** Documents by id, as the index has them, and as `rows` says they should be. */
  function documents(index: string): Record<string, unknown> {
    return documentsIn(folder, index);
  }

  async function rows(sql: string): Promise<Record<string, unknown>> {
    const found = await database.query<{ id: number }>(sql);
    return Object.fromEntries(found.rows.map((row) => [String(row.id), row]));
  }

  const unseen: readonly (readonly [what: string, ddl: string, select?: string])[] = [
    ['a part with rows was attached', 'ALTER TABLE o ATTACH PARTITION loose FOR VALUES FROM (20) TO (30)'],
    ['a part was detached', 'ALTER TABLE o DETACH PARTITION o2'],
    ['a part was written to and then detached', 'INSERT INTO o SELECT i FROM generate_series(0, 0) i; UPDATE o SET v = -1 WHERE id > 15; ALTER TABLE o DETACH PARTITION o2'],
    ['a column came with a default', "ALTER TABLE t ADD COLUMN filled text DEFAULT 'f'; INSERT INTO t VALUES (41, 'new')"],
    ['a column came with a default and then rows went', "INSERT INTO t VALUES (50, 'old'); ALTER TABLE t ADD COLUMN filled text DEFAULT 'f'; DELETE FROM t WHERE id < 5"],
    ['a column was given other values in place', 'ALTER TABLE t ALTER COLUMN b TYPE int USING b * 100'],
    ['the key was given other values in place', 'ALTER TABLE t ALTER COLUMN id TYPE int USING id + 1000'],
    ['a row filter came', 'ALTER PUBLICATION tailrace_shop SET TABLE t WHERE (id > 30), o', 'SELECT * FROM t WHERE id > 30'],
    ['the column list changed', 'ALTER PUBLICATION tailrace_shop SET TABLE t (id, a), o', 'SELECT id, a FROM t'],
    ['a table was not published for a while', "ALTER PUBLICATION tailrace_shop DROP TABLE t; DELETE FROM t WHERE id < 20; UPDATE t SET a = 'unseen' WHERE id = 30; ALTER PUBLICATION tailrace_shop ADD TABLE t"],
    ['a table was taken out of the publication', 'ALTER PUBLICATION tailrace_shop DROP TABLE t; DELETE FROM t WHERE id < 20'],
    ['a table was truncated and filled', "TRUNCATE t; INSERT INTO t VALUES (7, 'seven')"],
    ['a table was dropped and made again', "DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t VALUES (7, 'seven')"],
  ];
  test.for(unseen)('%s', async ([, ddl, select]) => {
    await catchUp(both);
    await database.query(ddl);
    await catchUp(both);
    expect(documents('t')).toEqual(await rows(select ?? 'SELECT * FROM t'));
    expect(documents('o')).toEqual(await rows('SELECT * FROM o'));
    await database.query("INSERT INTO t (id, a) VALUES (60, 'last'); DELETE FROM o WHERE id = 1");
    await catchUp(both);
    expect(documents('t')).toEqual(await rows(select ?? 'SELECT * FROM t'));
    expect(documents('o')).toEqual(await rows('SELECT * FROM o'));
  });

  test('a table that was left out of the config for a while is read again when it comes back', async () => {
    await catchUp(both);
    await catchUp({ o: both['o'] as ConfigInput['indices'][string] });
    await database.query("DELETE FROM t WHERE id < 20; UPDATE t SET a = 'unseen' WHERE id = 30; INSERT INTO t VALUES (41, 'new')");
    await catchUp({ o: both['o'] as ConfigInput['indices'][string] });
    await catchUp(both);
    expect(documents('t')).toEqual(await rows('SELECT * FROM t'));
  });

  test('a table that is new in the config shows what it is now, though the stream brings rows from before its last change of columns', async () => {
    await catchUp({ o: both['o'] as ConfigInput['indices'][string] });
    await database.query("ALTER PUBLICATION tailrace_shop ADD TABLE t; DO $$ BEGIN FOR i IN 1..2000 LOOP UPDATE t SET a = 'written ' || i; END LOOP; END $$");
    await database.query("ALTER TABLE t ADD COLUMN filled text DEFAULT 'f'");
    await catchUp(both);
    expect(documents('t')).toEqual(await rows('SELECT * FROM t'));
  });

  test('another primary key stops the source and names both; a rebuild takes the new one', async () => {
    await catchUp(both);
    await database.query("ALTER TABLE t DROP CONSTRAINT t_pkey; ALTER TABLE t ADD PRIMARY KEY (a)");
    {
      await using pipeline = await start(both);
      await expect(pipeline.caughtUp(AbortSignal.timeout(CATCH_UP_MS))).rejects.toMatchObject({ code: 'SRC_NO_IDENTITY', message: expect.stringContaining('told apart by (id), and by (a) now') });
    }
    expect(Object.keys(documents('t'))).toHaveLength(40);
    await catchUp(both, ['shop']);
    expect(Object.keys(documents('t')).toSorted()).toEqual(Array.from({ length: 40 }, (_, i) => `x${i + 1}`).toSorted());
  });
});
