/**
 * Reads tables chunk by chunk beside the stream: a chunk is a run of blocks of one heap, read in one short transaction with proof (`proven-read.ts`).
 *
 * Rows that are asked for by key are read by `key-reader.ts`.
 *
 * Reading by place needs no key and no index and touches each block once. A row that is moved while the ranges are read was updated, so it is in
 * the stream. A rewrite gives the relation another file; then the ranges are planned again.
 */
import type { Chunk, ChunkRequest, Selection, SnapshotReader } from '../../../../src/connector/source.ts';
import { invariant } from '../../../../src/errors/invariant.ts';
import type { LeafShape } from '../catalog/catalog.ts';
import { CATALOG_CHANGED, sqlStateOf } from '../connection/sql-state.ts';
import { TupleLayout } from '../tuple.ts';
import { textsOf } from '../tuple-texts.ts';
import { accessError, INSUFFICIENT_PRIVILEGE } from './access-error.ts';
import { afterwards, afterwardsOf, sameColumns, type Afterwards } from './afterwards.ts';
import { ChunkRows } from './chunk-rows.ts';
import { ChunkSize } from './chunk-size.ts';
import { isKeyRange, keyRangesOf } from './key-range.ts';
import { KeyReader } from './key-reader.ts';
import { scanPlaces, type PlaceScan } from './place-scan.ts';
import { planRanges } from './plan-ranges.ts';
import { checkPredicate } from './predicate-check.ts';
import { checkPredicateText } from './predicate-text.ts';
import { readProven, type Read } from './proven-read.ts';
import { ReadConnections } from './read-connections.ts';
import type { ReadDeps } from './read-deps.ts';
import { selectionError, type StatedPredicate } from './selection-error.ts';
import { decodeRange, encodeRange, tupleIdOf, type TidRange, type TupleId } from './tid-range.ts';

/** A chunk that has grown to so many times the wanted bytes is cut short. */
const OVERFLOW_FACTOR = 2;

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
  readonly #keys: KeyReader;
  readonly #sizes = new Map<number, ChunkSize>();

  constructor(deps: ReadDeps) {
    this.#deps = deps;
    this.#connections = new ReadConnections(deps.open, deps.clock);
    this.#keys = new KeyReader(deps, this.#connections);
  }

  async checkSelection(table: string, selection: Selection, signal: AbortSignal): Promise<number | null> {
    const { catalog, refreshCatalog } = this.#deps;
    await refreshCatalog(signal);
    if (selection.kind === 'where') return checkPredicate(this.#connections, { table, sites: catalog.sitesOf(table), leaves: catalog.leavesOf(table) }, selection.predicate, signal);
    if (selection.kind === 'all') return catalog.tables.find((described) => described.table === table)?.estimatedRows ?? null;
    this.#keys.check(table, selection.keys);
    return selection.keys.length;
  }

  async planRanges(table: string, parallel: number, selection: Selection, signal: AbortSignal): Promise<Uint8Array[]> {
    if (selection.kind === 'keys') return keyRangesOf(selection.keys);
    if (selection.kind === 'where') checkPredicateText(table, selection.predicate);
    await this.#deps.refreshCatalog(signal);
    return planRanges(this.#deps.query, this.#deps.catalog.leavesOf(table), parallel, selection.kind === 'where' ? selection.predicate : undefined, signal);
  }

  async readChunk(request: ChunkRequest, signal: AbortSignal): Promise<Chunk | 'replan'> {
    const mark = this.#deps.visibility.mark();
    if (isKeyRange(request.range)) return this.#readKeys(request, mark, signal);
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

  async #readKeys(request: ChunkRequest, mark: number, signal: AbortSignal): Promise<Chunk> {
    try {
      return await this.#keys.readChunk(request, mark, signal);
    } catch (error) {
      const [site] = this.#deps.catalog.sitesOf(request.table);
      if (sqlStateOf(error) !== INSUFFICIENT_PRIVILEGE || site === undefined) throw error;
      throw await accessError(this.#deps.query, this.#deps.source, site.relation, error, signal);
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
      const scan = { leaf, from: range.from, until, rowsMax, predicate: range.predicate ?? null };
      const { rows, cutShort, after } = await this.#readRows(scan, request, mark, signal);
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
        absentKeys: [],
        next: next.block >= range.to ? null : encodeRange({ ...range, from: next }),
        high: this.#deps.positionOf(after.insertLsn),
      };
    }
  }

  /** Reads rows from a place on, up to a block or a number of rows; `cutShort` when they became too many bytes before that. */
  async #readRows(scan: PlaceScan, request: ChunkRequest, mark: number, signal: AbortSignal): Promise<RowsRead> {
    const { leaf, rowsMax, predicate } = scan;
    const bytesMax = OVERFLOW_FACTOR * request.rowBytesMax;
    const rows = new ChunkRows(leaf.shape, request.rowBytesMax + (request.rowBytesMax >> 2));
    const seen: { after: Afterwards | null } = { after: null };
    const layout = new TupleLayout();
    const { settings, select } = scanPlaces(scan, this.#deps.catalog.serverVersion);
    const read = (): Read => {
      const enough = new AbortController();
      return {
        table: request.table,
        enough: enough.signal,
        statements: predicate === null ? `${settings}; ${select}` : settings,
        alone: predicate === null ? undefined : select,
        after: afterwards(leaf.relation),
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
    try {
      await readProven(this.#deps, this.#connections, mark, read, signal);
    } catch (error) {
      if (predicate === null) throw error;
      throw await this.#selectionError(error, { table: request.table, predicate, before: null }, signal);
    }
    return { rows, cutShort: rows.byteLength > bytesMax, after: seen.after ?? (await this.#afterwards(leaf, signal)) };
  }

  /** The condition's fault, unless the table has become another meanwhile: then whoever reads finds that by the server's error. */
  async #selectionError(error: unknown, stated: StatedPredicate, signal: AbortSignal): Promise<unknown> {
    const { catalog, refreshCatalog } = this.#deps;
    if (!CATALOG_CHANGED.has(sqlStateOf(error) ?? '')) return selectionError(error, stated);
    const fingerprint = catalog.loadedFingerprint;
    await refreshCatalog(signal);
    return catalog.loadedFingerprint === fingerprint ? selectionError(error, stated) : error;
  }

  async #afterwards(leaf: LeafShape, signal: AbortSignal): Promise<Afterwards> {
    return this.#connections.use(async (connection) => {
      const [row] = await connection.values(afterwards(leaf.relation), signal);
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
