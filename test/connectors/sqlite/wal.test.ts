import { once } from 'node:events';
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import type { WalLimits } from '../../../connectors/targets/sqlite/wal.ts';
import type { Batch } from '../../../src/connector/target.ts';
import { batchOf, put } from '../../contract/target-fixture.ts';
import { plan, temporaryFolder } from './folder.ts';

const { signal } = new AbortController();
const MIB = 1024 * 1024;

/** About 600 KiB of documents. */
function load(round: number): Batch {
  const filler = 'x'.repeat(3000);
  return batchOf(round, ...Array.from({ length: 200 }, (_, i) => put(`k${i}`, BigInt(round), { filler, round })));
}

/** The greatest size that the write-ahead log reaches while readers are in it all the time. */
async function greatestLog(walLimits: WalLimits): Promise<number> {
  using folder = temporaryFolder();
  await using target = folder.target({ limits: { walLimits } });
  const generation = await target.open(plan('things'), signal);
  const readers = new Worker(new URL('./overlapping-readers.ts', import.meta.url), { workerData: { path: folder.file } });
  await once(readers, 'message');
  let greatest = 0;
  for (let round = 1; round <= 60; round += 1) {
    await generation.apply(load(round), signal);
    greatest = Math.max(greatest, statSync(`${folder.file}-wal`).size);
  }
  readers.postMessage('end');
  await once(readers, 'exit');
  return greatest;
}

describe('the write-ahead log', () => {
  test('stays small under constant load though readers follow each other without a gap', { timeout: 60_000 }, async () => {
    expect(await greatestLog({ softBytes: 2 * MIB, hardBytes: 1024 * MIB })).toBeLessThan(10 * MIB);
    // Without the limit it grows with everything that is written: the readers do stand in the way.
    expect(await greatestLog({ softBytes: 1024 * MIB, hardBytes: 1024 * MIB })).toBeGreaterThan(25 * MIB);
  });

  test('of a file that a reader holds for ever grows to its limit, then writing pauses until the reader is gone', { timeout: 60_000 }, async () => {
    using folder = temporaryFolder();
    await using target = folder.target({ limits: { walLimits: { softBytes: MIB, hardBytes: 4 * MIB } } });
    const generation = await target.open(plan('things'), signal);
    await generation.apply(load(1), signal);
    const reader = new DatabaseSync(folder.file, { readOnly: true });
    reader.exec('BEGIN');
    reader.prepare('SELECT count(*) FROM tailrace_generations').get();
    let round = 1;
    const writing = async (): Promise<void> => {
      for (; round < 30; round += 1) await generation.apply(load(round + 1), signal);
    };
    await expect(writing()).rejects.toMatchObject({ code: 'TGT_BLOCKED', message: expect.stringMatching(/keeps .*-wal from being emptied/) as unknown });
    expect(statSync(`${folder.file}-wal`).size).toBeLessThan(6 * MIB);
    expect(await generation.cursor()).toBe(round);
    reader.exec('COMMIT');
    await writing();
    expect(await generation.cursor()).toBe(30);
    expect(statSync(`${folder.file}-wal`).size).toBeLessThan(6 * MIB);
    reader.close();
  });
});
