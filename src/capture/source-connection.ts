/** What capture does over one connection of its source: streams into the log, and reads snapshots beside the stream. */
import type { LogStore } from '../connector/log-store.ts';
import type { Selection, Source, SourceHead, SourceSession, TableDescription } from '../connector/source.ts';
import type { RowSchema } from '../change/schema.ts';
import { invariant } from '../errors/invariant.ts';
import { together, within } from '../runtime/abort.ts';
import type { ByteBudget } from '../runtime/byte-budget.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { ChunkReader } from './chunk-reader.ts';
import { ChunkWindows } from './chunk-window.ts';
import type { FrameBufferPool, IncompleteEntry } from './frame-builder.ts';
import { FrameQueue } from './frame-queue.ts';
import { Intake, type IntakeCounters } from './intake.ts';
import { ReadPace } from './read-pace.ts';
import type { ResumePoint } from './resume-point.ts';
import type { CompletedRow } from './row-completion.ts';
import { RowsAtReader, type ReadAtRequest, type RowsAt } from './rows-at.ts';
import type { SnapshotProgress } from './running-snapshot.ts';
import type { SchemaRegistry } from './schema-registry.ts';
import { SnapshotRunner, type SnapshotRequest } from './snapshot-runner.ts';
import { EVERYONE, type Snapshot } from './snapshot-state.ts';
import type { SourceRegisters } from './source-registers.ts';
import { StalledReads } from './stalled-reads.ts';
import { StreamPosition } from './stream-position.ts';

export interface SnapshotSettings {
  /** Ranges read at the same time. */
  readonly parallel: number;
  /** Aimed size of a chunk's rows. */
  readonly chunkBytes: number;
  /** Limit of reading, over all ranges together; null for none. */
  readonly bytesPerSecondMax: number | null;
}

/** What can be asked of a source that is connected. */
export interface Connection {
  readonly tables: readonly TableDescription[];
  /** See `SnapshotReader.checkSelection`: nothing is asked for yet. */
  checkSelection(table: string, selection: Selection, signal: AbortSignal): Promise<number | null>;
  /** See `SnapshotRunner`. What is asked for here is asked for when the stream has passed where the source is now. */
  requestSnapshot(request: SnapshotRequest, signal: AbortSignal): Promise<Snapshot>;
  pauseSnapshot(number: number, signal: AbortSignal): Promise<Snapshot>;
  resumeSnapshot(number: number, signal: AbortSignal): Promise<Snapshot>;
  cancelSnapshot(number: number, signal: AbortSignal): Promise<Snapshot>;
  /** See `RowsAtReader`. It ends with the connection; leaving the iteration ends the reading. */
  readAt(request: ReadAtRequest, signal: AbortSignal): AsyncIterable<RowsAt>;
  /** How often this connection was told that the table is to be read again. */
  rereads(table: string): number;
  /**
   * Has the source look for what its stream says nothing of. False while something of the table is to be read again, or while it is not known whether it is: with `rereads` as
   * often as before rows were read, true says that the log has everything that they showed, or had it on its way.
   */
  lookAround(table: string, signal: AbortSignal): Promise<boolean>;
  /** Has the source look for the same of any table; resolves when everything that it found was asked to be read again, which may have to wait for transactions that are open there. */
  toldAll(signal: AbortSignal): Promise<void>;
}

/** What a source has found is told by its stream, which may have to wait for old transactions. */
const LOOK_WITHIN_MS = 10_000;

export interface SourceConnectionDeps {
  readonly source: Source;
  readonly session: SourceSession;
  readonly resume: ResumePoint;
  /** Tables that are read. */
  readonly tables: ReadonlySet<string>;
  readonly log: LogStore;
  readonly schemas: SchemaRegistry;
  readonly registers: SourceRegisters;
  readonly runtime: Runtime;
  readonly budget: ByteBudget;
  readonly pool: FrameBufferPool;
  readonly counters: IntakeCounters;
  readonly snapshot: SnapshotSettings;
  /** Wall clock of the source at the newest commit that was pushed. */
  readonly onCommit: (commitTimeMs: number) => void;
  /** Called before the stream begins: snapshots that are needed are asked for here. */
  readonly onConnected: (connection: Connection, signal: AbortSignal) => Promise<void>;
}

export class SourceConnection {
  readonly #deps: SourceConnectionDeps;
  readonly #ended = new AbortController();
  readonly #signal: AbortSignal;
  readonly #place: StreamPosition;
  readonly #stalled: StalledReads;
  readonly #queue: FrameQueue;
  readonly #windows: ChunkWindows;
  readonly #intake: Intake;
  readonly #runner: SnapshotRunner;
  readonly #rowsAt: RowsAtReader;
  readonly #rereads = new Map<string, number>();
  /** What others may ask of it. */
  readonly connection: Connection;

  /** `signal` ends the connection. */
  constructor(deps: SourceConnectionDeps, signal: AbortSignal) {
    const { source, session, resume, tables, log, schemas, runtime, budget, pool, counters, snapshot, onCommit } = deps;
    const { clock, random } = runtime;
    const logger = runtime.logger.child({ source: source.name });
    const compare = (a: Uint8Array, b: Uint8Array): number => source.comparePositions(a, b);
    this.#windows = new ChunkWindows(compare, resume.position);
    this.#deps = deps;
    this.#signal = AbortSignal.any([signal, this.#ended.signal]);
    this.#place = new StreamPosition(resume.position, { session, compare, clock });
    this.#stalled = new StalledReads({ clock, random, logger });
    this.#queue = new FrameQueue({
      source: source.name,
      log,
      compare,
      tableOf: (schemaId) => this.#schema(schemaId).table,
      budget,
      pool,
      complete: async (rows, s) => this.#complete(rows, s),
      signal: this.#signal,
    });
    this.#queue.onFailure((error) => this.#ended.abort(error));
    this.#intake = new Intake({
      source: source.name,
      tables,
      compare,
      schemas,
      windows: this.#windows,
      place: this.#place,
      queue: this.#queue,
      budget,
      pool,
      resume,
      counters,
      confirm: (position) => session.confirm(position),
      onReread: (table, reason, sweep) => this.#reread(table, reason, sweep),
      onCommit,
    });
    const pace = new ReadPace({ budget, clock, bytesPerSecondMax: snapshot.bytesPerSecondMax });
    const chunks = new ChunkReader({ session, windows: this.#windows, place: this.#place, pace, stalled: this.#stalled, clock, chunkBytes: snapshot.chunkBytes });
    const { parallel } = snapshot;
    this.#runner = new SnapshotRunner({ source: source.name, session, log, unfinished: deps.registers.snapshots, chunks, intake: this.#intake, pool, clock, parallel, logger });
    this.#rowsAt = new RowsAtReader({ session, chunks, intake: this.#intake, parallel, whole: async (table, s) => this.#runner.whole(table, s), isWhole: (table) => this.#runner.isWhole(table) });
    this.connection = this.#asConnection();
  }

  /** True while everything that was pushed is durable. */
  get isIdle(): boolean {
    return this.#intake.isIdle;
  }

  get snapshots(): readonly SnapshotProgress[] {
    return this.#runner.progress();
  }

  /** Sentences about what holds reading up. */
  get notes(): readonly string[] {
    return this.#stalled.notes;
  }

  nudge(): void {
    this.#deps.session.nudge();
  }

  async head(signal: AbortSignal): Promise<SourceHead> {
    return this.#deps.session.head(signal);
  }

  /** Puts into the log, before anything else of this connection, what it is of. `isNew`: nothing of the source is in the log. */
  begin(isNew: boolean): void {
    const { registers, session } = this.#deps;
    if (isNew) return this.#intake.insertRegisters(registers.first(session));
    for (const table of registers.returning) this.#intake.reread(table, `${table} was not read for a while`, true);
    const { changedTables } = registers;
    if (changedTables.length > 0) this.#intake.insertRegisters(changedTables);
  }

  /** Streams and reads snapshots until something fails or the signal is aborted; everything on its way has settled when it returns. */
  async run(): Promise<void> {
    const { session, onConnected } = this.#deps;
    try {
      await together(this.#signal, [
        async (s) => session.stream(this.#intake, s),
        async (s) => onConnected(this.connection, s),
        async (s) => this.#runner.run(s),
      ]);
    } finally {
      this.#ended.abort();
      await this.#queue.settled();
    }
  }

  #asConnection(): Connection {
    const { tables } = this.#deps.session;
    const runner = this.#runner;
    /** Until the connection ends. */
    const until = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, this.#signal]);
    return {
      tables,
      checkSelection: async (table, selection, signal) => this.#deps.session.snapshots.checkSelection(table, selection, until(signal)),
      requestSnapshot: async (request, signal) => {
        await this.#passedHead(until(signal));
        return runner.request(request, until(signal));
      },
      pauseSnapshot: async (number, signal) => runner.pause(number, until(signal)),
      resumeSnapshot: async (number, signal) => runner.resume(number, until(signal)),
      cancelSnapshot: async (number, signal) => runner.cancel(number, until(signal)),
      readAt: (request, signal) => this.#rowsAt.read(request, until(signal)),
      rereads: (table) => this.#rereads.get(table) ?? 0,
      lookAround: async (table, signal) => this.#lookAround(table, until(signal)),
      toldAll: async (signal) => this.#deps.session.lookAround?.(until(signal)),
    };
  }

  async #lookAround(table: string, signal: AbortSignal): Promise<boolean> {
    const { session, runtime } = this.#deps;
    const told = await within(LOOK_WITHIN_MS, runtime.clock, async (s) => session.lookAround?.(s), signal);
    return told !== undefined && this.#runner.hasAll(table);
  }

  /**
   * A first snapshot is asked for when the stream has passed where the source is now. What DDL did before that is in the snapshot, and no older
   * change comes behind it that would take it back.
   */
  async #passedHead(signal: AbortSignal): Promise<void> {
    const { position } = await this.#deps.session.head(signal);
    await this.#place.passed(position, signal);
  }

  #reread(table: string, reason: string, sweep: boolean): void {
    this.#rereads.set(table, (this.#rereads.get(table) ?? 0) + 1);
    this.#runner.request({ table, selection: { kind: 'all' }, for: [EVERYONE], reason, sweep }, this.#ended.signal).catch((error: unknown) => this.#ended.abort(error));
  }

  /** The stream goes on while these rows wait to be proven, until no more may be on its way. */
  async #complete(rows: readonly IncompleteEntry[], signal: AbortSignal): Promise<CompletedRow[]> {
    const incomplete = rows.map(({ schemaId, key, row }) => ({ schemaId, schema: this.#schema(schemaId), key, row }));
    const completed = await this.#stalled.read('rows that the stream left incomplete', async () => this.#deps.session.completeRows(incomplete, signal), signal);
    for (const { schema, key } of incomplete) this.#windows.noteCompleted(schema.table, key);
    return completed;
  }

  #schema(id: number): RowSchema {
    const schema = this.#deps.schemas.get(id);
    invariant(schema !== undefined, 'a row has a schema that was declared');
    return schema;
  }
}
