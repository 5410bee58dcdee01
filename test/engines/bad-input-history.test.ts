/** A source whose history is held up, gone, or another one, on the real process; in the end the index is the table. */
import { execFile } from 'node:child_process';
import { cp, rm } from 'node:fs/promises';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { eventually } from './servers.ts';
import { spawnTailrace } from './tailrace.ts';
import { errorOf, Scene } from './bad-input-scene.ts';
import { describePostgres, startPostgres } from './postgres.ts';

const run = promisify(execFile);
const rebuild = ['run', '--once', '--rebuild', 'shop'];

describePostgres([18], (postgres) => {
  const { server } = postgres;

  test('a slot that another reads from is not taken from it, and not when that has ended: SRC_SLOT_IN_USE, SRC_SLOT_FOREIGN', async () => {
    await using scene = await Scene.make(await server());
    {
      await using other = await spawnTailrace(['run', '--data-directory', 'other'], { cwd: scene.folder });
      await other.event('index_serving');
      await using daemon = await scene.daemon('--once');
      const { message, hint, did } = errorOf(await daemon.event('source_disconnected', { where: ({ code }) => code === 'SRC_SLOT_IN_USE' }));
      expect(message).toMatch(new RegExp(`^Source shop: the slot ${scene.database} is in use by pid \\d+ \\(tailrace, 127\\.0\\.0\\.1\\)\\.$`));
      expect(hint).toContain('a slot of its own with `slot`');
      expect(did).toBe('tailrace keeps its position and tries again with growing pauses.');
      await scene.sql("UPDATE items SET name = 'read by the other' WHERE id < 20");
      other.kill('SIGTERM');
      expect(await other.exit()).toEqual({ code: 0, signal: null });
      const foreign = errorOf(await daemon.event('source_stopped', { where: ({ code }) => code === 'SRC_SLOT_FOREIGN' }));
      expect(foreign.hint).toContain('`tailrace run --rebuild shop`');
      expect(await daemon.exit()).toEqual({ code: 65, signal: null });
    }
    await scene.refusal('SRC_SLOT_FOREIGN');
    // The other one was not harmed.
    expect((await scene.cli(['run', '--once', '--data-directory', 'other'])).code).toBe(0);
    await scene.mended(['run', '--once', '--rebuild', 'shop']);
  });

  test('a first start that is killed as soon as its slot is made goes on by itself', async () => {
    await using scene = await Scene.make(await server());
    const made = `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${scene.database}'`;
    {
      await using daemon = await scene.daemon();
      await eventually('the slot is made', 30_000, async () => (await scene.sql(made)).length === 1);
      daemon.kill('SIGKILL');
      expect(await daemon.exit()).toEqual({ code: null, signal: 'SIGKILL' });
    }
    await scene.mended();
  });

  test('a slot that open transactions hold up is waited for, and they are named: SRC_SLOT_BLOCKED', async () => {
    await using scene = await Scene.make(await server());
    await using open = await scene.client();
    await open.query("SET application_name = 'night job'; BEGIN; UPDATE items SET n = 0 WHERE id = 1");
    await using daemon = await scene.daemon('--once');
    const { message, hint } = errorOf(await daemon.event('source_disconnected', { where: ({ code }) => code === 'SRC_SLOT_BLOCKED' }));
    expect(message).toContain('(night job, postgres)');
    await scene.sql(hint.replace(/^[^:]*: /, ''));
    expect(await daemon.exit()).toEqual({ code: 0, signal: null });
    await scene.mended();
  });

  test('a slot that is gone is not made again without a word: SRC_HISTORY_LOST', async () => {
    await using scene = await Scene.make(await server());
    await scene.mended();
    await scene.sql(`SELECT pg_drop_replication_slot('${scene.database}')`);
    await scene.sql("DELETE FROM items WHERE id < 10; UPDATE items SET name = 'unseen' WHERE id = 11");
    const { hint, did } = await scene.refusal('SRC_HISTORY_LOST');
    expect(hint).toContain('`tailrace run --rebuild shop`');
    expect(did).toContain('indices serve what they have');
    expect(scene.ids()).toContain('5');
    await scene.mended(rebuild);
  });

  test('a slot that somebody moved on is not read from: SRC_SLOT_AHEAD', async () => {
    await using scene = await Scene.make(await server());
    await scene.mended();
    await scene.sql("UPDATE items SET name = 'skipped' WHERE id < 10");
    await scene.sql(`SELECT pg_replication_slot_advance('${scene.database}', pg_current_wal_lsn())`);
    await scene.sql("UPDATE items SET name = 'behind it' WHERE id = 11");
    expect((await scene.refusal('SRC_SLOT_AHEAD')).hint).toContain('`tailrace run --rebuild shop`');
    await scene.mended(rebuild);
  });

  test('a data directory that is an older copy is noticed by the slot: SRC_SLOT_AHEAD', async () => {
    await using scene = await Scene.make(await server());
    await scene.mended();
    await cp(scene.data(), `${scene.data()}.copy`, { recursive: true });
    await scene.sql("DELETE FROM items WHERE id < 10");
    await scene.mended();
    await scene.configure((config) => (config.data_directory = 'data.copy'));
    expect((await scene.refusal('SRC_SLOT_AHEAD')).did).toContain('its position is kept');
    await scene.mended(rebuild);
  });

  test('a server that was put back to a backup is noticed: SRC_DIVERGED', async () => {
    await using running = await startPostgres({ major: postgres.major });
    await using scene = await Scene.make(running);
    await scene.mended();
    const backup = `${running.dataDirectory}.backup`;
    await running.stop('fast');
    await run('cp', ['-a', running.dataDirectory, backup]);
    await running.start();
    await scene.sql("INSERT INTO items SELECT i, 'after the backup', 0 FROM generate_series(1001, 3000) i; DELETE FROM items WHERE id < 10");
    await scene.mended();
    await running.stop('fast');
    await rm(running.dataDirectory, { recursive: true });
    await run('cp', ['-a', backup, running.dataDirectory]);
    await running.start();
    const { message } = await scene.refusal('SRC_DIVERGED');
    expect(message).toContain('it was restored or replaced');
    expect(scene.ids()).toContain('2000');
    await scene.mended(rebuild);
  });

  test('another server, or another database of it, at the same url is not taken for the old one: SRC_IDENTITY_CHANGED', async () => {
    const first = await server();
    await using second = await startPostgres({ major: postgres.major });
    await using scene = await Scene.make(first);
    await scene.mended();
    // The same names on a server of its own: only its system identifier tells them apart.
    await second.createDatabase(scene.database);
    await second.query("CREATE TABLE items (id int PRIMARY KEY, name text, n bigint); INSERT INTO items VALUES (1, 'of another server', 1)", scene.database);
    await scene.configure(({ source }) => (source['url'] = second.url(scene.database)));
    const { message, hint } = await scene.refusal('SRC_IDENTITY_CHANGED');
    expect(message).toMatch(/postgres:\d+/);
    expect(hint).toMatch(/^Point the url at the old server, or accept the new one: `tailrace run --rebuild shop`\.$/);
    expect(await second.query('SELECT 1 FROM pg_replication_slots')).toEqual([]);
    await scene.sql("UPDATE items SET name = 'meanwhile' WHERE id = 5");
    await scene.configure(({ source }) => (source['url'] = first.url(scene.database)));
    await scene.mended();
    // The data directory of another source: the same server, another database.
    await using sibling = await Scene.make(first);
    await sibling.sql('DELETE FROM items WHERE id > 100');
    await sibling.configure((config) => {
      config.data_directory = scene.data();
      config.source['slot'] = scene.database;
    });
    await sibling.refusal('SRC_IDENTITY_CHANGED');
    await scene.mended();
  });
});
