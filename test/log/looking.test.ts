/** Looking at a log without writing it: read-only, by frame headers, and verifying it. */
import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { FrameKind } from '../../src/connector/log-store.ts';
import { openLog } from '../../src/log/open.ts';
import { openLogReadOnly, REFRESH_PAUSE_MS } from '../../src/log/read-only.ts';
import { verifyLog } from '../../src/log/verify.ts';
import type { SimOperation } from '../sim/sim-disk.ts';
import { draftOf, drain, entriesOf, never, optionsOf, registersOf, rowsOf } from './fixtures.ts';
import { imageOf, simRuntime, type SimRuntime } from './sim-runtime.ts';

const options = optionsOf('/log', { segmentBytes: 600 });

async function appendTen(runtime: SimRuntime): Promise<void> {
  await using log = await openLog(options, runtime);
  for (let i = 0; i < 10; i += 1) await log.append(draftOf(`f${i}`, 1, { registers: registersOf({ n: `${i}` }) }), never);
}

describe('a log that is opened read-only', () => {
  test('shows what is there and changes nothing, not even a torn tail', async () => {
    const runtime = simRuntime();
    await appendTen(runtime);
    const last = runtime.sim.files().findLast((path) => path.endsWith('.seg')) ?? '';
    runtime.sim.place(last, Buffer.concat([runtime.sim.contents(last), Buffer.from('torn')]));
    const before = imageOf(runtime.sim);
    const mutating: string[] = [];
    runtime.sim.onOperation = ({ kind }: SimOperation) => {
      if (['create', 'write', 'truncate', 'datasync', 'rename', 'remove', 'syncDirectory', 'makeDirectory'].includes(kind)) mutating.push(kind);
      return undefined;
    };
    await using log = await openLogReadOnly('/log', simRuntime(runtime.sim));
    await using reader = log.reader(3);
    expect((await drain(reader)).flatMap(rowsOf)).toEqual(['4:f3/0', '5:f4/0', '6:f5/0', '7:f6/0', '8:f7/0', '9:f8/0', '10:f9/0']);
    expect(log).toMatchObject({ epoch: 1, firstSeq: 1, durableSeq: 10 });
    expect(Buffer.from(log.registers.get('n') ?? []).toString()).toBe('9');
    expect(log.stats()).toMatchObject({ condition: 'ok', holds: [], firstSeq: 1, durableSeq: 10 });
    expect(mutating).toEqual([]);
    expect(imageOf(runtime.sim)).toEqual(before);
  });

  test('follows the one that is written, over new segments and removed ones', async () => {
    const runtime = simRuntime();
    const { clock } = runtime;
    await using writer = await openLog({ ...options, holds: [['index', 0]] }, runtime);
    await using log = await openLogReadOnly('/log', simRuntime(runtime.sim, clock));
    await using reader = log.reader(0);
    for (let i = 0; i < 30; i += 1) {
      const next = reader.next(never);
      while (clock.waiting === 0) await turn();
      await writer.append(draftOf(`f${i}`, 1), never);
      clock.advance(REFRESH_PAUSE_MS);
      expect(rowsOf(await next)).toEqual([`${i + 1}:f${i}/0`]);
      writer.hold('index', i);
    }
    await log.refresh();
    expect(log.stats()).toMatchObject({ firstSeq: writer.firstSeq, durableSeq: 30, bytes: writer.stats().bytes, segments: writer.stats().segments });
    expect(log.firstSeq).toBeGreaterThan(20);
    expect([...log.registers]).toEqual([...writer.registers]);
  });

  test('begins anew when all that it knew has been removed', async () => {
    const runtime = simRuntime();
    await using writer = await openLog({ ...options, holds: [['index', 0]] }, runtime);
    await writer.append(draftOf('first', 1), never);
    await using log = await openLogReadOnly('/log', simRuntime(runtime.sim));
    for (let i = 0; i < 20; i += 1) await writer.append(draftOf(`f${i}`, 1), never);
    writer.hold('index', 21);
    for (let i = 0; i < 20; i += 1) await turn();
    await log.refresh();
    expect(log).toMatchObject({ firstSeq: writer.firstSeq, durableSeq: 21 });
  });

  test('takes what is being written for not there yet, and sees it when it is whole', async () => {
    const runtime = simRuntime();
    await appendTen(runtime);
    const last = runtime.sim.files().findLast((path) => path.endsWith('.seg')) ?? '';
    const whole = runtime.sim.contents(last);
    for (let length = 0; length < whole.length; length += 7) {
      runtime.sim.place(last, whole.subarray(0, length));
      await using log = await openLogReadOnly('/log', simRuntime(runtime.sim));
      expect(log.durableSeq).toBeLessThan(10);
      runtime.sim.place(last, whole);
      await log.refresh();
      expect(log.durableSeq).toBe(10);
    }
  });

  test('goes on when a write that it had seen was taken back and written otherwise', async () => {
    const files = async (labels: readonly string[]): Promise<ReadonlyMap<string, Buffer>> => {
      const runtime = { ...simRuntime(), random: { fraction: () => 0.5, hex: () => 'ab'.repeat(16) } };
      await using log = await openLog(optionsOf('/log'), runtime);
      for (const label of labels) await log.append(draftOf(label, 1), never);
      return imageOf(runtime.sim);
    };
    const taken = simRuntime();
    for (const [path, bytes] of await files(['one', 'taken back, and long'])) taken.sim.place(path, bytes);
    await using log = await openLogReadOnly('/log', simRuntime(taken.sim));
    await using reader = log.reader(0);
    expect(rowsOf(await reader.next(never))).toEqual(['1:one/0']);
    for (const [path, bytes] of await files(['one', 'other', 'more', 'and more'])) taken.sim.place(path, bytes);
    await log.refresh();
    expect(log.durableSeq).toBe(4);
    await using anew = log.reader(1);
    expect((await drain(anew)).flatMap(rowsOf)).toEqual(['2:other/0', '3:more/0', '4:and more/0']);
  });

  test('reports a disk that cannot be read', async () => {
    const runtime = simRuntime();
    await appendTen(runtime);
    await using log = await openLogReadOnly('/log', simRuntime(runtime.sim));
    runtime.sim.onOperation = ({ kind }) => (kind === 'list' ? 'EIO' : undefined);
    await expect(log.refresh()).rejects.toMatchObject({ code: 'DISK_FAILED' });
    await expect(openLogReadOnly('/log', simRuntime(runtime.sim))).rejects.toMatchObject({ code: 'DISK_FAILED' });
    runtime.sim.onOperation = undefined;
    await log.refresh();
  });

  test('is LOG_CORRUPT where the log is, and says when there is none', async () => {
    const runtime = simRuntime();
    await appendTen(runtime);
    await expect(openLogReadOnly('/elsewhere', runtime)).rejects.toMatchObject({ code: 'STATE_IDENTITY' });
    const segments = runtime.sim.files().filter((path) => path.endsWith('.seg'));
    await runtime.disk.remove(segments[1] ?? '');
    await expect(openLogReadOnly('/log', runtime)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
  });
});

describe('frame headers', () => {
  test('tell which transactions are in the log, without reading entries', async () => {
    const runtime = simRuntime();
    const wide = optionsOf('/log', { segmentBytes: 3_000_000 });
    await using log = await openLog(wide, runtime);
    const entries = entriesOf(['x'.repeat(250_000)]);
    for (let i = 0; i < 20; i += 1) {
      const transactions = [{ id: BigInt(1000 + i), position: Buffer.from([i]), commitTimeMs: i, firstEntry: 0, entriesBefore: 0, complete: i % 2 === 0 }];
      await log.append(draftOf('f', 1, { entries, transactions, registers: registersOf({ i: `${i}` }) }), never);
    }
    expect(log.stats().segments).toBeGreaterThan(2);
    let read = 0;
    runtime.sim.onOperation = ({ kind, bytes }) => {
      if (kind === 'read') read += bytes;
      return undefined;
    };
    const oldest = await Array.fromAsync(log.frameHeaders('oldest_segment_first'));
    expect(oldest.map(({ transactions }) => transactions[0]?.id)).toEqual(Array.from({ length: 20 }, (_, i) => BigInt(1000 + i)));
    expect(oldest[3]).toMatchObject({ kind: FrameKind.stream, source: 'shop', count: 1, firstSeq: 4, lastSeq: 4, epoch: 1 });
    expect(oldest[3]?.registers[0]?.[0]).toBe('i');
    expect(read).toBeLessThan(log.stats().bytes / 10);
    const newest = await Array.fromAsync(log.frameHeaders('newest_segment_first'));
    expect(newest.map(({ firstSeq }) => firstSeq).toSorted((a, b) => a - b)).toEqual(oldest.map(({ firstSeq }) => firstSeq));
    expect(newest[0]?.firstSeq).toBeGreaterThan(10);
    await using beside = await openLogReadOnly('/log', simRuntime(runtime.sim));
    expect((await Array.fromAsync(beside.frameHeaders('oldest_segment_first'))).length).toBe(20);
  });

  test('are LOG_CORRUPT where a head or meta is damaged, and leave no file open when they are left', async () => {
    const runtime = simRuntime();
    await appendTen(runtime);
    await using log = await openLog(options, simRuntime(runtime.sim));
    const { openFiles } = runtime.sim;
    for await (const header of log.frameHeaders('oldest_segment_first')) {
      expect(header.firstSeq).toBe(1);
      break;
    }
    expect(runtime.sim.openFiles).toBe(openFiles);
    runtime.sim.flipBit(runtime.sim.files()[0] ?? '', 8 * 200);
    await expect(Array.fromAsync(log.frameHeaders('oldest_segment_first'))).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
    expect(runtime.sim.openFiles).toBe(openFiles);
  });
});

describe('verify', () => {
  test('says of every segment that it is whole', async () => {
    const runtime = simRuntime();
    await appendTen(runtime);
    const findings = await Array.fromAsync(verifyLog('/log', simRuntime(runtime.sim)));
    expect(findings.map(({ level }) => level)).toEqual(['ok', 'ok', 'ok', 'ok']);
    expect(findings[0]).toEqual({ level: 'ok', subject: '00000000000000000001-0000000001.seg', message: expect.stringMatching(/^seq 1 to 3, 3 frames, \d+ bytes, sealed$/) as string });
    expect(findings[3]?.message).toMatch(/^seq 10 to 10, 1 frames, \d+ bytes, open$/);
  });

  test('takes the end of a transaction that all of its changes are in the frame before for what it is', async () => {
    const runtime = simRuntime();
    {
      await using log = await openLog(optionsOf('/log'), runtime);
      const [begun] = draftOf('first', 2).transactions;
      const transaction = begun as NonNullable<typeof begun>;
      await log.append(draftOf('first', 2, { transactions: [{ ...transaction, complete: false }] }), new AbortController().signal);
      const next = { ...transaction, id: 77n };
      await log.append(draftOf('second', 1, { transactions: [{ ...transaction, firstEntry: 0, entriesBefore: 2 }, { ...next, firstEntry: 0 }] }), new AbortController().signal);
      await log.append(draftOf('third', 1, { transactions: [{ ...next, firstEntry: 1, entriesBefore: 1 }] }), new AbortController().signal);
    }
    const levels = async (): Promise<string[]> => (await Array.fromAsync(verifyLog('/log', simRuntime(runtime.sim)))).map(({ level }) => level);
    expect(await levels()).toEqual(['ok']);
    {
      await using log = await openLog(optionsOf('/log'), runtime);
      const [transaction] = draftOf('first', 2).transactions;
      await log.append(draftOf('fourth', 1, { transactions: [{ ...(transaction as NonNullable<typeof transaction>), firstEntry: 1 }] }), new AbortController().signal);
    }
    expect(await levels()).toContain('problem');
  });

  test('warns of an unfinished last write, and finds every damage, not only the first', async () => {
    const runtime = simRuntime();
    await appendTen(runtime);
    const segments = runtime.sim.files().filter((path) => path.endsWith('.seg'));
    const last = segments.at(-1) ?? '';
    runtime.sim.place(last, Buffer.concat([runtime.sim.contents(last), Buffer.from('torn')]));
    runtime.sim.flipBit(segments[0] ?? '', 8 * 300);
    runtime.sim.flipBit(segments[2] ?? '', 8 * 10);
    const findings = await Array.fromAsync(verifyLog('/log', simRuntime(runtime.sim)));
    expect(findings.map(({ level, subject, code }) => [level, subject.slice(-8, -4), code])).toEqual([
      ['problem', '0001', 'LOG_CORRUPT'],
      ['ok', '0002', undefined],
      ['problem', '0003', 'LOG_CORRUPT'],
      ['warning', '0004', undefined],
      ['ok', '0004', undefined],
    ]);
    expect(findings[0]?.message).toMatch(/byte \d+ \(changes with seq [12] to [123]\)/);
  });

  test('finds a missing segment, a missing folder and a damaged IDENTITY', async () => {
    const runtime = simRuntime();
    await appendTen(runtime);
    const segments = runtime.sim.files().filter((path) => path.endsWith('.seg'));
    await runtime.disk.remove(segments[1] ?? '');
    const findings = await Array.fromAsync(verifyLog('/log', simRuntime(runtime.sim)));
    expect(findings.filter(({ level }) => level === 'problem').map(({ message }) => message)).toEqual([expect.stringContaining('segments are missing') as string]);
    expect(await Array.fromAsync(verifyLog('/nothing', runtime))).toMatchObject([{ level: 'problem', code: 'STATE_IDENTITY' }]);
    runtime.sim.flipBit('/log/IDENTITY', 200);
    expect(await Array.fromAsync(verifyLog('/log', runtime))).toMatchObject([{ level: 'problem', code: 'LOG_CORRUPT' }]);
  });

  test('finds entries that are none, though every checksum is right', async () => {
    const runtime = simRuntime();
    const log = await openLog(options, runtime);
    await log.append(draftOf('a', 2, { count: 3 }), never);
    await log[Symbol.asyncDispose]();
    expect(await Array.fromAsync(verifyLog('/log', runtime))).toMatchObject([{ level: 'problem', message: expect.stringContaining('it has 2 entries instead of 3') as string }]);
  });
});
