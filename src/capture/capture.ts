/**
 * Runs one source: connects, comes back after every failure that a pause may mend, and stops with the error shown after every other; where the
 * server is what lacks something, it looks now and then whether a person has mended it. What is done over one connection is in `source-connection.ts`.
 */
import type { LogStore } from '../connector/log-store.ts';
import type { Source, SourceHead, TableRequest } from '../connector/source.ts';
import { dispositionOf } from '../errors/policy.ts';
import { codeOf, isAbort, TailraceError } from '../errors/tailrace-error.ts';
import { Notifier } from '../runtime/abort.ts';
import { Backoff } from '../runtime/backoff.ts';
import { ByteBudget } from '../runtime/byte-budget.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { dropHistory } from './dropped-history.ts';
import { FrameBufferPool } from './frame-builder.ts';
import type { IntakeCounters } from './intake.ts';
import type { SnapshotProgress } from './running-snapshot.ts';
import type { SchemaRegistry } from './schema-registry.ts';
import { SourceConnection, type Connection, type SnapshotSettings } from './source-connection.ts';
import { SourceRegisters } from './source-registers.ts';

export type { Connection };

const RECONNECT = { firstMs: 200, maxMs: 30_000 };

/** Between two looks at a server that a person has to mend. */
const LOOK_AGAIN_MS = 60_000;

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
  /** The source begins with a new history: its old place in it is dropped before anything else. */
  readonly isRebuilt: boolean;
  /** Which of these transactions of the source the log holds (`ConnectRequest.logged`). */
  readonly logged: (ids: ReadonlySet<bigint>, signal: AbortSignal) => Promise<ReadonlySet<bigint>>;
  /** Called at every connection, before the stream begins: snapshots that are needed are asked for here. */
  readonly onConnected: (connection: Connection, signal: AbortSignal) => Promise<void>;
}

export type CapturePhase = 'connecting' | 'streaming' | 'waiting' | 'stopped';

export interface CaptureStatus {
  readonly phase: CapturePhase;
  /** The error that it waits or stopped with. */
  readonly error: unknown;
  /** The pause before the next attempt, also of one that is stopped until its server is mended. */
  readonly retryInMs: number | null;
  readonly counters: Readonly<IntakeCounters>;
  /** Up to here everything is in the log and durable: what is still on its way there does not count. */
  readonly position: Uint8Array | null;
  readonly lastCommitMs: number | null;
  readonly inFlightBytes: number;
  /** Those that are not over, from the moment on that they are asked for: while there is one, the log does not hold everything. */
  readonly snapshots: readonly SnapshotProgress[];
  /** Sentences about what holds reading up. */
  readonly notes: readonly string[];
}

export class Capture {
  readonly #deps: CaptureDeps;
  readonly #backoff: Backoff;
  readonly #counters: IntakeCounters = { transactions: 0, changes: 0, bytes: 0 };
  #phase: CapturePhase = 'connecting';
  readonly #phaseChanged = new Notifier();
  #error: unknown = null;
  #isOldHistory: boolean;
  #retryInMs: number | null = null;
  #lastCommitMs: number | null = null;
  #connection: SourceConnection | null = null;
  readonly #tables: ReadonlySet<string>;
  readonly #registers: SourceRegisters;
  readonly #budget: ByteBudget;
  readonly #pool = new FrameBufferPool();

  constructor(deps: CaptureDeps) {
    const { source, log, schemas } = deps;
    this.#deps = deps;
    this.#isOldHistory = deps.isRebuilt;
    this.#tables = new Set(deps.tables.map(({ table }) => table));
    this.#registers = new SourceRegisters({ source: source.name, tables: this.#tables, log, schemas });
    this.#backoff = new Backoff(RECONNECT, deps.runtime.random);
    this.#budget = new ByteBudget(deps.settings.inFlightBytes);
  }

  status(): CaptureStatus {
    return {
      phase: this.#phase,
      error: this.#error,
      retryInMs: this.#retryInMs,
      counters: this.#counters,
      position: this.#registers.resumePoint?.position ?? null,
      lastCommitMs: this.#lastCommitMs,
      inFlightBytes: this.#budget.takenBytes,
      snapshots: this.#connection?.snapshots ?? this.#registers.snapshots.map((running) => running.progress(0)),
      notes: this.#connection?.notes ?? [],
    };
  }

  /** True while everything that was pushed is durable. */
  get isIdle(): boolean {
    return this.#connection?.isIdle ?? true;
  }

  /** Asks the stream to say soon where it is. */
  nudge(): void {
    this.#connection?.nudge();
  }

  /**
   * The connection as soon as it streams. It is of use until its requests reject: then ask again. Rejects with the error that the source has stopped
   * with, and with the signal's reason.
   */
  async connected(signal: AbortSignal): Promise<Connection> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#phase === 'stopped') throw this.#error;
      if (this.#connection !== null && this.#phase === 'streaming') return this.#connection.connection;
      await this.#phaseChanged.wait(signal);
    }
  }

  /** How the source stands now, or null while it is not connected. */
  async head(signal: AbortSignal): Promise<SourceHead | null> {
    return (await this.#connection?.head(signal)) ?? null;
  }

  /**
   * Resolves when the signal is aborted, or when the source stopped with an error that waits for a person (see `status`) and that nothing which is
   * done at the server mends.
   * Rejects with errors that end the process.
   */
  async run(signal: AbortSignal): Promise<void> {
    const { source, log, runtime: { clock } } = this.#deps;
    while (!signal.aborted) {
      const startedMs = clock.monotonicMs();
      try {
        if (this.#isOldHistory) await dropHistory(source, log, signal);
        this.#isOldHistory = false;
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
    const known = this.#error;
    this.#error = error;
    if (disposition === 'exit') throw error;
    if (disposition === 'backoff') {
      this.#retryInMs = this.#backoff.nextMs();
      this.#phase = 'waiting';
      runtime.logger.warn('source_disconnected', { source: source.name, error, retry_in_ms: this.#retryInMs });
    } else {
      // Found again at every look, it is told once.
      if (this.#phase !== 'stopped' || !isSame(known, error)) runtime.logger.error('source_stopped', { source: source.name, error });
      this.#phase = 'stopped';
      this.#phaseChanged.notify();
      if (disposition !== 'look_again') return false;
      this.#retryInMs = LOOK_AGAIN_MS;
    }
    try {
      await runtime.clock.sleep(this.#retryInMs, signal);
    } catch (interrupted) {
      if (!isAbort(interrupted)) throw interrupted;
    }
    this.#retryInMs = null;
    return true;
  }

  async #connectOnce(signal: AbortSignal): Promise<void> {
    const { source, tables, log, schemas, logged, runtime, settings, onConnected } = this.#deps;
    // Stopped it is until it reads again: a look is no sign that anything was mended.
    if (this.#phase !== 'stopped') this.#phase = 'connecting';
    const { identity, resumePoint, state, beginnings } = this.#registers;
    const request = { tables, logged, beginnings, resume: identity === null || resumePoint === null ? null : { position: resumePoint.position, identity, state } };
    await using session = await source.connect(request, signal);
    if (identity !== null && identity !== session.identity) {
      throw new TailraceError('SRC_IDENTITY_CHANGED', { message: `Source ${source.name} is ${session.identity} now; the log was read from ${identity}.`, entity: source.name });
    }
    runtime.logger.info('source_connected', { source: source.name, position: source.formatPosition(session.start) });
    const connection = new SourceConnection(
      {
        source,
        session,
        resume: resumePoint ?? { position: session.start, partial: null, laterPartials: [] },
        tables: this.#tables,
        log,
        schemas,
        registers: this.#registers,
        runtime,
        budget: this.#budget,
        pool: this.#pool,
        counters: this.#counters,
        snapshot: settings.snapshot,
        onCommit: (commitTimeMs) => (this.#lastCommitMs = commitTimeMs),
        onConnected,
      },
      signal,
    );
    this.#connection = connection;
    try {
      connection.begin(identity === null);
      this.#phase = 'streaming';
      this.#error = null;
      this.#phaseChanged.notify();
      await connection.run();
    } finally {
      this.#connection = null;
    }
  }
}

function isSame(a: unknown, b: unknown): boolean {
  return codeOf(a) === codeOf(b) && a instanceof Error && b instanceof Error && a.message === b.message;
}
