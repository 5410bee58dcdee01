/**
 * Reads rows by key: all of a chunk's keys in one read with proof, wherever in the table their rows are, so that a key which is found nowhere was
 * nowhere at one moment.
 *
 * The server compares by the key's own operators; the bytes decide. A row that is equal to what was asked for without being the same (`1.0` and
 * `1.00`) is read, and the key that was asked for is absent: both are true.
 */
import { isUtf8 } from 'node:buffer';
import { decodeKey } from '../../../../src/change/key.ts';
import { keyColumns } from '../../../../src/change/schema.ts';
import type { Chunk, ChunkRequest } from '../../../../src/connector/source.ts';
import { invariant } from '../../../../src/errors/invariant.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { LeafShape } from '../catalog/catalog.ts';
import type { TableShape } from '../catalog/shape.ts';
import { textsOf } from '../tuple-texts.ts';
import { TupleLayout } from '../tuple.ts';
import { afterwards, afterwardsOf, END_OF_LOG, sameColumns, type Afterwards } from './afterwards.ts';
import { ChunkRows } from './chunk-rows.ts';
import { castKeys, selectByKey, type TextValue } from './completion-sql.ts';
import { FoundRows, type Found, type KeySite } from './found-rows.ts';
import { decodeKeyRange, encodeKeyRange } from './key-range.ts';
import { readProven, type Read } from './proven-read.ts';
import type { ReadConnections } from './read-connections.ts';
import type { ReadDeps } from './read-deps.ts';
import { sqlStateOf } from '../connection/sql-state.ts';

/** How often a statement is made anew because DDL was faster. */
const DDL_ATTEMPTS_MAX = 5;

const DIGEST_BYTES = 32;

export class KeyReader {
  readonly #deps: ReadDeps;
  readonly #connections: ReadConnections;

  constructor(deps: ReadDeps, connections: ReadConnections) {
    this.#deps = deps;
    this.#connections = connections;
  }

  /** Throws SRC_SELECTION for keys that cannot be told from their bytes. */
  check(table: string, keys: readonly Uint8Array[]): void {
    const { schema } = this.#tableShape(table);
    const columns = keyNames({ schema });
    const refused = (message: string): TailraceError => new TailraceError('SRC_SELECTION', { message, entity: table });
    if (columns.length === 0) throw refused(`Rows of ${table} cannot be asked for by key: they are told apart by all of their columns. Ask by a condition.`);
    keys.forEach((key, i) => {
      const parts = partsOf(key);
      if (isDigest(parts)) throw refused(`Key ${i + 1} of ${keys.length} for ${table} stands for one that is too long to be written out: it cannot be asked for. Ask by a condition.`);
      if (parts?.length !== columns.length) throw refused(`Key ${i + 1} of ${keys.length} for ${table} has ${parts?.length ?? 'no'} values; the table's key is (${columns.join(', ')}).`);
    });
  }

  async readChunk(request: ChunkRequest, mark: number, signal: AbortSignal): Promise<Chunk> {
    const { keys, atOnce } = decodeKeyRange(request.range);
    const asked = keys.slice(0, atOnce);
    const found = await this.#find(request, asked, mark, signal);
    const { rows, inRows, elsewhere, shape, cutShort, after } = found;
    const left = cutShort ? asked.filter((_, n) => !inRows.has(n)) : asked.filter((_, n) => !inRows.has(n) && elsewhere.has(n));
    const rest = [...left, ...keys.slice(atOnce)];
    const insertLsn = after[0]?.insertLsn ?? (await this.#endOfLog(signal));
    return {
      schema: shape.schema,
      ...rows.take(),
      absentKeys: cutShort ? [] : asked.filter((_, n) => !inRows.has(n) && !elsewhere.has(n)),
      next: rest.length === 0 ? null : encodeKeyRange({ keys: rest, atOnce: cutShort ? Math.max(1, inRows.size) : atOnce }),
      high: this.#deps.positionOf(insertLsn),
    };
  }

  /** Reads until the columns that were read are what the catalog says, without the keys that no row can have. */
  async #find(request: ChunkRequest, asked: readonly Uint8Array[], mark: number, signal: AbortSignal): Promise<Found> {
    let places = asked.map((_, n) => n);
    let areValid = false;
    for (let attempt = 1; ; attempt += 1) {
      const sites = this.#sites(request.table);
      try {
        const found = await this.#read(request, sites, asked, places, mark, signal);
        const isSame = found.after.every((after, i) => after.oid === sites[i]?.relation.oid && sameColumns(sites[i] as KeySite, after.columns));
        if (isSame || attempt === DDL_ATTEMPTS_MAX) {
          invariant(isSame, 'a table keeps its columns for as long as its rows are read');
          return found;
        }
      } catch (error) {
        signal.throwIfAborted();
        if (isDataError(error) && !areValid) {
          places = await this.#valid(sites[0] as KeySite, asked, signal);
          areValid = true;
          continue;
        }
        if (attempt === DDL_ATTEMPTS_MAX || !isCatalogError(error)) throw error;
      }
      await this.#deps.refreshCatalog(signal);
    }
  }

  /** `places`: of the keys that are looked for, among those that are asked for. */
  async #read(request: ChunkRequest, sites: readonly KeySite[], asked: readonly Uint8Array[], places: readonly number[], mark: number, signal: AbortSignal): Promise<Found> {
    const [first] = sites;
    const shape = first?.shape ?? this.#tableShape(request.table);
    if (places.length === 0 || first === undefined) return { rows: new ChunkRows(shape, 0), inRows: new Set(), elsewhere: new Set(), shape, cutShort: false, after: [] };
    const names = keyNames(shape);
    const values = places.map((n) => valuesOf(asked[n]));
    const selects = sites.map((site) => selectByKey(site, names, values, site.columns.map(({ name }) => name)));
    const collector = new FoundRows({ sites, rowBytesMax: request.rowBytesMax, asked, places });
    const layout = new TupleLayout();
    const read = (): Read => {
      const enough = new AbortController();
      return {
        table: request.table,
        statements: selects.join('; '),
        after: afterwardsOfAll(sites),
        enough: enough.signal,
        restart: () => collector.clear(),
        onRow: (bytes, start, end, statement) => {
          if (statement > sites.length) collector.after.push(afterwardsOf(textsOf(bytes, start, end, layout)));
          else if (!collector.add(statement - 1, bytes, start, end)) enough.abort();
        },
      };
    };
    await readProven(this.#deps, this.#connections, mark, read, signal);
    const found = collector.found();
    return found.cutShort ? { ...found, after: await this.#afterwards(sites, signal) } : found;
  }

  /** Places of the keys whose values are any of their columns' types; no row has another one. */
  async #valid(site: KeySite, asked: readonly Uint8Array[], signal: AbortSignal): Promise<number[]> {
    const names = keyNames(site.shape);
    const valid: number[] = [];
    const look = async (places: readonly number[]): Promise<void> => {
      try {
        const sql = castKeys(site, names, places.map((n) => valuesOf(asked[n])));
        await this.#connections.use(async (connection) => connection.query(sql, null, signal), signal);
        valid.push(...places);
      } catch (error) {
        signal.throwIfAborted();
        if (!isDataError(error)) throw error;
        if (places.length === 1) return;
        const middle = places.length >>> 1;
        await look(places.slice(0, middle));
        await look(places.slice(middle));
      }
    };
    await look(asked.map((_, n) => n));
    return valid;
  }

  #sites(table: string): KeySite[] {
    const leaves = this.#deps.catalog.leavesOf(table);
    const [first] = leaves;
    return this.#deps.catalog.sitesOf(table).map((site) => {
      const leaf = leaves.find(({ relation }) => relation.oid === site.relation.oid) ?? first;
      invariant(leaf !== undefined, 'where there is a site, there is a leaf');
      return { ...site, shape: leaf.shape };
    });
  }

  /** Of a table that may have no partitions. */
  #tableShape(table: string): TableShape {
    const [leaf]: readonly LeafShape[] = this.#deps.catalog.leavesOf(table);
    if (leaf !== undefined) return leaf.shape;
    const described = this.#deps.catalog.tables.find((candidate) => candidate.table === table);
    invariant(described !== undefined, `table ${table} is one of the catalog`);
    const { schema } = described;
    return { schema, keyIndexes: keyColumns(schema).map((column) => schema.columns.indexOf(column)) };
  }

  async #afterwards(sites: readonly KeySite[], signal: AbortSignal): Promise<Afterwards[]> {
    return this.#connections.use(async (connection) => (await connection.values(afterwardsOfAll(sites), signal)).map((row) => afterwardsOf(row)), signal);
  }

  async #endOfLog(signal: AbortSignal): Promise<string> {
    return this.#connections.use(async (connection) => {
      const [row] = await connection.values(`SELECT ${END_OF_LOG}`, signal);
      invariant(typeof row?.[0] === 'string', 'the server tells where its log ends');
      return row[0];
    }, signal);
  }
}

function afterwardsOfAll(sites: readonly KeySite[]): string {
  return sites.map(({ relation }) => afterwards(relation)).join('; ');
}

function keyNames({ schema }: Pick<TableShape, 'schema'>): string[] {
  return keyColumns(schema).map(({ name }) => name);
}

function valuesOf(key: Uint8Array | undefined): readonly TextValue[] {
  invariant(key !== undefined, 'a key has a place among those that are asked for');
  return decodeKey(key);
}

function partsOf(key: Uint8Array): readonly (Uint8Array | null)[] | null {
  try {
    return decodeKey(key);
  } catch {
    // Bytes that are no key at all.
    return null;
  }
}

/** See `../row-key.ts`. Bytes that are no text are no value either, but for the odd one of a database that knows no encoding. */
function isDigest(parts: readonly (Uint8Array | null)[] | null): boolean {
  const [part] = parts ?? [];
  return parts?.length === 1 && part !== null && part !== undefined && part.length === DIGEST_BYTES && !isUtf8(part);
}

/** data_exception, or check_violation of a domain. */
function isDataError(error: unknown): boolean {
  const state = sqlStateOf(error);
  return state !== undefined && (state.startsWith('22') || state === '23514');
}

/** undefined_table and what else DDL leads to. */
function isCatalogError(error: unknown): boolean {
  return sqlStateOf(error)?.startsWith('42') === true && sqlStateOf(error) !== '42501';
}
