/** Tables, values and types that cannot be read as they are, on the real process; in the end the index is the table. */
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { errorOf, Scene } from './bad-input-scene.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './servers.ts';

const MiB = 1024 * 1024;

describePostgres([18], ({ server }) => {
  describe('a table', () => {
    test('that is not there is named: SRC_TABLE_MISSING', async () => {
      await using scene = await Scene.make(await server(), ({ index }) => (index['from'] = 'shop.public.itemz'));
      expect((await scene.refusal('SRC_TABLE_MISSING')).message).toContain('public.itemz');
      await scene.configure(({ index }) => (index['from'] = 'shop.public.items'));
      await scene.mended();
    });

    test('that writes no changes is named: SRC_TABLE_KIND', async () => {
      await using scene = await Scene.make(await server());
      await scene.sql('ALTER TABLE items SET UNLOGGED');
      expect((await scene.refusal('SRC_TABLE_KIND')).message).toContain('public.items');
      await scene.sql('ALTER TABLE items SET LOGGED');
      await scene.mended();
    });

    test('whose updates do not say which row they mean comes with the statement: SRC_NO_IDENTITY', async () => {
      await using scene = await Scene.make(await server());
      await scene.sql('ALTER TABLE items DROP CONSTRAINT items_pkey; ALTER TABLE items ADD CONSTRAINT by_id UNIQUE (id)');
      const { message, hint } = await scene.refusal('SRC_NO_IDENTITY');
      expect(message).toContain('public.items');
      await scene.sql(hint);
      await scene.mended();
      await scene.sql('UPDATE items SET id = id + 1000 WHERE id < 10; DELETE FROM items WHERE id = 20');
      await scene.mended();
    });

    test('some rows of which are hidden is not read in part: SRC_RLS', async () => {
      const running = await server();
      await using scene = await Scene.make(running);
      await scene.sql('DROP ROLE IF EXISTS half_blind; CREATE ROLE half_blind LOGIN REPLICATION; GRANT SELECT ON items TO half_blind');
      await scene.sql('ALTER TABLE items ENABLE ROW LEVEL SECURITY; CREATE POLICY even ON items USING (id % 2 = 0); CREATE PUBLICATION tailrace_shop FOR TABLE items WITH (publish_via_partition_root)');
      await scene.configure(({ source }) => (source['url'] = running.url(scene.database, 'half_blind')));
      const { hint } = await scene.refusal('SRC_RLS');
      expect(hint).toBe('ALTER ROLE half_blind BYPASSRLS;');
      await scene.sql(hint);
      await scene.mended();
      await scene.sql('DROP OWNED BY half_blind; DROP ROLE half_blind');
    });

    test('that is not published in full comes with the statement: SRC_PUBLICATION', async () => {
      await using scene = await Scene.make(await server());
      await scene.sql("CREATE PUBLICATION tailrace_shop FOR TABLE items WITH (publish = 'insert')");
      const { hint } = await scene.refusal('SRC_PUBLICATION');
      expect(hint).toContain('ALTER PUBLICATION');
      await scene.sql(hint);
      await scene.mended();
    });

    test('that was published, and is no more, is built again: SRC_UNPUBLISHED', async () => {
      await using scene = await Scene.make(await server());
      await scene.mended();
      await scene.sql('DROP PUBLICATION tailrace_shop');
      await scene.sql("UPDATE items SET name = 'unseen' WHERE id = 5");
      const { hint } = await scene.refusal('SRC_UNPUBLISHED');
      expect(hint).toContain('`tailrace run --rebuild shop`');
      await scene.sql(/^CREATE PUBLICATION[^;]*;/.exec(hint)?.[0] ?? '');
      await scene.mended(['run', '--once', '--rebuild', 'shop']);
    });

    test('that no longer has what an index is made of stops the index: SRC_DDL', async () => {
      await using scene = await Scene.make(await server(), ({ index }) => (index['where'] = 'n > 0'));
      await scene.mended();
      await scene.sql("ALTER TABLE items RENAME COLUMN n TO amount; UPDATE items SET name = 'renamed' WHERE id = 3");
      const { message } = await scene.refusal('SRC_DDL');
      expect(message).toMatch(/\bn\b/);
      await scene.configure(({ index }) => (index['where'] = 'amount > 0'));
      await scene.mended();
    });

    test('that no longer has it and then has it again is in step again after a resync: SRC_DDL', async () => {
      await using scene = await Scene.make(await server(), ({ index }) => (index['where'] = 'n > 0'));
      await scene.mended();
      await scene.sql("ALTER TABLE items RENAME COLUMN n TO amount; UPDATE items SET name = 'renamed' WHERE id = 3");
      const { hint } = await scene.refusal('SRC_DDL');
      expect(hint).toContain('undo the change of the table and then `tailrace resync items`');
      await scene.sql("ALTER TABLE items RENAME COLUMN amount TO n; UPDATE items SET name = 'renamed' WHERE id = 4");
      await scene.resynced(hint);
    });

    test('about which the server says what nobody has foreseen stops the source and is not tried again: UNKNOWN', async () => {
      await using scene = await Scene.make(await server());
      await scene.sql(`CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not on a Sunday'; END $$;
        CREATE EVENT TRIGGER sunday ON ddl_command_start WHEN TAG IN ('CREATE PUBLICATION') EXECUTE FUNCTION refuse()`);
      expect((await scene.refusal('UNKNOWN')).message).toContain('not on a Sunday');
      await scene.sql('DROP EVENT TRIGGER sunday');
      await scene.mended();
    });
  });

  describe('a value', () => {
    test('that is too large is parked alone, and its next version takes its place: SRC_VALUE_TOO_LARGE', async () => {
      await using scene = await Scene.make(await server(), ({ source }) => (source['max_value_bytes'] = MiB));
      await scene.sql(`UPDATE items SET name = repeat('x', ${1.5 * MiB}) WHERE id = 3`);
      await using daemon = await scene.daemon();
      await daemon.event('index_serving');
      const parked = errorOf(await daemon.event('documents_parked'));
      expect(parked).toMatchObject({ code: 'SRC_VALUE_TOO_LARGE', did: 'The change was parked; all others go on.' });
      expect(parked.hint).toContain('`max_value_bytes`');
      expect(await scene.compare()).toMatchObject({ missing: ['3'], extra: [], different: [] });
      expect((await scene.cli(['dlq', 'list'])).stdout).toMatch(/items +3 .*SRC_VALUE_TOO_LARGE/);
      await scene.sql("UPDATE items SET name = 'short again' WHERE id = 3");
      await scene.inStep(daemon);
      await eventually('its dead letter is closed', 20_000, async () => (await scene.cli(['dlq', 'list', '--json'])).stdout === '');
    });

    test('that is too large comes when more is allowed and its row is touched', async () => {
      await using scene = await Scene.make(await server(), ({ source }) => (source['max_value_bytes'] = MiB));
      await scene.sql(`UPDATE items SET name = repeat('x', ${1.5 * MiB}) WHERE id = 3`);
      expect((await scene.cli(['run', '--once'])).code).toBe(0);
      expect(scene.ids()).not.toContain('3');
      await scene.configure(({ source }) => (source['max_value_bytes'] = 2 * MiB));
      await scene.sql('UPDATE items SET id = id WHERE id = 3');
      await scene.mended();
    });

    test('that was dropped before it could be read is not guessed, and its row comes with the next change: SRC_UNDECODABLE', async () => {
      await using scene = await Scene.make(await server());
      await scene.sql("ALTER TABLE items ADD long text; ALTER TABLE items ALTER long SET STORAGE EXTERNAL; UPDATE items SET long = repeat('long', 3000) WHERE id = 3");
      await scene.mended();
      // The server does not send a long value that an update left alone; when tailrace asks for it, it is gone.
      await scene.sql("UPDATE items SET name = 'touched' WHERE id = 3; ALTER TABLE items DROP COLUMN long");
      await using daemon = await scene.daemon();
      const { code } = errorOf(await daemon.event('documents_parked'));
      expect(code).toBe('SRC_UNDECODABLE');
      await scene.sql('UPDATE items SET n = n');
      await scene.inStep(daemon);
    });
  });

  describe('a type that was never seen', () => {
    test('is its own text, be it of an extension or made by hand', async () => {
      await using scene = await Scene.make(await server());
      await scene.sql(`CREATE EXTENSION seg; CREATE EXTENSION isn; CREATE TYPE strange;
        CREATE FUNCTION strange_in(cstring) RETURNS strange LANGUAGE internal IMMUTABLE STRICT AS 'textin';
        CREATE FUNCTION strange_out(strange) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
        CREATE TYPE strange (INPUT = strange_in, OUTPUT = strange_out, LIKE = text);
        ALTER TABLE items ADD s strange DEFAULT '{"not": json', ADD span seg DEFAULT '1.5 .. 2', ADD book isbn DEFAULT '978-0-393-04002-9', ADD many strange[]`);
      await scene.mended();
      await scene.sql(`UPDATE items SET s = 'ünlike anything, "quoted" {braced}', many = ARRAY['a,b', NULL, '"']::strange[] WHERE id < 10`);
      await scene.mended();
      expect(storedKinds(scene)).toEqual(['string', 'string', 'string']);
    });

    test('may come while the stream runs', async () => {
      await using scene = await Scene.make(await server());
      await using daemon = await scene.daemon();
      await daemon.event('index_serving');
      await scene.sql("CREATE TYPE mood AS ENUM ('sad', 'fine'); ALTER TABLE items ADD m mood; UPDATE items SET m = 'fine' WHERE id < 5; ALTER TYPE mood ADD VALUE 'splendid'");
      await scene.sql("UPDATE items SET m = 'splendid' WHERE id = 2; UPDATE items SET n = n");
      await scene.inStep(daemon);
      expect(daemon.lines.filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
    });
  });
});

/** What JSON the values of the strange columns became. */
function storedKinds(scene: Scene): string[] {
  const file = new DatabaseSync(scene.data('search.db'), { readOnly: true });
  try {
    const row = file.prepare('SELECT document FROM items WHERE id = ?').get('3');
    const { s, span, book } = JSON.parse(String(row?.['document'])) as Record<string, unknown>;
    return [typeof s, typeof span, typeof book];
  } finally {
    file.close();
  }
}
