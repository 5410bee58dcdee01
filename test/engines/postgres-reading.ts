/** A session's table side alone, without a stream: catalog, snapshot reader and row completer on a test server. */
import { Catalog } from '../../connectors/sources/postgres/catalog/catalog.ts';
import type { TableChange } from '../../connectors/sources/postgres/catalog/table-changes.ts';
import { backendActivity, cancelBackend, type BackendActivity } from '../../connectors/sources/postgres/connection/backend.ts';
import type { ClientEncoding } from '../../connectors/sources/postgres/connection/settings.ts';
import { encodePosition, parseLsn } from '../../connectors/sources/postgres/position.ts';
import type { ReadDeps } from '../../connectors/sources/postgres/snapshot/read-deps.ts';
import { createRowCompleter, type RowCompleter } from '../../connectors/sources/postgres/snapshot/row-completer.ts';
import { createSnapshotReader } from '../../connectors/sources/postgres/snapshot/snapshot-reader.ts';
import { postgresFormat } from '../../connectors/sources/postgres/types/row-format.ts';
import { parseSnapshot, VisibilityTracker } from '../../connectors/sources/postgres/visibility.ts';
import { openRawConnection } from '../../connectors/sources/postgres/wire/raw-connection.ts';
import type { DeclaredSchema } from '../../src/change/schema.ts';
import type { Value } from '../../src/change/value.ts';
import type { Chunk, Selection, SnapshotReader, TableRequest } from '../../src/connector/source.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { nodeRandom } from '../../src/runtime/node/random.ts';
import { never, openControl, testConfig, type TestControl } from './postgres-control.ts';
import type { PostgresServer } from './postgres.ts';

export interface Reading extends AsyncDisposable {
  readonly server: PostgresServer;
  readonly database: string;
  readonly control: TestControl;
  readonly catalog: Catalog;
  readonly visibility: VisibilityTracker;
  readonly reader: SnapshotReader;
  readonly completer: RowCompleter;
  readonly deps: ReadDeps;
  /** What refreshing the catalog told. */
  readonly changes: TableChange[];
  /** Runs statements as superuser. */
  run(sql: string): Promise<Record<string, unknown>[]>;
}

export interface ReadingOptions {
  readonly tables: readonly (string | TableRequest)[];
  readonly user?: string;
  readonly database?: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly encoding?: ClientEncoding;
  readonly clock?: Clock;
  /** Where tables are read from, made of the server's url; by default there. */
  readonly readUrl?: (url: string) => string;
  /** See `RawConnectionDeps`. */
  readonly silentMs?: number;
}

const MiB = 1024 * 1024;

export async function openReading(server: PostgresServer, setup: string, options: ReadingOptions): Promise<Reading> {
  const database = options.database ?? (await server.createDatabase());
  if (setup !== '') await server.query(setup, database);
  const config = testConfig(server.url(database, options.user), options.settings);
  const control = openControl(config);
  const clock = options.clock ?? nodeClock;
  const requests = options.tables.map((table) => (typeof table === 'string' ? { table } : table));
  const catalog = await Catalog.load(control.query, requests, { publication: 'pub' }, never);
  const [first] = await control.ask('SELECT pg_current_snapshot()::text AS snapshot');
  const visibility = new VisibilityTracker(parseSnapshot(first?.['snapshot'] ?? ''), []);
  const changes: TableChange[] = [];
  const errors = { source: 'test', user: options.user ?? 'postgres', publication: 'pub', slot: 'none' };
  const readConfig = options.readUrl === undefined ? config : testConfig(options.readUrl(server.url(database, options.user)), options.settings);
  const opening = { config: readConfig, clock: nodeClock, encoding: options.encoding ?? 'UTF8', errors, silentMs: options.silentMs } as const;
  const cancel = async (pid: number): Promise<void> => cancelBackend(control.query, pid, never);
  const activity = async (pid: number, signal: AbortSignal): Promise<BackendActivity> => backendActivity(control.query, pid, signal);
  const deps: ReadDeps = {
    source: 'test',
    catalog,
    refreshCatalog: async (signal) => {
      if ((await catalog.fingerprint(control.query, signal)) !== catalog.loadedFingerprint) changes.push(...(await catalog.refresh(control.query, signal)));
    },
    visibility,
    open: async (signal) => openRawConnection({ ...opening, cancel, activity }, signal),
    query: control.query,
    positionOf: (lsn) => encodePosition(parseLsn(lsn), 1),
    clock,
    random: nodeRandom,
    logger: silentLogger,
  };
  const reader = createSnapshotReader(deps);
  const completer = createRowCompleter(deps);
  return {
    server,
    database,
    control,
    catalog,
    visibility,
    reader,
    completer,
    deps,
    changes,
    run: async (sql) => server.query(sql, database),
    [Symbol.asyncDispose]: async () => {
      await reader[Symbol.asyncDispose]();
      await completer[Symbol.asyncDispose]();
      await control[Symbol.asyncDispose]();
    },
  };
}

/** Decoded rows of a chunk. */
export function rowsOf(chunk: Chunk): Value[][] {
  const decoder = postgresFormat.decoder({ ...chunk.schema, id: 1, source: 'test' }, namesOf(chunk.schema));
  return chunk.offsets.slice(1).map((end, i) => decoder.decode(chunk.bytes.subarray(chunk.offsets[i], end)));
}

export function namesOf(schema: DeclaredSchema): string[] {
  return schema.columns.map((column) => column.name);
}

export interface Pass {
  readonly rows: Value[][];
  readonly chunks: Chunk[];
}

/** Reads a table from its plan to its end. */
export async function readTable(reading: Reading, table: string, options: ReadOptions = {}): Promise<Pass> {
  const chunks = await readChunks(reading, table, options);
  return { chunks, rows: chunks.flatMap(rowsOf) };
}

export interface ReadOptions {
  readonly parallel?: number;
  readonly selection?: Selection;
  readonly rowBytesMax?: number;
}

/** The same without decoding the rows. */
export async function readChunks(reading: Reading, table: string, options: ReadOptions = {}): Promise<Chunk[]> {
  const ranges = await reading.reader.planRanges(table, options.parallel ?? 1, options.selection ?? { kind: 'all' }, never);
  const passes = await Promise.all(ranges.map(async (range) => readRange(reading, table, range, options.rowBytesMax ?? 4 * MiB)));
  return passes.flat();
}

async function readRange(reading: Reading, table: string, first: Uint8Array, rowBytesMax: number): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for (let range: Uint8Array | null = first; range !== null; ) {
    const chunk = await reading.reader.readChunk({ table, range, rowBytesMax }, never);
    if (chunk === 'replan') throw new Error('the plan does not hold any more');
    chunks.push(chunk);
    range = chunk.next;
  }
  return chunks;
}
