/**
 * A source whose server is a few maps in memory, and a pipeline on it: for tests of what the pipeline does when something else comes from its source
 * than changes. The log, the state and the clock are real; the server's clock and its failures are the test's.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { encodeKey } from '../change/encode-key.ts';
import { decodeKey } from '../../src/change/key.ts';
import { Op } from '../../src/change/operation.ts';
import type { ColumnKind, DeclaredSchema } from '../../src/change/schema.ts';
import type { TailraceConfig } from '../../src/config/definition.ts';
import { logSettings } from '../../src/config/engine-settings.ts';
import { indexSettings } from '../../src/config/index-settings.ts';
import type { RowFormat } from '../../src/connector/row-format.ts';
import type { ChangeSink, Chunk, ConnectRequest, Selection, Source, SourceSession, TableDescription } from '../../src/connector/source.ts';
import type { GenerationPlan, Target } from '../../src/connector/target.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import type { SwapCheck } from '../../src/pipeline/swap.ts';
import { startPipeline } from '../../src/pipeline/start.ts';
import { Notifier, untilAborted } from '../../src/runtime/abort.ts';
import type { Logger, LogFields } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import type { Runtime } from '../../src/runtime/runtime.ts';
import { MemoryStorage, MemoryTarget } from '../sim/memory-target.ts';

const format: RowFormat = {
  name: 'scripted/1',
  decoder: (_, columns) => ({ decode: (row) => columns.map((name) => (JSON.parse(Buffer.from(row).toString()) as Record<string, string>)[name] ?? null) }),
};

function schemaOf(table: string, nameKind: ColumnKind, more: readonly string[] = []): DeclaredSchema {
  const column = (name: string, kind: ColumnKind, keyOrdinal: number): DeclaredSchema['columns'][number] => ({ name, kind, sourceType: kind, nullable: false, keyOrdinal, decoding: {} });
  return { table, format: format.name, columns: [column('id', 'text', 1), column('name', nameKind, 0), ...more.map((name) => column(name, 'text', 0))] };
}

const keyOf = (id: string): Buffer => encodeKey([Buffer.from(id)]);
const rowOf = (id: string, name: string): Buffer => Buffer.from(JSON.stringify({ id, name }));

interface Transaction {
  readonly table: string;
  readonly id: string;
  /** Null: the row is deleted. */
  readonly name: string | null;
  readonly commitTimeMs: number;
  readonly nameKind: ColumnKind;
}

export class ScriptedServer {
  /** The server's wall clock, which stands still unless it is moved. */
  nowMs = 1_800_000_000_000;
  readonly tables = new Map<string, Map<string, string>>();
  /** Of the column `name` of every table, from now on. */
  nameKind: ColumnKind = 'text';
  /** That every table has got, and of which no row says anything yet. */
  moreColumns: readonly string[] = [];
  /** A transaction's position is its place here, from 1. */
  readonly history: Transaction[] = [];
  /** How much more may be written until what its reader needs is dropped. */
  bytesUntilLoss: number | null = null;
  /** What a question for the head is answered with instead of the head. */
  headError: unknown = null;
  /** What an answer to that question waits for. */
  headAfter: Promise<void> = Promise.resolve();
  /** What every chunk of a table waits for. */
  chunkAfter: Promise<void> = Promise.resolve();
  chunksRead = 0;
  /** How often each row stands in its table when all of it is read: the table has no key then, and the row is told apart by all that it says. */
  copies = 1;
  /** What an attempt to connect is answered with instead of a session. */
  connectError: unknown = null;
  /** What a stream, and every attempt to connect behind it, ends with; `breakWith` sets it. */
  #broken: unknown = null;
  /** What the next attempts to drop the history are answered with. */
  readonly dropErrors: unknown[] = [];
  drops = 0;
  connects = 0;
  readonly committed = new Notifier();
  readonly #untold = new Set<string>();

  write(table: string, id: string, name: string | null): void {
    const rows = this.tables.get(table) ?? new Map<string, string>();
    this.tables.set(table, rows);
    if (name === null) rows.delete(id);
    else rows.set(id, name);
    this.history.push({ table, id, name, commitTimeMs: this.nowMs, nameKind: this.nameKind });
    this.committed.notify();
  }

  /** Changes a row without a change that its stream would tell of: that is told when somebody has the server looked at. */
  writeSilently(table: string, id: string, name: string): void {
    this.tables.get(table)?.set(id, name);
    this.#untold.add(table);
  }

  /** Connections end with the error, and so does every attempt to make one, until it is null again. */
  breakWith(error: unknown): void {
    this.#broken = error;
    this.connectError = error;
    this.committed.notify();
  }

  /** Connections end; new ones are made. */
  dropConnections(): void {
    this.#broken = new TailraceError('SRC_CONN', { message: 'The connection is lost.' });
    this.committed.notify();
  }

  source(name: string): Source {
    return {
      name,
      format,
      check: async () => [],
      describe: async (tables) => tables.map(({ table }): TableDescription => ({ table, schema: schemaOf(table, this.nameKind, this.moreColumns), estimatedRows: null })),
      connect: async (request) => this.#session(request),
      comparePositions: (a, b) => Buffer.compare(a, b),
      bytesBetween: (from, to) => placeOf(to) - placeOf(from),
      formatPosition: (position) => String(placeOf(position)),
      dropHistory: async () => {
        const error = this.dropErrors.shift();
        if (error !== undefined) throw error as Error;
        this.drops += 1;
      },
      [Symbol.asyncDispose]: async () => {},
    };
  }

  #session(request: ConnectRequest): SourceSession {
    if (this.connectError !== null) throw this.connectError as Error;
    this.connects += 1;
    if (this.connectError === null) this.#broken = null;
    const start = request.resume === null ? this.history.length : placeOf(request.resume.position);
    const wanted = new Set(request.tables.map(({ table }) => table));
    const nudged = new Notifier();
    let isNudged = false;
    let told: ChangeSink | null = null;
    return {
      identity: 'scripted',
      tables: [...wanted].map((table): TableDescription => ({ table, schema: schemaOf(table, this.nameKind), estimatedRows: null })),
      start: positionOf(start),
      snapshots: {
        checkSelection: async (table, selection) => this.#estimate(table, selection),
        planRanges: async (_, __, selection) => [rangeOf(selection)],
        readChunk: async ({ table, range }, signal) => {
          this.chunksRead += 1;
          await untilAborted(this.chunkAfter, signal);
          return this.#chunk(table, range);
        },
      },
      lookAround: async () => {
        for (const table of this.#untold) told?.reread(table, 'its rows were changed in silence', true);
        this.#untold.clear();
      },
      stream: async (sink, signal) => {
        told = sink;
        for (let sent = start; ; ) {
          signal.throwIfAborted();
          if (this.#broken !== null) throw this.#broken as Error;
          for (; sent < this.history.length; sent += 1) push(sink, sent + 1, this.history[sent] as Transaction, wanted);
          if (isNudged) sink.heartbeat(positionOf(sent));
          isNudged = false;
          await Promise.race([this.committed.wait(signal), nudged.wait(signal)]);
        }
      },
      confirm: () => {},
      nudge: () => {
        isNudged = true;
        nudged.notify();
      },
      completeRows: async () => [],
      head: async (signal) => {
        await untilAborted(this.headAfter, signal);
        if (this.headError !== null) throw this.headError as Error;
        return { position: positionOf(this.history.length), nowMs: this.nowMs, retainedBytes: null, bytesUntilLoss: this.bytesUntilLoss, notes: [] };
      },
      [Symbol.asyncDispose]: async () => {},
    };
  }

  #estimate(table: string, selection: Selection): number | null {
    if (selection.kind === 'keys') return selection.keys.length;
    if (selection.kind === 'all') return null;
    if (!selection.predicate.startsWith(NAME_IS)) throw new TailraceError('SRC_SELECTION', { message: `The condition for ${table} is refused: it is none.` });
    return [...(this.tables.get(table) ?? [])].filter(([, name]) => name === selection.predicate.slice(NAME_IS.length)).length;
  }

  #chunk(table: string, range: Uint8Array): Chunk {
    const { keys: wanted, name: wantedName } = JSON.parse(Buffer.from(range).toString()) as Range;
    const ids = wanted?.map((key) => decodeKey(Buffer.from(key, 'hex')).map(String).join());
    const rows = [...(this.tables.get(table) ?? [])].filter(([id, name]) => ids?.includes(id) ?? (wantedName === undefined || name === wantedName)).flatMap((row) => Array.from({ length: this.copies }, () => row));
    const keys = rows.map(([id]) => keyOf(id));
    const bodies = rows.map(([id, name]) => rowOf(id, name));
    const absentKeys = (ids ?? []).filter((id) => !rows.some(([there]) => there === id)).map(keyOf);
    const { columns, ...schema } = schemaOf(table, this.nameKind);
    return { schema: { ...schema, columns: this.copies === 1 ? columns : columns.map((column) => ({ ...column, keyOrdinal: 0 })) }, keyBytes: Buffer.concat(keys), keyOffsets: offsetsOf(keys), bytes: Buffer.concat(bodies), offsets: offsetsOf(bodies), absentKeys, next: null, high: positionOf(this.history.length) };
  }
}

/** Of all rows when it says nothing. */
interface Range {
  /** In hex. */
  readonly keys?: readonly string[];
  readonly name?: string;
}

/** How a condition of this server begins; behind it the name is as it is. */
export const NAME_IS = 'name is ';

function rangeOf(selection: Selection): Buffer {
  const range: Range = selection.kind === 'keys' ? { keys: selection.keys.map((key) => Buffer.from(key).toString('hex')) } : selection.kind === 'where' ? { name: selection.predicate.slice(NAME_IS.length) } : {};
  return Buffer.from(JSON.stringify(range));
}

function push(sink: ChangeSink, place: number, { table, id, name, commitTimeMs, nameKind }: Transaction, wanted: ReadonlySet<string>): void {
  if (!wanted.has(table)) return;
  const schemaId = sink.declare(schemaOf(table, nameKind));
  const key = keyOf(id);
  const row = name === null ? Buffer.alloc(0) : rowOf(id, name);
  sink.begin({ id: BigInt(place), position: positionOf(place), commitTimeMs });
  sink.change(name === null ? Op.delete : Op.update, 0, schemaId, key, key.length, row, 0, row.length, false);
  sink.commit(positionOf(place));
}

function positionOf(place: number): Buffer {
  const position = Buffer.alloc(8);
  position.writeBigUInt64BE(BigInt(place));
  return position;
}

function placeOf(position: Uint8Array): number {
  return Number(Buffer.from(position).readBigUInt64BE());
}

function offsetsOf(parts: readonly Buffer[]): number[] {
  let end = 0;
  return [0, ...parts.map(({ length }) => (end += length))];
}

/** A line that the pipeline logged. */
export interface LoggedLine extends LogFields {
  readonly level: string;
  readonly event: string;
}

export interface ScriptedOptions {
  /** Source, or sources, by name. */
  readonly servers: Readonly<Record<string, ScriptedServer>>;
  /** `from` of each index by its name, or all that the config says of it. */
  readonly indices: Readonly<Record<string, string | (Readonly<Record<string, unknown>> & { readonly from: string })>>;
  readonly beforeSwap?: SwapCheck;
  readonly log?: Partial<TailraceConfig['log']>;
  readonly rebuild?: readonly string[];
}

/** A data directory and a target that pipelines are started on, one after the other. */
export class ScriptedStage implements AsyncDisposable {
  readonly directory: string;
  readonly storage: MemoryStorage;
  /** Of all pipelines that were started. */
  readonly lines: LoggedLine[] = [];
  /** Called before each batch of an index is applied, which waits for it. */
  beforeApply: (index: string, generation: number) => Promise<void> | void = () => {};
  /** Called before a generation is opened. */
  beforeOpen: (plan: GenerationPlan) => void = () => {};
  /** The same when the target is asked for its cursor, and before a generation is shown to readers. */
  beforeCursor: () => Promise<void> | void = () => {};
  beforePromote: (generation: number) => Promise<void> | void = () => {};
  /** The same before a generation is asked what its readers find. */
  beforeSeen: () => Promise<void> | void = () => {};
  /** Pauses of pipelines that are started from now on are so much shorter. */
  timesFaster = 1;

  private constructor(directory: string, storage: MemoryStorage) {
    this.directory = directory;
    this.storage = storage;
  }

  static async make({ atomicCursor = true } = {}): Promise<ScriptedStage> {
    return new ScriptedStage(await mkdtemp(join(tmpdir(), 'tailrace-scripted-')), new MemoryStorage({ atomicCursor }));
  }

  config(servers: Readonly<Record<string, unknown>>, indices: ScriptedOptions['indices'], log: Partial<TailraceConfig['log']> = {}): TailraceConfig {
    return {
      data_directory: join(this.directory, 'data'),
      sources: Object.keys(servers).map((name) => ({ name, type: 'scripted', settings: {} })),
      targets: [{ name: 'memory', type: 'memory', settings: {} }],
      indices: Object.entries(indices).map(([name, settings]) => ({ ...indexSettings.parse(typeof settings === 'string' ? { from: settings } : settings), name, to: 'memory' })),
      log: { ...logSettings.parse({ segment_bytes: 2 ** 20 }), ...log },
      snapshot: { parallel: 1, chunk_bytes: 2 ** 20 },
      memory: { max_buffered_bytes: 2 ** 23 },
      admin: {},
      logging: { level: 'info', format: 'json' },
      ready_within_ms: 30_000,
      shutdown_within_ms: 10_000,
    };
  }

  async start({ servers, indices, log, rebuild, beforeSwap }: ScriptedOptions): Promise<Pipeline> {
    const config = this.config(servers, indices, log);
    return startPipeline(config, {
      connectors: {
        sources: { scripted: { type: 'scripted', configSchema: z.looseObject({}), format, create: (_, { name }) => servers[name]?.source(name) ?? fail(name) } },
        targets: { memory: { type: 'memory', configSchema: z.looseObject({}), create: (_, { name }) => this.#target(name) } },
      },
      runtime: this.#runtime(),
      version: 'scripted',
      pid: 1,
      loadTransform: async () => undefined,
      rebuild,
      beforeSwap,
    });
  }

  /** Documents of the index by id, as its readers see them. */
  documents(index: string): Record<string, unknown> {
    const kept = [...(this.storage.promoted(index)?.documents ?? [])];
    return Object.fromEntries(kept.flatMap(([id, { document }]) => (document === null ? [] : [[id, JSON.parse(document) as unknown]])));
  }

  #target(name: string): Target {
    const target = new MemoryTarget(name, this.storage);
    const open = target.open.bind(target);
    target.open = async (plan, signal) => {
      this.beforeOpen(plan);
      const generation = await open(plan, signal);
      const [apply, cursor, promote, seen] = [generation.apply.bind(generation), generation.cursor.bind(generation), generation.promote.bind(generation), generation.seen.bind(generation)];
      generation.seen = async (s) => {
        await this.beforeSeen();
        return seen(s);
      };
      generation.cursor = async () => {
        await this.beforeCursor();
        return cursor();
      };
      generation.promote = async (s) => {
        await this.beforePromote(plan.generation);
        await promote(s);
      };
      generation.apply = async (batch, s) => {
        await this.beforeApply(plan.index, plan.generation);
        return apply(batch, s);
      };
      return generation;
    };
    return target;
  }

  #runtime(): Runtime {
    const runtime = nodeRuntime(this.#logger());
    const { clock } = runtime;
    const times = this.timesFaster;
    return { ...runtime, clock: { ...clock, monotonicMs: () => clock.monotonicMs() * times, sleep: async (ms, signal) => clock.sleep(ms / times, signal), schedule: (ms, task) => clock.schedule(ms / times, task) } };
  }

  #logger(fields: LogFields = {}): Logger {
    const line = (level: string) => (event: string, more?: LogFields): void => void this.lines.push({ level, event, ...fields, ...more });
    return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error'), child: (more) => this.#logger({ ...fields, ...more }) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }
}

function fail(name: string): never {
  throw new TailraceError('INVARIANT', { message: `There is no server for ${name}.` });
}
