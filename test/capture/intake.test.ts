import { describe, expect, test } from 'vitest';
import { partialTransaction, stateRegister, type PartialTransaction, type ResumePoint } from '../../src/capture/resume-point.ts';
import { at, Connection } from './connection.ts';

const resumed = (position: number, ...parts: PartialTransaction[]): ResumePoint => {
  const [partial = null, ...laterPartials] = parts;
  return { position: at(position), partial, laterPartials };
};

describe('a transaction that is logged in part', () => {
  test('is gone on with behind what is logged, with the same tables', async () => {
    const first = new Connection(['a', 'b'], resumed(1));
    first.begin(5);
    first.send('a 1', 'b 1', 'a truncate');
    const point = await first.break();
    expect(point).toEqual(resumed(1, partialTransaction(at(5), 5n, new Map([['a', 2], ['b', 1]]))));
    const second = new Connection(['a', 'b'], point);
    second.begin(5);
    second.send('a 1', 'b 1', 'a truncate', 'b 2', 'a 3');
    second.intake.commit(at(6));
    expect(await second.break()).toEqual(resumed(6));
    expect(second.log.logged).toEqual(['b 2', 'a 3']);
    expect(second.log.frames.flatMap(({ transactions }) => transactions)).toMatchObject([{ id: 5n, entriesBefore: 3, complete: true }]);
  });

  test('loses and repeats nothing when a table is read besides, or no more', async () => {
    const point = resumed(1, partialTransaction(at(5), 5n, new Map([['a', 2], ['b', 1]])));
    const more = new Connection(['a', 'b', 'c'], point);
    more.begin(5);
    more.send('c 1', 'a 1', 'c 2', 'b 1', 'a 2', 'c 3', 'a 3');
    more.intake.commit(at(6));
    await more.break();
    expect(more.log.logged).toEqual(['c 1', 'c 2', 'c 3', 'a 3']);
    const less = new Connection(['b'], point);
    less.begin(5);
    less.send('b 1', 'b 2');
    less.intake.commit(at(6));
    expect(await less.break()).toEqual(resumed(6));
    expect(less.log.logged).toEqual(['b 2']);
  });

  test('broken off again, is known by all that is logged of it', async () => {
    const point = resumed(1, partialTransaction(at(5), 5n, new Map([['a', 3]])));
    const again = new Connection(['a', 'c'], point);
    again.begin(5);
    again.send('c 1', 'a 1');
    expect(await again.break()).toEqual(resumed(1, partialTransaction(at(5), 5n, new Map([['a', 3], ['c', 1]]))));
    expect(again.log.logged).toEqual(['c 1']);
  });

  test('is not forgotten while earlier ones come that only a new table has, themselves broken off', async () => {
    const part = partialTransaction(at(5), 5n, new Map([['a', 1]]));
    const earlier = new Connection(['a', 'c'], resumed(1, part));
    earlier.begin(2);
    earlier.send('c 1');
    earlier.intake.commit(at(3));
    earlier.begin(4);
    earlier.send('c 2');
    const point = await earlier.break();
    expect(point).toEqual(resumed(3, partialTransaction(at(4), 4n, new Map([['c', 1]])), part));
    const later = new Connection(['a', 'c'], point);
    later.begin(4);
    later.send('c 2', 'c 3');
    later.intake.commit(at(4));
    later.begin(5);
    later.send('a 1', 'a 2');
    later.intake.commit(at(6));
    expect(await later.break()).toEqual(resumed(6));
    expect(later.log.logged).toEqual(['c 3', 'a 2']);
  });

  test.for<[string, (connection: Connection) => void]>([
    ['another transaction behind its position', (connection) => connection.begin(6)],
    ['another transaction at its position', (connection) => connection.begin(5, 99)],
    ['the stream passing its position', (connection) => connection.intake.heartbeat(at(6))],
  ])('whose place is taken by %s means that the source has another history', ([, comes]) => {
    const connection = new Connection(['a', 'b'], resumed(1, partialTransaction(at(5), 5n, new Map([['a', 1], ['gone', 2]]))));
    expect(() => comes(connection)).toThrow(expect.objectContaining({ code: 'SRC_DIVERGED', message: expect.stringContaining('transaction 5 ') as string }));
  });

  test('is given up when none of its tables is read any more: the source does not push it then', async () => {
    const connection = new Connection(['b'], resumed(1, partialTransaction(at(5), 5n, new Map([['a', 1]]))));
    connection.intake.heartbeat(at(4));
    expect((await connection.break()).partial?.changes).toBe(1);
    connection.begin(6);
    connection.send('b 1');
    connection.intake.commit(at(7));
    expect(await connection.break()).toEqual(resumed(7));
    expect(connection.log.logged).toEqual(['b 1']);
  });

  test('a heartbeat from just before its commit is no sign that it is missing', async () => {
    const part = partialTransaction(at(5), 5n, new Map([['a', 1]]));
    const connection = new Connection(['a'], resumed(1, part));
    connection.intake.heartbeat(at(5));
    expect(await connection.break()).toEqual(resumed(5, part));
  });
});

test('what a source remembers is in the log behind what it pushed before, in the middle of a transaction too', async () => {
  const connection = new Connection(['a'], resumed(1));
  connection.begin(5);
  connection.send('a 1');
  connection.intake.remember(Buffer.from('known'));
  connection.send('a 2');
  connection.intake.commit(at(6));
  await connection.break();
  expect(connection.log.frames.map(({ count, registers }) => [count, registers.some(([name]) => name === stateRegister('s'))])).toEqual([
    [1, true],
    [1, false],
  ]);
  expect(String(connection.log.registers.get(stateRegister('s')))).toBe('known');
});
