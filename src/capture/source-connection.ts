/** What capture does over one connection of its source: streams into the log, and reads snapshots beside the stream. */
import type { LogStore } from '../connector/log-store.ts';
import type { Source, SourceHead, SourceSession, TableDescription } from '../connector/source.ts';
import type { RowSchema } from '../change/schema.ts';
import { invariant } from '../errors/invariant.ts';
import { together } from '../runtime/abort.ts';
import type { ByteBudget } from '../runtime/byte-budget.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { ChunkWindows } from './chunk-window.ts';
import type { FrameBufferPool, IncompleteEntry } from './frame-builder.ts';
import { FrameQueue } from './frame-queue.ts';
import { Intake, type IntakeCounters } from './intake.ts';
import { ReadPace } from './read-pace.ts';
import type { ResumePoint } from './resume-point.ts';
import type { CompletedRow } from './row-completion.ts';
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
  requestSnapshot(request: SnapshotRequest, signal: AbortSignal): Promise<Snapshot>;
}

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
  readonly #intake: Intake;
  readonly #runner: SnapshotRunner;

  /** `signal` ends the connection. */
  constructor(deps: SourceConnectionDeps, signal: AbortSignal) {
    const { source, session, resume, tables, log, schemas, runtime, budget, pool, counters, snapshot, onCommit } = deps;
    const { clock, random } = runtime;
    const logger = runtime.logger.child({ source: source.name });
    const compare = (a: Uint8Array, b: Uint8Array): number => source.comparePositions(a, b);
    const windows = new ChunkWindows(compare, resume.position);
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
      windows,
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
    this.#runner = new SnapshotRunner({
      source: source.name,
      session,
      log,
      unfinished: deps.registers.snapshots,
      windows,
      intake: this.#intake,
      place: this.#place,
      pool,
      pace: new ReadPace({ budget, clock, bytesPerSecondMax: snapshot.bytesPerSecondMax }),
      stalled: this.#stalled,
      clock,
      parallel: snapshot.parallel,
      chunkBytes: snapshot.chunkBytes,
      logger,
    });
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
    const connection: Connection = {
      tables: session.tables,
      requestSnapshot: async (request, signal) => {
        await this.#passedHead(signal);
        return this.#runner.request(request, signal);
      },
    };
    try {
      await together(this.#signal, [
        async (s) => session.stream(this.#intake, s),
        async (s) => onConnected(connection, s),
        async (s) => this.#runner.run(s),
      ]);
    } finally {
      this.#ended.abort();
      await this.#queue.settled();
    }
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
    this.#runner.request({ table, for: [EVERYONE], reason, sweep }, this.#ended.signal).catch((error: unknown) => this.#ended.abort(error));
  }

  /** The stream goes on while these rows wait to be proven, until no more may be on its way. */
  async #complete(rows: readonly IncompleteEntry[], signal: AbortSignal): Promise<CompletedRow[]> {
    const incomplete = rows.map(({ schemaId, key, row }) => ({ schemaId, schema: this.#schema(schemaId), key, row }));
    return this.#stalled.read('rows that the stream left incomplete', async () => this.#deps.session.completeRows(incomplete, signal), signal);
  }

  #schema(id: number): RowSchema {
    const schema = this.#deps.schemas.get(id);
    invariant(schema !== undefined, 'a row has a schema that was declared');
    return schema;
  }
}
