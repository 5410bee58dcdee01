import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { openLog } from '../../src/log/open.ts';
import { draftOf, drain, never, optionsOf, registersOf, rowsOf, temporaryFolder } from './fixtures.ts';

const runtime = nodeRuntime(silentLogger);

describe('a log on the real disk', () => {
  test('gives back what was appended, with seqs from 1 without a gap', async () => {
    await using folder = await temporaryFolder();
    await using log = await openLog(optionsOf(join(folder.path, 'log')), runtime);
    expect(log).toMatchObject({ epoch: 1, firstSeq: 1, durableSeq: 0, condition: 'ok' });
    const appended = await Promise.all([log.append(draftOf('a', 2), never), log.append(draftOf('b', 0, { registers: registersOf({ x: '1' }) }), never), log.append(draftOf('c', 1), never)]);
    expect(appended).toEqual([
      { firstSeq: 1, lastSeq: 2 },
      { firstSeq: 3, lastSeq: 2 },
      { firstSeq: 3, lastSeq: 3 },
    ]);
    await using reader = log.reader(0);
    const frames = await drain(reader);
    expect(frames.flatMap(rowsOf)).toEqual(['1:a/0', '2:a/1', '3:c/0']);
    expect(frames[0]).toMatchObject({ kind: 1, source: 'shop', epoch: 1, firstSeq: 1, lastSeq: 2, snapshot: 0 });
    expect(log.registers.get('x')).toEqual(new Uint8Array(Buffer.from('1')));
  });

  test('has everything again after it was closed and opened, over many segments', async () => {
    await using folder = await temporaryFolder();
    const options = optionsOf(folder.path, { segmentBytes: 2000 });
    const expected: string[] = [];
    let logId = '';
    for (let round = 0; round < 4; round += 1) {
      await using log = await openLog(options, runtime);
      logId ||= log.logId;
      expect(log.logId).toBe(logId);
      for (let i = 0; i < 20; i += 1) {
        const { firstSeq } = await log.append(draftOf(`r${round}f${i}`, 3, { registers: registersOf({ round: `${round}`, [`f${i}`]: `${round}` }) }), never);
        for (let k = 0; k < 3; k += 1) expected.push(`${firstSeq + k}:r${round}f${i}/${k}`);
      }
      await using fromStart = log.reader(0);
      expect((await drain(fromStart)).flatMap(rowsOf)).toEqual(expected);
      await using fromMiddle = log.reader(30);
      const frames = await drain(fromMiddle);
      expect(frames[0]?.lastSeq).toBeGreaterThan(30);
      expect(frames[0]?.firstSeq).toBeLessThanOrEqual(31);
      expect(frames.at(-1)?.lastSeq).toBe(log.durableSeq);
      expect(log.stats().segments).toBeGreaterThan(2);
    }
    await using log = await openLog(options, runtime);
    expect(log.durableSeq).toBe(240);
    expect(Object.fromEntries(log.registers)['round']?.toString()).toBe(new Uint8Array(Buffer.from('3')).toString());
    expect(log.registers.size).toBe(21);
    await using cold = log.reader(0);
    expect((await drain(cold)).flatMap(rowsOf)).toEqual(expected);
  });

  test('wakes a waiting reader when something is durable, and not before', async () => {
    await using folder = await temporaryFolder();
    await using log = await openLog(optionsOf(folder.path), runtime);
    await using reader = log.reader(0);
    const frame = reader.next(never);
    await log.append(draftOf('a', 1), never);
    expect(rowsOf(await frame)).toEqual(['1:a/0']);
    expect(log.durableSeq).toBe(1);
    const aborted = new AbortController();
    const waiting = reader.next(aborted.signal);
    aborted.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });
});
