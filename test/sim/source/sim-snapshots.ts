/** Reads tables of a simulated source chunk by chunk, by the places where rows lie or by their keys. */
import type { Chunk, ChunkRequest, Selection, SnapshotReader } from '../../../src/connector/source.ts';
import type { StoredRow, VisibleRows } from './sim-database.ts';
import { keysOf } from '../../capture/chunk-keys.ts';
import { encodePosition } from './sim-position.ts';
import { declaredSchema, encodeRow, keyOf, type Cell } from './sim-row.ts';
import { checkSelection, testOf } from './sim-selection.ts';
import type { SimSessionParts } from './sim-session.ts';

export interface SimSnapshotParts extends SimSessionParts {
  /** The table as a reader sees it that sees everything that was pushed before the call. */
  readonly readProven: (table: string, signal: AbortSignal) => Promise<VisibleRows>;
}

/** From `from`, included, to `to`, not included; null for an open end. Places are numbers, keys are texts. */
interface SpanRange {
  readonly kind: 'span';
  readonly rewrites: number | null;
  readonly from: number | string | null;
  readonly to: number | string | null;
  /** Null for all rows. */
  readonly predicate: string | null;
}

/** Keys in hex. */
interface KeyRange {
  readonly kind: 'keys';
  readonly keys: readonly string[];
}

type SimRange = SpanRange | KeyRange;

/** Most keys of one range. */
const RANGE_KEYS_MAX = 5;

export class SimSnapshotReader implements SnapshotReader {
  readonly #parts: SimSnapshotParts;

  constructor(parts: SimSnapshotParts) {
    this.#parts = parts;
  }

  async checkSelection(table: string, selection: Selection, signal: AbortSignal): Promise<number | null> {
    const { link, server, random } = this.#parts;
    await link.pass('check a selection', signal);
    checkSelection(selection, server.database.read(table).columns);
    await link.pass('checked', signal);
    return selection.kind === 'keys' ? selection.keys.length : random.chance(0.5) ? server.database.read(table).rows.size : null;
  }

  async planRanges(table: string, parallel: number, selection: Selection, signal: AbortSignal): Promise<Uint8Array[]> {
    const { link } = this.#parts;
    await link.pass('plan', signal);
    const ranges = selection.kind === 'keys' ? this.#keyRanges(selection.keys) : this.#spans(table, parallel, selection.kind === 'where' ? selection.predicate : null);
    await link.pass('planned', signal);
    return ranges.map((range) => encodeRange(range));
  }

  async readChunk(request: ChunkRequest, signal: AbortSignal): Promise<Chunk | 'replan'> {
    const { link, server, readProven, watch } = this.#parts;
    const range = decodeRange(request.range);
    const read = watch.begin(request.table, request.range);
    const visible = await readProven(request.table, signal);
    server.onRead();
    const isOutdated = range.kind === 'span' && range.rewrites !== null && range.rewrites !== server.database.table(request.table).rewrites;
    const chunk = isOutdated ? 'replan' : range.kind === 'keys' ? this.#chunkOfKeys(request, range, visible) : this.#chunkOfSpan(request, range, visible);
    await link.pass('chunk', signal);
    if (chunk === 'replan') return chunk;
    // As servers do, it says where the history ends when the rows have been read: more may have happened by then.
    const { end } = server.database;
    watch.read(read, new Set([...keysOf(chunk), ...chunk.absentKeys].map((key) => hex(key))), end);
    return { ...chunk, high: encodePosition(end) };
  }

  #keyRanges(keys: readonly Uint8Array[]): KeyRange[] {
    const size = this.#parts.random.between(1, RANGE_KEYS_MAX);
    return Array.from({ length: Math.ceil(keys.length / size) }, (_, i) => ({ kind: 'keys', keys: keys.slice(i * size, (i + 1) * size).map((key) => hex(key)) }));
  }

  #spans(table: string, parallel: number, predicate: string | null): SpanRange[] {
    const { server, random } = this.#parts;
    const { rows } = server.database.read(table);
    const { rewrites, nextPlace } = server.database.table(table);
    const wanted = random.between(1, parallel);
    const byPlaces = server.flavor.ranges === 'places';
    let bounds: (number | string | null)[];
    if (byPlaces) {
      if (nextPlace === 0) return [];
      const step = Math.max(1, Math.ceil(nextPlace / wanted));
      bounds = Array.from({ length: Math.ceil(nextPlace / step) }, (_, i) => i * step);
      bounds.push(nextPlace);
    } else {
      const keys = [...rows.keys()].toSorted();
      const step = Math.max(1, Math.ceil(keys.length / wanted));
      bounds = [null, ...keys.filter((_, i) => i > 0 && i % step === 0), null];
    }
    return bounds.slice(0, -1).map((from, i) => ({ kind: 'span', rewrites: byPlaces ? rewrites : null, from, to: bounds[i + 1] ?? null, predicate }));
  }

  /** What does not fit is left for the next chunk, whether it is there or not. */
  #chunkOfKeys(request: ChunkRequest, { keys }: KeyRange, visible: VisibleRows): Chunk {
    const wanted = new Set(keys);
    const absent = new Map(keys.map((key) => [key, Buffer.from(key, 'hex')]));
    const found: StoredRow[] = [];
    for (const row of visible.rows.values()) {
      const key = hex(keyOf(row.values[0] as Cell));
      if (!wanted.has(key)) continue;
      found.push(row);
      absent.delete(key);
    }
    const { taken, ...packed } = pack(found, visible, request.rowBytesMax);
    const rest = found.slice(taken).map(({ values }) => hex(keyOf(values[0] as Cell)));
    // The absent ones may come with any part.
    const isCut = rest.length > 0;
    const next = isCut ? encodeRange({ kind: 'keys', keys: [...rest, ...absent.keys()] }) : null;
    return { ...this.#frame(request, visible), ...packed, absentKeys: isCut ? [] : [...absent.values()], next };
  }

  #chunkOfSpan(request: ChunkRequest, range: SpanRange, visible: VisibleRows): Chunk {
    const { random } = this.#parts;
    const isSelected = range.predicate === null ? (): boolean => true : testOf(range.predicate, visible.columns);
    const inRange = [...visible.rows].map(([key, row]) => ({ at: placeIn(range, key, row), row })).filter(({ at, row }) => isWithin(at, range) && isSelected(row.values));
    inRange.sort((a, b) => (a.at < b.at ? -1 : 1));
    const { taken, ...packed } = pack(inRange.map(({ row }) => row), visible, request.rowBytesMax);
    const rest = inRange[taken]?.at ?? null;
    // Some servers learn only from an empty read that a range has come to its end.
    const end = rest === null && taken > 0 && range.to !== null && random.chance(0.2) ? range.to : rest;
    return { ...this.#frame(request, visible), ...packed, absentKeys: [], next: end === null ? null : encodeRange({ ...range, from: end }) };
  }

  /** `high` is set when it is sent. */
  #frame({ table }: ChunkRequest, { columns }: VisibleRows): Pick<Chunk, 'schema' | 'high'> {
    return { schema: declaredSchema(table, columns), high: encodePosition(this.#parts.server.database.end) };
  }
}

/** The rows from the first on that come to so many bytes, one at least; `taken` says how many they are. */
function pack(rows: readonly StoredRow[], { columns }: VisibleRows, rowBytesMax: number): Pick<Chunk, 'keyBytes' | 'keyOffsets' | 'bytes' | 'offsets'> & { readonly taken: number } {
  const keys: Uint8Array[] = [];
  const encoded: Buffer[] = [];
  const keyOffsets = [0];
  const offsets = [0];
  while (keys.length < rows.length && (offsets.at(-1) as number) < rowBytesMax) {
    const { values } = rows[keys.length] as StoredRow;
    const row = encodeRow(columns.map(({ defaultValue }, i) => values[i] ?? defaultValue));
    const key = keyOf(values[0] as Cell);
    keys.push(key);
    encoded.push(row);
    keyOffsets.push((keyOffsets.at(-1) as number) + key.length);
    offsets.push((offsets.at(-1) as number) + row.length);
  }
  return { keyBytes: Buffer.concat(keys), keyOffsets, bytes: Buffer.concat(encoded), offsets, taken: keys.length };
}

export function hex(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}

function placeIn(range: SpanRange, key: string, row: StoredRow): number | string {
  return range.rewrites === null ? key : row.place;
}

function isWithin(at: number | string, { from, to }: SpanRange): boolean {
  return (from === null || at >= from) && (to === null || at < to);
}

function encodeRange(range: SimRange): Buffer {
  return Buffer.from(JSON.stringify(range));
}

function decodeRange(range: Uint8Array): SimRange {
  return JSON.parse(Buffer.from(range).toString()) as SimRange;
}
