/** What reading tables beside the stream must keep, for every source. */
import { expect, test } from 'vitest';
import { Op } from '../../src/change/operation.ts';
import type { Chunk, Selection } from '../../src/connector/source.ts';
import { chunkIds, chunkRows, decoded, insert, remove, signal, update, type PushedChange, type Reading, type Row, type SourceFixture } from './source-fixture.ts';
import { completed, expectRows } from './source-stream.ts';
import type { RunSource } from './source.ts';

const ROWS = 600;
const PARALLEL = 4;
/** Small enough for every range to be read in several chunks. */
const CHUNK_BYTES = 4_000;
const LOOKS = 60;

const everything: Selection = { kind: 'all' };

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

async function fill(fixture: SourceFixture): Promise<void> {
  const { items } = fixture.tables;
  for (let from = 0; from < ROWS; from += 100) await fixture.commit(Array.from({ length: 100 }, (_, i) => insert(items, `k${from + i}`, `name ${from + i}`, `body ${from + i} `.repeat(10))));
}

async function oneChunk({ session }: Reading, table: string, range: Uint8Array): Promise<Chunk> {
  const chunk = await session.snapshots.readChunk({ table, range, rowBytesMax: CHUNK_BYTES }, signal);
  if (chunk === 'replan') throw new Error('nothing was rewritten');
  return chunk;
}

async function readRanges(reading: Reading, table: string, ranges: readonly Uint8Array[]): Promise<{ readonly rows: Row[]; readonly chunks: Chunk[] }> {
  const chunks: Chunk[] = [];
  const readRange = async (first: Uint8Array): Promise<void> => {
    for (let range: Uint8Array | null = first; range !== null; ) {
      const chunk: Chunk = await oneChunk(reading, table, range);
      chunks.push(chunk);
      range = chunk.next;
    }
  };
  await Promise.all(ranges.map(async (range) => readRange(range)));
  return { chunks, rows: chunks.flatMap((chunk) => chunkRows(reading.source, chunk)) };
}

/** The table as snapshot and stream make it. */
interface Joined {
  /** To be asked when the stream has caught up. */
  whole(): Promise<ReadonlyMap<string, Row | 'gone'>>;
}

async function join(reading: Reading, table: string): Promise<Joined> {
  const { source, sink, session } = reading;
  const state = new Map<string, Row | PushedChange>();
  const windows = new Set<Set<string>>();
  const pending: (() => void)[] = [];
  const take = (change: (typeof sink.changes)[number]): void => {
    if (change.table !== table) return;
    for (const window of windows) window.add(change.id);
    if (change.op === Op.delete) state.delete(change.id);
    else state.set(change.id, change.incomplete ? change : decoded(source, change.schema, change.row));
  };
  for (const change of sink.changes) take(change);
  sink.onPushed = take;
  sink.onPassed = () => {
    for (const look of pending.splice(0)) look();
  };
  const readOne = async (range: Uint8Array): Promise<Uint8Array | null> => {
    const changed = new Set<string>();
    windows.add(changed);
    const chunk = await oneChunk(reading, table, range);
    const passed = Promise.withResolvers<void>();
    const look = (): void => {
      if (source.comparePositions(sink.position, chunk.high) < 0) return void pending.push(look);
      for (const row of chunkRows(source, chunk)) if (!changed.has(row.id)) state.set(row.id, row);
      windows.delete(changed);
      passed.resolve();
    };
    look();
    const nudging = setInterval(() => session.nudge(), 10);
    await passed.promise;
    clearInterval(nudging);
    return chunk.next;
  };
  const ranges = await session.snapshots.planRanges(table, PARALLEL, everything, signal);
  await Promise.all(ranges.map(async (first) => {
    for (let range: Uint8Array | null = first; range !== null; ) range = await readOne(range);
  }));
  return {
    whole: async () => {
      const rows = new Map<string, Row | 'gone'>();
      for (const [id, row] of state) rows.set(id, 'schema' in row ? await completed(reading, row) : row);
      return rows;
    },
  };
}

/** Inserts, updates and deletes until it is told to end. Bodies are small: nothing is left out of the stream. */
async function writeOn(fixture: SourceFixture, table: string, writing: { goesOn: boolean }): Promise<void> {
  for (let i = 0; writing.goesOn; i += 1) {
    const id = `k${(i * 37) % ROWS}`;
    await fixture.commit([remove(table, id), insert(table, id, `again ${i}`)]);
    await fixture.commit([insert(table, `new ${i}`, 'new'), update(table, `k${(i * 53) % ROWS}`, { name: `updated ${i}` })]);
    if (i % 3 === 0) await fixture.commit([remove(table, `new ${i}`)]);
  }
}
