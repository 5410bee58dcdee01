/**
 * Runs one source: connects, streams into the log, reads snapshots beside the stream, comes back after every failure that a pause may
 * mend, and stops with the error shown after every other.
 */
import type { RowSchema } from '../change/schema.ts';
import type { RegisterUpdate, LogStore } from '../connector/log-store.ts';
import type { Source, SourceHead, SourceSession, TableDescription, TableRequest } from '../connector/source.ts';
import { invariant } from '../errors/invariant.ts';
import { dispositionOf } from '../errors/policy.ts';
import { isAbort, TailraceError } from '../errors/tailrace-error.ts';
import { together } from '../runtime/abort.ts';
import { Backoff } from '../runtime/backoff.ts';
import { ByteBudget } from '../runtime/byte-budget.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { ChunkWindows } from './chunk-window.ts';
import { FrameBufferPool, type IncompleteEntry } from './frame-builder.ts';
import { FrameQueue } from './frame-queue.ts';
import { Intake, type IntakeCounters } from './intake.ts';
import { decodeResumePoint, decodeTables, encodeResumePoint, encodeTables, identityRegister, positionRegister, stateRegister, tablesRegister, type ResumePoint } from './resume-point.ts';
import type { SchemaRegistry } from './schema-registry.ts';
import { SnapshotRunner, type SnapshotProgress, type SnapshotRequest, type SnapshotSettings } from './snapshot-runner.ts';
import { EVERYONE, type Snapshot } from './snapshot-state.ts';

const RECONNECT = { firstMs: 200, maxMs: 30_000 };

/** While the stream is waited for, it is asked where it is this often. */
const NUDGE_EVERY_MS = 20;

/** A connection that lived this long counts as a success: the next pause is short again. */
const CONNECTION_PROVEN_MS = 10_000;

export interface CaptureSettings {
  /** Bytes of changes that may be on their way into the log. */
  readonly inFlightBytes: number;
  readonly snapshot: SnapshotSettings;
}

export interface CaptureDeps {
  readonly source: Source;
  readonly tables: readonly TableRequest[];
  readonly log: LogStore;
  readonly schemas: SchemaRegistry;
  readonly runtime: Runtime;
  readonly settings: CaptureSettings;
  /** Which of these transactions of the source the log holds (`ConnectRequest.logged`). */
  readonly logged: (ids: ReadonlySet<bigint>, signal: AbortSignal) => Promise<ReadonlySet<bigint>>;
  /** Called at every connection, before the stream begins: snapshots that are needed are asked for here. */
  readonly onConnected: (connection: Connection, signal: AbortSignal) => Promise<void>;
}

/** What can be asked of a source that is connected. */
export interface Connection {
  readonly tables: readonly TableDescription[];
  requestSnapshot(request: SnapshotRequest, signal: AbortSignal): Promise<Snapshot>;
}

export type CapturePhase = 'connecting' | 'streaming' | 'waiting' | 'stopped';

export interface CaptureStatus {
  readonly phase: CapturePhase;
  /** The error that it waits or stopped with. */
  readonly error: unknown;
  readonly retryInMs: number | null;
  readonly counters: Readonly<IntakeCounters>;
  /** Up to here everything is in the log and durable: what is still on its way there does not count. */
  readonly position: Uint8Array | null;
  readonly lastCommitMs: number | null;
  readonly inFlightBytes: number;
  readonly snapshots: readonly SnapshotProgress[];
}

export class Capture {
  readonly #deps: CaptureDeps;
  readonly #backoff: Backoff;
  readonly #counters: IntakeCounters = { transactions: 0, changes: 0, bytes: 0 };
  #phase: CapturePhase = 'connecting';
  #error: unknown = null;
  #retryInMs: number | null = null;
  #lastCommitMs: number | null = null;
  #intake: Intake | null = null;
  #session: SourceSession | null = null;
  #runner: SnapshotRunner | null = null;
  readonly #budget: ByteBudget;
  readonly #pool = new FrameBufferPool();

  constructor(deps: CaptureDeps) {
    this.#deps = deps;
    this.#backoff = new Backoff(RECONNECT, deps.runtime.random);
    this.#budget = new ByteBudget(deps.settings.inFlightBytes);
  }

  status(): CaptureStatus {
    return {
      phase: this.#phase,
      error: this.#error,
      retryInMs: this.#retryInMs,
      counters: this.#counters,
      position: this.#resumePoint()?.position ?? null,
      lastCommitMs: this.#lastCommitMs,
      inFlightBytes: this.#budget.takenBytes,
      snapshots: this.#runner?.progress() ?? [],
    };
  }

  /** True while everything that was pushed is durable. */
  get isIdle(): boolean {
    return this.#intake?.isIdle ?? true;
  }

  /** Asks the stream to say soon where it is. */
  nudge(): void {
    this.#session?.nudge();
  }

  /** How the source stands now, or null while it is not connected. */
  async head(signal: AbortSignal): Promise<SourceHead | null> {
    return (await this.#session?.head(signal)) ?? null;
  }

  /**
   * Resolves when the signal is aborted, or when the source stopped with an error that waits for a person (see `status`).
   * Rejects with errors that end the process.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps.runtime;
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      try {
        await this.#connectOnce(signal);
      } catch (error) {
        if (signal.aborted) return;
        if (clock.monotonicMs() - startedMs >= CONNECTION_PROVEN_MS) this.#backoff.reset();
        if (!(await this.#goesOnAfter(error, signal))) return;
      }
    }
  }

  /** Decides what a failure leads to; false when the source stops. */
  async #goesOnAfter(error: unknown, signal: AbortSignal): Promise<boolean> {
    const { runtime, source } = this.#deps;
    const disposition = dispositionOf(error);
    this.#error = error;
    if (disposition === 'exit') throw error;
    if (disposition !== 'backoff') {
      this.#phase = 'stopped';
      runtime.logger.error('source_stopped', { source: source.name, error });
      return false;
    }
    this.#retryInMs = this.#backoff.nextMs();
    this.#phase = 'waiting';
    runtime.logger.warn('source_disconnected', { source: source.name, error, retry_in_ms: this.#retryInMs });
    try {
      await runtime.clock.sleep(this.#retryInMs, signal);
    } catch (interrupted) {
      if (!isAbort(interrupted)) throw interrupted;
    }
    this.#retryInMs = null;
    return true;
  }

  async #connectOnce(signal: AbortSignal): Promise<void> {
    const { source, tables, logged, runtime } = this.#deps;
    this.#phase = 'connecting';
    const identity = this.#identity();
    const resume = this.#resumePoint();
    const state = this.#deps.log.registers.get(stateRegister(source.name)) ?? null;
    const request = { tables, logged, resume: identity === null || resume === null ? null : { position: resume.position, identity, state } };
    await using session = await source.connect(request, signal);
    if (identity !== null && identity !== session.identity) {
      throw new TailraceError('SRC_IDENTITY_CHANGED', { message: `Source ${source.name} is ${session.identity} now; the log was read from ${identity}.`, entity: source.name });
    }
    runtime.logger.info('source_connected', { source: source.name, position: source.formatPosition(session.start) });
    await this.#serve(session, resume ?? { position: session.start, partial: null, laterPartials: [] }, identity === null, signal);
  }

  /** Streams and reads snapshots until something fails or the signal is aborted; everything on its way has settled when it returns. */
  async #serve(session: SourceSession, resume: ResumePoint, isNew: boolean, signal: AbortSignal): Promise<void> {
    const { source, schemas, log, settings, runtime, onConnected } = this.#deps;
    const ended = new AbortController();
    const either = AbortSignal.any([signal, ended.signal]);
    const compare = (a: Uint8Array, b: Uint8Array): number => source.comparePositions(a, b);
    const windows = new ChunkWindows(compare, resume.position);
    const complete = async (rows: readonly IncompleteEntry[], s: AbortSignal): Promise<(Uint8Array | 'gone')[]> => this.#complete(session, rows, s);
    const queue = new FrameQueue({ source: source.name, log, compare, tableOf: (schemaId) => this.#schema(schemaId).table, budget: this.#budget, pool: this.#pool, complete, signal: either });
    queue.onFailure((error) => ended.abort(error));
    const intake = new Intake({
      source: source.name,
      tables: this.#tables,
      compare,
      schemas,
      windows,
      queue,
      budget: this.#budget,
      pool: this.#pool,
      resume,
      counters: this.#counters,
      confirm: (position) => session.confirm(position),
      onReread: (table, reason, sweep) => this.#reread(runner, table, reason, sweep, ended),
      onCommit: (commitTimeMs) => (this.#lastCommitMs = commitTimeMs),
    });
    const runner = new SnapshotRunner({ source: source.name, session, log, windows, intake, budget: this.#budget, pool: this.#pool, settings: settings.snapshot, clock: runtime.clock, logger: runtime.logger.child({ source: source.name }) });
    const connection: Connection = {
      tables: session.tables,
      requestSnapshot: async (request, s) => {
        await this.#passedHead(session, intake, s);
        return runner.request(request, s);
      },
    };
    this.#intake = intake;
    this.#session = session;
    this.#runner = runner;
    try {
      if (isNew) intake.insertRegisters(this.#firstRegisters(session));
      else this.#noteTables(intake);
      this.#phase = 'streaming';
      this.#error = null;
      await together(either, [
        async (s) => session.stream(intake, s),
        async (s) => onConnected(connection, s),
        async (s) => runner.run(s),
      ]);
    } finally {
      this.#session = null;
      ended.abort();
      await queue.settled();
      this.#intake = null;
      this.#runner = null;
    }
  }

  #firstRegisters(session: SourceSession): RegisterUpdate[] {
    const { source, log } = this.#deps;
    const { name } = source;
    return [
      [identityRegister(name), Buffer.from(session.identity)],
      [positionRegister(name), encodeResumePoint({ position: session.start, partial: null, laterPartials: [] })],
      [tablesRegister(name), encodeTables(this.#tables)],
      // What is left of a history that was given up says nothing about this one.
      ...(log.registers.has(stateRegister(name)) ? [[stateRegister(name), null] as const] : []),
    ];
  }

  /**
   * Notes which tables are read from here on, before the position moves. A table that comes back lacks the changes of the time when it was not
   * read, so it is read again; one that the log has never had is left to whoever asks for it.
   */
  #noteTables(intake: Intake): void {
    const { source, log, schemas } = this.#deps;
    const register = log.registers.get(tablesRegister(source.name));
    const before = register === undefined ? null : decodeTables(register);
    const known = new Set(schemas.all().flatMap((schema) => (schema.source === source.name ? [schema.table] : [])));
    for (const table of this.#tables) {
      if (before !== null && !before.has(table) && known.has(table)) intake.reread(table, `${table} was not read for a while`, true);
    }
    const tables = encodeTables(this.#tables);
    if (register === undefined || Buffer.compare(register, tables) !== 0) intake.insertRegisters([[tablesRegister(source.name), tables]]);
  }

  get #tables(): ReadonlySet<string> {
    return new Set(this.#deps.tables.map(({ table }) => table));
  }

  /**
   * A first snapshot is asked for when the stream has passed where the source is now. What DDL did before that is in the snapshot, and no older
   * change comes behind it that would take it back.
   */
  async #passedHead(session: SourceSession, intake: Intake, signal: AbortSignal): Promise<void> {
    const { source, runtime } = this.#deps;
    const { position } = await session.head(signal);
    while (source.comparePositions(intake.position, position) < 0) {
      session.nudge();
      await runtime.clock.sleep(NUDGE_EVERY_MS, signal);
    }
  }

  #reread(runner: SnapshotRunner, table: string, reason: string, sweep: boolean, ended: AbortController): void {
    runner.request({ table, for: [EVERYONE], reason, sweep }, ended.signal).catch((error: unknown) => ended.abort(error));
  }

  async #complete(session: SourceSession, rows: readonly IncompleteEntry[], signal: AbortSignal): Promise<(Uint8Array | 'gone')[]> {
    const incomplete = rows.map(({ schemaId, key, row }) => ({ schemaId, schema: this.#schema(schemaId), key, row }));
    return session.completeRows(incomplete, signal);
  }

  #schema(id: number): RowSchema {
    const schema = this.#deps.schemas.get(id);
    invariant(schema !== undefined, 'a row has a schema that was declared');
    return schema;
  }

  #identity(): string | null {
    const register = this.#deps.log.registers.get(identityRegister(this.#deps.source.name));
    return register === undefined ? null : Buffer.from(register).toString();
  }

  #resumePoint(): ResumePoint | null {
    const register = this.#deps.log.registers.get(positionRegister(this.#deps.source.name));
    return register === undefined ? null : decodeResumePoint(register);
  }
}
