import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { batchOf, put } from '../../contract/target-fixture.ts';
import { plan, temporaryFolder, type Folder } from './folder.ts';

const { signal } = new AbortController();

/** Another program that has begun to write. */
function locked(folder: Folder): { release(): void } {
  const db = new DatabaseSync(folder.file);
  db.exec('BEGIN IMMEDIATE');
  return {
    release: () => {
      db.exec('ROLLBACK');
      db.close();
    },
  };
}

describe('while another program holds the file locked', () => {
  test('a batch waits and is then written, and readers do not wait', async () => {
    using folder = temporaryFolder();
    await using target = folder.target();
    const generation = await target.open(plan('things'), signal);
    await generation.promote(signal);
    await generation.apply(batchOf(1, put('a', 1n)), signal);
    const lock = locked(folder);
    let isDone = false;
    const applying = generation.apply(batchOf(2, put('a', 2n)), signal).finally(() => (isDone = true));
    // Longer than SQLite itself waits: the batch has been refused and begun again by then.
    for (const endMs = performance.now() + 400; performance.now() < endMs; ) {
      expect((await target.fetch('things', ['a'], signal))[0]?.version).toBe(1n);
    }
    expect(isDone).toBe(false);
    lock.release();
    expect(await applying).toEqual([{ outcome: 'applied' }]);
  });

  test('a batch that waits too long is blocked, with nothing written, and goes through once the lock is gone', async () => {
    using folder = temporaryFolder();
    await using target = folder.target({ limits: { lockWaitMs: 150 } });
    const generation = await target.open(plan('things'), signal);
    const lock = locked(folder);
    await expect(generation.apply(batchOf(1, put('a', 1n)), signal)).rejects.toMatchObject({ code: 'TGT_BLOCKED', message: expect.stringContaining('locked') as unknown });
    lock.release();
    expect(await generation.cursor()).toBeNull();
    expect(await generation.apply(batchOf(1, put('a', 1n)), signal)).toEqual([{ outcome: 'applied' }]);
  });

  test('a batch that is called off stops waiting, and does not hold up the next', async () => {
    using folder = temporaryFolder();
    await using target = folder.target({ limits: { lockWaitMs: 60_000 } });
    const generation = await target.open(plan('things'), signal);
    const lock = locked(folder);
    const controller = new AbortController();
    const waiting = generation.apply(batchOf(1, put('a', 1n)), controller.signal);
    const queued = generation.apply(batchOf(2, put('b', 2n)), controller.signal);
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await expect(queued).rejects.toThrow('enough');
    // Only a read: it gets its turn when the writer has given up waiting.
    expect(await generation.cursor()).toBeNull();
    lock.release();
    expect((await generation.stats()).documents).toBe(0);
  });
});
