import { describe, expect, test } from 'vitest';
import { openLog } from '../../src/log/open.ts';
import type { CrashKind, SimOperation } from '../sim/sim-disk.ts';
import { SimDisk } from '../sim/sim-disk.ts';
import { draftOf, drain, never, optionsOf, registersOf, rowsOf } from './fixtures.ts';
import { seededRandom } from './seeded-random.ts';
import { diskWith, imageOf, simRuntime, type SimRuntime } from './sim-runtime.ts';

const options = optionsOf('/log', { segmentBytes: 600 });

/** Runs until the machine crashes at the first operation that `where` picks, and gives back what is left. */
async function crashed(kind: CrashKind, seed: number, where: (operation: SimOperation) => boolean, work: (runtime: SimRuntime) => Promise<void>): Promise<SimDisk> {
  const sim = new SimDisk({ random: seededRandom(seed) });
  let done = false;
  const crash = new Promise<void>((resolve) => (sim.onCrash = () => resolve()));
  sim.onOperation = (operation) => {
    if (done || !where(operation)) return undefined;
    done = true;
    return kind;
  };
  await Promise.race([crash, work(simRuntime(sim))]);
  expect(done, 'the crash happened').toBe(true);
  sim.onOperation = undefined;
  return sim;
}

async function appendSix(runtime: SimRuntime): Promise<void> {
  await using log = await openLog(options, runtime);
  for (let i = 0; i < 6; i += 1) await log.append(draftOf(`f${i}`, 1, { registers: registersOf({ n: `${i}` }) }), never);
}

async function rowsIn(sim: SimDisk): Promise<string[]> {
  await using log = await openLog(options, simRuntime(sim));
  await using reader = log.reader(0);
  const rows = (await drain(reader)).flatMap(rowsOf);
  expect(log.durableSeq).toBe(rows.length);
  await log.append(draftOf('after', 1), never);
  expect(log.durableSeq).toBe(rows.length + 1);
  return rows;
}

const both: readonly CrashKind[] = ['power', 'process'];

describe('opening', () => {
  test('finishes a log whose making was cut short at any operation, and gives it one identity', async () => {
    const make = async (runtime: SimRuntime): Promise<void> => await (await openLog(options, runtime))[Symbol.asyncDispose]();
    const count = simRuntime();
    await make(count);
    for (let at = 0; at < count.sim.operations; at += 1) {
      for (const kind of both) {
        for (let seed = 0; seed < 10; seed += 1) {
          const left = await crashed(kind, seed, ({ index }) => index === at, make);
          expect(await rowsIn(left)).toEqual([]);
        }
      }
    }
  });

  test('heals a crash between the footer of a segment and the header of the next', async () => {
    for (const operation of ['create', 'write', 'datasync', 'syncDirectory']) {
      for (const kind of both) {
        for (let seed = 0; seed < 20; seed += 1) {
          let creating = false;
          const where = ({ kind: op, path }: SimOperation): boolean => {
            if (op === 'create' && path.endsWith('0000000002.seg')) creating = true;
            return creating && op === operation;
          };
          const sim = await crashed(kind, seed, where, appendSix);
          const rows = await rowsIn(sim);
          expect(rows).toEqual(['1:f0/0', '2:f1/0', '3:f2/0']);
          expect(sim.files().filter((path) => path.endsWith('0000000002.seg'))).toHaveLength(1);
        }
      }
    }
  });

  test('removes a segment file that is empty or holds half a header, and only such a one', async () => {
    const runtime = simRuntime();
    await appendSix(runtime);
    const image = imageOf(runtime.sim);
    const segments = [...image.keys()].filter((path) => path.endsWith('.seg'));
    const [first = '', second = ''] = segments;
    const header = image.get(second)?.subarray(0, 140) ?? Buffer.alloc(0);
    for (const left of [Buffer.alloc(0), header.subarray(0, 50), Buffer.alloc(130)]) {
      const sim = diskWith(new Map([['/log/IDENTITY', image.get('/log/IDENTITY') ?? left], [first, image.get(first) ?? left], [second, left]]));
      expect(await rowsIn(sim)).toEqual(['1:f0/0', '2:f1/0', '3:f2/0']);
    }
  });

  test('cuts a torn tail off the file, so that nothing of it can come back', async () => {
    const runtime = simRuntime();
    await appendSix(runtime);
    const last = runtime.sim.files().findLast((path) => path.endsWith('.seg')) ?? '';
    const whole = runtime.sim.contents(last);
    runtime.sim.place(last, Buffer.concat([whole, Buffer.alloc(3000, 'torn')]));
    const log = await openLog(options, simRuntime(runtime.sim));
    expect(log.durableSeq).toBe(6);
    runtime.sim.crash('power');
    expect(runtime.sim.contents(last)).toEqual(whole);
  });

  test('leaves a draft of IDENTITY out', async () => {
    const runtime = simRuntime();
    await appendSix(runtime);
    runtime.sim.place('/log/IDENTITY.tmp', Buffer.from('half'));
    expect(await rowsIn(runtime.sim)).toHaveLength(6);
    expect(runtime.sim.files()).not.toContain('/log/IDENTITY.tmp');
  });

  test('makes durable what a failed sync left in the cache only: a loss of power later cannot take it back', async () => {
    let kept = 0;
    for (let seed = 0; seed < 60; seed += 1) {
      const sim = new SimDisk({ random: seededRandom(seed) });
      const failed = await openLog(options, simRuntime(sim));
      await failed.append(draftOf('a', 1), never);
      sim.onOperation = ({ kind }) => (kind === 'datasync' ? 'EIO' : undefined);
      await expect(failed.append(draftOf('b', 1), never)).rejects.toMatchObject({ code: 'DISK_FAILED' });
      await failed[Symbol.asyncDispose]();
      sim.onOperation = undefined;
      const log = await openLog(options, simRuntime(sim));
      const { durableSeq } = log;
      if (durableSeq === 2) kept += 1;
      sim.crash('power');
      await using again = await openLog(options, simRuntime(sim));
      expect(again.durableSeq).toBe(durableSeq);
    }
    expect(kept).toBe(60);
  });

  test('makes a name durable that was only in the cache', async () => {
    for (let seed = 0; seed < 40; seed += 1) {
      let creating = false;
      const where = ({ kind, path }: SimOperation): boolean => {
        if (kind === 'create' && path.endsWith('0000000002.seg')) creating = true;
        return creating && kind === 'syncDirectory';
      };
      const sim = await crashed('process', seed, where, appendSix);
      const log = await openLog(options, simRuntime(sim));
      const { durableSeq } = await log.append(draftOf('x', 1), never).then(() => log);
      sim.crash('power');
      await using again = await openLog(options, simRuntime(sim));
      expect(again.durableSeq).toBe(durableSeq);
    }
  });

  test('makes the folders around the log, and their names durable', async () => {
    for (let seed = 0; seed < 30; seed += 1) {
      const sim = new SimDisk({ random: seededRandom(seed) });
      const deep = optionsOf('/a/b/c/log');
      const log = await openLog(deep, simRuntime(sim));
      await log.append(draftOf('x', 1), never);
      sim.crash('power');
      await using again = await openLog(deep, simRuntime(sim));
      expect(again.durableSeq).toBe(1);
    }
  });

  test('says so when there is no space for a log, and opens it when there is', async () => {
    const runtime = simRuntime();
    runtime.sim.capacityBytes = 50;
    await expect(openLog(options, runtime)).rejects.toMatchObject({ code: 'DISK_FULL' });
    runtime.sim.capacityBytes = Number.POSITIVE_INFINITY;
    expect(await rowsIn(runtime.sim)).toEqual([]);
  });

  test('says so when the disk fails', async () => {
    const runtime = simRuntime();
    await appendSix(runtime);
    for (const kind of ['list', 'read', 'datasync', 'syncDirectory', 'makeDirectory', 'open', 'size', 'write']) {
      const next = simRuntime(runtime.sim);
      runtime.sim.onOperation = (operation) => (operation.kind === kind ? 'EIO' : undefined);
      await expect(openLog(options, next), kind).rejects.toMatchObject({ code: 'DISK_FAILED' });
    }
    runtime.sim.onOperation = undefined;
    expect(await rowsIn(runtime.sim)).toHaveLength(6);
  });
});
