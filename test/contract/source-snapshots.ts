/** What reading tables beside the stream must keep, for every source. */
import { expect, test } from 'vitest';
import { chunkIds, chunkRows, insert, remove, signal, update, type Reading } from './source-fixture.ts';
import { CHUNK_BYTES, everything, fill, join, oneChunk, PARALLEL, readRanges, ROWS, writeOn, type Joined } from './source-reading.ts';
import { expectRows } from './source-stream.ts';
import type { RunSource } from './source.ts';

const LOOKS = 60;

export function testSnapshots(run: RunSource): void {
  test(
    'ranges cover the table and are disjoint, each row once, its key beside it',
    run(async ({ fixture, read }) => {
      await fill(fixture);
      const reading = await read();
      const ranges = await reading.session.snapshots.planRanges(fixture.tables.items, PARALLEL, everything, signal);
      const { rows, chunks } = await readRanges(reading, fixture.tables.items, ranges);
      await expectRows(fixture, fixture.tables.items, new Map(rows.map((row) => [row.id, row])));
      expect(rows).toHaveLength(ROWS);
      for (const chunk of chunks) expect(chunkIds(chunk)).toEqual(chunkRows(reading.source, chunk).map(({ id }) => id));
      expect(chunks.length).toBeGreaterThan(ranges.length);
    }),
  );

  test(
    'an empty table is read to its end',
    run(async ({ fixture, read }) => {
      const reading = await read();
      const ranges = await reading.session.snapshots.planRanges(fixture.tables.items, PARALLEL, everything, signal);
      expect((await readRanges(reading, fixture.tables.items, ranges)).rows).toEqual([]);
    }),
  );

  test(
    'ranges can be read in another session than they were planned in, and from the middle on',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      await fill(fixture);
      const reading = await read();
      await reading.caughtUp();
      const ranges = await reading.session.snapshots.planRanges(items, 2, everything, signal);
      const [first, ...rest] = ranges;
      const head = await oneChunk(reading, items, first as Uint8Array);
      const { resume } = reading;
      await reading[Symbol.asyncDispose]();
      const again = await read(resume);
      const { rows } = await readRanges(again, items, [...(head.next === null ? [] : [head.next]), ...rest]);
      const all = [...chunkRows(again.source, head), ...rows];
      expect(all).toHaveLength(ROWS);
      await expectRows(fixture, items, new Map(all.map((row) => [row.id, row])));
    }),
  );

  test(
    'a chunk shows everything that was pushed before it was asked for, and nothing from behind its high position',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      await fixture.commit([insert(items, 'count', '0')]);
      const reading = await read();
      const pushed: { value: number; position: Buffer }[] = [];
      let value = 0;
      reading.sink.onPushed = (change) => {
        if (change.id === 'count') value = Number(reading.source.format.decoder({ ...change.schema, id: 1, source: 's' }, ['name']).decode(change.row)[0]);
      };
      reading.sink.onPassed = () => void pushed.push({ value, position: reading.sink.position });
      const writing = { goesOn: true };
      const writer = (async () => {
        for (let i = 1; writing.goesOn; i += 1) await fixture.commit([update(items, 'count', { name: String(i) })]);
      })();
      const seen: { before: number; shown: number; high: Uint8Array }[] = [];
      try {
        for (let look = 0; look < LOOKS; look += 1) {
          const [range] = await reading.session.snapshots.planRanges(items, 1, everything, signal);
          const before = value;
          const chunk = await reading.session.snapshots.readChunk({ table: items, range: range as Uint8Array, rowBytesMax: CHUNK_BYTES }, signal);
          if (chunk === 'replan') continue;
          const [row] = chunkRows(reading.source, chunk);
          // A row that moved out of the range is found by those that read what it moved to.
          if (row !== undefined) seen.push({ before, shown: Number(row.name), high: chunk.high });
        }
      } finally {
        writing.goesOn = false;
        await writer;
      }
      await reading.caughtUp();
      expect(seen.length).toBeGreaterThan(0);
      for (const { before, shown, high } of seen) {
        expect(shown).toBeGreaterThanOrEqual(before);
        const atHigh = pushed.find(({ position }) => reading.source.comparePositions(position, high) >= 0);
        expect(atHigh?.value).toBeGreaterThanOrEqual(shown);
      }
    }),
  );

  test(
    'snapshot and stream together are the table, whoever writes meanwhile',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      await fill(fixture);
      const writing = { goesOn: true };
      const writer = writeOn(fixture, items, writing);
      let joined: Joined;
      let reading: Reading;
      try {
        reading = await read();
        joined = await join(reading, items);
      } finally {
        writing.goesOn = false;
        await writer;
      }
      await reading.caughtUp();
      await expectRows(fixture, items, await joined.whole());
    }),
  );

  test(
    'nothing precedes the start that a snapshot might miss, not even what was open then',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      if (fixture.begin === undefined) return;
      const open = await fixture.begin([insert(items, 'open', 'since before')]);
      const connecting = read();
      // Who connects may have to wait for it.
      const soon = Promise.race([connecting.then(() => 'connected'), new Promise((resolve) => setTimeout(resolve, 500, 'waits'))]);
      await soon;
      await open.commit();
      const reading = await connecting;
      const joined = await join(reading, items);
      await reading.caughtUp();
      await expectRows(fixture, items, await joined.whole());
    }),
  );

  test(
    'a range of a table whose rows moved is planned again, or still means the same rows',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      await fill(fixture);
      await fixture.commit(Array.from({ length: ROWS / 2 }, (_, i) => remove(items, `k${i * 2}`)));
      const reading = await read();
      const ranges = await reading.session.snapshots.planRanges(items, 2, everything, signal);
      await fixture.rewrite?.(items);
      const chunk = await reading.session.snapshots.readChunk({ table: items, range: ranges[0] as Uint8Array, rowBytesMax: CHUNK_BYTES }, signal);
      const valid = chunk === 'replan' ? await reading.session.snapshots.planRanges(items, 2, everything, signal) : ranges;
      const { rows } = await readRanges(reading, items, valid);
      await expectRows(fixture, items, new Map(rows.map((row) => [row.id, row])));
    }),
  );
}
