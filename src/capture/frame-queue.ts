/**
 * The way of one source's frames into the log: completed, appended in order, confirmed to the source when durable.
 *
 * Frames are handed over as fast as the stream fills them; what is not durable yet is counted against the budget, by which the source
 * knows when to stop reading. The first failure ends the queue: nothing behind it is appended.
 */
import { writeEntry, ENTRY_OVERHEAD_BYTES } from '../change/entry.ts';
import { Op } from '../change/operation.ts';
import type { FrameKind, LogStore } from '../connector/log-store.ts';
import { invariant } from '../errors/invariant.ts';
import type { ByteBudget } from '../runtime/byte-budget.ts';
import type { BuiltFrame, FrameBufferPool, IncompleteEntry } from './frame-builder.ts';

export interface QueuedFrame {
  readonly kind: FrameKind;
  readonly snapshot: number;
  readonly built: BuiltFrame;
  /** Called when the frame is durable. */
  readonly onDurable?: (() => void) | undefined;
}

export interface FrameQueueDeps {
  readonly source: string;
  readonly log: Pick<LogStore, 'append'>;
  readonly budget: ByteBudget;
  readonly pool: FrameBufferPool;
  readonly complete: (rows: readonly IncompleteEntry[], signal: AbortSignal) => Promise<(Uint8Array | 'gone')[]>;
  readonly signal: AbortSignal;
}

export class FrameQueue {
  readonly #deps: FrameQueueDeps;
  #tail: Promise<void> = Promise.resolve();
  #pending = 0;
  #failure: { readonly error: unknown } | null = null;
  #onFailure: (error: unknown) => void = () => {};
  #onIdle: () => void = () => {};

  constructor(deps: FrameQueueDeps) {
    this.#deps = deps;
  }

  /** Frames that are not durable yet. */
  get pending(): number {
    return this.#pending;
  }

  onFailure(listener: (error: unknown) => void): void {
    this.#onFailure = listener;
  }

  /** Called whenever the last pending frame became durable. */
  onIdle(listener: () => void): void {
    this.#onIdle = listener;
  }

  push(frame: QueuedFrame): void {
    const bytes = frame.built.entries.length;
    this.#pending += 1;
    this.#deps.budget.take(bytes);
    this.#tail = this.#tail.then(async () => {
      if (this.#failure !== null) return this.#settle(bytes);
      try {
        const built = frame.built.incomplete.length === 0 ? frame.built : await this.#completed(frame.built);
        const { entries, count, transactions, registers } = built;
        const { kind, snapshot } = frame;
        const appended = this.#deps.log.append({ kind, source: this.#deps.source, snapshot, entries, count, transactions, registers }, this.#deps.signal);
        appended.then(
          () => {
            this.#deps.pool.giveBack(frame.built.entries);
            frame.onDurable?.();
            this.#settle(bytes);
          },
          (error: unknown) => {
            this.#fail(error);
            this.#settle(bytes);
          },
        );
      } catch (error) {
        this.#fail(error);
        this.#settle(bytes);
      }
    });
  }

  /** Resolves when nothing is on its way any more, whether it arrived or failed. */
  async settled(): Promise<void> {
    await this.#tail;
    while (this.#pending > 0) await new Promise<void>((resolve) => this.#whenSettled.push(resolve));
  }

  #whenSettled: (() => void)[] = [];

  #settle(bytes: number): void {
    this.#pending -= 1;
    this.#deps.budget.give(bytes);
    if (this.#pending > 0) return;
    const waiting = this.#whenSettled;
    this.#whenSettled = [];
    for (const wake of waiting) wake();
    if (this.#failure === null) this.#onIdle();
  }

  #fail(error: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = { error };
    this.#onFailure(error);
  }

  /** The frame again, with the rows that lacked columns whole, and rows that are gone as deletes. */
  async #completed(built: BuiltFrame): Promise<BuiltFrame> {
    const rows = await this.#deps.complete(built.incomplete, this.#deps.signal);
    invariant(rows.length === built.incomplete.length, 'one completed row for each incomplete one');
    let size = built.entries.length;
    for (const [i, entry] of built.incomplete.entries()) {
      const row = rows[i];
      size += ENTRY_OVERHEAD_BYTES + entry.key.length + (row instanceof Uint8Array ? row.length : 0) - (entry.end - entry.start);
    }
    const entries = Buffer.allocUnsafeSlow(size);
    let from = 0;
    let to = 0;
    for (const [i, entry] of built.incomplete.entries()) {
      to += built.entries.copy(entries, to, from, entry.start);
      to = writeCompleted(entries, to, entry, rows[i] as Uint8Array | 'gone');
      from = entry.end;
    }
    built.entries.copy(entries, to, from);
    return { ...built, entries, incomplete: [] };
  }
}

/** A keyless delete whose row still stands elsewhere in the table becomes an update with that row; a row that is gone becomes a delete. */
function writeCompleted(into: Buffer, at: number, entry: IncompleteEntry, row: Uint8Array | 'gone'): number {
  const { flags, schemaId, key } = entry;
  if (row === 'gone') return writeEntry(into, at, Op.delete, flags, schemaId, key, 0, key.length, key, 0, 0);
  return writeEntry(into, at, entry.op === Op.delete ? Op.update : entry.op, flags, schemaId, key, 0, key.length, row, 0, row.length);
}

