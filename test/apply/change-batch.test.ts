import { describe, expect, test } from 'vitest';
import { ChangeBatch, HELD_FACTOR, HELD_SLACK_BYTES, type Interest } from '../../src/apply/change-batch.ts';
import { ENTRY_OVERHEAD_BYTES, writeEntry } from '../../src/change/entry.ts';
import { Op } from '../../src/change/operation.ts';
import { FrameKind, type Frame } from '../../src/connector/log-store.ts';

type Change = readonly [op: Op, key: string, row?: string, schemaId?: number];

function entryOf(op: Op, keyText: string, rowText = '', schemaId = 1): Buffer {
  const key = Buffer.from(keyText);
  const row = Buffer.from(rowText);
  const entry = Buffer.alloc(ENTRY_OVERHEAD_BYTES + key.length + row.length);
  writeEntry(entry, 0, op, 0, schemaId, key, 0, key.length, row, 0, row.length);
  return entry;
}

function frame(firstSeq: number, changes: readonly Change[], over: Partial<Frame> = {}): Frame {
  const entries = Buffer.concat(changes.map((change) => entryOf(...change)));
  const count = changes.length;
  return { kind: FrameKind.stream, source: 's', snapshot: 0, entries, count, transactions: [], registers: [], firstSeq, lastSeq: firstSeq + count - 1, epoch: 1, appendTimeMs: 0, ...over };
}

const interest: Interest = { source: 's', hasSchema: (id) => id === 1, takesSnapshot: (_, number) => number === 7 };

function contents(batch: ChangeBatch): string[] {
  return [...batch.changes.values()].map(({ seq, op, key, row }) => `${seq}:${op}:${key}=${row}`);
}

/** Bytes of all buffers that are kept alive by a batch's changes. */
function heldBytes(batch: ChangeBatch): number {
  const buffers = new Set([...batch.changes.values()].flatMap(({ key, row }) => [key.buffer, row.buffer]));
  return [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** As a reader hands it out: the frame lies in a buffer of a megabyte. */
function frameInLargeBuffer(firstSeq: number, changes: readonly Change[]): Frame {
  const { entries, ...rest } = frame(firstSeq, changes);
  const buffer = Buffer.alloc(1024 * 1024);
  buffer.set(entries);
  return { ...rest, entries: buffer.subarray(0, entries.length) };
}

describe('a batch of changes', () => {
  test('keeps the last change of each key and counts what that made pointless', () => {
    const batch = new ChangeBatch(0);
    batch.add(frame(1, [[Op.insert, 'a', '1'], [Op.insert, 'b', '2'], [Op.update, 'a', '3']]), interest);
    batch.add(frame(4, [[Op.delete, 'b']]), interest);
    expect(contents(batch).toSorted()).toEqual([`3:${Op.update}:a=3`, `4:${Op.delete}:b=`]);
    expect([batch.read, batch.superseded, batch.through]).toEqual([4, 2, 4]);
  });

  test('skips what the cursor has passed, other tables, and snapshots of others', () => {
    const batch = new ChangeBatch(2);
    batch.add(frame(1, [[Op.insert, 'a'], [Op.insert, 'b'], [Op.insert, 'c']]), interest);
    batch.add(frame(4, [[Op.insert, 'd', '', 2]]), interest);
    batch.add(frame(5, [[Op.read, 'e']], { kind: FrameKind.snapshot, snapshot: 8 }), interest);
    batch.add(frame(6, [[Op.read, 'f']], { kind: FrameKind.snapshot, snapshot: 7 }), interest);
    expect([...batch.changes.values()].map(({ key }) => key.toString())).toEqual(['c', 'f']);
    expect([batch.read, batch.through]).toEqual([2, 6]);
  });

  test('forgets everything before a truncate, and keeps what comes behind it', () => {
    const batch = new ChangeBatch(0);
    batch.add(frame(1, [[Op.insert, 'a'], [Op.truncate, ''], [Op.insert, 'b'], [Op.truncate, ''], [Op.insert, 'c']]), interest);
    expect([contents(batch), batch.clearedAt, batch.read, batch.superseded]).toEqual([[`5:${Op.insert}:c=`], 4, 5, 3]);
  });

  test('is empty while nothing concerns the target, and moves on all the same', () => {
    const batch = new ChangeBatch(0);
    batch.add(frame(1, [[Op.insert, 'a', '', 2]]), interest);
    expect([batch.isEmpty, batch.through]).toEqual([true, 1]);
  });

  test('knows the newest commit of the source in it', () => {
    const batch = new ChangeBatch(0);
    const transaction = { id: 1n, position: Buffer.alloc(1), firstEntry: 0, entriesBefore: 0, complete: true };
    batch.add(frame(1, [[Op.insert, 'a']], { transactions: [{ ...transaction, commitTimeMs: 5 }, { ...transaction, commitTimeMs: 9 }] }), interest);
    expect(batch.commitTimeMs).toBe(9);
  });

  test.each([
    ['one small row of each', 0],
    ['one small row of each, and rows that the next one replaces', 200],
  ])('lets go of the buffers that frames were read into: %s', (_, replaced) => {
    const batch = new ChangeBatch(0);
    for (let i = 0; i < 100; i += 1) {
      const again = Array.from({ length: replaced }, (__, j): Change => [Op.update, `hot ${j}`, `${i} ${'x'.repeat(4000)}`]);
      batch.add(frameInLargeBuffer(1 + i * (replaced + 1), [...again, [Op.insert, `cold ${i}`, `row ${i}`]]), interest);
      expect(heldBytes(batch)).toBeLessThanOrEqual(HELD_FACTOR * batch.bytes + HELD_SLACK_BYTES);
    }
    const kept = new Map([...batch.changes.values()].map(({ key, row }) => [key.toString(), row.toString()]));
    expect(kept.size).toBe(100 + replaced);
    for (let i = 0; i < 100; i += 1) expect(kept.get(`cold ${i}`)).toBe(`row ${i}`);
    for (let j = 0; j < replaced; j += 1) expect(kept.get(`hot ${j}`)).toBe(`99 ${'x'.repeat(4000)}`);
  });

  test('counts the bytes of the keys and rows that it has, and no others', () => {
    const batch = new ChangeBatch(0);
    batch.add(frame(1, [[Op.insert, 'key', 'row'], [Op.update, 'key', 'longer'], [Op.delete, 'other']]), interest);
    expect(batch.bytes).toBe('key'.length + 'longer'.length + 'other'.length);
    batch.add(frame(4, [[Op.truncate, ''], [Op.insert, 'a', 'b']]), interest);
    expect(batch.bytes).toBe(2);
  });
});
