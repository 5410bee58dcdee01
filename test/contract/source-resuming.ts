/** What every source must keep across sessions. */
import { expect, test } from 'vitest';
import { dispositionOf } from '../../src/errors/policy.ts';
import { insert, refusal, signal, textOf, until, type Reading } from './source-fixture.ts';
import { storm } from './source-stream.ts';
import type { RunSource } from './source.ts';

/** Each resume point costs a session: every so many is tried. */
const TRIED_EVERY = 13;

/** History that makes a difference in what the server says it keeps. */
const HISTORY_ROWS = 400;
const PADDING = 'p'.repeat(2_000);

export function testResuming(run: RunSource): void {
  test(
    'resumed from any place the stream gives the same rest',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      const reading = await read();
      const { identity, start } = reading.session;
      for (const writes of storm(items)) await fixture.commit(writes);
      await reading.caughtUp();
      const { transactions, resumes } = reading.sink;
      const all = textsOf(reading);
      await reading[Symbol.asyncDispose]();
      const places = [start, ...resumes].map((position, i) => ({ position, pushed: i })).filter(({ pushed }) => pushed % TRIED_EVERY === 0 || pushed === resumes.length);
      for (const { position, pushed } of places) {
        await using again = await read({ position, identity, state: reading.sink.state });
        await again.caughtUp();
        expect(again.source.comparePositions(again.session.start, position)).toBe(0);
        expect(textsOf(again)).toEqual(all.slice(transactions.slice(0, pushed).reduce((sum, { changes }) => sum + changes.length, 0)));
      }
    }),
  );

  test(
    'a transaction that was pushed in part comes again from its first change',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      const reading = await read(null, (sink) => (sink.fullAfter = 30));
      await fixture.commit([insert(items, 'before')]);
      const ids = Array.from({ length: 1_000 }, (_, i) => `k${i}`);
      await fixture.commit(ids.map((id) => insert(items, id, id, PADDING)));
      await reading.until('the sink is full', () => reading.sink.congested);
      const { resume } = reading;
      await reading[Symbol.asyncDispose]();
      const again = await read(resume);
      await again.caughtUp();
      expect(again.sink.changes.map(({ id }) => id).filter((id) => id !== 'before')).toEqual(ids);
    }),
  );

  test(
    'a connection that breaks is an error that a pause mends, and nothing is lost by it',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      const reading = await read();
      await fixture.commit([insert(items, 'a')]);
      await reading.until('the change is there', () => reading.sink.changes.length === 1);
      await fixture.cut();
      await reading.ended;
      expect(dispositionOf(reading.failure)).toBe('backoff');
      const { resume } = reading;
      await reading[Symbol.asyncDispose]();
      await fixture.commit([insert(items, 'b')]);
      const again = await read(resume);
      await again.caughtUp();
      expect(again.sink.changes.map((change) => textOf(change)).at(-1)).toBe('insert b');
    }),
  );

  test(
    'history is kept until it is confirmed, and no longer',
    run(async ({ fixture, read }) => {
      const reading = await read();
      for (let i = 0; i < HISTORY_ROWS; i += 50) await fixture.commit(Array.from({ length: 50 }, (_, n) => insert(fixture.tables.items, `k${i + n}`, null, PADDING)));
      await reading.caughtUp();
      const kept = (await reading.session.head(signal)).retainedBytes;
      // A database that does not tell has nothing to be asked.
      if (kept === null) return;
      expect(kept).toBeGreaterThan(0);
      await until('the server has let go of it', async () => {
        await fixture.tidy?.();
        await reading.caughtUp();
        reading.session.confirm(reading.sink.position);
        return ((await reading.session.head(signal)).retainedBytes ?? Infinity) < kept / 2;
      });
      const { resume } = reading;
      await reading[Symbol.asyncDispose]();
      const again = await read(resume);
      await again.caughtUp();
      expect(again.sink.changes).toEqual([]);
    }),
  );

  test(
    'there is one reader at a time',
    run(async ({ fixture, read }) => {
      const reading = await read();
      await reading.caughtUp();
      expect(await refusal(fixture, { resume: reading.resume })).toBe('SRC_SLOT_IN_USE');
      await fixture.commit([insert(fixture.tables.items, 'a')]);
      await reading.caughtUp();
      expect(reading.sink.changes).toHaveLength(1);
    }),
  );

  test(
    'a place in the history of another server is refused',
    run(async ({ fixture, read }) => {
      const reading = await read();
      await reading.caughtUp();
      const { resume } = reading;
      await reading[Symbol.asyncDispose]();
      await until('the place is free', async () => (await refusal(fixture, { resume })) === undefined);
      expect(await refusal(fixture, { resume: { ...resume, identity: `${resume.identity}0` } })).toBe('SRC_IDENTITY_CHANGED');
    }),
  );

  test(
    'history that was given up is missed, not skipped',
    run(async ({ fixture, read }) => {
      const reading = await read();
      await reading.caughtUp();
      const { resume, source } = reading;
      await reading.stop();
      await reading.session[Symbol.asyncDispose]();
      await until('the history can be dropped', async () => {
        try {
          await source.dropHistory(signal);
          return true;
        } catch {
          // The server may not have noticed yet that the session has gone.
          return false;
        }
      });
      await fixture.commit([insert(fixture.tables.items, 'a')]);
      expect(await refusal(fixture, { resume })).toBe('SRC_HISTORY_LOST');
    }),
  );

  test(
    'a table that is not there is named',
    run(async ({ fixture }) => {
      expect(await refusal(fixture, { tables: [{ table: 'public.nowhere' }] })).toBe('SRC_TABLE_MISSING');
    }),
  );
}

function textsOf({ sink }: Reading): string[] {
  return sink.changes.map((change) => `${textOf(change)} ${change.row.toString('latin1')}`);
}
