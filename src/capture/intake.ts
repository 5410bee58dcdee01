/**
 * Where a source's stream arrives: changes are grouped into frames, noted in the windows of chunks that are being read, and handed to the
 * queue. One intake serves one connection of the source.
 *
 * A frame is handed over as soon as a transaction ends and nothing is on its way, or when it is full: single changes travel at once,
 * and under load frames grow while the one before is being synced.
 */
import { Op } from '../change/operation.ts';
import type { DeclaredSchema } from '../change/schema.ts';
import type { Seq } from '../change/seq.ts';
import { FrameKind, type RegisterUpdate } from '../connector/log-store.ts';
import type { ChangeSink, TransactionStart } from '../connector/source.ts';
import { invariant } from '../errors/invariant.ts';
import type { ByteBudget } from '../runtime/byte-budget.ts';
import type { ChunkWindows } from './chunk-window.ts';
import { FrameBuilder, type BuiltFrame, type FrameBufferPool } from './frame-builder.ts';
import type { FrameQueue } from './frame-queue.ts';
import { ChangeCount, LoggedParts } from './logged-part.ts';
import { encodeResumePoint, positionRegister, stateRegister, type ResumePoint } from './resume-point.ts';
import type { SchemaRegistry } from './schema-registry.ts';
import type { StreamPosition } from './stream-position.ts';

const noKey = new Uint8Array(0);

/** What a source has sent since the daemon started. */
export interface IntakeCounters {
  transactions: number;
  changes: number;
  bytes: number;
}

export interface IntakeDeps {
  readonly source: string;
  /** Tables that are read. */
  readonly tables: ReadonlySet<string>;
  readonly compare: (a: Uint8Array, b: Uint8Array) => number;
  readonly schemas: SchemaRegistry;
  readonly windows: ChunkWindows;
  readonly place: StreamPosition;
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
  /** As the last frame that was handed over leaves it. */
  #resume: ResumePoint;
  #transaction: { readonly start: TransactionStart; readonly count: ChangeCount } | null = null;
  /** What is logged of transactions that the source has yet to push again: frames that come before them must not forget that. */
  readonly #parts: LoggedParts;
  #sealScheduled = false;

  constructor(deps: IntakeDeps) {
    this.#deps = deps;
    this.#builder = new FrameBuilder(deps.pool);
    this.#resume = deps.resume;
    this.#parts = new LoggedParts(deps, deps.resume);
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
    const part = this.#parts.take(start);
    this.#transaction = { start, count: new ChangeCount(part) };
    this.#builder.begin(start);
    if (part !== null) this.#builder.continueAfter(part.changes);
  }

  change(op: Op, flags: number, schemaId: number, key: Uint8Array, keyLength: number, bytes: Uint8Array, rowStart: number, rowEnd: number, incomplete: boolean): void {
    const table = this.#tables.get(schemaId) as string;
    if (this.#isRepeated(table)) return;
    const { windows, counters } = this.#deps;
    if (!windows.none) windows.note(table, key, keyLength);
    this.#builder.add(op, flags, schemaId, key, 0, keyLength, bytes, rowStart, rowEnd, incomplete ? this.#deps.place.current : null);
    counters.changes += 1;
    counters.bytes += rowEnd - rowStart;
    if (this.#builder.isFull) this.#seal();
  }

  truncate(schemaId: number): void {
    const table = this.#tables.get(schemaId) as string;
    if (this.#isRepeated(table)) return;
    this.#deps.windows.spoil(table);
    this.#builder.add(Op.truncate, 0, schemaId, noKey, 0, 0, noKey, 0, 0, null);
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
    this.#parts.passed(resume);
    this.#passed(resume);
  }

  reread(table: string, reason: string, sweep: boolean): void {
    // A chunk that is being read may show rows from before, which no change of theirs keeps out.
    this.#deps.windows.spoil(table);
    this.#deps.onReread(table, reason, sweep);
  }

  remember(state: Uint8Array): void {
    this.insertRegisters([[stateRegister(this.#deps.source), Buffer.from(state)]]);
  }

  /** Puts a frame of a snapshot's rows behind everything that was pushed so far. Only from within a window's `onReached`. */
  insertSnapshotFrame(snapshot: number, built: BuiltFrame, onDurable?: () => void): void {
    this.#seal();
    this.#deps.queue.push({ kind: FrameKind.snapshot, snapshot, built, before: null, onDurable });
  }

  /** The seq up to which the log has everything that was pushed so far, and nothing that comes later. Only from within a window's `onReached`. */
  async placed(): Promise<Seq> {
    this.#seal();
    return this.#deps.queue.placed();
  }

  /** Puts registers into the log, in one frame with what was pushed just before: a schema and the snapshot that it calls for, say. */
  insertRegisters(registers: readonly RegisterUpdate[], onDurable?: () => void): void {
    for (const register of registers) this.#builder.register(register);
    this.#seal(onDurable);
  }

  /** Counts the change; true when the log has it already. */
  #isRepeated(table: string): boolean {
    const transaction = this.#transaction;
    invariant(transaction !== null, 'changes come within a transaction');
    return transaction.count.isLogged(table);
  }

  #passed(resume: Uint8Array): void {
    const position = Buffer.from(resume);
    this.#deps.place.moveTo(position);
    this.#deps.windows.streamPassed(position);
    if (this.#deps.queue.pending > 0 || this.#sealScheduled) return;
    // What else arrived in the same piece of the socket's stream still joins the frame.
    this.#sealScheduled = true;
    queueMicrotask(() => {
      this.#sealScheduled = false;
      this.#seal();
    });
  }

  #seal(onDurable?: () => void): void {
    const position = this.#deps.place.current;
    const before = this.#resume;
    if (this.#builder.isEmpty && Buffer.compare(position, before.position) === 0) return;
    const open = this.#transaction === null ? null : this.#transaction.count.soFar(this.#transaction.start);
    const [partial = null, ...laterPartials] = open === null || open.changes === 0 ? this.#parts.awaited : [open, ...this.#parts.awaited];
    this.#resume = { position, partial, laterPartials };
    const built = this.#builder.take([[positionRegister(this.#deps.source), encodeResumePoint(this.#resume)]]);
    const durable = (): void => {
      this.#deps.confirm(position);
      onDurable?.();
    };
    this.#deps.queue.push({ kind: FrameKind.stream, snapshot: 0, built, before, onDurable: durable });
  }
}
