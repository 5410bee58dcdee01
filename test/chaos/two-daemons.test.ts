/** Two daemons where there should be one. Neither takes anything from the other, and neither loses anything without a word. */
import { expect, test } from 'vitest';
import { ExitCode } from '../../src/errors/policy.ts';
import { errorOf, Scene } from '../engines/bad-input-scene.ts';
import { describePostgres } from '../engines/postgres.ts';
import { eventually } from '../engines/servers.ts';
import { Stage } from './stage.ts';

const TIMEOUT_MS = 1_000;
const impatient = { source: `wal_sender_timeout_ms: ${TIMEOUT_MS}` };

describePostgres([15, 18], ({ server }) => {
  test('a data directory stays taken while its daemon sleeps, and is free as soon as that is killed', async () => {
    await using stage = await Stage.make(await server(), 200, impatient);
    await using first = await stage.daemon();
    await first.event('index_serving');
    first.kill('SIGSTOP');
    {
      await using second = await stage.daemon();
      expect(await second.exit()).toEqual({ code: ExitCode.tryAgain, signal: null });
      expect(second.output).toContain('LOCK_HELD');
    }
    first.kill('SIGCONT');
    await stage.write(3);
    await stage.inStep(first);
    first.kill('SIGKILL');
    await first.exit();
    await using third = await stage.daemon();
    await stage.write(3);
    await stage.inStep(third);
  });

  test('two that are started at once on a new data directory: one works, the other says who does', async () => {
    await using stage = await Stage.make(await server(), 200);
    const daemons = await Promise.all([stage.daemon(), stage.daemon(), stage.daemon()]);
    try {
      await eventually('all but one have ended', 30_000, () => daemons.filter(({ ending }) => ending !== undefined).length === 2);
      for (const { ending, output } of daemons) {
        if (ending === undefined) continue;
        expect(ending).toEqual({ code: ExitCode.tryAgain, signal: null });
        expect(output).toContain('LOCK_HELD');
      }
      const working = daemons.find(({ ending }) => ending === undefined);
      if (working === undefined) throw new Error('one of them works');
      await stage.write(3);
      await stage.inStep(working);
    } finally {
      for (const daemon of daemons) await daemon[Symbol.asyncDispose]();
    }
  });

  test('one that slept while another read its slot never goes on over the gap', async () => {
    await using scene = await Scene.make(await server(), ({ source }) => (source['wal_sender_timeout_ms'] = TIMEOUT_MS));
    {
      await using first = await scene.daemon();
      await first.event('index_serving');
      await scene.inStep(first);
      first.kill('SIGSTOP');
      await scene.configure(({ source }) => (source['take_over'] = true));
      {
        await using second = await scene.daemon('--data-directory', 'other');
        await second.event('index_serving');
        await scene.sql("DELETE FROM items WHERE id < 50; UPDATE items SET name = 'read by the second' WHERE id > 250");
        const [now] = await scene.sql('SELECT pg_current_wal_lsn()::text AS lsn');
        const confirmed = `SELECT 1 FROM pg_replication_slots WHERE slot_name = '${scene.database}' AND confirmed_flush_lsn >= '${String(now?.['lsn'])}'`;
        await eventually('what the second has read is forgotten by the server', 30_000, async () => (await scene.sql(confirmed)).length === 1);
        second.kill('SIGTERM');
        expect(await second.exit()).toEqual({ code: 0, signal: null });
      }
      first.kill('SIGCONT');
      expect(errorOf(await first.event('source_stopped'))).toMatchObject({ code: 'SRC_SLOT_AHEAD' });
      first.kill('SIGTERM');
      expect(await first.exit()).toEqual({ code: 0, signal: null });
    }
    await scene.mended(['run', '--once', '--rebuild', 'shop']);
  });

  test('one that shares the slot of another does not take it when that one is killed, and that one goes on', async () => {
    await using scene = await Scene.make(await server());
    await using first = await scene.daemon();
    await first.event('index_serving');
    await using second = await scene.daemon('--data-directory', 'other');
    await second.event('source_disconnected', { where: ({ code }) => code === 'SRC_SLOT_IN_USE' });
    await scene.inStep(first);
    first.kill('SIGKILL');
    await first.exit();
    expect(errorOf(await second.event('source_stopped'))).toMatchObject({ code: 'SRC_SLOT_FOREIGN' });
    await scene.sql('DELETE FROM items WHERE id < 50');
    await using again = await scene.daemon();
    await scene.inStep(again);
    for (const daemon of [second, again]) {
      daemon.kill('SIGTERM');
      expect(await daemon.exit()).toEqual({ code: 0, signal: null });
    }
    await scene.mended();
  });

  test('one that may take the slot over does so once, and the one that had it stops rather than miss anything', async () => {
    await using scene = await Scene.make(await server());
    {
      await using first = await scene.daemon();
      await first.event('index_serving');
      // As a machine that cannot be reached: its reader is still there, and does not come back at once.
      first.kill('SIGSTOP');
      await scene.configure(({ source }) => (source['take_over'] = true));
      await using second = await scene.daemon('--data-directory', 'other');
      await second.event('slot_taken_over');
      await second.event('index_serving');
      await scene.sql('DELETE FROM items WHERE id < 50');
      first.kill('SIGCONT');
      expect(errorOf(await first.event('source_stopped'))).toMatchObject({ code: 'SRC_SLOT_AHEAD' });
      expect(second.lines.filter(({ msg }) => msg === 'source_disconnected' || msg === 'source_stopped')).toEqual([]);
    }
    await scene.mended(['run', '--once', '--rebuild', 'shop']);
  });
});
