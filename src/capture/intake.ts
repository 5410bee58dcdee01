/**
 * Where a source's stream arrives: changes are grouped into frames, noted in the windows of chunks that are being read, and handed to the
 * queue. One intake serves one connection of the source.
 *
 * A frame is handed over as soon as a transaction ends and nothing is on its way, or when it is full: single changes travel at once,
 * and under load frames grow while the one before is being synced.
 */
import { Op } from '../change/operation.ts';
import type { DeclaredSchema } from '../change/schema.ts';
import { FrameKind, type RegisterUpdate } from '../connector/log-store.ts';
import type { ChangeSink, TransactionStart } from '../connector/source.ts';
import { invariant } from '../errors/invariant.ts';
import type { ByteBudget } from '../runtime/byte-budget.ts';
import type { ChunkWindows } from './chunk-window.ts';
import { FrameBuilder, type BuiltFrame, type FrameBufferPool } from './frame-builder.ts';
import type { FrameQueue } from './frame-queue.ts';
import { encodeResumePoint, positionRegister, type ResumePoint } from './resume-point.ts';
import type { SchemaRegistry } from './schema-registry.ts';

const noKey = new Uint8Array(0);

/** What a source has sent since the daemon started. */
export interface IntakeCounters {
  transactions: number;
  changes: number;
  bytes: number;
  /** Changes of a transaction that was pushed again and that the log had already. */
  repeated: number;
}

export interface IntakeDeps {
  readonly source: string;
  readonly schemas: SchemaRegistry;
  readonly windows: ChunkWindows;
  readonly queue: FrameQueue;
  readonly budget: ByteBudget;
  readonly pool: FrameBufferPool;
  readonly resume: ResumePoint;
  readonly counters: IntakeCounters;
  readonly confirm: (position: Uint8Array) => void;
  readonly onReread: (table: string, reason: string, sweep: boolean) => void;
  /** Wall clock of the source at the newest commit that was pushed. */
  readonly onCommit: (commitTimeMs: number) => void;
}

export class Intake implements ChangeSink {
  readonly #deps: IntakeDeps;
  readonly #builder: FrameBuilder;
  readonly #tables = new Map<number, string>();
  #position: Uint8Array;
  #confirmed: Uint8Array;
  #transaction: { readonly start: TransactionStart; changes: number; readonly skip: number } | null = null;
  /** What is logged of a transaction that the source has yet to push again: frames that come before it must not forget that. */
  #partial: ResumePoint['partial'];
  #sealScheduled = false;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
    this.#builder = new FrameBuilder(deps.pool);
    this.#position = deps.resume.position;
    this.#confirmed = deps.resume.position;
    this.#partial = deps.resume.partial;
    deps.queue.onIdle(() => this.#seal());
  }

  /** True while everything that was pushed is durable. */
  get isIdle(): boolean {
    return this.#deps.queue.pending === 0 && !this.#sealScheduled && this.#builder.isEmpty;
  }

  get congested(): boolean {
    return this.#deps.budget.exhausted;
  }

  async drained(): Promise<void> {
    await this.#deps.budget.available();
  }

  declare(declared: DeclaredSchema): number {
    const { schema, register } = this.#deps.schemas.number(this.#deps.source, declared);
    if (register !== null) this.#builder.register(register);
    this.#tables.set(schema.id, schema.table);
    return schema.id;
  }

  begin(start: TransactionStart): void {
    invariant(this.#transaction === null, 'a transaction begins after the one before has ended');
    this.#deps.windows.streamComesTo(start.position);
    const partial = this.#partial;
    this.#partial = null;
    const isPartial = partial !== null && Buffer.compare(partial.position, start.position) === 0;
    this.#transaction = { start, changes: 0, skip: isPartial ? partial.changes : 0 };
    this.#builder.begin(start);
    if (isPartial) this.#builder.continueAfter(partial.changes);
  }

  change(op: Op, flags: number, schemaId: number, key: Uint8Array, keyLength: number, bytes: Uint8Array, rowStart: number, rowEnd: number, incomplete: boolean): void {
    if (this.#isRepeated()) return;
    const { windows, counters } = this.#deps;
    if (!windows.none) windows.note(this.#tables.get(schemaId) as string, key, keyLength);
    this.#builder.add(op, flags, schemaId, key, 0, keyLength, bytes, rowStart, rowEnd, incomplete);
    counters.changes += 1;
    counters.bytes += rowEnd - rowStart;
    if (this.#builder.isFull) this.#seal();
  }

  truncate(schemaId: number): void {
    if (this.#isRepeated()) return;
    this.#deps.windows.spoil(this.#tables.get(schemaId) as string);
    this.#builder.add(Op.truncate, 0, schemaId, noKey, 0, 0, noKey, 0, 0, false);
    this.#deps.counters.changes += 1;
  }

  commit(resume: Uint8Array): void {
    invariant(this.#transaction !== null, 'a transaction that ends has begun');
    this.#builder.commit();
    this.#deps.counters.transactions += 1;
    this.#deps.onCommit(this.#transaction.start.commitTimeMs);
    this.#transaction = null;
    this.#passed(resume);
  }

  heartbeat(resume: Uint8Array): void {
    invariant(this.#transaction === null, 'a heartbeat comes between transactions');
    this.#passed(resume);
  }

  reread(table: string, reason: string, sweep: boolean): void {
    // A chunk that is being read may show rows from before, which no change of theirs keeps out.
    this.#deps.windows.spoil(table);
    this.#deps.onReread(table, reason, sweep);
  }

  /** Puts a frame of a snapshot's rows behind everything that was pushed so far. Only from within a window's `onReached`. */
  insertSnapshotFrame(snapshot: number, built: BuiltFrame, onDurable?: () => void): void {
    this.#seal();
    this.#deps.queue.push({ kind: FrameKind.snapshot, snapshot, built, onDurable });
  }

  /** Puts registers into the log, in one frame with what was pushed just before: a schema and the snapshot that it calls for, say. */
  insertRegisters(registers: readonly RegisterUpdate[], onDurable?: () => void): void {
    for (const register of registers) this.#builder.register(register);
    this.#seal(onDurable);
  }

  /** Counts the change; true when the log has it already. */
  #isRepeated(): boolean {
    const transaction = this.#transaction;
    invariant(transaction !== null, 'changes come within a transaction');
    transaction.changes += 1;
    if (transaction.changes > transaction.skip) return false;
    this.#deps.counters.repeated += 1;
    return true;
  }

  #passed(resume: Uint8Array): void {
    this.#position = Buffer.from(resume);
    this.#deps.windows.streamPassed(this.#position);
    if (this.#deps.queue.pending > 0 || this.#sealScheduled) return;
    // What else arrived in the same piece of the socket's stream still joins the frame.
    this.#sealScheduled = true;
    queueMicrotask(() => {
      this.#sealScheduled = false;
      this.#seal();
    });
  }

  #seal(onDurable?: () => void): void {
    const position = this.#position;
    if (this.#builder.isEmpty && Buffer.compare(position, this.#confirmed) === 0) return;
    this.#confirmed = position;
    const transaction = this.#transaction;
    const logged = transaction === null ? 0 : Math.max(transaction.changes, transaction.skip);
    const partial = transaction === null ? this.#partial : logged === 0 ? null : { position: transaction.start.position, changes: logged };
    const resume = encodeResumePoint({ position, partial });
    const built = this.#builder.take([[positionRegister(this.#deps.source), resume]]);
    const durable = (): void => {
      this.#deps.confirm(position);
      onDurable?.();
    };
    this.#deps.queue.push({ kind: FrameKind.stream, snapshot: 0, built, onDurable: durable });
  }
}
