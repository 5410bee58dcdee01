/**
 * Keeps one generation of one index in step with the log: reads, collects the last change per key, builds documents, delivers, moves the
 * cursor. While a batch is on its way the next one grows, so that a slow target gets large batches and a fast one small ones.
 */
import type { Snapshot } from '../capture/snapshot-state.ts';
import type { Seq } from '../change/seq.ts';
import type { Frame, LogStore } from '../connector/log-store.ts';
import type { TargetGeneration } from '../connector/target.ts';
import type { DocumentBuilder } from '../document/builder.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { generationName, type StateStore } from '../state/state-store.ts';
import { buildBatch } from './built-batch.ts';
import { ChangeBatch } from './change-batch.ts';
import type { ApplyCounters } from './counters.ts';
import { DeadLetters } from './dead-letters.ts';
import { Deliveries } from './deliveries.ts';
import { FrameFeed } from './frame-feed.ts';
import { InFlight } from './in-flight.ts';
import { IndexedTable } from './indexed-table.ts';
import { PreparedFields } from './prepared-fields.ts';
import { CURSOR_EVERY_MS, StoredCursor } from './stored-cursor.ts';

/** A cursor that moved only over other tables' changes, or that is not stored yet when the log falls silent, is made durable this often. */
const IDLE_CURSOR_EVERY_MS = 1_000;

export interface ApplySettings {
  readonly batchOperations: number;
  readonly batchBytes: number;
  /** Batches of disjoint keys in flight; 1 for targets with an atomic cursor. */
  readonly concurrency: number;
  readonly onError: 'dead_letter' | 'stop';
  /** Parked documents at which the index stops. */
  readonly deadLettersMax: number;
}

export interface ApplierDeps {
  readonly index: string;
  readonly generation: number;
  readonly source: string;
  readonly table: string;
  readonly startSeq: Seq;
  readonly atomicCursor: boolean;
  readonly log: LogStore;
  readonly target: TargetGeneration;
  readonly documents: DocumentBuilder;
  readonly state: StateStore;
  readonly runtime: Runtime;
  readonly settings: ApplySettings;
  /** Counts go on from what they are: an index that is opened again keeps its own. */
  readonly counters: ApplyCounters;
  /** True until the generation's first snapshot is applied. */
  readonly isBuilding: () => boolean;
  /** A snapshot that the generation takes is applied to its last row. Awaited before anything behind it is applied; may be called again. */
  readonly onSnapshotApplied: (snapshot: Snapshot, signal: AbortSignal) => Promise<void>;
}

export interface ApplyStatus {
  /** Null until it is known where to go on. */
  readonly cursor: Seq | null;
  readonly counters: Readonly<ApplyCounters>;
  /** Source's wall clock at the newest commit that is applied. */
  readonly appliedCommitMs: number | null;
  /**
   * Everything of the index up to here is applied: it is ahead of the cursor where only other tables' changes lie between. Null until it is known where
   * to go on, and while the end of a snapshot is acted upon.
   */
  readonly settled: Seq | null;
  /** Why the target does not take what it is sent, while it does not. */
  readonly trouble: unknown;
}

export class Applier {
  readonly #deps: ApplierDeps;
  readonly #table: IndexedTable;
  readonly #letters: DeadLetters;
  readonly #deliveries: Deliveries;
  readonly #cursor: StoredCursor;
  readonly #fields: PreparedFields;
  #dispatchedThrough: Seq = 0;
  #dispatchedAtMs = 0;
  /** What was read, nothing of which was for the index, while nothing is on its way. */
  #passed: () => Seq = () => 0;
  #isFinishing = false;

  constructor(deps: ApplierDeps) {
    const name = generationName(deps.index, deps.generation);
    this.#deps = deps;
    this.#table = new IndexedTable(deps, name);
    this.#letters = new DeadLetters(deps);
    this.#deliveries = new Deliveries(deps, this.#letters);
    this.#cursor = new StoredCursor(deps, name);
    this.#fields = new PreparedFields({ target: deps.target, fieldsOf: (schemaId) => this.#table.fieldsOf(schemaId) }, deps.documents.fields);
  }

  status(): ApplyStatus {
    const { known: cursor, appliedCommitMs } = this.#cursor;
    const settled = cursor === null || this.#isFinishing ? null : Math.max(cursor, this.#passed());
    return { cursor, settled, counters: this.#deps.counters, appliedCommitMs, trouble: this.#deliveries.trouble };
  }

  /** Works until the signal is aborted (rejects with its reason) or something fails that a pause does not mend. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, atomicCursor, settings, runtime } = this.#deps;
    this.#table.learn(log.registers);
    this.#letters.load();
    // Elsewhere the cursor is stored after the letters are closed.
    if (atomicCursor) await this.#letters.closeHeld(this.#deps.target, log.epoch, signal);
    await this.#cursor.open();
    this.#dispatchedThrough = this.#cursor.seq;
    const inFlight = new InFlight(atomicCursor ? 1 : settings.concurrency, signal);
    await using reader = log.reader(this.#cursor.seq);
    try {
      await this.#follow(new FrameFeed(reader, runtime.clock, inFlight.signal), inFlight);
    } catch (error) {
      inFlight.abort(error);
      throw error;
    } finally {
      await inFlight.settled();
      this.#cursor.store();
    }
  }

  async #follow(frames: FrameFeed, inFlight: InFlight): Promise<void> {
    let batch = new ChangeBatch(this.#cursor.seq);
    this.#passed = () => (batch.isEmpty && inFlight.count === 0 ? batch.through : 0);
    for (;;) {
      inFlight.signal.throwIfAborted();
      const frame = await this.#nextFrame(frames, batch, inFlight);
      if (frame === undefined && batch.isEmpty) this.#cursor.store();
      const finished = frame === undefined ? [] : this.#table.learn(frame.registers);
      this.#isFinishing = finished.length > 0;
      if (frame !== undefined) batch.add(frame, this.#table.interest);
      if (!this.#isDue(batch, frame, finished, inFlight)) {
        // Nothing to read, and no room to send what was read: asking the log again at once would leave nobody else a turn.
        if (frame === undefined && !batch.isEmpty) await inFlight.oneDone();
        continue;
      }
      if (frame !== undefined && finished.length > 0) await this.#finish(finished, frame, batch, inFlight);
      else await this.#dispatch(batch, batch.through, inFlight);
      batch = new ChangeBatch(batch.through);
      this.#isFinishing = false;
    }
  }

  /**
   * The batch ends with a frame that says that snapshots are done. Until what follows from that has happened the cursor stays before the frame's
   * end, so that whoever goes on from it reads the frame again.
   */
  async #finish(finished: readonly Snapshot[], frame: Frame, batch: ChangeBatch, inFlight: InFlight): Promise<void> {
    const before = frame.count === 0 ? batch.through : Math.max(this.#dispatchedThrough, frame.lastSeq - 1);
    await this.#dispatch(batch, before, inFlight);
    await inFlight.idle();
    for (const snapshot of finished) {
      await this.#deps.onSnapshotApplied(snapshot, inFlight.signal);
      // The snapshot did not read the row of an older letter: it is gone.
      if (snapshot.sweep) this.#letters.closeBelow(snapshot.startSeq + 1);
    }
    if (before < batch.through) await this.#dispatch(new ChangeBatch(batch.through), batch.through, inFlight);
  }

  /** What the log has now if the batch holds work; else whatever comes, or undefined when the cursor is to be made durable. */
  async #nextFrame(frames: FrameFeed, batch: ChangeBatch, inFlight: InFlight): Promise<Frame | undefined> {
    if (!batch.isEmpty) return frames.poll();
    const { log } = this.#deps;
    const isAtRest = batch.through === this.#dispatchedThrough && inFlight.count === 0 && this.#cursor.isStored;
    if (isAtRest) return frames.next();
    // When the log is full, its sources wait for cursors: that it became so is noticed between two waits.
    for (let waitedMs = CURSOR_EVERY_MS; ; waitedMs += CURSOR_EVERY_MS) {
      const frame = await frames.nextWithin(CURSOR_EVERY_MS);
      if (frame !== undefined || waitedMs >= IDLE_CURSOR_EVERY_MS || log.condition === 'full') return frame;
    }
  }

  #isDue(batch: ChangeBatch, frame: Frame | undefined, finished: readonly Snapshot[], inFlight: InFlight): boolean {
    const { settings, runtime, log } = this.#deps;
    if (finished.length > 0 || batch.changes.size >= settings.batchOperations || batch.bytes >= settings.batchBytes) return true;
    if (batch.isEmpty && log.condition === 'full') return batch.through > this.#dispatchedThrough && frame === undefined;
    if (batch.isEmpty) return batch.through > this.#dispatchedThrough && runtime.clock.monotonicMs() - this.#dispatchedAtMs >= IDLE_CURSOR_EVERY_MS;
    return frame === undefined && inFlight.hasRoom;
  }

  /** Builds the batch and sends it on its way; the cursor moves to `cursor`. A batch that empties the index goes alone. */
  async #dispatch(batch: ChangeBatch, cursor: Seq, inFlight: InFlight): Promise<void> {
    const { log, runtime } = this.#deps;
    const schemaIds = new Set<number>();
    const built = buildBatch(batch, log.epoch, (schemaId, op) => {
      const builder = this.#table.builderOf(schemaId, op);
      if (builder !== null) schemaIds.add(schemaId);
      return builder;
    });
    await this.#fields.prepare(schemaIds, inFlight.signal);
    this.#letters.park(built.failed);
    if (built.clearedAt !== null) await inFlight.idle();
    const done = this.#cursor.begin(cursor, built.commitTimeMs);
    await inFlight.start(built.keys, async (signal) => {
      await this.#deliveries.bring(built, cursor, signal);
      done();
    });
    this.#dispatchedThrough = cursor;
    this.#dispatchedAtMs = runtime.clock.monotonicMs();
    if (built.clearedAt !== null) await inFlight.idle();
  }
}
