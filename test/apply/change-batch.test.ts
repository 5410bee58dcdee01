import { describe, expect, test } from 'vitest';
import { ChangeBatch, type Interest } from '../../src/apply/change-batch.ts';
import { FrameBufferPool, FrameBuilder } from '../../src/capture/frame-builder.ts';
import { Op } from '../../src/change/operation.ts';
import { FrameKind, type Frame } from '../../src/connector/log-store.ts';

type Change = readonly [op: Op, key: string, row?: string, schemaId?: number];

function frame(firstSeq: number, changes: readonly Change[], over: Partial<Frame> = {}): Frame {
  const builder = new FrameBuilder(new FrameBufferPool());
  for (const [op, key, row = '', schemaId = 1] of changes) builder.add(op, 0, schemaId, Buffer.from(key), 0, key.length, Buffer.from(row), 0, row.length, false);
  const { entries, count } = builder.take([]);
  return { kind: FrameKind.stream, source: 's', snapshot: 0, entries, count, transactions: [], registers: [], firstSeq, lastSeq: firstSeq + count - 1, epoch: 1, appendTimeMs: 0, ...over };
}

const interest: Interest = { source: 's', hasSchema: (id) => id === 1, takesSnapshot: (_, number) => number === 7 };

function contents(batch: ChangeBatch): string[] {
  return [...batch.changes.values()].map(({ seq, op, key, row }) => `${seq}:${op}:${key}=${row}`);
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
});
