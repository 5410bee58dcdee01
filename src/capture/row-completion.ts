/**
 * Brings the rows of a frame that lack columns in whole, a slice at a time, and cuts the frame where they outgrow it: a row that is small
 * in the stream may be as large as any when it is whole, and never is more of them in memory than a slice and the parts that are on their way.
 */
import { ENTRY_OVERHEAD_BYTES, writeEntry } from '../change/entry.ts';
import { Op } from '../change/operation.ts';
import { invariant } from '../errors/invariant.ts';
import type { ByteBudget } from '../runtime/byte-budget.ts';
import { FRAME_BYTES_MAX, FRAME_INCOMPLETE_MAX, type BuiltFrame, type IncompleteEntry } from './frame-builder.ts';
import { FrameCutter, type FrameCutterDeps, type FramePart } from './frame-cutter.ts';
import type { ResumePoint } from './resume-point.ts';

/** Aimed size of what is asked for at once. */
const SLICE_BYTES = 4 * 1024 * 1024;

/** What a row is taken for before any has been seen. */
const FIRST_ROW_BYTES = SLICE_BYTES / 4;

/** `gone`: the row is no longer there, and its delete is on the way. */
export type CompletedRow = Uint8Array | 'gone';

export interface RowCompletionDeps extends FrameCutterDeps {
  readonly budget: ByteBudget;
  readonly complete: (rows: readonly IncompleteEntry[], signal: AbortSignal) => Promise<CompletedRow[]>;
}

export interface CompletedPart {
  readonly part: FramePart;
  /** Bytes of completed rows, taken from the budget: whoever gets the part gives them back when it is durable. */
  readonly addedBytes: number;
  readonly isLast: boolean;
}

/** Completes the rows of one connection's frames. */
export class RowCompletion {
  readonly #deps: RowCompletionDeps;
  /** How large a row may well be. It falls slowly, so that a slice has at most twice as many rows as the one before. */
  #rowBytes = FIRST_ROW_BYTES;

  constructor(deps: RowCompletionDeps) {
    this.#deps = deps;
  }

  /** The frame's entries, with whole rows, in one part or more. `before`: the resume point as the frame before left it. */
  async *parts(frame: BuiltFrame, before: ResumePoint, signal: AbortSignal): AsyncGenerator<CompletedPart, void, undefined> {
    const { budget } = this.#deps;
    const writer = new PartWriter(frame, new FrameCutter(frame, before, this.#deps));
    let heldBytes = 0;
    try {
      for (let done = 0; done < frame.incomplete.length; ) {
        const slice = frame.incomplete.slice(done, done + this.#sliceRows);
        const rows = await this.#complete(slice, signal);
        const sliceBytes = rows.reduce((sum, row) => sum + lengthOf(row), 0);
        heldBytes += sliceBytes;
        budget.take(sliceBytes);
        for (const [i, entry] of slice.entries()) {
          const part = writer.add(entry, rows[i] as CompletedRow);
          if (part === null) continue;
          heldBytes -= part.addedBytes;
          yield part;
        }
        done += slice.length;
      }
      const last = writer.last();
      heldBytes -= last.addedBytes;
      yield last;
    } finally {
      budget.give(heldBytes);
    }
  }

  get #sliceRows(): number {
    return Math.max(1, Math.min(FRAME_INCOMPLETE_MAX, Math.floor(SLICE_BYTES / this.#rowBytes)));
  }

  async #complete(slice: readonly IncompleteEntry[], signal: AbortSignal): Promise<CompletedRow[]> {
    const rows = await this.#deps.complete(slice, signal);
    invariant(rows.length === slice.length, 'one completed row for each incomplete one');
    this.#rowBytes = Math.max(this.#rowBytes / 2, ...rows.map(lengthOf));
    return rows;
  }
}

/** Collects completed rows until they, and the whole rows between them, make a part. */
class PartWriter {
  readonly #frame: BuiltFrame;
  readonly #cutter: FrameCutter;
  #entries: { readonly entry: IncompleteEntry; readonly row: CompletedRow }[] = [];
  /** Index of the part's first entry. */
  #first = 0;
  /** Place in the frame's bytes up to which they belong to earlier parts, and up to which they belong to this one. */
  #start = 0;
  #end = 0;
  #bytes = 0;

  constructor(frame: BuiltFrame, cutter: FrameCutter) {
    this.#frame = frame;
    this.#cutter = cutter;
  }

  /** Takes a row; returns the part before it when both together would be too large. */
  add(entry: IncompleteEntry, row: CompletedRow): CompletedPart | null {
    this.#bytes += entry.start - this.#end;
    this.#end = entry.start;
    const bytes = ENTRY_OVERHEAD_BYTES + entry.key.length + lengthOf(row);
    const isCut = entry.index > this.#first && this.#bytes + bytes > FRAME_BYTES_MAX;
    const before = isCut ? this.#take((entries) => this.#cutter.next(entry.index, entries, entry.behind), false) : null;
    if (isCut) this.#first = entry.index;
    this.#entries.push({ entry, row });
    this.#bytes += bytes;
    this.#end = entry.end;
    return before;
  }

  last(): CompletedPart {
    this.#bytes += this.#frame.entries.length - this.#end;
    this.#end = this.#frame.entries.length;
    return this.#take((entries) => this.#cutter.rest(entries), true);
  }

  #take(cut: (entries: Buffer) => FramePart, isLast: boolean): CompletedPart {
    const { entries: source } = this.#frame;
    const into = Buffer.allocUnsafeSlow(this.#bytes);
    let from = this.#start;
    let to = 0;
    let addedBytes = 0;
    for (const { entry, row } of this.#entries) {
      to += source.copy(into, to, from, entry.start);
      to = writeCompleted(into, to, entry, row);
      from = entry.end;
      addedBytes += lengthOf(row);
    }
    to += source.copy(into, to, from, this.#end);
    invariant(to === into.length, 'a part is as long as its entries');
    this.#entries = [];
    this.#bytes = 0;
    this.#start = this.#end;
    return { part: cut(into), addedBytes, isLast };
  }
}

function lengthOf(row: CompletedRow): number {
  return row === 'gone' ? 0 : row.length;
}

/** A row that is gone becomes a delete. That is also what becomes of a row that a table without a key lost, unless another like it is left. */
function writeCompleted(into: Buffer, at: number, { op, flags, schemaId, key }: IncompleteEntry, row: CompletedRow): number {
  if (row === 'gone') return writeEntry(into, at, Op.delete, flags, schemaId, key, 0, key.length, key, 0, 0);
  return writeEntry(into, at, op, flags, schemaId, key, 0, key.length, row, 0, row.length);
}
