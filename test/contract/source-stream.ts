/** What the stream of every source must keep. */
import { expect, test } from 'vitest';
import { Op } from '../../src/change/operation.ts';
import { decoded, insert, remove, rename, textOf, until, update, type PushedChange, type Reading, type SourceFixture, type Write } from './source-fixture.ts';
import type { RunSource } from './source.ts';

const WRITERS = 4;
const TRANSACTIONS_EACH = 25;
const MANY = 3_000;
/** Changes that may have been on their way when the sink became full: far fewer than there are. */
const FULL_AFTER = 50;

/** Large enough for databases that keep large values elsewhere to do so. */
const LARGE = 'large '.repeat(2_000);

export function testStream(run: RunSource): void {
  test(
    'a transaction is pushed whole, its changes in their order, with the rows as they became',
    run(async ({ fixture, read }) => {
      const { items, others, foreign } = fixture.tables;
      const reading = await read();
      await fixture.commit([insert(items, 'a', 'one'), insert(others, 'a', 'other'), update(items, 'a', { name: 'two' }), insert(items, 'b')]);
      await fixture.commit([insert(foreign, 'x', 'nobody asked')]);
      await fixture.commit([remove(items, 'b'), insert(items, 'b', 'again'), remove(others, 'a')]);
      await reading.caughtUp();
      const pushed = reading.sink.transactions.filter(({ changes }) => changes.length > 0);
      expect(pushed.map(({ changes }) => changes.map((change) => `${change.table} ${textOf(change)}`))).toEqual([
        [`${items} insert a`, `${others} insert a`, `${items} update a`, `${items} insert b`],
        [`${items} delete b`, `${items} insert b`, `${others} delete a`],
      ]);
      const rows = pushed.flatMap(({ changes }) => changes.filter(({ op }) => op !== Op.delete).map(({ schema, row }) => decoded(reading.source, schema, row).name));
      expect(rows).toEqual(['one', 'other', 'two', null, 'again']);
    }),
  );

  test(
    'transactions of many writers come one after the other, in the order in which they took effect',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      const reading = await read();
      await fixture.commit([insert(items, 'all', '0')]);
      const write = async (writer: number): Promise<void> => {
        for (let i = 0; i < TRANSACTIONS_EACH; i += 1) await fixture.commit([insert(items, `${writer}-${i}`), update(items, 'all', { name: `${writer}-${i}` }), update(items, `${writer}-${i}`, { name: 'done' })]);
      };
      await Promise.all(Array.from({ length: WRITERS }, async (_, writer) => write(writer)));
      await reading.caughtUp();
      const pushed = reading.sink.transactions.filter(({ changes }) => changes.length === 3);
      expect(pushed).toHaveLength(WRITERS * TRANSACTIONS_EACH);
      for (const { changes } of pushed) {
        const [made, , done] = changes;
        expect(changes.map((change) => textOf(change))).toEqual([`insert ${made?.id}`, 'update all', `update ${done?.id}`]);
        expect(done?.id).toBe(made?.id);
      }
      // One row that all wrote to: its last value in the stream is the one that it has.
      const last = pushed.at(-1)?.changes[1];
      expect(last && decoded(reading.source, last.schema, last.row).name).toBe((await fixture.rows(items)).find(({ id }) => id === 'all')?.name);
      expect(new Set(reading.sink.transactions.map(({ start }) => start.id)).size).toBe(reading.sink.transactions.length);
    }),
  );

  test(
    'a change of key is a delete that says so and an upsert, side by side',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      const reading = await read();
      await fixture.commit([insert(items, 'a', 'same', LARGE), insert(items, 'z')]);
      await fixture.commit([update(items, 'z', { name: 'before' }), rename(items, 'a', 'b'), update(items, 'z', { name: 'after' })]);
      await reading.caughtUp();
      const changes = reading.sink.transactions.at(-1)?.changes ?? [];
      expect(changes.map((change) => textOf(change).replace('insert', 'upsert').replace(/update b/, 'upsert b'))).toEqual(['update z', 'delete+ a', 'upsert b', 'update z']);
      const whole = await completed(reading, changes[2] as PushedChange);
      expect(whole).toEqual({ id: 'b', name: 'same', body: LARGE });
    }),
  );

  test(
    'a truncate is told where it happened',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      const reading = await read();
      await fixture.commit([insert(items, 'a'), { kind: 'truncate', table: items }, insert(items, 'b')]);
      await reading.caughtUp();
      expect(reading.sink.changes.map((change) => textOf(change))).toEqual(['insert a', 'truncate', 'insert b']);
    }),
  );

  test(
    'positions are ordered, and tell how much history lies between them',
    run(async ({ fixture, read }) => {
      const reading = await read();
      for (let i = 0; i < 5; i += 1) await fixture.commit([insert(fixture.tables.items, `k${i}`)]);
      await reading.caughtUp();
      const { source, sink, session } = reading;
      const places = [session.start, ...sink.resumes];
      for (const [i, a] of places.entries()) {
        expect(source.formatPosition(a)).not.toBe('');
        for (const [j, b] of places.entries()) {
          expect(Math.sign(source.comparePositions(a, b))).toBe(Math.sign(i - j));
          if (i < j) expect(source.bytesBetween(a, b)).toBeGreaterThan(0);
        }
      }
    }),
  );

  test(
    'a stream that is asked says where it is, although nothing happens',
    run(async ({ fixture, read }) => {
      const reading = await read();
      await fixture.commit([insert(fixture.tables.foreign, 'nobody asked')]);
      const { position } = await reading.session.head(AbortSignal.timeout(10_000));
      await reading.until('a heartbeat at the head', () => {
        reading.session.nudge();
        return reading.sink.heartbeats > 0 && reading.source.comparePositions(reading.sink.position, position) >= 0;
      });
    }),
  );

  test(
    'nothing is pushed into a sink that is full, and everything once there is room',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      const reading = await read(null, (sink) => (sink.fullAfter = FULL_AFTER));
      for (let from = 0; from < MANY; from += 100) await fixture.commit(Array.from({ length: 100 }, (_, i) => insert(items, `k${from + i}`, 'x', LARGE)));
      await reading.until('the sink is full', () => reading.sink.congested);
      await quiet(() => reading.sink.changes.length);
      expect(reading.sink.changes.length).toBeLessThan(MANY / 2);
      expect(reading.isOver).toBe(false);
      reading.sink.drain();
      await reading.caughtUp();
      expect(reading.sink.changes).toHaveLength(MANY);
    }),
  );

  test.each(['idle', 'full'] as const)('a stream that is told to end does, without an error (%s)', async (how) => {
    await run(async ({ fixture, read }) => {
      const reading = await read(null, (sink) => (sink.fullAfter = how === 'full' ? 1 : null));
      await fixture.commit([insert(fixture.tables.items, 'a')]);
      await reading.until('the change is there', () => reading.sink.changes.length === 1);
      await reading.stop();
      expect(reading.failure).toBeNull();
    })();
  });

  test(
    'a row that lacks what an update left alone is completed; one that has gone by then is gone',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      const reading = await read();
      await fixture.commit([insert(items, 'a', 'one', LARGE), insert(items, 'b', 'one', LARGE)]);
      await fixture.commit([update(items, 'a', { name: 'two' }), update(items, 'b', { name: 'two' })]);
      await fixture.commit([remove(items, 'b')]);
      await reading.caughtUp();
      const [a, b] = reading.sink.changes.slice(2);
      expect(a && (await completed(reading, a))).toEqual({ id: 'a', name: 'two', body: LARGE });
      if (b?.incomplete === true) expect(await completed(reading, b)).toBe('gone');
      else expect(b && (await completed(reading, b))).toEqual({ id: 'b', name: 'two', body: LARGE });
    }),
  );

  test(
    'what was pushed is what the database has, whatever was done',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      const reading = await read();
      for (const writes of storm(items)) await fixture.commit(writes);
      await reading.caughtUp();
      const state = new Map<string, unknown>();
      for (const change of reading.sink.changes) {
        if (change.op === Op.truncate) state.clear();
        else if (change.op === Op.delete) state.delete(change.id);
        else state.set(change.id, await completed(reading, change));
      }
      await expectRows(fixture, items, state);
    }),
  );
}

/** Transactions that touch few keys in every way. */
export function storm(table: string): Write[][] {
  const transactions: Write[][] = [];
  const present = new Set<string>();
  for (let i = 0; i < 120; i += 1) {
    const writes: Write[] = [];
    for (let n = 0; n < 1 + (i % 5); n += 1) {
      const id = `k${(i * 7 + n * 3) % 11}`;
      const other = `k${(i * 5 + n) % 11}`;
      if (!present.has(id)) {
        writes.push(insert(table, id, `${i}.${n}`, i % 3 === 0 ? LARGE : null));
        present.add(id);
      } else if ((i + n) % 4 === 0) {
        writes.push(remove(table, id));
        present.delete(id);
      } else if ((i + n) % 4 === 1 && !present.has(other)) {
        writes.push(rename(table, id, other));
        present.delete(id);
        present.add(other);
      } else writes.push(update(table, id, { name: `${i}.${n}` }));
    }
    if (i === 60) {
      writes.push({ kind: 'truncate', table });
      present.clear();
    }
    transactions.push(writes);
  }
  return transactions;
}

/** The change's row, completed where it has to be. */
export async function completed({ session, source }: Reading, { schemaId, schema, key, row, incomplete }: PushedChange): Promise<ReturnType<typeof decoded> | 'gone'> {
  if (!incomplete) return decoded(source, schema, row);
  const [whole] = await session.completeRows([{ schemaId, schema, key, row }], AbortSignal.timeout(30_000));
  if (whole === undefined) throw new Error('a row was asked for, and none came');
  return whole === 'gone' ? 'gone' : decoded(source, schema, whole);
}

export async function expectRows(fixture: SourceFixture, table: string, state: ReadonlyMap<string, unknown>): Promise<void> {
  const byId = (rows: readonly unknown[]): unknown[] => rows.toSorted((a, b) => ((a as { id: string }).id < (b as { id: string }).id ? -1 : 1));
  expect(byId([...state.values()].filter((row) => row !== 'gone'))).toEqual(byId(await fixture.rows(table)));
}

/** Waits until a count has not moved for a while. */
async function quiet(count: () => number): Promise<void> {
  let last = -1;
  let same = 0;
  await until('nothing moves any more', () => {
    same = count() === last ? same + 1 : 0;
    last = count();
    return same >= 40;
  });
}
