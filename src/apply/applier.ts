/**
 * Keeps one generation of one index in step with the log: reads, collects the last change per key, builds documents, delivers, moves the
 * cursor. While a batch is on its way the next one grows, so that a slow target gets large batches and a fast one small ones.
 */
import { schemaOfRegister } from '../capture/schema-registry.ts';
import { isFor, snapshotOfRegister, type Snapshot } from '../capture/snapshot-state.ts';
import { Op } from '../change/operation.ts';
import type { RowSchema } from '../change/schema.ts';
import { seqOf, versionOf, type Seq } from '../change/seq.ts';
import type { Frame, LogStore } from '../connector/log-store.ts';
import type { Operation, TargetGeneration } from '../connector/target.ts';
import type { DocumentBuilder, RowDocumentBuilder } from '../document/builder.ts';
import { invariant } from '../errors/invariant.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { generationName, type StateStore } from '../state/state-store.ts';
import { buildBatch, type BuiltBatch } from './built-batch.ts';
import { ChangeBatch, type Interest } from './change-batch.ts';
import { newCounters, type ApplyCounters } from './counters.ts';
import { deliver, type Delivered, type RefusedOperation } from './delivery.ts';
import { FrameFeed } from './frame-feed.ts';
import { InFlight } from './in-flight.ts';
import { LowWater } from './low-water.ts';

/** A cursor that moved only over other tables' changes, or that is not stored yet when the log falls silent, is made durable this often. */
const IDLE_CURSOR_EVERY_MS = 1_000;

/** A cursor that the target does not keep is written to the state store at most this often. */
const CURSOR_EVERY_MS = 200;

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
  /** True until the generation's first snapshot is applied. */
  readonly isBuilding: () => boolean;
  /** A snapshot that the generation takes is applied to its last row. Awaited before anything behind it is applied; may be called again. */
  readonly onSnapshotApplied: (snapshot: Snapshot, signal: AbortSignal) => Promise<void>;
}

export interface ApplyStatus {
  readonly cursor: Seq;
  readonly counters: Readonly<ApplyCounters>;
  /** Source's wall clock at the newest commit that is applied. */
  readonly appliedCommitMs: number | null;
  /** Why the target does not take what it is sent, while it does not. */
  readonly trouble: unknown;
}

export class Applier {
  readonly #deps: ApplierDeps;
  readonly #name: string;
  readonly #counters = newCounters();
  readonly #builders = new Map<number, RowDocumentBuilder>();
  readonly #schemas = new Map<number, RowSchema>();
  readonly #snapshots = new Map<number, Snapshot>();
  /** Ids of parked documents, each with the seq of its letter: what the state store has, too. */
  readonly #parked = new Map<string, Seq>();
  readonly #interest: Interest;
  #lowWater = new LowWater(0);
  #storedCursor: Seq = 0;
  #dispatchedThrough: Seq = 0;
  #dispatchedAtMs = 0;
  #storedAtMs = -Infinity;
  #appliedCommitMs: number | null = null;
  #trouble: unknown = null;

  constructor(deps: ApplierDeps) {
    this.#deps = deps;
    this.#name = generationName(deps.index, deps.generation);
    this.#interest = {
      source: deps.source,
      hasSchema: (id) => this.#schemas.has(id),
      takesSnapshot: (source, number) => {
        const snapshot = this.#snapshots.get(number);
        return snapshot !== undefined && snapshot.source === source && isFor(snapshot, this.#name);
      },
    };
  }

  status(): ApplyStatus {
    return { cursor: this.#lowWater.cursor, counters: this.#counters, appliedCommitMs: this.#appliedCommitMs, trouble: this.#trouble };
  }

  /** Works until the signal is aborted (rejects with its reason) or something fails that a pause does not mend. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, state, index, generation, atomicCursor, settings, runtime } = this.#deps;
    this.#learn(log.registers);
    for (const letter of state.deadLetters(index)) if (letter.generation === generation) this.#parked.set(letter.id, letter.seq);
    const cursor = await this.#startCursor();
    this.#lowWater = new LowWater(cursor);
    this.#storedCursor = cursor;
    log.hold(this.#name, cursor);
    this.#dispatchedThrough = cursor;
    const inFlight = new InFlight(atomicCursor ? 1 : settings.concurrency, signal);
    await using reader = log.reader(cursor);
    try {
      await this.#follow(new FrameFeed(reader, runtime.clock, inFlight.signal), inFlight);
    } catch (error) {
      inFlight.abort(error);
      throw error;
    } finally {
      await inFlight.settled();
      this.#storeCursor();
    }
  }

  async #startCursor(): Promise<Seq> {
    const { atomicCursor, target, state, index, generation, startSeq } = this.#deps;
    const kept = atomicCursor ? await target.cursor() : state.cursor(index, generation);
    return kept ?? startSeq;
  }

  /** Learns schemas and snapshots; returns the snapshots of this generation that end here. */
  #learn(registers: Iterable<readonly [string, Uint8Array | null]>): Snapshot[] {
    const finished: Snapshot[] = [];
    for (const register of registers) {
      const schema = schemaOfRegister(register);
      if (schema !== undefined && schema.source === this.#deps.source && schema.table === this.#deps.table) this.#schemas.set(schema.id, schema);
      const snapshot = snapshotOfRegister(register);
      if (snapshot === undefined || snapshot.source !== this.#deps.source || snapshot.table !== this.#deps.table) continue;
      this.#snapshots.set(snapshot.number, snapshot);
      if (snapshot.phase === 'done' && isFor(snapshot, this.#name)) finished.push(snapshot);
    }
    return finished;
  }

  async #follow(frames: FrameFeed, inFlight: InFlight): Promise<void> {
    let batch = new ChangeBatch(this.#lowWater.cursor);
    for (;;) {
      inFlight.signal.throwIfAborted();
      const frame = await this.#nextFrame(frames, batch, inFlight);
      if (frame === undefined && batch.isEmpty) this.#storeCursor();
      const finished = frame === undefined ? [] : this.#learn(frame.registers);
      if (frame !== undefined) batch.add(frame, this.#interest);
      if (!this.#isDue(batch, frame, finished, inFlight)) {
        // Nothing to read, and no room to send what was read: asking the log again at once would leave nobody else a turn.
        if (frame === undefined && !batch.isEmpty) await inFlight.oneDone();
        continue;
      }
      if (frame !== undefined && finished.length > 0) await this.#finish(finished, frame, batch, inFlight);
      else await this.#dispatch(batch, batch.through, inFlight);
      batch = new ChangeBatch(batch.through);
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
    for (const snapshot of finished) await this.#deps.onSnapshotApplied(snapshot, inFlight.signal);
    if (before < batch.through) await this.#dispatch(new ChangeBatch(batch.through), batch.through, inFlight);
  }

  /** What the log has now if the batch holds work; else whatever comes, or undefined when the cursor is to be made durable. */
  async #nextFrame(frames: FrameFeed, batch: ChangeBatch, inFlight: InFlight): Promise<Frame | undefined> {
    if (!batch.isEmpty) return frames.poll();
    const { log, atomicCursor } = this.#deps;
    const isStored = atomicCursor || this.#storedCursor === this.#lowWater.cursor;
    const isAtRest = batch.through === this.#dispatchedThrough && inFlight.count === 0 && isStored;
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
    const built = buildBatch(batch, log.epoch, (schemaId, op) => this.#builderOf(schemaId, op));
    this.#counters.read += batch.read;
    this.#counters.superseded += batch.superseded + built.outdated;
    if (built.failed.length > 0) this.#park(built.failed.map(({ id, seq, error }) => ({ id, seq, code: error.code, reason: error.message })));
    if (batch.clearedAt !== null) await inFlight.idle();
    const done = this.#lowWater.begin(cursor);
    await inFlight.start(built.keys, async (signal) => {
      await this.#bring(built, cursor, signal);
      done();
      if (batch.commitTimeMs !== null) this.#appliedCommitMs = batch.commitTimeMs;
      this.#cursorMoved();
    });
    this.#dispatchedThrough = cursor;
    this.#dispatchedAtMs = runtime.clock.monotonicMs();
    if (batch.clearedAt !== null) await inFlight.idle();
  }

  async #bring(built: BuiltBatch, cursor: Seq, signal: AbortSignal): Promise<void> {
    const { log, target, runtime, atomicCursor } = this.#deps;
    const { batch, operations } = built;
    if (batch.isEmpty && !atomicCursor) return;
    const clearBelow = batch.clearedAt === null ? undefined : versionOf(log.epoch, batch.clearedAt);
    const request = { operations, clearBelow, forgetBelow: versionOf(log.epoch, log.firstSeq), cursor };
    const deps = { target, atomicCursor, runtime, onTrouble: (error: unknown) => this.#noteTrouble(error), onRefused: (refused: readonly RefusedOperation[]) => this.#park(refused) };
    // Closed before, not after: a target that keeps the cursor has moved it when it answers, and what is missed then is never looked at again.
    this.#unpark(operations, batch);
    this.#account(built, await deliver(request, deps, signal));
  }

  #account(built: BuiltBatch, { applied, stale }: Delivered): void {
    const counters = this.#counters;
    const filtered = applied.filter(({ id }) => built.filtered.has(id)).length;
    counters.filtered += filtered;
    counters.applied += applied.length - filtered + (built.batch.clearedAt === null ? 0 : 1);
    counters.stale += stale.length;
    counters.batches += 1;
    counters.document_bytes += built.documentBytes;
  }

  /** Parks documents; throws when the index is to stop for them. */
  #park(refused: readonly RefusedOperation[]): void {
    const { state, index, generation, runtime, settings } = this.#deps;
    const first = refused[0] as RefusedOperation;
    if (settings.onError === 'stop') {
      throw new TailraceError(first.code, { message: first.reason, entity: index, did: 'The index stopped before this document, as `on_error: stop` says.' });
    }
    const parkedAtMs = runtime.clock.nowMs();
    state.park(refused.map(({ id, seq, code, reason }) => ({ index, generation, id, seq, code, reason, parkedAtMs })));
    for (const { id, seq } of refused) this.#parked.set(id, Math.max(seq, this.#parked.get(id) ?? 0));
    this.#counters.dead_lettered += refused.length;
    runtime.logger.warn('documents_parked', { index, count: refused.length, seq: first.seq, error: new TailraceError(first.code, { message: first.reason, entity: index }) });
    if (this.#parked.size > settings.deadLettersMax) {
      throw new TailraceError('TGT_TOO_MANY_DEAD_LETTERS', { message: `Index ${index} has ${this.#parked.size} parked documents, more than the ${settings.deadLettersMax} allowed.`, entity: index });
    }
  }

  /** A newer version of a parked document goes to the index, or its row is gone: its dead letter is closed. Letters of later changes stay. */
  #unpark(operations: readonly Operation[], { clearedAt, through }: ChangeBatch): void {
    if (this.#parked.size === 0) return;
    const ids = operations.filter(({ id, version }) => (this.#parked.get(id) ?? Infinity) <= seqOf(version)).map(({ id }) => id);
    if (clearedAt !== null) for (const [id, seq] of this.#parked) if (seq < clearedAt) ids.push(id);
    if (ids.length === 0) return;
    this.#deps.state.unpark(this.#deps.index, this.#deps.generation, ids, through);
    for (const id of ids) this.#parked.delete(id);
  }

  #builderOf(schemaId: number, op: Op): RowDocumentBuilder | null {
    let builder = this.#builders.get(schemaId);
    if (builder === undefined) {
      const schema = this.#schemas.get(schemaId);
      invariant(schema !== undefined, `schema ${schemaId} is in the log before the first row that has it`);
      try {
        builder = this.#deps.documents.forSchema(schema);
      } catch (error) {
        if (codeOf(error) === 'SRC_DDL' && op !== Op.read && this.#deps.isBuilding()) return null;
        throw error;
      }
      this.#builders.set(schemaId, builder);
    }
    return builder;
  }

  #noteTrouble(error: unknown): void {
    if (error !== null && codeOf(error) !== codeOf(this.#trouble)) this.#deps.runtime.logger.warn('target_trouble', { index: this.#deps.index, error });
    if (error === null && this.#trouble !== null) this.#deps.runtime.logger.info('target_recovered', { index: this.#deps.index });
    this.#trouble = error;
  }

  #cursorMoved(): void {
    const { atomicCursor, log, runtime } = this.#deps;
    if (atomicCursor) log.hold(this.#name, this.#lowWater.cursor);
    else if (runtime.clock.monotonicMs() - this.#storedAtMs >= CURSOR_EVERY_MS) this.#storeCursor();
  }

  /** The log is released only up to what a restart would begin at. */
  #storeCursor(): void {
    const { atomicCursor, state, index, generation, log, runtime } = this.#deps;
    const { cursor } = this.#lowWater;
    if (atomicCursor || cursor === this.#storedCursor) return;
    state.putCursor(index, generation, cursor);
    this.#storedCursor = cursor;
    this.#storedAtMs = runtime.clock.monotonicMs();
    log.hold(this.#name, cursor);
  }
}
