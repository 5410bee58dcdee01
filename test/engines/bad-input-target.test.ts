/** Documents and index files that cannot be written, on the real process; in the end the index is the table. */
import { copyFileSync, mkdirSync, openSync, closeSync, renameSync, rmSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { errorOf, Scene } from './bad-input-scene.ts';
import { describePostgres } from './postgres.ts';

const MiB = 1024 * 1024;
const PAGE_BYTES = 4096;

/** The file and what SQLite keeps beside it. */
function moveAway(path: string): void {
  for (const suffix of ['', '-wal', '-shm']) {
    if (statSync(path + suffix, { throwIfNoEntry: false }) !== undefined) renameSync(path + suffix, `${path}${suffix}.away`);
  }
}

describePostgres([18], ({ server }) => {
  test('a row of which no document can be made is parked alone, and comes when it is corrected: DOC_FAILED', async () => {
    await using scene = await Scene.make(await server(), ({ index }) => (index['where'] = '100 / n >= 0'));
    await scene.sql('UPDATE items SET n = 0 WHERE id = 3');
    await using daemon = await scene.daemon();
    await daemon.event('index_serving');
    const { code, message } = errorOf(await daemon.event('documents_parked'));
    expect(code).toBe('DOC_FAILED');
    expect(message).toContain('indices.items.where');
    expect(await scene.compare()).toMatchObject({ missing: ['3'], extra: [], different: [] });
    await scene.sql('UPDATE items SET n = 1 WHERE id = 3');
    await scene.inStep(daemon);
  });

  test('a document that is too large is parked alone, and comes when more is allowed: DOC_TOO_LARGE', async () => {
    await using scene = await Scene.make(await server(), ({ index }) => (index['max_document_bytes'] = 2000));
    await scene.sql("UPDATE items SET name = repeat('x', 3000) WHERE id = 3");
    {
      await using daemon = await scene.daemon('--once');
      expect(errorOf(await daemon.event('documents_parked')).code).toBe('DOC_TOO_LARGE');
      expect(await daemon.exit()).toEqual({ code: 0, signal: null });
    }
    expect(scene.ids()).not.toContain('3');
    await scene.configure(({ index }) => (index['max_document_bytes'] = 4000));
    await scene.sql('UPDATE items SET id = id WHERE id = 3');
    await scene.mended();
  });

  test('a document that the target refuses for good is parked alone, and comes when its row is corrected: TGT_REJECTED', async () => {
    await using scene = await Scene.make(await server());
    await scene.sql("ALTER TABLE items ADD deep jsonb; UPDATE items SET deep = (repeat('[', 1500) || repeat(']', 1500))::jsonb WHERE id = 3");
    await using daemon = await scene.daemon();
    await daemon.event('index_serving');
    const { code, message } = errorOf(await daemon.event('documents_parked'));
    expect(code).toBe('TGT_REJECTED');
    expect(message).toContain('nested deeper');
    expect(scene.ids()).toHaveLength(299);
    await scene.sql("UPDATE items SET deep = '[]' WHERE id = 3");
    await scene.inStep(daemon);
  });

  test('more parked documents than are allowed stop the index: TGT_TOO_MANY_DEAD_LETTERS', async () => {
    await using scene = await Scene.make(await server(), ({ index }) => Object.assign(index, { where: '100 / n >= 0', max_dead_letters: 2 }));
    await scene.sql('UPDATE items SET n = 0 WHERE id < 6');
    const { message, did } = await scene.refusal('TGT_TOO_MANY_DEAD_LETTERS');
    expect(message).toBe('Index items has 5 parked documents, more than the 2 allowed.');
    expect(did).toBe('Writing to this index stopped; the log keeps what follows.');
    await scene.configure(({ index }) => (index['where'] = 'n >= 0'));
    await scene.mended();
  });

  test('a file that another program keeps locked is waited for: TGT_BLOCKED', async () => {
    await using scene = await Scene.make(await server());
    await using daemon = await scene.daemon();
    await daemon.event('index_serving');
    await scene.inStep(daemon);
    const other = new DatabaseSync(scene.data('search.db'));
    try {
      other.exec('BEGIN IMMEDIATE');
      await scene.sql("UPDATE items SET name = 'waits' WHERE id < 100");
      const { code, hint } = errorOf(await daemon.event('target_trouble'));
      expect(code).toBe('TGT_BLOCKED');
      expect(hint).toBe('End the transaction that another program has open on the file; work goes on by itself.');
      expect((await scene.cli(['status'])).stdout).toContain('TGT_BLOCKED');
      other.exec('ROLLBACK');
    } finally {
      other.close();
    }
    await scene.inStep(daemon);
  });

  test('a database of another program is left alone: TGT_SCHEMA', async () => {
    await using scene = await Scene.make(await server());
    mkdirSync(scene.data());
    const theirs = new DatabaseSync(scene.data('search.db'));
    theirs.exec('CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)');
    theirs.close();
    const { message, did } = await scene.refusal('TGT_SCHEMA');
    expect(message).toContain('is a database of another program');
    expect(did).toBe('Nothing was written to the target.');
    const still = new DatabaseSync(scene.data('search.db'), { readOnly: true });
    expect(still.prepare('SELECT x FROM theirs').get()).toEqual({ x: 1 });
    still.close();
    moveAway(scene.data('search.db'));
    await scene.mended();
  });

  test('the index file of another data directory is not written to: TGT_IDENTITY', async () => {
    const running = await server();
    await using scene = await Scene.make(running);
    await using other = await Scene.make(running);
    await scene.mended();
    await other.mended();
    await scene.sql('DELETE FROM items WHERE id < 10');
    moveAway(scene.data('search.db'));
    copyFileSync(other.data('search.db'), scene.data('search.db'));
    expect((await scene.refusal('TGT_IDENTITY')).message).toContain('was made from the change log');
    rmSync(scene.data('search.db'));
    renameSync(scene.data('search.db.away'), scene.data('search.db'));
    await scene.mended();
  });

  test('an index file that is damaged is built anew when it is moved away: TGT_CORRUPT', async () => {
    await using scene = await Scene.make(await server());
    await scene.mended();
    const path = scene.data('search.db');
    const file = openSync(path, 'r+');
    for (let at = 2 * PAGE_BYTES; at < statSync(path).size; at += PAGE_BYTES) writeSync(file, Buffer.alloc(PAGE_BYTES, 0xa5), 0, PAGE_BYTES, at);
    closeSync(file);
    await scene.sql('UPDATE items SET n = n + 1');
    const { message, hint } = await scene.refusal('TGT_CORRUPT');
    expect(message).toContain(`${join(scene.folder, 'data', 'search.db')} is damaged`);
    expect(hint).toContain('Move the damaged file away, then `tailrace run --rebuild shop`');
    moveAway(path);
    await scene.mended(['run', '--once', '--rebuild', 'shop']);
  });

  test('an index file that is lost is built from the log as long as that holds everything, and then from a snapshot: LOG_GAP', async () => {
    await using scene = await Scene.make(await server(), ({ more }) => (more['log'] = { segment_bytes: MiB }));
    await scene.mended();
    moveAway(scene.data('search.db'));
    await scene.mended();
    for (let round = 0; round < 3; round += 1) {
      await scene.sql(`INSERT INTO items SELECT i, repeat('x', 1000), 0 FROM generate_series(${1000 + 2000 * round}, ${2900 + 2000 * round}) i`);
      await scene.mended();
    }
    moveAway(scene.data('search.db'));
    const { message, hint, did } = await scene.refusal('LOG_GAP');
    expect(message).toMatch(/^Changes behind seq 0 were asked for, but the change log no longer holds them/);
    expect(did).toBe('The index keeps serving what it has.');
    await scene.resynced(hint);
  });
});
