import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Op } from '../../src/change/operation.ts';
import { openLogReadOnly, type ReadOnlyLog } from '../../src/log/read-only.ts';
import { rowAt, rowChanges, type RowChanges, type RowChangesRequest } from '../../src/pipeline/row-changes.ts';
import { encodeKey } from '../change/encode-key.ts';
import { never, temporaryFolder } from '../log/fixtures.ts';
import { append, OTHERS, rowLog, runtime } from './logged-rows.ts';

const request: RowChangesRequest = { source: 'shop', table: 'public.items', key: encodeKey([Buffer.from('a')]), first: 1, limit: 1_000 };

const looked = (log: ReadOnlyLog, more: Partial<RowChangesRequest> = {}): Promise<RowChanges> => rowChanges({ ...request, ...more }, log, never);
const seqs = ({ changes }: RowChanges): number[] => changes.map(({ seq }) => seq);

test('a row\'s changes are those with its key in its table, and truncates of the table, with what is known of each', async () => {
  await using folder = await temporaryFolder();
  await using log = await rowLog(folder.path);
  await append(log, [{ id: 'a' }, { id: 'b' }, { id: 'aa' }]);
  await append(log, [{ id: 'a', schema: OTHERS }, { id: 'x', op: Op.truncate, schema: OTHERS }, { id: 'a', op: Op.delete, keyChanged: true }]);
  await append(log, [{ id: 'b' }, { id: 'a', name: 'read' }], 3);
  await append(log, [{ id: 'a', op: Op.truncate }]);
  await using reading = await openLogReadOnly(join(folder.path, 'log'), runtime);
  expect(await looked(reading)).toEqual({
    changes: [
      { seq: 1, op: Op.update, keyChanged: false, rowBytes: 21, snapshot: null, transaction: { id: 1n, position: Buffer.from([1]), commitTimeMs: 1 } },
      { seq: 6, op: Op.delete, keyChanged: true, rowBytes: 0, snapshot: null, transaction: { id: 4n, position: Buffer.from([4]), commitTimeMs: 4 } },
      { seq: 8, op: Op.read, keyChanged: false, rowBytes: 24, snapshot: 3, transaction: null },
      { seq: 9, op: Op.truncate, keyChanged: false, rowBytes: 0, snapshot: null, transaction: { id: 9n, position: Buffer.from([9]), commitTimeMs: 9 } },
    ],
    readFrom: 1,
    readTo: 9,
  });
  expect(seqs(await looked(reading, { source: 'other' }))).toEqual([]);
  expect((await rowAt(reading, 8))?.row.toString()).toBe('{"id":"a","name":"read"}');
  expect((await rowAt(reading, 8))?.schema).toMatchObject({ table: 'public.items' });
  expect(await rowAt(reading, 10)).toBeUndefined();
});

test('changes are found in every segment, each once, and how much was looked at grows to all of it', async () => {
  await using folder = await temporaryFolder();
  await using log = await rowLog(folder.path, 2_000);
  const expected: number[] = [];
  for (let i = 0; i < 120; i += 1) {
    if (i % 7 === 0) expected.push(2 * i + 2);
    await append(log, [{ id: 'b' }, { id: i % 7 === 0 ? 'a' : 'c' }]);
  }
  await using reading = await openLogReadOnly(join(folder.path, 'log'), runtime);
  expect(reading.segments.length).toBeGreaterThan(10);
  const done: number[] = [];
  const found = await rowChanges(request, reading, never, (some, total) => {
    expect(total).toBe(240);
    done.push(some);
  });
  expect([seqs(found), found.readFrom, found.readTo]).toEqual([expected, 1, 240]);
  expect(done).toEqual(done.toSorted((a, b) => a - b));
  expect(done.at(-1)).toBe(240);
});

test('with a limit the newest changes are found, and the rest of the log is not read', async () => {
  await using folder = await temporaryFolder();
  await using log = await rowLog(folder.path, 2_000);
  for (let i = 0; i < 100; i += 1) await append(log, [{ id: 'a' }]);
  await using reading = await openLogReadOnly(join(folder.path, 'log'), runtime);
  const first = [...reading.segments][0]?.name ?? '';
  const opened: string[] = [];
  const open = reading.disk.open.bind(reading.disk);
  reading.disk.open = async (path, mode) => {
    opened.push(path);
    return open(path, mode);
  };
  try {
    expect(await looked(reading, { limit: 1 })).toMatchObject({ changes: [{ seq: 100 }], readFrom: 100, readTo: 100 });
    expect(seqs(await looked(reading, { limit: 30 }))).toEqual(Array.from({ length: 30 }, (_, i) => i + 71));
    expect(await looked(reading, { first: 95 })).toMatchObject({ readFrom: 95, changes: { length: 6 } });
    expect(opened.filter((path) => path.endsWith(first))).toEqual([]);
    expect(await looked(reading, { first: 101 })).toEqual({ changes: [], readFrom: 101, readTo: 100 });
  } finally {
    reading.disk.open = open;
  }
});

test('a log that is shortened while it is read is read as far as it is kept', async () => {
  await using folder = await temporaryFolder();
  await using log = await rowLog(folder.path, 2_000);
  for (let i = 0; i < 100; i += 1) await append(log, [{ id: 'a' }]);
  await using reading = await openLogReadOnly(join(folder.path, 'log'), runtime);
  const kept = [...reading.segments].findLast(({ firstSeq }) => firstSeq <= 61)?.firstSeq ?? 0;
  log.hold('items-g0001', 60);
  // The last file to go, so that none goes while it is looked.
  await expect.poll(() => [log.firstSeq, readdirSync(join(folder.path, 'log')).filter((name) => /^\d/.test(name) && Number.parseInt(name, 10) < kept)]).toEqual([kept, []]);
  const found = await looked(reading);
  expect(found.readFrom).toBe(kept);
  expect(found.readFrom).toBeGreaterThan(1);
  expect(seqs(found)).toEqual(Array.from({ length: 101 - found.readFrom }, (_, i) => found.readFrom + i));
  await using late = await openLogReadOnly(join(folder.path, 'log'), runtime);
  log.hold('items-g0001', 90);
  await expect.poll(() => readdirSync(join(folder.path, 'log')).some((name) => name.startsWith(String(found.readFrom).padStart(20, '0')))).toBe(false);
  expect(await rowAt(late, found.readFrom)).toBeUndefined();
});

test('a damaged log is said to be damaged, and a look that is called off ends', async () => {
  await using folder = await temporaryFolder();
  await using log = await rowLog(folder.path);
  await append(log, [{ id: 'a' }]);
  await using reading = await openLogReadOnly(join(folder.path, 'log'), runtime);
  await expect(rowChanges(request, reading, AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
  const { truncate } = await import('node:fs/promises');
  const [name = ''] = readdirSync(join(folder.path, 'log')).filter((file) => file.endsWith('.seg'));
  await truncate(join(folder.path, 'log', name), 100);
  await expect(looked(reading)).rejects.toMatchObject({ code: 'LOG_CORRUPT' });
});
