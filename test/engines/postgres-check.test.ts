/** The preflight against real servers: what it finds, and that the statement it names mends it. */
import { describe, expect, test } from 'vitest';
import { checkPostgres } from '../../connectors/sources/postgres/check/check-postgres.ts';
import type { Finding } from '../../src/connector/finding.ts';
import type { TableRequest } from '../../src/connector/source.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { never, testConfig } from './postgres-control.ts';
import { describePostgres, startPostgres, type PostgresServer } from './postgres.ts';

interface Scene {
  readonly server: PostgresServer;
  readonly database: string;
  readonly user: string;
  check(...tables: (string | TableRequest)[]): Promise<Finding[]>;
  run(sql: string): Promise<void>;
}

async function scene(server: PostgresServer, setup: string, options: { readonly user?: string; readonly settings?: Readonly<Record<string, unknown>>; readonly longOpenS?: number } = {}): Promise<Scene> {
  const database = await server.createDatabase();
  const user = options.user ?? 'postgres';
  const run = async (sql: string): Promise<void> => {
    await server.query(sql, database);
  };
  if (user !== 'postgres') await run(`DROP ROLE IF EXISTS ${user}; CREATE ROLE ${user} LOGIN`);
  await run(setup);
  const config = testConfig(server.url(database, user), options.settings);
  return {
    server,
    database,
    user,
    run,
    check: async (...tables) => {
      const requests = tables.map((table) => (typeof table === 'string' ? { table } : table));
      return checkPostgres({ config, clock: nodeClock, longOpenS: options.longOpenS, errors: { source: 'shop', user, publication: 'pub', slot: 'tailrace_shop' } }, requests, never);
    },
  };
}

function problems(findings: readonly Finding[]): Finding[] {
  return findings.filter((finding) => finding.level === 'problem');
}

function about(findings: readonly Finding[], subject: string): Finding[] {
  return findings.filter((finding) => finding.subject === subject);
}

describePostgres([15, 18], (postgres) => {
  const plain = 'CREATE TABLE public.t (id int PRIMARY KEY, a text);';

  test('a server that is ready has no problems, before the first start and after it', async () => {
    const at = await scene(await postgres.server(), `${plain} INSERT INTO public.t SELECT generate_series(1, 100); ANALYZE public.t`);
    const fresh = await at.check('public.t');
    expect(problems(fresh)).toEqual([]);
    expect(about(fresh, 'publication pub')).toMatchObject([{ level: 'ok', message: 'it will be made at the first start' }]);
    expect(about(fresh, 'slot tailrace_shop')).toMatchObject([{ level: 'ok', message: 'it will be made at the first start' }]);
    expect(about(fresh, 'table public.t')).toMatchObject([{ level: 'ok', message: 'key (id), about 100 rows' }]);
    await at.run('CREATE PUBLICATION pub FOR TABLE public.t WHERE (id > 5) WITH (publish_via_partition_root = true)');
    await at.run("SELECT pg_create_logical_replication_slot('tailrace_shop', 'pgoutput')");
    const later = await at.check('public.t');
    expect(problems(later)).toEqual([]);
    const outlives = postgres.major >= 17 ? '; no standby gets a copy of it, so it does not outlive a failover' : '';
    expect(about(later, 'slot tailrace_shop')).toMatchObject([{ level: 'ok', message: `it is there${outlives}` }]);
    expect(about(later, 'table public.t')).toMatchObject([{ level: 'ok', message: 'key (id), about 100 rows, rows where (id > 5)' }]);
    await at.run("SELECT pg_drop_replication_slot('tailrace_shop')");
  });

  test('nothing is changed', async () => {
    const at = await scene(await postgres.server(), plain);
    const counts = "SELECT (SELECT count(*) FROM pg_publication) || ' ' || (SELECT count(*) FROM pg_replication_slots) || ' ' || (SELECT sum(xact_rollback) FROM pg_stat_database WHERE datname = current_database()) AS counts";
    const before = await at.server.query(counts, at.database);
    await at.check('public.t');
    expect(await at.server.query(counts, at.database)).toEqual(before);
  });

  test('a server that is not there is one problem', async () => {
    const config = testConfig('postgres://postgres@127.0.0.1:1/postgres');
    const findings = await checkPostgres({ config, clock: nodeClock, errors: { source: 'shop', user: 'postgres', publication: 'pub', slot: 's' } }, [{ table: 'public.t' }], never);
    expect(findings).toMatchObject([{ level: 'problem', subject: 'connection', code: 'SRC_CONN' }]);
  });

  describe('a user without rights', () => {
    const user = `checked_${postgres.major}`;

    test('is told every grant, and the statements mend them', async () => {
      const at = await scene(await postgres.server(), `CREATE SCHEMA shop; CREATE TABLE shop.t (id int PRIMARY KEY, "A b" text); ALTER TABLE shop.t ENABLE ROW LEVEL SECURITY; CREATE PUBLICATION pub FOR TABLE shop.t`, { user });
      const found = problems(await at.check('shop.t'));
      expect(found.map(({ code, fix }) => [code, fix])).toEqual([
        ['SRC_GRANT', `ALTER ROLE ${user} REPLICATION;`],
        ['SRC_GRANT', `GRANT USAGE ON SCHEMA "shop" TO ${user};`],
        ['SRC_GRANT', `GRANT SELECT ON "shop"."t" TO ${user};`],
        ['SRC_RLS', `ALTER ROLE ${user} BYPASSRLS;`],
      ]);
      for (const { fix } of found) await at.run(fix ?? '');
      expect(problems(await at.check('shop.t'))).toEqual([]);
      await at.run(`DROP OWNED BY ${user}; DROP ROLE ${user}`);
    });

    test('who may read some columns is told the others', async () => {
      const at = await scene(await postgres.server(), `CREATE TABLE public.t (id int PRIMARY KEY, "A b" text, c text); ALTER ROLE ${user} REPLICATION; GRANT SELECT (id, ctid) ON public.t TO ${user}; CREATE PUBLICATION pub FOR TABLE public.t (id, "A b") WITH (publish = 'insert, update, delete, truncate')`, { user });
      const found = problems(await at.check('public.t'));
      expect(found.map(({ fix }) => fix)).toEqual([`GRANT SELECT ("A b") ON "public"."t" TO ${user};`]);
      await at.run(found[0]?.fix ?? '');
      expect(problems(await at.check('public.t'))).toEqual([]);
      await at.run(`DROP OWNED BY ${user}; DROP ROLE ${user}`);
    });

    test('who cannot make the publication is told what makes it', async () => {
      const at = await scene(await postgres.server(), `${plain} ALTER ROLE ${user} REPLICATION; GRANT SELECT ON public.t TO ${user}`, { user });
      const [found] = problems(await at.check('public.t'));
      expect(found).toMatchObject({ subject: 'publication pub', code: 'SRC_PUBLICATION' });
      expect(found?.fix).toContain('CREATE PUBLICATION "pub" FOR TABLE "public"."t"');
      await at.run((found?.fix ?? '').replace(/^[^]*: /, ''));
      expect(problems(await at.check('public.t'))).toEqual([]);
      await at.run(`DROP OWNED BY ${user}; DROP ROLE ${user}`);
    });
  });

  describe('a table', () => {
    test.for<[string, string, string, string | undefined]>([
      ['that is missing', '', 'SRC_TABLE_MISSING', undefined],
      ['that is a view', 'CREATE VIEW public.t AS SELECT 1 AS id', 'SRC_TABLE_KIND', undefined],
      ['that is unlogged', 'CREATE UNLOGGED TABLE public.t (id int PRIMARY KEY)', 'SRC_TABLE_KIND', undefined],
      ['without columns', 'CREATE TABLE public.t ()', 'SRC_TABLE_KIND', undefined],
      ['that lost its columns', 'CREATE TABLE public.t (id int); ALTER TABLE public.t DROP COLUMN id; ALTER TABLE public.t REPLICA IDENTITY FULL', 'SRC_TABLE_KIND', undefined],
      ['without identity', 'CREATE TABLE public.t (id int NOT NULL)', 'SRC_NO_IDENTITY', 'ALTER TABLE "public"."t" REPLICA IDENTITY FULL;'],
      ['with an index that would serve', 'CREATE TABLE public.t (id int NOT NULL, CONSTRAINT served UNIQUE (id))', 'SRC_NO_IDENTITY', 'ALTER TABLE "public"."t" REPLICA IDENTITY USING INDEX "served";'],
      ['with a partition without identity', 'CREATE TABLE public.t (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE public.t1 PARTITION OF public.t FOR VALUES IN (1); ALTER TABLE public.t1 REPLICA IDENTITY NOTHING', 'SRC_NO_IDENTITY', 'ALTER TABLE "public"."t1" REPLICA IDENTITY DEFAULT;'],
    ])('%s is named, before it is published', async ([, ddl, code, fix]) => {
      const at = await scene(await postgres.server(), ddl);
      const found = problems(await at.check('public.t'));
      expect(found).toMatchObject([{ subject: 'table public.t', code, ...(fix === undefined ? {} : { fix }) }]);
      if (fix === undefined) return;
      await at.run(fix);
      expect(problems(await at.check('public.t'))).toEqual([]);
    });

    test('that is spelt in other letters is named as it is spelt', async () => {
      const at = await scene(await postgres.server(), `${plain} CREATE TABLE public."Quoted" (id int PRIMARY KEY)`);
      const found = problems(await at.check('public.T', 'public.quoted', 'public.other'));
      expect(found.map(({ message }) => message)).toEqual(['There is no table public.T; did you mean `public.t`?', 'There is no table public.quoted; did you mean `public.Quoted`?', expect.stringMatching(/^There is no table public\.other\.?$/) as string]);
    });

    test('that the publication does not send is named with the statement, or will be added', async () => {
      const setup = `${plain} CREATE TABLE public.u (id int PRIMARY KEY); CREATE PUBLICATION pub FOR TABLE public.u`;
      const adding = await scene(await postgres.server(), setup);
      const findings = await adding.check('public.t', 'public.u');
      expect(problems(findings)).toEqual([]);
      expect(about(findings, 'table public.t')).toMatchObject([{ level: 'ok', message: 'key (id); it will be added to the publication at the start' }]);
      const at = await scene(await postgres.server(), setup, { settings: { create: false } });
      const found = problems(await at.check('public.t', 'public.u')).filter(({ subject }) => subject.startsWith('table'));
      expect(found).toMatchObject([{ code: 'SRC_PUBLICATION', fix: 'ALTER PUBLICATION "pub" ADD TABLE "public"."t";' }]);
      await at.run(found[0]?.fix ?? '');
      expect(problems(await at.check('public.t', 'public.u')).filter(({ subject }) => subject.startsWith('table'))).toEqual([]);
    });

    test('whose key is not unique, or the whole row, is warned of', async () => {
      const at = await scene(await postgres.server(), 'CREATE TABLE public.t (id int, a text); ALTER TABLE public.t REPLICA IDENTITY FULL');
      expect(about(await at.check('public.t'), 'table public.t')).toMatchObject([{ level: 'ok' }, { level: 'warning', fix: 'Give the table a primary key.' }]);
      expect(about(await at.check({ table: 'public.t', key: ['a'] }), 'table public.t')).toMatchObject([{ level: 'ok' }, { level: 'warning', message: expect.stringContaining('no unique index guards the key (a)') as string }]);
    });

    test('that others inherit from is warned of', async () => {
      const at = await scene(await postgres.server(), 'CREATE TABLE public.t (id int PRIMARY KEY); CREATE TABLE public.a (PRIMARY KEY (id)) INHERITS (public.t); CREATE TABLE public.b () INHERITS (public.t); CREATE PUBLICATION pub FOR TABLE ONLY public.t, ONLY public.a');
      expect(about(await at.check('public.t'), 'table public.t').map(({ message }) => message)).toEqual(['key (id)', expect.stringContaining('public.a inherit from it and are read with it'), expect.stringContaining('public.b inherit from it and are not read')]);
    });
  });

  describe('a publication', () => {
    test('that does not send every kind of change is named with the statement', async () => {
      const at = await scene(await postgres.server(), `${plain} CREATE PUBLICATION pub FOR TABLE public.t WITH (publish = 'insert, update')`);
      const found = problems(await at.check('public.t'));
      expect(found).toMatchObject([{ subject: 'publication pub', code: 'SRC_PUBLICATION', message: expect.stringContaining('delete, truncate are missing') as string }]);
      await at.run(found[0]?.fix ?? '');
      expect(problems(await at.check('public.t'))).toEqual([]);
    });

    test('that sends partitions as themselves is warned of', async () => {
      const at = await scene(await postgres.server(), 'CREATE TABLE public.t (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE public.t1 PARTITION OF public.t FOR VALUES IN (1); CREATE PUBLICATION pub FOR TABLE public.t');
      const [found] = (await at.check('public.t')).filter(({ level }) => level === 'warning');
      expect(found?.subject).toBe('publication pub');
      await at.run(found?.fix ?? '');
      expect((await at.check('public.t')).filter(({ level }) => level === 'warning')).toEqual([]);
    });

    test('and a slot that may not be made are asked for', async () => {
      const at = await scene(await postgres.server(), plain, { settings: { create: false } });
      const found = problems(await at.check('public.t'));
      expect(found.map(({ code }) => code)).toEqual(['SRC_SETTING', 'SRC_PUBLICATION']);
      for (const { fix } of found.toReversed()) await at.run(fix ?? '');
      expect(problems(await at.check('public.t'))).toEqual([]);
      await at.run("SELECT pg_drop_replication_slot('tailrace_shop')");
    });
  });

  test('a slot for something else is named', async () => {
    const at = await scene(await postgres.server(), plain);
    await at.run("SELECT pg_create_logical_replication_slot('tailrace_shop', 'test_decoding')").catch(async () => at.run("SELECT pg_create_physical_replication_slot('tailrace_shop')"));
    expect(problems(await at.check('public.t'))).toMatchObject([{ subject: 'slot tailrace_shop', code: 'SRC_SETTING', message: expect.stringContaining('not for pgoutput') as string }]);
    await at.run("SELECT pg_drop_replication_slot('tailrace_shop')");
  });

  test('server settings that are wrong are named with the statement, and those that are risky are warned of', async () => {
    const risky: Record<string, string> = { max_slot_wal_keep_size: '100MB', ...(postgres.major === 18 ? { idle_replication_slot_timeout: '10min' } : {}) };
    await using server = await startPostgres({ major: postgres.major, settings: { wal_level: 'replica', max_replication_slots: '1', max_prepared_transactions: '1', ...risky } });
    const at = await scene(server, plain);
    await at.run("SELECT pg_create_physical_replication_slot('other')");
    const findings = await at.check('public.t');
    expect(problems(findings).map(({ subject, fix }) => [subject, fix?.split('\n')[0]])).toEqual([
      ['wal_level', 'ALTER SYSTEM SET wal_level = logical;'],
      ['max_replication_slots', 'ALTER SYSTEM SET max_replication_slots = 20;'],
    ]);
    const warnings = findings.filter(({ level }) => level === 'warning').map(({ subject }) => subject);
    expect(warnings).toEqual(['max_slot_wal_keep_size', ...(postgres.major === 18 ? ['idle_replication_slot_timeout'] : [])]);
  });

  test('a slot that a source of another name may have left behind is named with the statement that drops it', async () => {
    const at = await scene(await postgres.server(), plain);
    const elsewhere = await at.server.createDatabase();
    const made = (slot: string): string => `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput')`;
    await at.run(made('tailrace_old'));
    await at.run(made('tailracer'));
    await at.server.query(made('tailrace_elsewhere'), elsewhere);
    const warnings = (await at.check('public.t')).filter(({ subject, level }) => subject.startsWith('slot ') && level !== 'ok');
    expect(warnings).toMatchObject([{ level: 'warning', subject: 'slot tailrace_old', message: expect.stringMatching(/^nobody reads from it, and the server keeps (?:less than )?[\d.]+ MiB of log/) as string, fix: "SELECT pg_drop_replication_slot('tailrace_old');" }]);
    await at.run(String(warnings[0]?.fix));
    expect(about(await at.check('public.t'), 'slot tailrace_old')).toEqual([]);
    await at.run("SELECT pg_drop_replication_slot('tailracer')");
    await at.server.query("SELECT pg_drop_replication_slot('tailrace_elsewhere')");
  });

  test('a transaction that has been open for long is warned of by its name', async () => {
    await using server = await startPostgres({ major: postgres.major, settings: { max_prepared_transactions: '2' } });
    const at = await scene(server, plain, { longOpenS: 0 });
    await at.run("BEGIN; INSERT INTO public.t VALUES (1); PREPARE TRANSACTION 'forgotten'");
    expect(about(await at.check('public.t'), 'open transaction')).toMatchObject([{ level: 'warning', message: expect.stringContaining('forgotten') as string }]);
    await at.run("ROLLBACK PREPARED 'forgotten'");
    expect(about(await at.check('public.t'), 'open transaction')).toEqual([]);
  });
});
