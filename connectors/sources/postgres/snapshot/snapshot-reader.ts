/**
 * Reads tables chunk by chunk beside the stream: a chunk is a run of blocks of one heap, read in one short transaction with proof (`proven-read.ts`).
 *
 * Reading by place needs no key and no index and touches each block once. A row that is moved while the ranges are read was updated, so it is in
 * the stream. A rewrite gives the relation another file; then the ranges are planned again.
 */
import type { Chunk, ChunkRequest, SnapshotReader } from '../../../../src/connector/source.ts';
import { invariant } from '../../../../src/errors/invariant.ts';
import type { LeafShape } from '../catalog/catalog.ts';
import type { ColumnFacts } from '../catalog/document.ts';
import { quoteLiteral, quoteQualified } from '../connection/identifier.ts';
import { TupleLayout } from '../tuple.ts';
import { accessError, INSUFFICIENT_PRIVILEGE } from './access-error.ts';
import { ChunkRows } from './chunk-rows.ts';
import { ChunkSize } from './chunk-size.ts';
import { scanPlaces } from './place-scan.ts';
import { planRanges } from './plan-ranges.ts';
import { readProven, type Read } from './proven-read.ts';
import { ReadConnections } from './read-connections.ts';
import type { ReadDeps } from './read-deps.ts';
import { CATALOG_CHANGED, sqlStateOf } from '../connection/sql-state.ts';
import { decodeRange, encodeRange, tupleIdOf, type TidRange, type TupleId } from './tid-range.ts';
import { textsOf } from '../tuple-texts.ts';

/** A chunk that has grown to so many times the wanted bytes is cut short. */
const OVERFLOW_FACTOR = 2;

/** The end of the log at or after the read, and of what was read: which relation has the name, its file and its columns, as they are now. */
function afterwards({ relation }: LeafShape): string {
  const { oid } = relation;
  return `
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END, pg_relation_filenode(${oid}), to_regclass(${quoteLiteral(nameOf(relation))})::oid,
      (SELECT json_agg(json_build_array(attnum, attname, atttypid::int8, atttypmod) ORDER BY attnum) FROM pg_attribute WHERE attrelid = ${oid} AND attnum > 0 AND NOT attisdropped)`;
}

interface Afterwards {
  readonly insertLsn: string;
  readonly file: number | null;
  readonly oid: number | null;
  readonly columns: string | null;
}

interface RowsRead {
  readonly rows: ChunkRows;
  readonly cutShort: boolean;
  readonly after: Afterwards;
}

/** A reader for a session; disposing closes its connections. */
export function createSnapshotReader(deps: ReadDeps): SnapshotReader & AsyncDisposable {
  return new TidReader(deps);
}

class TidReader implements SnapshotReader, AsyncDisposable {
  readonly #deps: ReadDeps;
  readonly #connections: ReadConnections;
  readonly #sizes = new Map<number, ChunkSize>();

  constructor(deps: ReadDeps) {
    this.#deps = deps;
    this.#connections = new ReadConnections(deps.open, deps.clock);
  }

  async planRanges(table: string, parallel: number, signal: AbortSignal): Promise<Uint8Array[]> {
    await this.#deps.refreshCatalog(signal);
    return planRanges(this.#deps.query, this.#deps.catalog.leavesOf(table), parallel, signal);
  }

  async readChunk(request: ChunkRequest, signal: AbortSignal): Promise<Chunk | 'replan'> {
    const mark = this.#deps.visibility.mark();
    const range = decodeRange(request.range);
    const { catalog } = this.#deps;
    const fingerprint = catalog.loadedFingerprint;
    const leaf = catalog.leavesOf(request.table).find((candidate) => candidate.relation.oid === range.oid);
    if (leaf === undefined) return this.#replan(signal);
    try {
      return await this.#read(leaf, range, request, mark, signal);
    } catch (error) {
      const state = sqlStateOf(error);
      if (state === INSUFFICIENT_PRIVILEGE) throw await accessError(this.#deps.query, this.#deps.source, leaf.relation, error, signal);
      if (state === undefined || !CATALOG_CHANGED.has(state)) throw error;
      const replan = await this.#replan(signal);
      // What the server misses was there when the catalog was read, and still is: asking again would not help.
      if (catalog.loadedFingerprint === fingerprint) throw error;
      return replan;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connections[Symbol.asyncDispose]();
  }

  async #read(leaf: LeafShape, range: TidRange, request: ChunkRequest, mark: number, signal: AbortSignal): Promise<Chunk | 'replan'> {
    for (;;) {
      const size = this.#sizeOf(range.oid);
      const until = Math.min(range.to, range.from.block + size.blocks);
      const { rowsMax } = size;
      const { rows, cutShort, after } = await this.#readRows(leaf, range.from, until, rowsMax, request, mark, signal);
      if (after.file !== range.file || after.oid !== range.oid || !sameColumns(leaf, after.columns)) return this.#replan(signal);
      if (cutShort && rowsMax === null) {
        size.overflowed();
        continue;
      }
      const next = cutShort || rows.count === rowsMax ? behind(rows.lastOrdinal) : { block: until, line: 0 };
      size.learn(rows.count, rows.byteLength, next.block - range.from.block, request.rowBytesMax);
      return {
        schema: leaf.shape.schema,
        ...rows.take(),
        next: next.block >= range.to ? null : encodeRange({ ...range, from: next }),
        high: this.#deps.positionOf(after.insertLsn),
      };
    }
  }

  /** Reads rows from a place on, up to a block or a number of rows; `cutShort` when they became too many bytes before that. */
  async #readRows(leaf: LeafShape, from: TupleId, until: number, rowsMax: number | null, request: ChunkRequest, mark: number, signal: AbortSignal): Promise<RowsRead> {
    const bytesMax = OVERFLOW_FACTOR * request.rowBytesMax;
    const rows = new ChunkRows(leaf.shape, request.rowBytesMax + (request.rowBytesMax >> 2));
    const seen: { after: Afterwards | null } = { after: null };
    const layout = new TupleLayout();
    const read = (): Read => {
      const enough = new AbortController();
      return {
        table: request.table,
        enough: enough.signal,
        statements: scanPlaces({ leaf, from, until, rowsMax }, this.#deps.catalog.serverVersion),
        after: afterwards(leaf),
        restart: () => rows.clear(),
        onRow: (bytes, start, end, statement) => {
          if (statement > 1) seen.after = afterwardsOf(textsOf(bytes, start, end, layout));
          else if (rows.byteLength <= bytesMax) {
            if (rowsMax === null) rows.add(bytes, start, end);
            else rows.addPlaced(bytes, start, end);
            if (rows.byteLength > bytesMax) enough.abort();
          }
        },
      };
    };
    await readProven(this.#deps, this.#connections, mark, read, signal);
    return { rows, cutShort: rows.byteLength > bytesMax, after: seen.after ?? (await this.#afterwards(leaf, signal)) };
  }

  async #afterwards(leaf: LeafShape, signal: AbortSignal): Promise<Afterwards> {
    return this.#connections.use(async (connection) => {
      const [row] = await connection.values(afterwards(leaf), signal);
      invariant(row !== undefined, 'the server tells where its log ends');
      return afterwardsOf(row);
    }, signal);
  }

  #sizeOf(oid: number): ChunkSize {
    const size = this.#sizes.get(oid) ?? new ChunkSize();
    this.#sizes.set(oid, size);
    return size;
  }

  /** The catalog is brought up to date first, so that the new plan is not made from the old one. */
  async #replan(signal: AbortSignal): Promise<'replan'> {
    await this.#deps.refreshCatalog(signal);
    return 'replan';
  }
}

/** The place behind a row: the rest of its block comes with the next chunk. */
function behind(ordinal: number): TupleId {
  return tupleIdOf(ordinal + 1);
}

function afterwardsOf(row: readonly (string | null)[]): Afterwards {
  const [insertLsn, file, oid, columns] = row;
  invariant(typeof insertLsn === 'string', 'the server tells where its log ends');
  return { insertLsn, file: numberOf(file), oid: numberOf(oid), columns: columns ?? null };
}

function numberOf(text: string | null | undefined): number | null {
  return text === null || text === undefined ? null : Number(text);
}

function nameOf(relation: LeafShape['relation']): string {
  return quoteQualified(relation.namespace, relation.name);
}

/** Whether the columns that were read are what the catalog said: a name may have come to mean another column between snapshot and read. */
function sameColumns(leaf: LeafShape, described: string | null): boolean {
  const now = JSON.parse(described ?? '[]') as [number: number, name: string, type: number, modifier: number][];
  return leaf.columns.every((column) => {
    const known = leaf.relation.columns.find((own) => own.name === column.name) as ColumnFacts;
    return now.some(([number, name, type, modifier]) => name === known.name && number === known.number && type === known.type && modifier === known.modifier);
  });
}
