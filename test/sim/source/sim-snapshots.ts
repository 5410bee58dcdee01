/** Reads tables of a simulated source chunk by chunk, by the places where rows lie or by their keys. */
import type { Chunk, ChunkRequest, SnapshotReader } from '../../../src/connector/source.ts';
import type { StoredRow, VisibleRows } from './sim-database.ts';
import { keysOf } from '../../capture/chunk-keys.ts';
import { encodePosition } from './sim-position.ts';
import { declaredSchema, encodeRow, keyOf, type Cell } from './sim-row.ts';
import type { SimSessionParts } from './sim-session.ts';

export interface SimSnapshotParts extends SimSessionParts {
  /** The table as a reader sees it that sees everything that was pushed before the call. */
  readonly readProven: (table: string, signal: AbortSignal) => Promise<VisibleRows>;
}

/** From `from`, included, to `to`, not included; null for an open end. Places are numbers, keys are texts. */
interface SimRange {
  readonly rewrites: number | null;
  readonly from: number | string | null;
  readonly to: number | string | null;
}

export class SimSnapshotReader implements SnapshotReader {
  readonly #parts: SimSnapshotParts;

  constructor(parts: SimSnapshotParts) {
    this.#parts = parts;
  }

  async planRanges(table: string, parallel: number, signal: AbortSignal): Promise<Uint8Array[]> {
    const { link, server, random } = this.#parts;
    await link.pass('plan', signal);
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
    const ranges = bounds.slice(0, -1).map((from, i) => encodeRange({ rewrites: byPlaces ? rewrites : null, from, to: bounds[i + 1] ?? null }));
    await link.pass('planned', signal);
    return ranges;
  }

  async readChunk(request: ChunkRequest, signal: AbortSignal): Promise<Chunk | 'replan'> {
    const { link, server, readProven, watch } = this.#parts;
    const range = decodeRange(request.range);
    const read = watch.begin(request.table, request.range);
    const visible = await readProven(request.table, signal);
    server.onRead();
    const isOutdated = range.rewrites !== null && range.rewrites !== server.database.table(request.table).rewrites;
    const chunk = isOutdated ? 'replan' : this.#chunk(request, range, visible);
    if (chunk !== 'replan') watch.read(read, new Set(keysOf(chunk).map((key) => hex(key))), server.database.end);
    await link.pass('chunk', signal);
    return chunk;
  }

  #chunk(request: ChunkRequest, range: SimRange, visible: VisibleRows): Chunk {
    const { server, random } = this.#parts;
    const inRange = [...visible.rows].map(([key, row]) => ({ at: placeIn(range, key, row), row })).filter(({ at }) => isWithin(at, range));
    inRange.sort((a, b) => (a.at < b.at ? -1 : 1));
    const keys: Uint8Array[] = [];
    const rows: Buffer[] = [];
    const offsets = [0];
    let bytes = 0;
    while (keys.length < inRange.length && bytes < request.rowBytesMax) {
      const { values } = (inRange[keys.length] as { row: StoredRow }).row;
      const row = encodeRow(visible.columns.map(({ defaultValue }, i) => values[i] ?? defaultValue));
      keys.push(keyOf(values[0] as Cell));
      rows.push(row);
      bytes += row.length;
      offsets.push(bytes);
    }
    const rest = inRange[keys.length]?.at ?? null;
    // Some servers learn only from an empty read that a range has come to its end.
    const end = rest === null && keys.length > 0 && range.to !== null && random.chance(0.2) ? range.to : rest;
    const next = end === null ? null : encodeRange({ ...range, from: end });
    const keyOffsets = [0];
    for (const key of keys) keyOffsets.push((keyOffsets.at(-1) as number) + key.length);
    return {
      schema: declaredSchema(request.table, visible.columns),
      keyBytes: Buffer.concat(keys),
      keyOffsets,
      bytes: Buffer.concat(rows),
      offsets,
      next,
      high: encodePosition(server.database.end),
    };
  }
}

export function hex(key: Uint8Array): string {
  return Buffer.from(key).toString('hex');
}

function placeIn(range: SimRange, key: string, row: StoredRow): number | string {
  return range.rewrites === null ? key : row.place;
}

function isWithin(at: number | string, { from, to }: SimRange): boolean {
  return (from === null || at >= from) && (to === null || at < to);
}

function encodeRange(range: SimRange): Buffer {
  return Buffer.from(JSON.stringify(range));
}

function decodeRange(range: Uint8Array): SimRange {
  return JSON.parse(Buffer.from(range).toString()) as SimRange;
}
