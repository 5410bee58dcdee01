import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { EmbeddedLog } from '../../src/log/embedded-log.ts';
import { openLog, type LogOptions } from '../../src/log/open.ts';
import { REMOVE_RETRY_MS } from '../../src/log/retention.ts';
import { draftOf, drain, entriesOf, never, optionsOf, registersOf, rowsOf } from './fixtures.ts';
import { simRuntime, type SimRuntime } from './sim-runtime.ts';

interface Filled extends AsyncDisposable {
  readonly log: EmbeddedLog;
  readonly runtime: SimRuntime;
}

/** Segments of two changes each: 1 to 2, 3 to 4, ... 19 to 20. */
async function filled(more: Partial<LogOptions> = {}): Promise<Filled> {
  const runtime = simRuntime();
  const log = await openLog(optionsOf('/log', { segmentBytes: 450, ...more }), runtime);
  for (let i = 0; i < 20; i += 1) await log.append(draftOf(`f${i}`, 1), never);
  expect(log.stats()).toMatchObject({ segments: 10, bytes: 5558 });
  return { log, runtime, [Symbol.asyncDispose]: () => log[Symbol.asyncDispose]() };
}

async function quiet(): Promise<void> {
  for (let i = 0; i < 10; i += 1) await turn();
}

describe('retention', () => {
  test('removes whole segments behind the slowest hold, oldest first, and never the last', async () => {
    await using filledLog = await filled({ holds: [['slow', 0], ['fast', 0]] });
    const { log, runtime } = filledLog;
    log.hold('fast', 20);
    await quiet();
    expect(log.firstSeq).toBe(1);
    log.hold('slow', 5);
    await quiet();
    expect(log.firstSeq).toBe(5);
    log.hold('slow', 6);
    await quiet();
    expect(log.firstSeq).toBe(7);
    log.release('slow');
    await quiet();
    expect(log.stats()).toMatchObject({ firstSeq: 19, durableSeq: 20, segments: 1, holds: [{ name: 'fast', seq: 20 }] });
    expect(runtime.sim.files()).toEqual(['/log/00000000000000000019-0000000010.seg', '/log/IDENTITY']);
  });

  test('removes nothing while there is no hold, and nothing because of the first call for a new one', async () => {
    await using filledLog = await filled();
    const { log } = filledLog;
    log.release('nobody');
    await quiet();
    log.hold('fast', 20);
    log.hold('slow', 3);
    await quiet();
    expect(log.firstSeq).toBe(1);
    log.hold('slow', 4);
    await quiet();
    expect(log.firstSeq).toBe(5);
  });

  test('keeps segments until they are old enough, and removes them then without being asked', async () => {
    await using filledLog = await filled({ minAgeMs: 60_000, holds: [['index', 0]] });
    const { log, runtime } = filledLog;
    log.hold('index', 20);
    await quiet();
    runtime.clock.advance(59_999);
    await quiet();
    expect(log.firstSeq).toBe(1);
    runtime.clock.advance(1);
    await quiet();
    expect(log.firstSeq).toBe(19);
  });

  test('makes each removal durable before the next', async () => {
    await using filledLog = await filled({ holds: [['index', 0]] });
    const { log, runtime } = filledLog;
    const kinds: string[] = [];
    runtime.sim.onOperation = ({ kind }) => void kinds.push(kind) as undefined;
    log.hold('index', 8);
    await quiet();
    expect(kinds).toEqual(['remove', 'syncDirectory', 'remove', 'syncDirectory', 'remove', 'syncDirectory', 'remove', 'syncDirectory']);
  });

  test('at the size limit appends wait until the slowest hold moves', async () => {
    await using filledLog = await filled({ maxBytes: 6000, minAgeMs: 1e9, holds: [['slow', 0], ['fast', 0]] });
    const { log } = filledLog;
    log.hold('fast', 20);
    const waiting = Array.from({ length: 4 }, (_, i) => log.append(draftOf(`w${i}`, 1), never));
    await quiet();
    expect(log.condition).toBe('full');
    const { durableSeq } = log;
    log.hold('slow', 1);
    await quiet();
    expect(log.durableSeq).toBe(durableSeq);
    log.hold('slow', 10);
    await Promise.all(waiting);
    expect(log).toMatchObject({ condition: 'ok', durableSeq: 24 });
    expect(log.firstSeq).toBeGreaterThan(1);
    expect(log.firstSeq).toBeLessThanOrEqual(11);
  });

  test('many frames that are appended together do not carry the log beyond its limit', async () => {
    await using filledLog = await filled({ maxBytes: 6000, holds: [['index', 0]] });
    const { log } = filledLog;
    const waiting = Array.from({ length: 30 }, (_, i) => log.append(draftOf(`w${i}`, 1), never));
    await quiet();
    expect(log.condition).toBe('full');
    expect(log.stats().bytes).toBeLessThanOrEqual(6000);
    while (log.durableSeq < 50) {
      log.hold('index', log.durableSeq);
      await quiet();
      // A footer and a header may come on top of what was measured.
      expect(log.stats().bytes).toBeLessThanOrEqual(6000 + 400);
    }
    expect((await Promise.all(waiting)).at(-1)).toEqual({ firstSeq: 50, lastSeq: 50 });
  });

  test('at the size limit with `evict` the slowest hold is given up, told once, and appends go on', async () => {
    await using filledLog = await filled({ maxBytes: 6000, onFull: 'evict', holds: [['slow', 1], ['slower', 0], ['fast', 0]] });
    const { log } = filledLog;
    const evicted: string[] = [];
    log.onEvicted((name) => evicted.push(name));
    log.hold('fast', 20);
    for (let i = 0; i < 8; i += 1) await log.append(draftOf(`w${i}`, 1), never);
    expect(evicted).toEqual(['slow', 'slower']);
    log.hold('slow', 5);
    for (let i = 0; i < 8; i += 1) await log.append(draftOf(`x${i}`, 1), never);
    expect(evicted).toEqual(['slow', 'slower']);
    expect(log.stats().holds).toEqual([{ name: 'fast', seq: 20 }]);
    expect(log.stats().bytes).toBeLessThanOrEqual(6000);
    log.release('slow');
    log.hold('slow', log.durableSeq);
    expect(log.stats().holds).toContainEqual({ name: 'slow', seq: 36 });
  });

  test('lets a frame in that is larger than the whole limit, once nothing else is in the log', async () => {
    await using filledLog = await filled({ maxBytes: 6000, holds: [['index', 0]] });
    const { log } = filledLog;
    const huge = log.append(draftOf('huge', 1, { entries: entriesOf(['x'.repeat(9000)]) }), never);
    await quiet();
    expect(log.condition).toBe('full');
    log.hold('index', 20);
    expect(await huge).toEqual({ firstSeq: 21, lastSeq: 21 });
    expect(log.stats()).toMatchObject({ firstSeq: 21, segments: 1 });
    const after = log.append(draftOf('after', 1), never);
    log.hold('index', 21);
    expect(await after).toEqual({ firstSeq: 22, lastSeq: 22 });
  });

  test('an idle log with nothing but register updates does not grow for ever', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log', { segmentBytes: 450, maxBytes: 3000, holds: [['index', 0]] }), runtime);
    await log.append(draftOf('a', 1), never);
    log.hold('index', 1);
    for (let i = 0; i < 200; i += 1) await log.append(draftOf('', 0, { registers: registersOf({ position: `${i}` }) }), never);
    expect(log).toMatchObject({ condition: 'ok', firstSeq: 2, durableSeq: 1 });
    expect(log.stats().segments).toBeLessThan(7);
    await log.append(draftOf('b', 1), never);
    await using reader = log.reader(1);
    expect((await drain(reader)).flatMap(rowsOf)).toEqual(['2:b/0']);
  });

  test('a segment that cannot be removed is tried again later, and nothing behind it is removed before', async () => {
    await using filledLog = await filled({ holds: [['index', 0]] });
    const { log, runtime } = filledLog;
    runtime.sim.onOperation = ({ kind }) => (kind === 'remove' ? 'EACCES' : undefined);
    log.hold('index', 20);
    await quiet();
    expect(log.firstSeq).toBe(1);
    runtime.sim.onOperation = undefined;
    runtime.clock.advance(REMOVE_RETRY_MS);
    await quiet();
    expect(log.firstSeq).toBe(19);
  });

  test('when a removal cannot be made durable the log fails rather than risk a gap', async () => {
    await using filledLog = await filled({ holds: [['index', 0]] });
    const { log, runtime } = filledLog;
    runtime.sim.onOperation = ({ kind }) => (kind === 'syncDirectory' ? 'EIO' : undefined);
    log.hold('index', 20);
    await quiet();
    runtime.sim.onOperation = undefined;
    await expect(log.append(draftOf('a', 1), never)).rejects.toMatchObject({ code: 'DISK_FAILED' });
    expect(runtime.sim.files().length).toBe(10);
  });
});
