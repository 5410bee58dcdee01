import { describe, expect, test } from 'vitest';
import { EntryCursor } from '../../src/change/entry.ts';
import { Op } from '../../src/change/operation.ts';
import { FRAME_BYTES_MAX, FRAME_ENTRIES_MAX, FRAME_INCOMPLETE_MAX, FrameBufferPool, FrameBuilder } from '../../src/capture/frame-builder.ts';

const start = (n: number): { id: bigint; position: Buffer; commitTimeMs: number } => ({ id: BigInt(n), position: Buffer.from([n]), commitTimeMs: n });
const row = Buffer.from('row');

function add(builder: FrameBuilder, key: string, incomplete = false): void {
  builder.add(Op.insert, 0, 1, Buffer.from(`${key}unused`), 0, key.length, Buffer.from(`<${key}>`), 1, 1 + key.length, incomplete ? Buffer.from([7]) : null);
}

function keysOf(entries: Buffer): string[] {
  const cursor = new EntryCursor(entries, 1);
  const keys: string[] = [];
  while (cursor.next()) keys.push(`${cursor.key()}=${cursor.row()}`);
  return keys;
}

describe('a frame', () => {
  test('holds its changes in order, with the transactions they belong to', () => {
    const builder = new FrameBuilder(new FrameBufferPool());
    builder.begin(start(1));
    add(builder, 'a');
    builder.commit();
    builder.begin(start(2));
    add(builder, 'b');
    add(builder, 'c');
    builder.commit();
    const frame = builder.take([['position:s', row]]);
    expect(keysOf(frame.entries)).toEqual(['a=a', 'b=b', 'c=c']);
    expect(frame.transactions.map(({ id, firstEntry, entriesBefore, complete }) => [id, firstEntry, entriesBefore, complete])).toEqual([
      [1n, 0, 0, true],
      [2n, 1, 0, true],
    ]);
    expect(frame.registers).toEqual([['position:s', row]]);
    expect(builder.isEmpty).toBe(true);
  });

  test('that ends in the middle of a transaction says so, and the next goes on counting', () => {
    const builder = new FrameBuilder(new FrameBufferPool());
    builder.begin(start(1));
    add(builder, 'a');
    add(builder, 'b');
    const first = builder.take([]);
    add(builder, 'c');
    const second = builder.take([]);
    builder.commit();
    add(builder, 'x');
    const third = builder.take([]);
    const parts = [first, second, third].map(({ transactions }) => transactions.map(({ firstEntry, entriesBefore, complete }) => [firstEntry, entriesBefore, complete]));
    expect(parts).toEqual([[[0, 0, false]], [[0, 2, false]], [[0, 3, true]]]);
  });

  test('does not mention a transaction without changes', () => {
    const builder = new FrameBuilder(new FrameBufferPool());
    builder.begin(start(1));
    builder.commit();
    expect(builder.isEmpty).toBe(true);
    expect(builder.take([]).transactions).toEqual([]);
  });

  test('counts what the log had of a transaction before a restart', () => {
    const builder = new FrameBuilder(new FrameBufferPool());
    builder.begin(start(1));
    builder.continueAfter(5);
    add(builder, 'f');
    builder.commit();
    expect(builder.take([]).transactions[0]).toMatchObject({ entriesBefore: 5, complete: true });
  });

  test('remembers where rows lack columns, apart from buffers that are used again', () => {
    const builder = new FrameBuilder(new FrameBufferPool());
    add(builder, 'a');
    const key = Buffer.from('k');
    const bytes = Buffer.from('incomplete');
    builder.add(Op.update, 0, 3, key, 0, 1, bytes, 0, bytes.length, Buffer.from([9]));
    key.fill(0);
    bytes.fill(0);
    const [entry] = builder.take([]).incomplete;
    expect([entry?.index, entry?.schemaId, entry?.key.toString(), entry?.row.toString(), entry?.behind[0]]).toEqual([1, 3, 'k', 'incomplete', 9]);
  });

  test('is full by bytes or by changes, and takes a row that is larger than itself', () => {
    const builder = new FrameBuilder(new FrameBufferPool());
    const large = Buffer.alloc(FRAME_BYTES_MAX + 5, 'x');
    builder.add(Op.insert, 0, 1, row, 0, 3, large, 0, large.length, null);
    expect(builder.isFull).toBe(true);
    const { entries } = builder.take([]);
    const cursor = new EntryCursor(entries, 1);
    cursor.next();
    expect(cursor.row().equals(large)).toBe(true);
    for (let i = 0; i < FRAME_ENTRIES_MAX; i += 1) add(builder, 'k');
    expect(builder.isFull).toBe(true);
  });

  test('is full by rows that lack columns, which grow when they are completed', () => {
    const builder = new FrameBuilder(new FrameBufferPool());
    for (let i = 1; i < FRAME_INCOMPLETE_MAX; i += 1) add(builder, 'k', true);
    add(builder, 'whole');
    expect(builder.isFull).toBe(false);
    add(builder, 'k', true);
    expect(builder.isFull).toBe(true);
    builder.take([]);
    expect(builder.isFull).toBe(false);
  });
});
