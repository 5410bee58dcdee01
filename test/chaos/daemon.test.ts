/** The real process on a real server while the world around it breaks. Each test ends with the index compared with the table, row by row. */
import { execFileSync } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ExitCode } from '../../src/errors/policy.ts';
import { describePostgres } from '../engines/postgres.ts';
import { startProxy } from './proxy.ts';
import { installed, mayMount } from '../requirement.ts';
import { Stage } from './stage.ts';

/** `ptrace` for a thread pool of one: the n-th call of the daemon is then the n-th call of that thread. */
const oneThread = { UV_THREADPOOL_SIZE: '1' };

describePostgres([18], ({ server }) => {
  test('a second daemon on the same data directory ends at once and changes nothing', async () => {
    await using stage = await Stage.make(await server(), 500);
    await using first = await stage.daemon();
    await first.event('index_serving');
    await using second = await stage.daemon();
    expect(await second.exit()).toEqual({ code: ExitCode.tryAgain, signal: null });
    expect(second.output).toContain('LOCK_HELD');
    await stage.write(3);
    await stage.inStep(first);
  });

  test('a second daemon on the same slot waits, says who holds it, and does not take it when that ends', async () => {
    await using stage = await Stage.make(await server(), 100);
    await using first = await stage.daemon();
    await first.event('index_serving');
    // A pipeline of its own on the same slot.
    const [config, other] = [join(stage.folder, 'tailrace.yaml'), join(stage.folder, 'other.yaml')];
    const text = await readFile(config, 'utf8');
    await writeFile(other, text.replace('tailrace-data', 'other-data').replace('search.db', 'other.db'));
    await using second = await stage.daemon({}, ['run', '--config', other]);
    const { error } = await second.event('source_disconnected');
    expect(error).toMatchObject({ code: 'SRC_SLOT_IN_USE' });
    // The first lost nothing to it: neither its lock nor its slot.
    await stage.write(2);
    await stage.inStep(first);
    expect(first.lines.filter(({ msg }) => msg === 'source_disconnected' || msg === 'source_stopped')).toEqual([]);
    expect([first.ending, second.ending]).toEqual([undefined, undefined]);
    first.kill('SIGKILL');
    expect(await first.exit()).toEqual({ code: null, signal: 'SIGKILL' });
    // What the first has still to read is not the second's to take.
    expect(await second.event('source_stopped')).toMatchObject({ code: 'SRC_SLOT_FOREIGN' });
    second.kill('SIGTERM');
    expect(await second.exit()).toEqual({ code: 0, signal: null });
    await stage.write(3);
    await using again = await stage.daemon();
    await stage.inStep(again);
  });

  test('an index goes back only while no daemon runs, and applies its changes again to no harm', async () => {
    await using stage = await Stage.make(await server(), 100);
    const command = async (...args: string[]): Promise<readonly [number | null, string]> => {
      await using process = await stage.daemon({}, args);
      return [(await process.exit()).code, process.output];
    };
    {
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.write(2);
      await stage.inStep(daemon);
      expect((await command('positions', '--rewind', 'items=50'))[0]).toBe(ExitCode.tryAgain);
      daemon.kill('SIGTERM');
      await daemon.exit();
    }
    const [code, report] = await command('positions', '--rewind', 'items=50', '--json');
    expect([code, JSON.parse(report)]).toEqual([0, expect.objectContaining({ index: 'items', generation: 1, rewound_to: 50, dry_run: false })]);
    expect(JSON.parse((await command('positions', '--json'))[1])).toMatchObject({ indices: [{ cursor: 50 }] });
    expect((await command('run', '--once'))[0]).toBe(0);
    expect(await stage.compare()).toMatchObject({ missing: [], extra: [], different: [] });
    const { cursor } = (JSON.parse(report) as { cursor: number });
    expect(JSON.parse((await command('positions', '--json'))[1])).toMatchObject({ indices: [{ cursor }] });
  });

  test('connections that are cut are made again, with nothing lost and nothing twice', async () => {
    const running = await server();
    await using proxy = await startProxy(running.port);
    await using stage = await Stage.make(running, 3000, { port: proxy.port });
    await using daemon = await stage.daemon();
    await daemon.event('source_connected');
    for (let i = 0; i < 5; i += 1) {
      await stage.write(4);
      await proxy.set({ kind: 'cut' });
      await proxy.set({ kind: 'pass' });
    }
    await stage.inStep(daemon);
    expect(proxy.counters.cut).toBeGreaterThan(0);
  });

  test('a network that delivers single bytes changes nothing', async () => {
    const running = await server();
    await using proxy = await startProxy(running.port);
    await proxy.set({ kind: 'slice', bytes: 1 });
    await using stage = await Stage.make(running, 20, { port: proxy.port });
    await using daemon = await stage.daemon();
    await daemon.event('index_serving');
    await stage.write(3);
    await stage.inStep(daemon);
  });

  test('a connection that has gone silent is noticed and made again', async () => {
    const running = await server();
    await using proxy = await startProxy(running.port);
    await using stage = await Stage.make(running, 100, { port: proxy.port, source: 'wal_sender_timeout_ms: 1500' });
    await using daemon = await stage.daemon();
    await daemon.event('index_serving');
    await proxy.set({ kind: 'half_open' });
    await stage.write(2);
    const { error } = await daemon.event('source_disconnected');
    expect(error).toMatchObject({ code: 'STALLED' });
    await proxy.set({ kind: 'pass' });
    await stage.inStep(daemon);
  });

  test('a daemon that was stopped in its sleep goes on, though the server has long given up on it', async () => {
    await using stage = await Stage.make(await server(), 100, { source: 'wal_sender_timeout_ms: 1000' });
    await using daemon = await stage.daemon();
    await daemon.event('index_serving');
    daemon.kill('SIGSTOP');
    await stage.write(5);
    await stage.serverGaveUp();
    daemon.kill('SIGCONT');
    await stage.inStep(daemon);
  });

  test('SIGTERM in the middle of a snapshot ends it in order, and the next start goes on', async () => {
    await using stage = await Stage.make(await server(), 60_000);
    {
      await using daemon = await stage.daemon();
      await daemon.event('snapshot_planned');
      daemon.kill('SIGTERM');
      expect(await daemon.exit(15_000)).toEqual({ code: 0, signal: null });
    }
    await stage.write(3);
    await using again = await stage.daemon({}, ['run', '--once']);
    expect(await again.exit(120_000)).toEqual({ code: 0, signal: null });
    expect(await stage.compare()).toMatchObject({ missing: [], extra: [], different: [] });
  });

  test.runIf(installed('strace'))('a failed sync is not tried again: the daemon ends, and the next start reads from the source what was lost', async () => {
    await using stage = await Stage.make(await server(), 2000);
    const strace = ['strace', '-D', '-f', '-q', '-o', '/dev/null', '-e', 'trace=fdatasync', '-e', 'inject=fdatasync:error=EIO:when=6'];
    {
      await using daemon = await stage.daemon({ through: strace, env: oneThread });
      await Promise.race([stage.write(30), daemon.exit()]);
      expect(await daemon.exit()).toEqual({ code: ExitCode.io, signal: null });
      expect(daemon.output).toContain('DISK_FAILED');
    }
    await using again = await stage.daemon();
    await stage.inStep(again);
  });

  test.runIf(mayMount())('a full disk pauses the reading, loses nothing, and is over by itself', async () => {
    const running = await server();
    await using stage = await Stage.make(running, 100, { dataDirectory: '/nowhere' });
    const mount = join(stage.folder, 'small');
    await mkdir(mount);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', mount]);
    try {
      const ballast = join(mount, 'ballast');
      await writeFile(ballast, Buffer.alloc(20 * 2 ** 20));
      await using daemon = await stage.daemon({}, ['run', '--data-directory', join(mount, 'data')]);
      await daemon.event('index_serving');
      await stage.database.query("INSERT INTO items SELECT i, repeat('x', 1000) FROM generate_series(100001, 108000) i");
      await daemon.event('log_disk_full');
      await rm(ballast);
      await stage.inStep(daemon);
    } finally {
      execFileSync('umount', ['-l', mount]);
    }
  });
});

describePostgres([15, 18], ({ server }) => {
  test('a server that restarts under it, in order or not, costs nothing but the pause', async () => {
    const running = await server();
    await using stage = await Stage.make(running, 500);
    await using daemon = await stage.daemon();
    await daemon.event('index_serving');
    for (const mode of ['fast', 'immediate'] as const) {
      await running.stop(mode);
      await running.start();
      const client = await stage.reconnected();
      await client.query("UPDATE items SET name = name || '!' WHERE id % 3 = 0");
      await stage.inStep(daemon);
    }
  });
});
