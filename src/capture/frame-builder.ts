/** Collects changes into the bytes of one frame, and remembers which rows still lack columns. */
import { ENTRY_OVERHEAD_BYTES, writeEntry } from '../change/entry.ts';
import type { Op } from '../change/operation.ts';
import type { FrameTransaction, RegisterUpdate } from '../connector/log-store.ts';
import type { TransactionStart } from '../connector/source.ts';

/** A frame is closed as soon as it holds this much: the unit of write, of reading back and of memory. */
export const FRAME_BYTES_MAX = 512 * 1024;
export const FRAME_ENTRIES_MAX = 4096;

/** Rows that lack columns grow when they are completed: so many may a frame have, however little they are now. */
export const FRAME_INCOMPLETE_MAX = 256;

/** Frames of single changes stay in small buffers; what outgrows one is under load and gets a buffer of the pool. */
const SMALL_BUFFER_BYTES = 16 * 1024;
const POOLED_BUFFER_BYTES = FRAME_BYTES_MAX + FRAME_BYTES_MAX / 4;

/** Free buffers that are kept for the next frames. */
const POOLED_BUFFERS_MAX = 16;

/**
 * Buffers of full frames, used again and again: made anew for every frame, they would cost more in garbage collection than everything else
 * that is done to a row.
 */
export class FrameBufferPool {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(POOLED_BUFFER_BYTES);
  }

  /** `entries`: a frame's bytes, which nobody looks at any more. */
  giveBack(entries: Buffer): void {
    if (entries.buffer.byteLength !== POOLED_BUFFER_BYTES || this.#free.length >= POOLED_BUFFERS_MAX) return;
    this.#free.push(Buffer.from(entries.buffer, 0, POOLED_BUFFER_BYTES));
  }
}

/** An entry whose row lacks columns: it lies in the frame's bytes from `start` to `end`. */
export interface IncompleteEntry {
  readonly index: number;
  readonly start: number;
  readonly end: number;
  readonly op: Op;
  readonly flags: number;
  readonly schemaId: number;
  readonly key: Buffer;
  readonly row: Buffer;
  /** Position behind the last transaction that had ended when the entry came: where the source is resumed when the frame is cut before it. */
  readonly behind: Uint8Array;
}

export interface BuiltFrame {
  readonly entries: Buffer;
  readonly count: number;
  readonly transactions: readonly FrameTransaction[];
  readonly registers: readonly RegisterUpdate[];
  readonly incomplete: readonly IncompleteEntry[];
}

interface OpenTransaction {
  readonly start: TransactionStart;
  firstEntry: number;
  entriesBefore: number;
}

export class FrameBuilder {
  readonly #pool: FrameBufferPool;
  #buffer: Buffer = Buffer.alloc(0);
  #length = 0;
  #count = 0;
  #transactions: FrameTransaction[] = [];
  #registers: RegisterUpdate[] = [];
  #incomplete: IncompleteEntry[] = [];
  #open: OpenTransaction | null = null;

  constructor(pool: FrameBufferPool) {
    this.#pool = pool;
  }

  get isEmpty(): boolean {
    return this.#count === 0 && this.#registers.length === 0;
  }

  get isFull(): boolean {
    return this.#length >= FRAME_BYTES_MAX || this.#count >= FRAME_ENTRIES_MAX || this.#incomplete.length >= FRAME_INCOMPLETE_MAX;
  }

  begin(start: TransactionStart): void {
    this.#open = { start, firstEntry: this.#count, entriesBefore: 0 };
  }

  /** The open transaction has changes in earlier frames, or logged before a restart. */
  continueAfter(entries: number): void {
    if (this.#open !== null) this.#open.entriesBefore = entries;
  }

  commit(): void {
    this.#closeTransaction(true);
    this.#open = null;
  }

  register(update: RegisterUpdate): void {
    this.#registers.push(update);
  }

  /** `lacking`: null for a whole row; for one that lacks columns, the position behind the last transaction that has ended. */
  add(
    op: Op,
    flags: number,
    schemaId: number,
    key: Uint8Array,
    keyStart: number,
    keyEnd: number,
    bytes: Uint8Array,
    rowStart: number,
    rowEnd: number,
    lacking: Uint8Array | null,
  ): void {
    this.#makeRoom(ENTRY_OVERHEAD_BYTES + keyEnd - keyStart + rowEnd - rowStart);
    const start = this.#length;
    const end = writeEntry(this.#buffer, start, op, flags, schemaId, key, keyStart, keyEnd, bytes, rowStart, rowEnd);
    if (lacking !== null) {
      this.#incomplete.push({
        index: this.#count,
        start,
        end,
        op,
        flags,
        schemaId,
        key: Buffer.from(key.subarray(keyStart, keyEnd)),
        row: Buffer.from(bytes.subarray(rowStart, rowEnd)),
        behind: lacking,
      });
    }
    this.#length = end;
    this.#count += 1;
  }

  /** Hands the collected frame over and begins the next one; an open transaction goes on in it. */
  take(registers: readonly RegisterUpdate[]): BuiltFrame {
    const open = this.#open;
    if (open !== null) this.#closeTransaction(false);
    const frame: BuiltFrame = {
      entries: this.#buffer.subarray(0, this.#length),
      count: this.#count,
      transactions: this.#transactions,
      registers: [...this.#registers, ...registers],
      incomplete: this.#incomplete,
    };
    if (open !== null) this.#open = { start: open.start, firstEntry: 0, entriesBefore: open.entriesBefore + this.#count - open.firstEntry };
    this.#buffer = Buffer.alloc(0);
    this.#length = 0;
    this.#count = 0;
    this.#transactions = [];
    this.#registers = [];
    this.#incomplete = [];
    return frame;
  }

  #closeTransaction(complete: boolean): void {
    const open = this.#open;
    if (open === null) return;
    const hasEntriesHere = this.#count > open.firstEntry;
    if (!hasEntriesHere && !(complete && open.entriesBefore > 0)) return;
    const { id, position, commitTimeMs } = open.start;
    this.#transactions.push({ id, position, commitTimeMs, firstEntry: open.firstEntry, entriesBefore: open.entriesBefore, complete });
  }

  #makeRoom(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#buffer.length) return;
    const grown = needed <= SMALL_BUFFER_BYTES ? Buffer.allocUnsafe(SMALL_BUFFER_BYTES) : needed <= POOLED_BUFFER_BYTES ? this.#pool.take() : Buffer.allocUnsafeSlow(needed);
    this.#buffer.copy(grown, 0, 0, this.#length);
    this.#buffer = grown;
  }
}
