/** One source of a pipeline: its capture, and how far its log is behind the source's head. */
import { Capture, type CaptureDeps, type CaptureStatus, type Connection } from '../capture/capture.ts';
import { positionRegister } from '../capture/resume-point.ts';
import type { SnapshotRequest } from '../capture/snapshot-runner.ts';
import { rangesIn, snapshotsIn, type Snapshot } from '../capture/snapshot-state.ts';
import type { Seq } from '../change/seq.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { Source, SourceHead } from '../connector/source.ts';
import { namingSource } from '../errors/named-source.ts';
import { dispositionOf } from '../errors/policy.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { together } from '../runtime/abort.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { InStepMarks } from './in-step.ts';
import { Rate } from './rate.ts';

/** How often the source is asked where its head is. */
const HEAD_EVERY_MS = 2_000;

/** While somebody waits for the log to reach the head, the stream is asked for its place this often. */
const CATCH_UP_POLL_MS = 10;

export interface SourceRunnerDeps extends CaptureDeps {
  /** Of the connector. */
  readonly type: string;
}

export class SourceRunner {
  readonly source: Source;
  readonly type: string;
  readonly #capture: Capture;
  readonly #runtime: Runtime;
  readonly #log: LogStore;
  readonly #marks = new InStepMarks();
  readonly #changes: Rate;
  #head: SourceHead | null = null;
  /** Of this machine when the head was asked for. */
  #headLocalMs = 0;
  #headError: unknown = null;
  /** Wall clock of the source when the log was last known to hold everything, and of this machine then. */
  #inStep: { readonly sourceMs: number; readonly localMs: number } | null = null;
  #retention: { readonly atMs: number; readonly bytesUntilLoss: number } | null = null;
  #secondsUntilLoss: number | null = null;

  constructor(deps: SourceRunnerDeps) {
    this.type = deps.type;
    this.source = deps.source;
    this.#runtime = deps.runtime;
    this.#log = deps.log;
    // A head from before the connection was lost would say, once there is a new one, that nothing is missing.
    const onConnected: CaptureDeps['onConnected'] = async (connection, signal) => {
      this.#forgetHead();
      await deps.onConnected(connection, signal);
    };
    this.#capture = new Capture({ ...deps, onConnected });
    this.#changes = new Rate(deps.runtime.clock);
  }

  get capture(): CaptureStatus {
    return this.#capture.status();
  }

  /** Why the source, which streams, does not say where its head is; null while it does. */
  get headError(): unknown {
    return this.#headError;
  }

  /** Null while it is not known: of a source that is not read, nobody knows how far its history has gone on since it was asked. */
  get head(): SourceHead | null {
    return this.capture.phase === 'streaming' ? this.#head : null;
  }

  get changesPerSecond(): number {
    return this.#changes.perSecond(this.#capture.status().counters.changes);
  }

  get secondsUntilLoss(): number | null {
    return this.head === null ? null : this.#secondsUntilLoss;
  }

  /** The source's wall clock now, as far as it is known. */
  get nowMs(): number | null {
    return this.#inStep === null ? (this.head?.nowMs ?? null) : this.#inStep.sourceMs + this.#runtime.clock.monotonicMs() - this.#inStep.localMs;
  }

  /** Wall clock of the source when the log was last known to hold everything. */
  get inStepMs(): number | null {
    return this.#inStep?.sourceMs ?? null;
  }

  /** Wall clock of the source at which an index had everything that is committed, if it has applied the log up to `cursor`; null while none is known. */
  inStepMsAt(cursor: Seq): number | null {
    return this.lagBytes === 0 && this.#marks.isBehind(cursor, this.#place) ? this.nowMs : this.#marks.at(cursor);
  }

  /** Bytes of source history that are not in the log; null while the head is not known. */
  get lagBytes(): number | null {
    return this.#bytesUpTo(this.head);
  }

  #bytesUpTo(head: SourceHead | null): number | null {
    const { position } = this.#capture.status();
    if (position === null || head === null) return null;
    return this.source.comparePositions(position, head.position) >= 0 ? 0 : this.source.bytesBetween(position, head.position);
  }

  async run(signal: AbortSignal): Promise<void> {
    const capturing = new AbortController();
    await together(signal, [
      async (s) => {
        try {
          await this.#capture.run(s);
        } finally {
          this.#forgetHead();
          capturing.abort();
        }
      },
      async (s) => this.#watchHead(AbortSignal.any([s, capturing.signal])),
    ]);
  }

  /** Asks for a snapshot; resolves when that is durable. Rejects with what the source waits or stopped with, and SRC_CONN while it connects. */
  async requestSnapshot(request: SnapshotRequest, signal: AbortSignal): Promise<Snapshot> {
    return (await this.connectedNow(signal)).requestSnapshot(request, signal);
  }

  /** The connection, for who does not wait for one: a person, who is told at once what the source waits or stopped with, and SRC_CONN while it connects. */
  async connectedNow(signal: AbortSignal): Promise<Connection> {
    const { phase, error } = this.capture;
    if (phase !== 'streaming') throw error === null ? new TailraceError('SRC_CONN', { message: `Source ${this.source.name} is being connected to.`, hint: 'Try again in a moment.', entity: this.source.name }) : namingSource(error, this.source.name);
    return this.#capture.connected(signal);
  }

  /** See `Capture.connected`. */
  async connected(signal: AbortSignal): Promise<Connection> {
    return this.#capture.connected(signal);
  }

  /** Resolves when everything that is committed now is in the log and durable; rejects when the source has stopped. */
  async caughtUp(signal: AbortSignal): Promise<void> {
    let goal: Uint8Array | null = null;
    let isTold = false;
    for (;;) {
      signal.throwIfAborted();
      // Before the status is taken: while the head is asked for, a snapshot may have become known.
      if (this.capture.phase === 'streaming') goal ??= (await this.#headOrNull(signal))?.position ?? null;
      this.throwIfStopped();
      const { position, snapshots, inFlightBytes } = this.#capture.status();
      const isAt = goal !== null && position !== null && this.source.comparePositions(position, goal) >= 0;
      const isIdle = isAt && snapshots.length === 0 && inFlightBytes === 0 && this.#capture.isIdle;
      if (isIdle && isTold) return;
      // The position says nothing of rows that are others without a change of them: what is found of that is read again before this is over.
      if (isIdle) isTold = await this.#toldAll(signal);
      this.#capture.nudge();
      await this.#runtime.clock.sleep(CATCH_UP_POLL_MS, signal);
    }
  }

  /** False when the connection has ended meanwhile. Rejects with errors that end the process. */
  async #toldAll(signal: AbortSignal): Promise<boolean> {
    try {
      const connection = await this.#capture.connected(signal);
      await connection.toldAll(signal);
      return true;
    } catch (error) {
      if (signal.aborted || dispositionOf(error) === 'exit') throw error;
      return false;
    }
  }

  /** Throws the error that the source has stopped with. */
  throwIfStopped(): void {
    const { phase, error } = this.capture;
    if (phase === 'stopped') throw namingSource(error, this.source.name);
  }

  async #watchHead(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#headOrNull(signal);
      await this.#runtime.clock.sleep(HEAD_EVERY_MS, signal).catch(() => {});
    }
  }

  /** null while it is not known; `headError` then tells why. Rejects with errors that end the process. */
  async #headOrNull(signal: AbortSignal): Promise<SourceHead | null> {
    try {
      const head = await this.#askHead(signal);
      this.#headError = null;
      return head;
    } catch (error) {
      this.#forgetHead();
      if (signal.aborted) return null;
      if (dispositionOf(error) === 'exit') throw error;
      // Of a connection that is gone, and is made again, capture tells.
      if (this.#headError === null && this.#capture.status().phase === 'streaming') this.#runtime.logger.warn('source_head_unknown', { source: this.source.name, error });
      this.#headError = error;
      return null;
    }
  }

  async #askHead(signal: AbortSignal): Promise<SourceHead | null> {
    const head = await this.#capture.head(signal);
    this.#forgetHead();
    if (head === null) return null;
    const localMs = this.#runtime.clock.monotonicMs();
    this.#head = head;
    this.#headLocalMs = localMs;
    if (this.lagBytes === 0) this.#noteInStep(head.nowMs, localMs);
    this.#noteRetention(head, localMs);
    return head;
  }

  /** What was logged since the head was asked for may have reached it: then the log was in step with that moment. */
  #forgetHead(): void {
    const head = this.#head;
    this.#head = null;
    if (head !== null && (this.#inStep === null || this.#inStep.localMs < this.#headLocalMs) && this.#bytesUpTo(head) === 0) this.#noteInStep(head.nowMs, this.#headLocalMs);
  }

  #noteInStep(sourceMs: number, localMs: number): void {
    this.#inStep = { sourceMs, localMs };
    this.#marks.note(sourceMs, this.#log.durableSeq, this.#place);
  }

  /** Changes whenever the log gets anything of this source: its stream moves the position, its snapshots their progress. */
  get #place(): string {
    const { registers } = this.#log;
    const { name } = this.source;
    const snapshots = snapshotsIn(registers).filter(({ source }) => source === name);
    return JSON.stringify([registers.get(positionRegister(name)), snapshots.map((snapshot) => [snapshot, rangesIn(registers, snapshot)])]);
  }

  #noteRetention(head: SourceHead, atMs: number): void {
    const before = this.#retention;
    this.#retention = head.bytesUntilLoss === null ? null : { atMs, bytesUntilLoss: head.bytesUntilLoss };
    if (before === null || this.#retention === null) this.#secondsUntilLoss = null;
    else {
      const perMs = (before.bytesUntilLoss - this.#retention.bytesUntilLoss) / Math.max(1, atMs - before.atMs);
      this.#secondsUntilLoss = perMs <= 0 ? null : Math.round(this.#retention.bytesUntilLoss / perMs / 1000);
    }
  }
}
