import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { isAbort } from '../../src/errors/tailrace-error.ts';
import { openLog } from '../../src/log/open.ts';
import { draftOf, drain, entriesOf, never, optionsOf, registersOf, rowsOf } from './fixtures.ts';
import { simRuntime } from './sim-runtime.ts';

const options = optionsOf('/log', { segmentBytes: 450 });

describe('a reader', () => {
  test('is told by LOG_GAP what is kept when it wants what is gone, or what is not there yet', async () => {
    await using log = await openLog({ ...options, holds: [['index', 0]] }, simRuntime());
    for (let i = 0; i < 10; i += 1) await log.append(draftOf(`f${i}`, 1), never);
    log.hold('index', 6);
    for (let i = 0; i < 10; i += 1) await turn();
    expect(log.firstSeq).toBe(7);
    await using behind = log.reader(5);
    await expect(behind.poll()).rejects.toMatchObject({ code: 'LOG_GAP', message: expect.stringContaining('behind seq 5') as string });
    await expect(behind.next(never)).rejects.toMatchObject({ code: 'LOG_GAP', message: expect.stringContaining('seq 7 to 10') as string });
    await using ahead = log.reader(11);
    await expect(ahead.poll()).rejects.toMatchObject({ code: 'LOG_GAP' });
    await using at = log.reader(6);
    expect((await drain(at)).flatMap(rowsOf)[0]).toBe('7:f6/0');
    await using head = log.reader(10);
    expect(await head.poll()).toBeUndefined();
  });

  test('that is held reads on while segments are removed behind it; one that is not held meets LOG_GAP', async () => {
    await using log = await openLog({ ...options, holds: [['index', 0]] }, simRuntime());
    for (let i = 0; i < 10; i += 1) await log.append(draftOf(`f${i}`, 1), never);
    await using held = log.reader(0);
    await using loose = log.reader(0);
    expect(rowsOf(await loose.next(never))).toEqual(['1:f0/0']);
    const rows: string[] = [];
    for (let i = 0; i < 10; i += 1) {
      const frame = await held.next(never);
      rows.push(...rowsOf(frame));
      log.hold('index', frame.lastSeq);
      await turn();
    }
    expect(rows).toHaveLength(10);
    expect(log.firstSeq).toBe(9);
    // What it has open it may still read; what is gone it is told.
    await expect(drain(loose)).rejects.toMatchObject({ code: 'LOG_GAP' });
  });

  test('begins anywhere, also within a frame, and is handed frames that only set registers', async () => {
    const runtime = simRuntime();
    const wide = optionsOf('/log', { segmentBytes: 900 });
    const log = await openLog(wide, runtime);
    for (let i = 0; i < 8; i += 1) {
      await log.append(draftOf(`f${i}`, 3), never);
      await log.append(draftOf('', 0, { registers: registersOf({ position: `${i}` }) }), never);
    }
    await log[Symbol.asyncDispose]();
    await using again = await openLog(wide, simRuntime(runtime.sim));
    for (let after = 0; after <= 24; after += 1) {
      await using reader = again.reader(after);
      const frames = await drain(reader);
      const changes = frames.filter(({ count }) => count > 0);
      const controls = frames.filter(({ count }) => count === 0);
      expect(changes.length).toBe(Math.ceil((24 - after) / 3));
      if (changes[0] !== undefined) expect(changes[0].firstSeq).toBeLessThanOrEqual(after + 1);
      expect(controls.map(({ firstSeq }) => firstSeq)).toEqual([4, 7, 10, 13, 16, 19, 22, 25].filter((seq) => seq > after));
    }
  });

  test('reads frames that are larger than its buffer, from memory and from disk alike', async () => {
    const runtime = simRuntime();
    const wide = optionsOf('/log');
    const log = await openLog(wide, runtime);
    const drafts = [10, 3_000_000, 20, 9_000_000, 1_100_000].map((length, i) => draftOf(`f${i}`, 1, { entries: entriesOf([`${i}`.repeat(length)]) }));
    for (const draft of drafts) await log.append(draft, never);
    await using warm = log.reader(0);
    expect((await drain(warm)).map(({ entries }) => Buffer.compare(entries, drafts.shift()?.entries ?? Buffer.alloc(0)))).toEqual([0, 0, 0, 0, 0]);
    const lengths = [10, 3_000_000, 20, 9_000_000, 1_100_000].map((length) => 14 + 2 * length);
    await log[Symbol.asyncDispose]();
    await using again = await openLog(wide, simRuntime(runtime.sim));
    await using cold = again.reader(0);
    expect((await drain(cold)).map(({ entries }) => entries.length)).toEqual(lengths);
  });

  test('tells the same frames, field by field, from memory and from disk', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log'), runtime);
    await log.append(draftOf('a', 2, { kind: 2, snapshot: 5, registers: registersOf({ x: '1', y: null }) }), never);
    await using warm = log.reader(0);
    const recent = await warm.next(never);
    await using beside = await openLog(optionsOf('/log'), simRuntime(runtime.sim));
    await using cold = beside.reader(0);
    const stored = await cold.next(never);
    for (const field of ['kind', 'source', 'snapshot', 'count', 'firstSeq', 'lastSeq', 'epoch', 'appendTimeMs', 'transactions'] as const) expect(stored[field], field).toEqual(recent[field]);
    expect(stored.registers.map(([name, value]) => [name, value && Buffer.from(value)])).toEqual(recent.registers.map(([name, value]) => [name, value && Buffer.from(value)]));
    expect(Buffer.from(stored.entries)).toEqual(recent.entries);
  });

  test('is handed what was appended, though the bytes are used for something else once the append has settled', async () => {
    await using log = await openLog(optionsOf('/log'), simRuntime());
    await using reader = log.reader(0);
    for (const length of [10, 30_000, 70_000]) {
      const entries = entriesOf(['x'.repeat(length)]);
      const before = Buffer.from(entries);
      const position = Buffer.from([1, 2]);
      const transactions = [{ id: 1n, position, commitTimeMs: 1, firstEntry: 0, entriesBefore: 0, complete: true }];
      await log.append(draftOf('x', 1, { entries, transactions, registers: [['r', position]] }), never);
      entries.fill(0);
      position.fill(0);
      const frame = await reader.next(never);
      expect(Buffer.compare(frame.entries, before)).toBe(0);
      expect(frame.transactions[0]?.position).toEqual(Buffer.from([1, 2]));
      expect(log.registers.get('r')).toEqual(new Uint8Array([1, 2]));
    }
  });

  test('waits without looking at the disk, for as many readers as there are', async () => {
    const runtime = simRuntime();
    await using log = await openLog(optionsOf('/log'), runtime);
    const readers = Array.from({ length: 5 }, () => log.reader(0));
    const frames = readers.map((reader) => reader.next(never));
    for (let i = 0; i < 5; i += 1) await turn();
    const { operations } = runtime.sim;
    for (let i = 0; i < 20; i += 1) await turn();
    expect(runtime.sim.operations).toBe(operations);
    await log.append(draftOf('a', 1), never);
    for (const frame of await Promise.all(frames)) expect(rowsOf(frame)).toEqual(['1:a/0']);
    for (const reader of readers) await reader[Symbol.asyncDispose]();
  });

  test('that waits is told when its signal is aborted and when the log is closed', async () => {
    const runtime = simRuntime();
    const log = await openLog(optionsOf('/log'), runtime);
    const reader = log.reader(0);
    const aborter = new AbortController();
    const first = reader.next(aborter.signal);
    await turn();
    aborter.abort();
    await expect(first).rejects.toSatisfy(isAbort);
    await expect(reader.next(aborter.signal)).rejects.toSatisfy(isAbort);
    const second = reader.next(never);
    await turn();
    await log[Symbol.asyncDispose]();
    await expect(second).rejects.toSatisfy(isAbort);
    await reader[Symbol.asyncDispose]();
    await expect(reader.poll()).rejects.toSatisfy(isAbort);
    expect(runtime.sim.openFiles).toBe(0);
  });

  test('that is closed while it reads leaves no file open', async () => {
    const runtime = simRuntime();
    const log = await openLog(options, runtime);
    for (let i = 0; i < 6; i += 1) await log.append(draftOf(`f${i}`, 1), never);
    await log[Symbol.asyncDispose]();
    const again = await openLog(options, simRuntime(runtime.sim));
    for (let ticks = 0; ticks < 40; ticks += 1) {
      const reader = again.reader(0);
      const reading = drain(reader);
      reading.catch(() => {});
      for (let i = 0; i < ticks; i += 1) await Promise.resolve();
      await reader[Symbol.asyncDispose]();
      await Promise.allSettled([reading]);
    }
    await again[Symbol.asyncDispose]();
    expect(runtime.sim.openFiles).toBe(0);
  });

  test('reports a disk that cannot be read as DISK_FAILED and can go on afterwards', async () => {
    const runtime = simRuntime();
    const log = await openLog(options, runtime);
    for (let i = 0; i < 6; i += 1) await log.append(draftOf(`f${i}`, 1), never);
    await log[Symbol.asyncDispose]();
    await using again = await openLog(options, simRuntime(runtime.sim));
    await using reader = again.reader(0);
    await reader.next(never);
    runtime.sim.onOperation = ({ kind }) => (kind === 'read' || kind === 'open' ? 'EIO' : undefined);
    await expect(drain(reader)).rejects.toMatchObject({ code: 'DISK_FAILED' });
    runtime.sim.onOperation = undefined;
    expect((await drain(reader)).at(-1)?.lastSeq).toBe(6);
  });

  test('keeps no more than its buffer of a log that is larger', async () => {
    const runtime = simRuntime();
    const log = await openLog(optionsOf('/log', { segmentBytes: 4_000_000 }), runtime);
    const entries = entriesOf(['x'.repeat(100_000)]);
    for (let i = 0; i < 100; i += 1) await log.append(draftOf('f', 1, { entries }), never);
    await log[Symbol.asyncDispose]();
    await using again = await openLog(optionsOf('/log'), simRuntime(runtime.sim));
    let largest = 0;
    runtime.sim.onOperation = ({ kind, bytes }) => {
      if (kind === 'read') largest = Math.max(largest, bytes);
      return undefined;
    };
    await using reader = again.reader(0);
    expect((await drain(reader)).length).toBe(100);
    expect(largest).toBeLessThanOrEqual(1024 * 1024);
  });
});
