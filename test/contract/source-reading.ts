/** Reading of tables as capture does it, for the tests of the source contract: ranges, and what snapshot and stream make of a table together. */
import { Op } from '../../src/change/operation.ts';
import type { Chunk, Selection } from '../../src/connector/source.ts';
import { absentIds, chunkRows, decoded, insert, remove, signal, update, type PushedChange, type Reading, type Row, type SourceFixture } from './source-fixture.ts';
import { completed } from './source-stream.ts';

export const ROWS = 600;
export const PARALLEL = 4;
/** Small enough for every range to be read in several chunks. */
export const CHUNK_BYTES = 4_000;

export const everything: Selection = { kind: 'all' };

/** Gives the table of items its rows `k0` to `k599`. */
export async function fill(fixture: SourceFixture): Promise<void> {
  const { items } = fixture.tables;
  for (let from = 0; from < ROWS; from += 100) await fixture.commit(Array.from({ length: 100 }, (_, i) => insert(items, `k${from + i}`, `name ${from + i}`, `body ${from + i} `.repeat(10))));
}

export async function oneChunk({ session }: Reading, table: string, range: Uint8Array): Promise<Chunk> {
  const chunk = await session.snapshots.readChunk({ table, range, rowBytesMax: CHUNK_BYTES }, signal);
  if (chunk === 'replan') throw new Error('nothing was rewritten');
  return chunk;
}

export async function readRanges(reading: Reading, table: string, ranges: readonly Uint8Array[]): Promise<{ readonly rows: Row[]; readonly chunks: Chunk[] }> {
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
export interface Joined {
  /** To be asked when the stream has caught up. */
  whole(): Promise<ReadonlyMap<string, Row | 'gone'>>;
}

/** Reads the selection once while the stream goes on. */
export async function join(reading: Reading, table: string, selection: Selection = everything): Promise<Joined> {
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
      for (const id of absentIds(chunk)) if (!changed.has(id)) state.delete(id);
      windows.delete(changed);
      passed.resolve();
    };
    look();
    const nudging = setInterval(() => session.nudge(), 10);
    await passed.promise;
    clearInterval(nudging);
    return chunk.next;
  };
  const ranges = await session.snapshots.planRanges(table, PARALLEL, selection, signal);
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
export async function writeOn(fixture: SourceFixture, table: string, writing: { goesOn: boolean }): Promise<void> {
  for (let i = 0; writing.goesOn; i += 1) {
    const id = `k${(i * 37) % ROWS}`;
    await fixture.commit([remove(table, id), insert(table, id, `again ${i}`)]);
    await fixture.commit([insert(table, `new ${i}`, 'new'), update(table, `k${(i * 53) % ROWS}`, { name: `updated ${i}` })]);
    if (i % 3 === 0) await fixture.commit([remove(table, `new ${i}`)]);
  }
}
