/** Daemons that are killed while they recover from having been killed. Each test ends with the index compared with the table, row by row. */
import { appendFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { describePostgres } from '../engines/postgres.ts';
import { eventually } from '../engines/servers.ts';
import { installed } from '../requirement.ts';
import { Stage } from './stage.ts';


/** The segment that is being written. */
function lastSegment(stage: Stage): string {
  const log = join(stage.folder, 'tailrace-data', 'log');
  const last = readdirSync(log).filter((name) => name !== 'IDENTITY').toSorted().at(-1);
  if (last === undefined) throw new Error('a log has a segment');
  return join(log, last);
}

const TORN_BYTES = 300;

/** What a write that a crash did not let end leaves behind what was confirmed. */
function tearTail(segment: string): void {
  appendFileSync(segment, Buffer.alloc(TORN_BYTES, 0x5a));
}

describePostgres([18], ({ server }) => {
  test('a daemon that is killed at every moment of its start, again and again, loses nothing', async () => {
    await using stage = await Stage.make(await server(), 5_000);
    const events = ['starting', 'admin_listening', 'source_connected', 'snapshot_requested', 'snapshot_planned'];
    for (let i = 0; i < 12; i += 1) {
      await using daemon = await stage.daemon();
      // An event is a moment of its own; the pause behind it makes moments of those between two.
      const event = events[i % events.length] ?? 'starting';
      const seen = daemon.event(event, { deadlineMs: 1_500 }).catch(() => undefined);
      await stage.write(2);
      await seen;
      await sleep((i * 37) % 120);
      expect(daemon.ending).toBeUndefined();
      daemon.kill('SIGKILL');
      await daemon.exit();
    }
    await using last = await stage.daemon();
    await stage.write(3);
    await stage.inStep(last);
  });

  test.runIf(installed('strace'))('a daemon that is killed in the middle of healing its log heals it at the next start', async () => {
    await using stage = await Stage.make(await server(), 1_000);
    {
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.write(10);
      await stage.inStep(daemon);
      daemon.kill('SIGKILL');
      await daemon.exit();
    }
    const segment = lastSegment(stage);
    const wholeBytes = statSync(segment).size;
    // Every cut, write and sync of the segment takes a second, so that each of these lives ends inside one of them.
    const slow = ['strace', '-D', '-f', '-q', '-o', '/dev/null', '-P', segment, '-e', 'trace=ftruncate,pwrite64,pwritev,fdatasync', '-e', 'inject=ftruncate,pwrite64,pwritev,fdatasync:delay_enter=500000:delay_exit=500000'];
    tearTail(segment);
    for (const cut of [false, true, true]) {
      await using daemon = await stage.daemon({ through: slow });
      await daemon.event('starting');
      if (cut) await eventually('the end is cut', 20_000, () => statSync(segment).size === wholeBytes);
      daemon.kill('SIGKILL');
      await daemon.exit();
      expect(daemon.lines.some(({ msg }) => msg === 'source_connected')).toBe(false);
      expect(statSync(segment).size).toBe(wholeBytes + (cut ? 0 : TORN_BYTES));
      if (cut) tearTail(segment);
      await stage.write(2);
    }
    await using last = await stage.daemon();
    expect(await last.event('log_tail_healed')).toMatchObject({ bytes: TORN_BYTES });
    await stage.write(2);
    await stage.inStep(last);
    expect(last.lines.filter(({ level }) => level === 'error')).toEqual([]);
  });
});
