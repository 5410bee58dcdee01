/** What reading a part of a table must keep, for every source: rows by key, keys that are nobody's, rows by a condition. */
import { expect, test } from 'vitest';
import { encodeKey } from '../change/encode-key.ts';
import { absentIds, chunkIds, insert, remove, selectIds, signal, type Reading, type Row, type SourceFixture } from './source-fixture.ts';
import { CHUNK_BYTES, fill, join, oneChunk, PARALLEL, readRanges, ROWS, writeOn, type Joined } from './source-reading.ts';
import { expectRows } from './source-stream.ts';
import type { RunSource } from './source.ts';

const PASSES = 3;

export function testSelections(run: RunSource): void {
  test(
    'keys find their rows, each once, and those that are nobody’s are told, each once',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      await fill(fixture);
      const reading = await read();
      const there = Array.from({ length: ROWS / 2 }, (_, i) => `k${2 * i}`);
      const nowhere = ['', 'nobody', "it's", 'k', 'k600', 'K0', ...Array.from({ length: 100 }, (_, i) => `gone ${i}`)];
      const selection = selectIds([...nowhere.slice(0, 3), ...there, ...nowhere.slice(3)]);
      expect(await reading.session.snapshots.checkSelection(items, selection, signal)).toBe(there.length + nowhere.length);
      const ranges = await reading.session.snapshots.planRanges(items, PARALLEL, selection, signal);
      const { rows, chunks } = await readRanges(reading, items, ranges);
      expect(rows.map(({ id }) => id).toSorted()).toEqual(there.toSorted());
      expect(chunks.flatMap((chunk) => chunkIds(chunk))).toEqual(rows.map(({ id }) => id));
      expect(chunks.flatMap((chunk) => absentIds(chunk)).toSorted()).toEqual(nowhere.toSorted());
      expect(rows).toEqual(expect.arrayContaining((await fixture.rows(items)).filter(({ id }) => there.includes(id))));
      expect(chunks.length).toBeGreaterThan(1);
    }),
  );

  test(
    'ranges of keys mean the same in another session, from the middle on, and after every row has moved',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      await fill(fixture);
      const reading = await read();
      await reading.caughtUp();
      const wanted = Array.from({ length: ROWS }, (_, i) => `k${i}`);
      const [first, ...rest] = await reading.session.snapshots.planRanges(items, 1, selectIds([...wanted, 'nobody']), signal);
      const head = await oneChunk(reading, items, first as Uint8Array);
      const { resume } = reading;
      await reading[Symbol.asyncDispose]();
      await fixture.rewrite?.(items);
      const again = await read(resume);
      const { chunks } = await readRanges(again, items, [...(head.next === null ? [] : [head.next]), ...rest]);
      expect([head, ...chunks].flatMap((chunk) => chunkIds(chunk)).toSorted()).toEqual(wanted.toSorted());
      expect([head, ...chunks].flatMap((chunk) => absentIds(chunk))).toEqual(['nobody']);
    }),
  );

  test(
    'keys that come and go while they are looked up end as they are: none is lost, none is brought back',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      await fill(fixture);
      await fixture.commit(Array.from({ length: ROWS / 4 }, (_, i) => remove(items, `k${4 * i}`)));
      const writing = { goesOn: true };
      const writer = Promise.all([writeOn(fixture, items, writing), comeAndGo(fixture, writing)]);
      const everyKey = selectIds([...Array.from({ length: ROWS }, (_, i) => `k${i}`), ...Array.from({ length: 500 }, (_, i) => `new ${i}`), ...COMING]);
      let joined: Joined | null = null;
      let reading: Reading;
      try {
        reading = await read();
        // What was read before must not show through: each pass reads all.
        for (let pass = 0; pass < PASSES; pass += 1) joined = await join(reading, items, everyKey);
      } finally {
        writing.goesOn = false;
        await writer;
      }
      await reading.caughtUp();
      await expectRows(fixture, items, (await joined?.whole()) ?? new Map<string, Row>());
    }),
  );

  test(
    'a condition selects its rows and no others, and says none of them absent',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      await fill(fixture);
      await fixture.commit(Array.from({ length: 30 }, (_, i) => insert(items, `same ${i}`, 'same', 'body '.repeat(50))));
      const reading = await read();
      const selection = { kind: 'where', predicate: fixture.conditions.nameIs('same') } as const;
      const estimate = await reading.session.snapshots.checkSelection(items, selection, signal);
      expect(estimate === null || estimate >= 0).toBe(true);
      const ranges = await reading.session.snapshots.planRanges(items, PARALLEL, selection, signal);
      const { rows, chunks } = await readRanges(reading, items, ranges);
      expect(rows.map(({ id }) => id).toSorted()).toEqual(Array.from({ length: 30 }, (_, i) => `same ${i}`).toSorted());
      expect(chunks.flatMap((chunk) => absentIds(chunk))).toEqual([]);
    }),
  );

  test(
    'what cannot be selected is refused before anything starts',
    run(async ({ fixture, read }) => {
      const { items } = fixture.tables;
      await fixture.commit([insert(items, 'a')]);
      const { session } = await read();
      await expect(session.snapshots.checkSelection(items, { kind: 'where', predicate: fixture.conditions.broken }, signal)).rejects.toMatchObject({ code: 'SRC_SELECTION' });
      await expect(session.snapshots.checkSelection(items, { kind: 'keys', keys: [encodeKey([Buffer.from('a'), Buffer.from('b')])] }, signal)).rejects.toMatchObject({ code: 'SRC_SELECTION' });
      expect(await session.snapshots.checkSelection(items, selectIds(['a']), signal)).toBe(1);
      const [range] = await session.snapshots.planRanges(items, 1, selectIds(['a', 'b']), signal);
      expect(await session.snapshots.readChunk({ table: items, range: range as Uint8Array, rowBytesMax: CHUNK_BYTES }, signal)).toMatchObject({ next: null });
    }),
  );
}

const COMING = Array.from({ length: 40 }, (_, i) => `coming ${i}`);

/** Rows that are there half of the time. */
async function comeAndGo(fixture: SourceFixture, writing: { readonly goesOn: boolean }): Promise<void> {
  const { items } = fixture.tables;
  const there = new Set<string>();
  for (let i = 0; writing.goesOn; i += 1) {
    const id = COMING[(i * 7) % COMING.length] as string;
    await fixture.commit([there.has(id) ? remove(items, id) : insert(items, id, `coming at ${i}`)]);
    if (!there.delete(id)) there.add(id);
  }
}
