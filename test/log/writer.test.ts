import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { isAbort } from '../../src/errors/tailrace-error.ts';
import { openLog } from '../../src/log/open.ts';
import { nodeDisk } from '../../src/runtime/node/disk.ts';
import { DISK_FULL_PAUSE_MS, GROUP_BYTES_MAX, PLACE_CHECK_EVERY_MS } from '../../src/log/log-writer.ts';
import type { SimOperation } from '../sim/sim-disk.ts';
import { draftOf, drain, entriesOf, never, optionsOf, registersOf, rowsOf, temporaryFolder } from './fixtures.ts';
import { simRuntime, type SimRuntime } from './sim-runtime.ts';

/** Notes the kinds of all operations on segments from now on. */
function operationsOf({ sim }: SimRuntime): string[] {
  const kinds: string[] = [];
  sim.onOperation = ({ kind, path }) => {
    if (path.endsWith('.seg')) kinds.push(kind);
    return undefined;
  };
  return kinds;
}

describe('the writer', () => {
  test('makes frames that are appended together durable with one write and one sync', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log'), runtime);
    const operations = operationsOf(runtime);
    await Promise.all(Array.from({ length: 50 }, (_, i) => log.append(draftOf(`f${i}`, 1), never)));
    expect(operations).toEqual(['write', 'datasync']);
    expect(log.durableSeq).toBe(50);
  });

  test('writes at once when nothing is in flight, and all that came meanwhile with the next write', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log'), runtime);
    const operations = operationsOf(runtime);
    const first = log.append(draftOf('first', 1), never);
    while (operations.length === 0) await Promise.resolve();
    const later = Array.from({ length: 9 }, (_, i) => log.append(draftOf(`later ${i}`, 1), never));
    await first;
    expect(operations.slice(0, 2)).toEqual(['write', 'datasync']);
    await Promise.all(later);
    expect(operations).toEqual(['write', 'datasync', 'write', 'datasync']);
  });

  test('puts no more into one write than the limit, and lets a larger frame in alone', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log'), runtime);
    const sizes: number[] = [];
    runtime.sim.onOperation = ({ kind, bytes }: SimOperation) => {
      if (kind === 'write') sizes.push(bytes);
      return undefined;
    };
    const big = entriesOf(['x'.repeat(300_000)]);
    const huge = entriesOf(['x'.repeat(GROUP_BYTES_MAX)]);
    await Promise.all([...Array.from({ length: 20 }, () => log.append(draftOf('big', 1, { entries: big }), never)), log.append(draftOf('huge', 1, { entries: huge }), never)]);
    for (const size of sizes.slice(0, -1)) expect(size).toBeLessThanOrEqual(GROUP_BYTES_MAX);
    expect(sizes.at(-1)).toBeGreaterThan(GROUP_BYTES_MAX);
    expect(log.durableSeq).toBe(21);
  });

  test('shows nothing before it is durable: not to readers, not in registers', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log'), runtime);
    await using reader = log.reader(0);
    let release = (): void => {};
    const held = new Promise<undefined>((resolve) => (release = () => resolve(undefined)));
    runtime.sim.onOperation = ({ kind }) => (kind === 'datasync' ? held : undefined);
    const appended = log.append(draftOf('a', 1, { registers: registersOf({ x: '1' }) }), never);
    for (let i = 0; i < 20; i += 1) await turn();
    expect(await reader.poll()).toBeUndefined();
    expect([log.durableSeq, log.registers.size]).toEqual([0, 0]);
    release();
    await appended;
    expect([log.durableSeq, log.registers.size]).toEqual([1, 1]);
    expect(rowsOf((await reader.poll()) ?? (await Promise.reject(new Error('nothing to read'))))).toEqual(['1:a/0']);
  });

  test('takes nothing more after a sync failed, and never tries it again', async () => {
    for (const code of ['EIO', 'ENOSPC'] as const) {
      const runtime = simRuntime();
      const log = await openLog(optionsOf('/log'), runtime);
      await log.append(draftOf('good', 1), never);
      let syncs = 0;
      runtime.sim.onOperation = ({ kind }) => {
        if (kind !== 'datasync') return undefined;
        syncs += 1;
        return code;
      };
      const failing = [log.append(draftOf('a', 1), never), log.append(draftOf('b', 1), never)];
      for (const appended of failing) await expect(appended).rejects.toMatchObject({ code: 'DISK_FAILED' });
      await expect(log.append(draftOf('c', 1), never)).rejects.toMatchObject({ code: 'DISK_FAILED' });
      expect(syncs).toBe(1);
      expect(log.durableSeq).toBe(1);
      await using reader = log.reader(0);
      expect((await drain(reader)).flatMap(rowsOf)).toEqual(['1:good/0']);
      await log[Symbol.asyncDispose]();
    }
  });

  test('fails on any other error of a write', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log'), runtime);
    runtime.sim.onOperation = ({ kind }) => (kind === 'write' ? 'EROFS' : undefined);
    await expect(log.append(draftOf('a', 1), never)).rejects.toMatchObject({ code: 'DISK_FAILED', message: expect.stringContaining('EROFS') as string });
  });

  test('waits while the disk is full, and goes on in order when there is room', async () => {
    const runtime = simRuntime();
    const { sim, clock } = runtime;
    await using log = await openLog(optionsOf('/log'), runtime);
    await log.append(draftOf('before', 1), never);
    const { bytes } = log.stats();
    sim.capacityBytes = sim.usedBytes + 60;
    const waiting = Array.from({ length: 2 }, (_, i) => log.append(draftOf(`w${i}`, 2), never));
    sim.onOperation = ({ kind }) => {
      if (kind === 'write' && waiting.length === 2) waiting.push(log.append(draftOf('w2', 2), never));
      return undefined;
    };
    while (clock.waiting === 0) await turn();
    expect(waiting.length).toBe(3);
    expect(log.condition).toBe('disk_full');
    expect(sim.contents(sim.files().find((path) => path.endsWith('.seg')) ?? '').length).toBe(bytes);
    await using reader = log.reader(0);
    expect((await drain(reader)).flatMap(rowsOf)).toEqual(['1:before/0']);
    clock.advance(DISK_FULL_PAUSE_MS);
    while (clock.waiting === 0) await turn();
    waiting.push(log.append(draftOf('w3', 1), never));
    sim.capacityBytes = Number.POSITIVE_INFINITY;
    clock.advance(DISK_FULL_PAUSE_MS);
    expect(await Promise.all(waiting)).toEqual([
      { firstSeq: 2, lastSeq: 3 },
      { firstSeq: 4, lastSeq: 5 },
      { firstSeq: 6, lastSeq: 7 },
      { firstSeq: 8, lastSeq: 8 },
    ]);
    expect(log.condition).toBe('ok');
    expect((await drain(reader)).flatMap(rowsOf)).toEqual(['2:w0/0', '3:w0/1', '4:w1/0', '5:w1/1', '6:w2/0', '7:w2/1', '8:w3/0']);
  });

  test('is well again when the disk has room, though nobody waits any more', async () => {
    const runtime = simRuntime();
    const { sim, clock } = runtime;
    await using log = await openLog(optionsOf('/log'), runtime);
    sim.capacityBytes = sim.usedBytes;
    const aborter = new AbortController();
    const given = log.append(draftOf('a', 1), aborter.signal);
    while (clock.waiting === 0) await turn();
    aborter.abort(new Error('given up'));
    await expect(given).rejects.toThrow('given up');
    expect(log.condition).toBe('disk_full');
    sim.capacityBytes = Number.POSITIVE_INFINITY;
    clock.advance(DISK_FULL_PAUSE_MS);
    for (let i = 0; i < 20 && log.condition !== 'ok'; i += 1) await turn();
    expect(log.condition).toBe('ok');
    expect(await log.append(draftOf('b', 1), never)).toEqual({ firstSeq: 1, lastSeq: 1 });
  });

  test('makes room on a full disk with what no hold needs, whatever its age', async () => {
    const runtime = simRuntime();
    const { sim } = runtime;
    await using log = await openLog(optionsOf('/log', { segmentBytes: 500, minAgeMs: 1_000_000, holds: [['index', 0]] }), runtime);
    for (let i = 0; i < 10; i += 1) await log.append(draftOf(`f${i}`, 1), never);
    log.hold('index', 10);
    await turn();
    expect(log.firstSeq).toBe(1);
    sim.capacityBytes = sim.usedBytes + 10;
    await log.append(draftOf('more', 1), never);
    expect(log.firstSeq).toBeGreaterThan(5);
  });

  test('leaves out an append that is aborted while it waits, and only that', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log'), runtime);
    const first = log.append(draftOf('first', 1), never);
    const aborter = new AbortController();
    const second = log.append(draftOf('second', 1), aborter.signal);
    const third = log.append(draftOf('third', 1), never);
    aborter.abort();
    await expect(second).rejects.toSatisfy(isAbort);
    await expect(log.append(draftOf('late', 1), aborter.signal)).rejects.toSatisfy(isAbort);
    expect(await Promise.all([first, third])).toEqual([
      { firstSeq: 1, lastSeq: 1 },
      { firstSeq: 2, lastSeq: 2 },
    ]);
  });

  test('an append whose write has begun is not undone by its signal', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log'), runtime);
    const aborter = new AbortController();
    runtime.sim.onOperation = ({ kind }) => {
      if (kind === 'write') aborter.abort();
      return undefined;
    };
    expect(await log.append(draftOf('a', 1), aborter.signal)).toEqual({ firstSeq: 1, lastSeq: 1 });
  });

  test('an append whose write failed is told so, though it was aborted meanwhile: nobody knows whether it is on the disk', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log'), runtime);
    const aborter = new AbortController();
    runtime.sim.onOperation = ({ kind }) => {
      if (kind !== 'datasync') return undefined;
      aborter.abort();
      return 'EIO';
    };
    await expect(log.append(draftOf('a', 1), aborter.signal)).rejects.toMatchObject({ code: 'DISK_FAILED' });
  });

  test('when the log fails while a write finds no room, its appends are told as well', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log', { segmentBytes: 450, holds: [['index', 0]] }), runtime);
    for (let i = 0; i < 5; i += 1) await log.append(draftOf(`f${i}`, 1), never);
    let release = (): void => {};
    const noRoom = new Promise<'ENOSPC'>((resolve) => (release = () => resolve('ENOSPC')));
    runtime.sim.onOperation = ({ kind }) => {
      if (kind === 'syncDirectory') return 'EIO';
      return kind === 'write' ? noRoom : undefined;
    };
    const written = log.append(draftOf('a', 1), never);
    written.catch(() => {});
    log.hold('index', 4);
    while (runtime.sim.files().length > 3) await turn();
    for (let i = 0; i < 5; i += 1) await turn();
    release();
    await expect(written).rejects.toMatchObject({ code: 'DISK_FAILED' });
  });

  test('what waits is told of the end also when the disk fails at closing', async () => {
    const runtime = simRuntime();
    const log = await openLog(optionsOf('/log', { segmentBytes: 450, minAgeMs: 1000, holds: [['index', 0]] }), runtime);
    for (let i = 0; i < 5; i += 1) await log.append(draftOf(`f${i}`, 1), never);
    log.hold('index', 5);
    const reader = log.reader(5);
    const waiting = reader.next(never);
    for (let i = 0; i < 5; i += 1) await turn();
    runtime.sim.onOperation = ({ kind }) => (kind === 'close' ? 'EIO' : undefined);
    await expect(log[Symbol.asyncDispose]()).rejects.toMatchObject({ code: 'DISK_FAILED' });
    await expect(waiting).rejects.toSatisfy(isAbort);
    runtime.sim.onOperation = undefined;
    const files = runtime.sim.files();
    runtime.clock.advance(10_000);
    for (let i = 0; i < 5; i += 1) await turn();
    expect(runtime.sim.files()).toEqual(files);
  });

  test('begins a new segment when the old one is full or old, with all registers in force', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log', { segmentBytes: 1000, segmentMaxAgeMs: 5000 }), runtime);
    await log.append(draftOf('a', 1, { registers: registersOf({ keep: '1', drop: '2' }) }), never);
    await log.append(draftOf('b', 1, { registers: registersOf({ drop: null }) }), never);
    expect(log.stats().segments).toBe(1);
    runtime.clock.advance(5000);
    await log.append(draftOf('c', 1), never);
    expect(log.stats().segments).toBe(2);
    await log.append(draftOf('d', 1, { entries: entriesOf(['x'.repeat(900)]) }), never);
    expect(log.stats().segments).toBe(3);
    expect(runtime.sim.files().filter((path) => path.endsWith('.seg'))).toEqual([
      '/log/00000000000000000001-0000000001.seg',
      '/log/00000000000000000003-0000000002.seg',
      '/log/00000000000000000004-0000000003.seg',
    ]);
    await log[Symbol.asyncDispose]();
    await using again = await openLog(optionsOf('/log'), simRuntime(runtime.sim));
    expect([...again.registers.keys()]).toEqual(['keep']);
  });

  test('rolls segments that hold no changes without their names colliding', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log', { segmentBytes: 400 }), runtime);
    for (let i = 0; i < 12; i += 1) expect(await log.append(draftOf('', 0, { registers: registersOf({ position: `${i}` }) }), never)).toEqual({ firstSeq: 1, lastSeq: 0 });
    const { segments } = log.stats();
    expect(segments).toBeGreaterThan(3);
    await log[Symbol.asyncDispose]();
    await using again = await openLog(optionsOf('/log'), simRuntime(runtime.sim));
    expect(again.stats()).toMatchObject({ segments, firstSeq: 1, durableSeq: 0 });
    expect(Buffer.from(again.registers.get('position') ?? []).toString()).toBe('11');
  });

  test('closing waits for the write that is in flight and tells the others', async () => {
    const runtime = simRuntime();
    const log = await openLog(optionsOf('/log'), runtime);
    const operations = operationsOf(runtime);
    const written = log.append(draftOf('a', 1), never);
    while (operations.length === 0) await Promise.resolve();
    const queued = log.append(draftOf('b', 1), never);
    queued.catch(() => {});
    await log[Symbol.asyncDispose]();
    expect(await written).toEqual({ firstSeq: 1, lastSeq: 1 });
    await expect(queued).rejects.toSatisfy(isAbort);
    await expect(log.append(draftOf('c', 1), never)).rejects.toSatisfy(isAbort);
    expect(runtime.sim.openFiles).toBe(0);
  });

  test('refuses a frame whose bytes and count contradict each other', async () => {
    await using log = await openLog(optionsOf('/log'), simRuntime());
    await expect(log.append(draftOf('a', 1, { count: 0 }), never)).rejects.toMatchObject({ code: 'INVARIANT' });
    expect(await log.append(draftOf('b', 1), never)).toEqual({ firstSeq: 1, lastSeq: 1 });
  });
});

describe('a log whose files are removed under it', () => {
  test('takes nothing more and says so, instead of writing to a file that the next start does not find', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log'), runtime);
    await log.append(draftOf('kept', 1), never);
    for (const path of runtime.sim.files()) await runtime.disk.remove(path);
    runtime.clock.advance(PLACE_CHECK_EVERY_MS);
    const removed = { code: 'LOG_CORRUPT', message: expect.stringMatching(/^The change log in \/log is damaged: \S+\.seg was removed or replaced while it was written to\.$/) };
    await expect(log.append(draftOf('lost', 1), never)).rejects.toMatchObject(removed);
    await expect(log.append(draftOf('behind it', 1), never)).rejects.toMatchObject(removed);
    expect(log.durableSeq).toBe(1);
  });

  test('begins no new segment behind one that is gone', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log', { segmentBytes: 2_000 }), runtime);
    await log.append(draftOf('kept', 10), never);
    for (const path of runtime.sim.files()) await runtime.disk.remove(path);
    await expect(log.append(draftOf('x'.repeat(2_000), 1), never)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
    expect(runtime.sim.files()).toEqual([]);
  });

  test('tells a file that was put in the place of its own from its own, on a real disk', async () => {
    await using folder = await temporaryFolder();
    const [path, other] = [join(folder.path, 'a'), join(folder.path, 'b')];
    const file = await nodeDisk.open(path, 'create');
    await (await nodeDisk.open(other, 'create')).close();
    expect([await file.isAt(path), await file.isAt(other)]).toEqual([true, false]);
    await nodeDisk.rename(other, path);
    expect(await file.isAt(path)).toBe(false);
    await nodeDisk.remove(path);
    expect(await file.isAt(path)).toBe(false);
    await file.close();
  });
});
