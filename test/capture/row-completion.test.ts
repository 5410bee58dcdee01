import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FRAME_BYTES_MAX, FrameBufferPool, FrameBuilder, type IncompleteEntry } from '../../src/capture/frame-builder.ts';
import { FrameQueue } from '../../src/capture/frame-queue.ts';
import { decodeResumePoint, partialTransaction, positionRegister, type ResumePoint } from '../../src/capture/resume-point.ts';
import { Op } from '../../src/change/operation.ts';
import { ByteBudget } from '../../src/runtime/byte-budget.ts';
import { at, Connection, Log } from './connection.ts';

const MIB = 1024 * 1024;
const beginning: ResumePoint = { position: at(1), partial: null, laterPartials: [] };

describe('rows that lack columns', () => {
  test('are as large as they like: 300 of 8 MiB in one frame become frames of one each, and few are in memory at once', async () => {
    const rows = 300;
    const row = Buffer.alloc(8 * MIB);
    const budget = new ByteBudget(MIB);
    const builder = new FrameBuilder(new FrameBufferPool());
    builder.begin({ id: 1n, position: at(1), commitTimeMs: 0 });
    for (let i = 0; i < rows; i += 1) builder.add(Op.update, 0, 1, Buffer.from([i]), 0, 1, row, 0, 1, at(0));
    builder.commit();
    const sizes: number[] = [];
    let mostTaken = 0;
    let mostRows = 0;
    const append = async ({ entries }: { entries: Uint8Array }): Promise<{ firstSeq: number; lastSeq: number }> => {
      sizes.push(entries.length);
      mostTaken = Math.max(mostTaken, budget.takenBytes);
      return { firstSeq: 1, lastSeq: 1 };
    };
    const complete = async (asked: readonly IncompleteEntry[]): Promise<Uint8Array[]> => {
      mostRows = Math.max(mostRows, asked.length);
      return asked.map(() => row);
    };
    let durable = 0;
    const queue = new FrameQueue({ source: 's', log: { append, durableSeq: 0 }, compare: (a, b) => Buffer.compare(a, b), tableOf: () => 'a', budget, pool: new FrameBufferPool(), complete, signal: new AbortController().signal });
    queue.push({ kind: 1, snapshot: 0, built: builder.take([]), before: beginning, onDurable: () => (durable = sizes.length) });
    await queue.settled();
    expect([sizes.length, Math.max(...sizes)]).toEqual([rows, 8 * MIB + 15]);
    expect(durable).toBe(rows);
    expect(mostRows).toBeLessThanOrEqual(4);
    expect(mostTaken).toBeGreaterThan(8 * MIB);
    expect(mostTaken).toBeLessThan(48 * MIB);
    expect(budget.takenBytes).toBe(0);
  });

  test('that stay small are asked for in ever larger slices, and stay in one frame', async () => {
    const connection = new Connection(['a'], beginning, { complete: () => Buffer.alloc(10) });
    connection.begin(5);
    for (let i = 0; i < 200; i += 1) connection.send(`a ${i}?`);
    connection.intake.commit(at(6));
    await connection.break();
    expect(connection.slices).toEqual([4, 8, 16, 32, 64, 76]);
    expect(connection.log.frames.map(({ count }) => count)).toEqual([200]);
  });

  test('come with their schema: it is in the first of the frames that theirs becomes', async () => {
    const log = new Log();
    const connection = new Connection(['a'], beginning, { log, complete: () => Buffer.alloc(FRAME_BYTES_MAX) });
    connection.begin(5);
    connection.send('a 1?', 'a 2?');
    connection.intake.commit(at(6));
    await connection.break();
    expect(log.frames.map(({ registers }) => [...new Set(registers.map(([name]) => name))])).toEqual([['schema:1', positionRegister('s')], [positionRegister('s')]]);
    expect(log.logged).toEqual([`a 1 ${FRAME_BYTES_MAX}`, `a 2 ${FRAME_BYTES_MAX}`]);
  });

  test('that fail to come end the queue, and leave nothing taken from the budget', async () => {
    const budget = new ByteBudget(MIB);
    const complete = ({ key }: IncompleteEntry): Uint8Array => {
      if (String(key) === '9') throw new Error('no answer');
      return Buffer.alloc(FRAME_BYTES_MAX);
    };
    const connection = new Connection(['a'], beginning, { budget, complete });
    connection.begin(5);
    connection.send('a 1?', 'a 2?', 'a 3?', 'a 4?', 'a 5?', 'a 6?', 'a 7?', 'a 8?', 'a 9?');
    const point = await connection.break();
    expect(connection.failure).toMatchObject({ message: 'no answer' });
    expect(connection.log.logged.length).toBeGreaterThan(0);
    expect(point.partial?.changes).toBe(connection.log.logged.length);
    expect(budget.takenBytes).toBe(0);
  });
});

describe('a kill between the frames that one becomes', () => {
  const part = partialTransaction(at(5), 5n, new Map([['a', 1]]));
  const complete = (): Uint8Array => Buffer.alloc(FRAME_BYTES_MAX);

  test('does not make the log forget what else is logged in part', async () => {
    const log = new Log();
    log.framesLeft = 1;
    const connection = new Connection(['a', 'c'], { ...beginning, partial: part }, { log, complete });
    connection.begin(2);
    connection.send('c 1?', 'c 2?');
    connection.intake.commit(at(3));
    expect(await connection.break()).toEqual({ position: at(1), partial: partialTransaction(at(2), 2n, new Map([['c', 1]])), laterPartials: [part] });
  });

  test('does not make the log wait for a transaction of which nothing was left to come', async () => {
    const log = new Log();
    log.framesLeft = 1;
    const connection = new Connection(['a', 'c'], { ...beginning, partial: part }, { log, complete });
    connection.begin(2);
    connection.send('c 1?');
    connection.intake.commit(at(3));
    connection.begin(5);
    connection.send('a 1');
    connection.intake.commit(at(6));
    connection.begin(7);
    connection.send('c 2?');
    connection.intake.commit(at(8));
    expect(await connection.break()).toEqual({ position: at(6), partial: null, laterPartials: [] });
    expect(log.frames.flatMap(({ transactions }) => transactions)).toMatchObject([
      { id: 2n, firstEntry: 0, complete: true },
      { id: 5n, firstEntry: 1, entriesBefore: 1, complete: true },
    ]);
  });
});

interface Sent {
  readonly table: 'a' | 'b';
  /** Null for a row that comes whole; else its size when it is completed, 0 for one that is gone then. */
  readonly completed: number | null;
}

const change = fc.record({ table: fc.constantFrom<'a' | 'b'>('a', 'b'), completed: fc.option(fc.constantFrom(0, 10, 200_000, 400_000, 900_000)) });
const history = fc.array(fc.array(change, { maxLength: 7 }), { minLength: 1, maxLength: 6 });

/** The changes of the history as the log has them, with the number of their transaction. */
function expected(transactions: readonly (readonly Sent[])[]): { readonly number: number; readonly entry: string }[] {
  return transactions.flatMap((changes, t) =>
    changes.map(({ table, completed }, i) => ({ number: t, entry: `${table} ${t}.${i}${completed === 0 ? ' gone' : completed === null ? '' : ` ${completed}`}` })),
  );
}

/** Pushes what the resume point leaves, as a source does: transactions that ended behind it, each from its first change. */
function pushFrom(connection: Connection, point: ResumePoint, transactions: readonly (readonly Sent[])[]): void {
  for (const [t, changes] of transactions.entries()) {
    if (Buffer.compare(at(2 * t + 3), point.position) <= 0) continue;
    connection.begin(2 * t + 2);
    for (const [i, { table, completed }] of changes.entries()) connection.send(`${table} ${t}.${i}${completed === null ? '' : '?'}`);
    connection.intake.commit(at(2 * t + 3));
  }
}

test('whatever frame a kill comes behind, every change is in the log once, in order, and in its transaction', async () => {
  const large = Buffer.alloc(900_000);
  await fc.assert(
    fc.asyncProperty(history, fc.integer({ min: 1, max: 3 }), async (transactions, framesEach) => {
      const log = new Log();
      const complete = ({ key }: IncompleteEntry): Uint8Array | 'gone' => {
        const [t, i] = String(key).split('.').map(Number) as [number, number];
        const size = transactions[t]?.[i]?.completed ?? 0;
        return size === 0 ? 'gone' : large.subarray(0, size);
      };
      let point = beginning;
      for (let kills = 0; kills <= 60; kills += 1) {
        log.framesLeft = kills === 60 ? Infinity : framesEach;
        const connection = new Connection(['a', 'b'], point, { log, complete });
        pushFrom(connection, point, transactions);
        await connection.break().catch(() => {});
        const register = log.registers.get(positionRegister('s'));
        if (register !== undefined) point = decodeResumePoint(register);
        if (connection.failure === null) break;
      }
      const whole = expected(transactions);
      expect(log.logged).toEqual(whole.map(({ entry }) => entry));
      expectPlaced(log, whole.map(({ number }) => number));
    }),
    { numRuns: 60 },
  );
});

/** Each frame says truly which transactions its entries belong to, and how much of them came before. */
function expectPlaced(log: Log, numbers: readonly number[]): void {
  const logged = new Map<bigint, number>();
  const ended = new Set<bigint>();
  let first = 0;
  for (const { count, transactions } of log.frames) {
    for (const [i, { id, firstEntry, entriesBefore, complete }] of transactions.entries()) {
      const end = transactions[i + 1]?.firstEntry ?? count;
      expect(entriesBefore).toBe(logged.get(id) ?? 0);
      expect(ended.has(id)).toBe(false);
      for (let at = firstEntry; at < end; at += 1) expect(BigInt(2 * (numbers[first + at] as number) + 2)).toBe(id);
      logged.set(id, entriesBefore + end - firstEntry);
      if (complete) ended.add(id);
    }
    first += count;
  }
  expect(ended.size).toBe(new Set(numbers).size);
}
