import { describe, expect, test } from 'vitest';
import type { Disk, DiskFile } from '../../src/runtime/disk.ts';
import { seededRandom } from '../log/seeded-random.ts';
import { SimDisk } from './sim-disk.ts';
import { SECTOR_BYTES } from './sim-inode.ts';

async function created(disk: Disk, path: string): Promise<DiskFile> {
  await disk.makeDirectory('/data');
  await disk.syncDirectory('/');
  const file = await disk.open(path, 'create');
  await disk.syncDirectory('/data');
  return file;
}

describe('the simulated disk', () => {
  test('keeps through a loss of power what was synced, byte for byte', async () => {
    for (let seed = 0; seed < 200; seed += 1) {
      const sim = new SimDisk({ random: seededRandom(seed) });
      const file = await created(sim.mount(), '/data/a');
      await file.write([Buffer.from('one '), Buffer.from('two')], 0);
      await file.datasync();
      sim.crash('power');
      expect(sim.contents('/data/a').toString()).toBe('one two');
    }
  });

  test('leaves every sector that was not synced old or new, and each of both happens', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 300; seed += 1) {
      const sim = new SimDisk({ random: seededRandom(seed) });
      const file = await created(sim.mount(), '/data/a');
      await file.write([Buffer.alloc(3 * SECTOR_BYTES, 'a')], 0);
      await file.datasync();
      await file.write([Buffer.alloc(2 * SECTOR_BYTES, 'b')], SECTOR_BYTES / 2);
      sim.crash('power');
      const after = sim.contents('/data/a').toString();
      expect(after).toMatch(/^a{256}(a{256}|b{256})(a{512}|b{512})(a{512}|b{256}a{256})$/);
      seen.add(after);
    }
    expect(seen.size).toBe(8);
  });

  test('loses names that were not synced, and brings removed ones back', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed += 1) {
      const sim = new SimDisk({ random: seededRandom(seed) });
      const disk = sim.mount();
      await created(disk, '/data/old');
      await disk.remove('/data/old');
      await disk.open('/data/new', 'create');
      expect(await disk.list('/data')).toEqual(['new']);
      sim.crash('power');
      seen.add(sim.files().join());
    }
    expect([...seen].toSorted()).toEqual(['', '/data/new', '/data/new,/data/old', '/data/old']);
  });

  test('takes a failed sync for a successful one afterwards, as Linux does, until the bytes are written again', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 100; seed += 1) {
      const sim = new SimDisk({ random: seededRandom(seed) });
      const file = await created(sim.mount(), '/data/a');
      await file.write([Buffer.from('x')], 0);
      sim.onOperation = ({ kind }) => (kind === 'datasync' ? 'EIO' : undefined);
      await expect(file.datasync()).rejects.toMatchObject({ code: 'EIO' });
      sim.onOperation = undefined;
      expect(sim.contents('/data/a').toString()).toBe('x');
      const again = seed % 2 === 0;
      if (again) await file.write([Buffer.from('x')], 0);
      await file.datasync();
      sim.crash('power');
      seen.add(`${again}:${sim.contents('/data/a').toString()}`);
    }
    expect(seen).toContain('false:\0');
    expect(seen).toContain('true:x');
    expect(seen).not.toContain('true:\0');
  });

  test('writes what fits when there is too little room, and fails with ENOSPC', async () => {
    const sim = new SimDisk({ random: seededRandom(1), capacityBytes: 1000 });
    const disk = sim.mount();
    const file = await created(disk, '/data/a');
    await expect(file.write([Buffer.alloc(1500, 'x')], 0)).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(await file.size()).toBe(1000);
    expect(await disk.freeBytes('/data')).toBe(0);
    await file.truncate(100);
    expect(await disk.freeBytes('/data')).toBe(900);
  });

  test('never settles an operation of a process that crashed', async () => {
    const sim = new SimDisk({ random: seededRandom(1) });
    const disk = sim.mount();
    const file = await created(disk, '/data/a');
    sim.onOperation = ({ kind }) => (kind === 'write' ? 'process' : undefined);
    let settled = false;
    const crashed = new Promise<void>((resolve) => (sim.onCrash = () => resolve()));
    const settle = (): void => void (settled = true);
    file.write([Buffer.from('x')], 0).then(settle, settle);
    await crashed;
    disk.list('/data').then(settle, settle);
    expect(await sim.mount().list('/data')).toEqual(['a']);
    expect(settled).toBe(false);
  });

  test('is the same for the same seed', async () => {
    const run = async (seed: number): Promise<string> => {
      const sim = new SimDisk({ random: seededRandom(seed) });
      const file = await created(sim.mount(), '/data/a');
      for (let i = 0; i < 20; i += 1) await file.write([Buffer.alloc(700, i)], i * 300);
      sim.crash('power');
      return sim.contents('/data/a').toString('hex');
    };
    expect(await run(7)).toBe(await run(7));
    expect(await run(7)).not.toBe(await run(8));
  });
});
