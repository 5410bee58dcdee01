/** A data directory that cannot be used, is full or fails, on the real process; in the end the index is the table. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, openSync, closeSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { installed, mayMount } from '../requirement.ts';
import { errorOf, Scene, type SceneConfig } from './bad-input-scene.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './servers.ts';
import { spawnTailrace } from './tailrace.ts';

const MiB = 1024 * 1024;

/** The smallest log there may be, which a few large rows fill. */
function smallLog(onFull: 'block' | 'evict'): (config: SceneConfig) => void {
  return ({ more }) => (more['log'] = { max_bytes: 64 * MiB, segment_bytes: 4 * MiB, on_full: onFull });
}

/** More than a small log holds. */
const overflow = `INSERT INTO items SELECT i, repeat('x', ${4 * MiB}), 0 FROM generate_series(1001, 1020) i`;

function replaceBytes(path: string, at: number, bytes: Buffer): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
}

describePostgres([18], ({ server }) => {
  test('a data directory that another daemon works in is left to it: LOCK_HELD', async () => {
    await using scene = await Scene.make(await server());
    {
      await using first = await scene.daemon();
      await first.event('index_serving');
      const { message, did } = await scene.refusal('LOCK_HELD');
      expect(message).toContain(scene.data('lock.db'));
      expect(did).toBe('Nothing was started and nothing was changed.');
      await scene.sql("UPDATE items SET name = 'changed' WHERE id < 10");
      await scene.inStep(first);
    }
    await scene.mended();
  });

  test('a change log of another data directory is not gone on with: STATE_IDENTITY', async () => {
    const running = await server();
    await using scene = await Scene.make(running);
    await using other = await Scene.make(running);
    await scene.mended();
    await other.mended();
    renameSync(scene.data('log'), scene.data('log.away'));
    cpSync(other.data('log'), scene.data('log'), { recursive: true });
    expect((await scene.refusal('STATE_IDENTITY')).message).toContain(scene.data());
    rmSync(scene.data('log'), { recursive: true });
    renameSync(scene.data('log.away'), scene.data('log'));
    await scene.sql('DELETE FROM items WHERE id < 10');
    await scene.mended();
  });

  test('a data directory of a later version is left untouched: STATE_TOO_NEW', async () => {
    await using scene = await Scene.make(await server());
    await scene.mended();
    const version = (number: number): number => {
      using state = new DatabaseSync(scene.data('state.db'));
      const before = state.prepare('PRAGMA user_version').get()?.['user_version'] as number;
      state.exec(`PRAGMA user_version = ${number}`);
      return before;
    };
    const own = version(99);
    expect((await scene.refusal('STATE_TOO_NEW')).hint).toBe('Run the tailrace version that wrote it, or a newer one.');
    version(own);
    await scene.mended();
  });

  test('a damaged state ends the process, and a new data directory starts from a snapshot: STATE_CORRUPT', async () => {
    await using scene = await Scene.make(await server());
    await scene.mended();
    for (const suffix of ['-wal', '-shm']) rmSync(scene.data(`state.db${suffix}`), { force: true });
    writeFileSync(scene.data('state.db'), Buffer.alloc(8192, 0xa5));
    expect((await scene.refusal('STATE_CORRUPT')).hint).toContain('move it away, then `tailrace run --rebuild SOURCE`');
    renameSync(scene.data(), scene.data('..', 'away'));
    await scene.sql('DELETE FROM items WHERE id < 10');
    await scene.mended(['run', '--once', '--rebuild', 'shop']);
  });

  test('a damaged segment is named with its place and is not repaired: LOG_CORRUPT', async () => {
    await using scene = await Scene.make(await server());
    await scene.mended();
    await scene.sql("UPDATE items SET name = 'second'");
    await scene.mended();
    const [segment = ''] = readdirSync(scene.data('log')).filter((name) => name !== 'IDENTITY');
    const path = scene.data('log', segment);
    const whole = readFileSync(path);
    const at = Math.floor(whole.length / 3);
    replaceBytes(path, at, Buffer.from([(whole[at] ?? 0) ^ 0xff]));
    const { message, did } = await scene.refusal('LOG_CORRUPT');
    expect(message).toMatch(new RegExp(`^The change log is damaged in ${segment} at byte \\d+ \\(changes .*\\): .*\\.$`));
    expect(did).toBe('Nothing behind the damage was read and nothing was repaired.');
    expect((await scene.cli(['log', 'verify'])).stdout).toContain('The log is damaged: 1 place.');
    replaceBytes(path, at, whole.subarray(at, at + 1));
    await scene.sql('DELETE FROM items WHERE id < 10');
    await scene.mended();
    replaceBytes(path, at, Buffer.from([(whole[at] ?? 0) ^ 0xff]));
    await scene.refusal('LOG_CORRUPT');
    renameSync(scene.data(), scene.data('..', 'away'));
    await scene.mended(['run', '--once', '--rebuild', 'shop']);
  });

  describe('a log that is as large as it may be', () => {
    test('holds up the source until its slowest index comes back: LOG_FULL', async () => {
      await using scene = await Scene.make(await server(), smallLog('block'));
      await using daemon = await scene.daemon();
      await daemon.event('index_serving');
      const other = new DatabaseSync(scene.data('search.db'));
      other.exec('BEGIN IMMEDIATE');
      await scene.sql(overflow);
      const { code, message, did } = errorOf(await daemon.event('log_full'));
      expect(code).toBe('LOG_FULL');
      expect(message).toMatch(/has reached its size limit: it holds \d+ bytes that an index still needs\.$/);
      expect(did).toBe('Reading of the sources is paused; the sources keep their history.');
      expect((await scene.cli(['status'])).stdout).toContain('reached its size limit');
      other.exec('ROLLBACK');
      other.close();
      await scene.inStep(daemon);
      await daemon.event('log_ok');
    });

    test('gives up its slowest index when it is told to, and that is built again: LOG_EVICTED', async () => {
      await using scene = await Scene.make(await server(), smallLog('evict'));
      {
        await using daemon = await scene.daemon();
        await daemon.event('index_serving');
        const other = new DatabaseSync(scene.data('search.db'));
        other.exec('BEGIN IMMEDIATE');
        await scene.sql(overflow);
        const { code, hint } = errorOf(await daemon.event('index_stopped'));
        expect(code).toBe('LOG_EVICTED');
        expect(hint).toContain('`tailrace resync items`');
        await eventually('what the index needs next is removed from the log', 30_000, async () => {
          const { log, indices } = JSON.parse((await scene.cli(['positions', '--json'])).stdout) as { log: { first_seq: number }; indices: { cursor: number }[] };
          return log.first_seq > (indices[0]?.cursor ?? Infinity) + 1;
        });
        other.exec('ROLLBACK');
        other.close();
      }
      await scene.sql('DELETE FROM items WHERE id > 1010');
      // What is missing stays missing until it is built again.
      await scene.resynced((await scene.refusal('LOG_GAP')).hint);
    });
  });

  describe.runIf(mayMount())('a disk that is full', () => {
    test('pauses the reading, and work goes on when there is room: DISK_FULL', async () => {
      await using scene = await Scene.make(await server());
      await onSmallDisk(scene, async (ballast) => {
        await using daemon = await scene.daemon();
        await daemon.event('index_serving');
        fill(ballast);
        await scene.sql("INSERT INTO items SELECT i, repeat('x', 1000), 0 FROM generate_series(1001, 5000) i");
        const { code, message, hint } = errorOf(await daemon.event('log_disk_full'));
        expect(code).toBe('DISK_FULL');
        expect(message).toContain(scene.data('log'));
        expect(hint).toBe('Free space on the disk of the data directory; work goes on by itself.');
        expect((await scene.cli(['status'])).stdout).toContain('The disk of the change log is full.');
        rmSync(ballast);
        await scene.inStep(daemon);
      });
    });

    test('from the start ends the process before anything is lost: DISK_FULL', async () => {
      await using scene = await Scene.make(await server());
      await onSmallDisk(scene, async (ballast) => {
        fill(ballast);
        expect((await scene.refusal('DISK_FULL')).hint).toContain('Free space');
        rmSync(ballast);
        await scene.mended();
      });
    });

    /** A disk of its own for the data directory. `ballast` is a file on it. */
    async function onSmallDisk(scene: Scene, work: (ballast: string) => Promise<void>): Promise<void> {
      mkdirSync(scene.data());
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', scene.data()]);
      try {
        await work(scene.data('ballast'));
      } finally {
        execFileSync('umount', ['-l', scene.data()]);
      }
    }

    /** Takes all the space that is left. */
    function fill(ballast: string): void {
      const file = openSync(ballast, 'w');
      try {
        for (let size = MiB; size >= 4096; size /= 2) for (;;) if (writeSync(file, Buffer.alloc(size)) < size) break;
      } catch (error) {
        expect(error).toMatchObject({ code: 'ENOSPC' });
      } finally {
        closeSync(file);
      }
    }
  });

  test.runIf(installed('strace'))('a disk that fails ends the process, and what was not durable is read again: DISK_FAILED', async () => {
    await using scene = await Scene.make(await server());
    await scene.mended();
    const strace = ['strace', '-D', '-f', '-q', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', 'inject=fdatasync:error=EIO'];
    await scene.sql("UPDATE items SET name = 'in danger'");
    await using daemon = await spawnTailrace(['run'], { cwd: scene.folder, through: strace });
    expect(await daemon.exit()).toEqual({ code: 74, signal: null });
    expect(daemon.output).toMatch(/\ntailrace: .* failed: EIO\.\n {2}tailrace ended without retrying: .*\n {2}→ Check the disk, then start again\.\n {2}DISK_FAILED: /);
    expect(scene.ids()).toHaveLength(300);
    await scene.mended();
  });
});
