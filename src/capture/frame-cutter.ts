/**
 * Cuts a frame into parts that each stand by themselves in the log. What lies between two parts is to a crash as the middle of a transaction
 * that takes several frames: every part but the last carries a resume point of its own, by which what is logged is left out when it comes again.
 */
import { EntryCursor } from '../change/entry.ts';
import type { FrameTransaction, RegisterUpdate } from '../connector/log-store.ts';
import { invariant } from '../errors/invariant.ts';
import type { BuiltFrame } from './frame-builder.ts';
import { encodeResumePoint, partialTransaction, positionRegister, type PartialTransaction, type ResumePoint } from './resume-point.ts';
import { schemaOfRegister } from './schema-registry.ts';

export interface FrameCutterDeps {
  readonly source: string;
  readonly compare: (a: Uint8Array, b: Uint8Array) => number;
  /** Full name of the table that a schema is of. */
  readonly tableOf: (schemaId: number) => string;
}

export type FramePart = Pick<BuiltFrame, 'entries' | 'count' | 'transactions' | 'registers'>;

export class FrameCutter {
  readonly #deps: FrameCutterDeps;
  readonly #frame: BuiltFrame;
  /** What was logged in part when the frame began, in the order of the positions. */
  readonly #partials: readonly PartialTransaction[];
  readonly #cursor: EntryCursor;
  /** Entries that are in parts. */
  #cut = 0;
  /** Place of the transaction of the entry before the cut; -1 before the first. */
  #place = -1;
  /** Its changes before the cut, by table, those of earlier frames included. */
  #byTable = new Map<string, number>();

  /** `before`: the resume point as the frame before left it. */
  constructor(frame: BuiltFrame, before: ResumePoint, deps: FrameCutterDeps) {
    this.#deps = deps;
    this.#frame = frame;
    this.#partials = before.partial === null ? [] : [before.partial, ...before.laterPartials];
    this.#cursor = new EntryCursor(frame.entries, 1);
  }

  /**
   * The next part, up to the entry with the index `to`, which is not in it. `entries` are the part's own bytes; `position` is behind the last
   * transaction that had ended when that entry came.
   */
  next(to: number, entries: Buffer, position: Uint8Array): FramePart {
    invariant(to > this.#cut && to < this.#frame.count, 'a part has entries, and leaves some');
    const from = this.#cut;
    this.#advance(to);
    const resume = encodeResumePoint(this.#resumePoint(position));
    return this.#part(from, entries, [...(from === 0 ? this.#schemas() : []), [positionRegister(this.#deps.source), resume]]);
  }

  /** The last part, with all that the frame brings besides entries; the schemas come in the first one, whose rows may have them. */
  rest(entries: Buffer): FramePart {
    const { registers, count } = this.#frame;
    const from = this.#cut;
    this.#cut = count;
    return this.#part(from, entries, from === 0 ? registers : registers.filter((register) => schemaOfRegister(register) === undefined));
  }

  #schemas(): RegisterUpdate[] {
    return this.#frame.registers.filter((register) => schemaOfRegister(register) !== undefined);
  }

  #part(from: number, entries: Buffer, registers: readonly RegisterUpdate[]): FramePart {
    const to = this.#cut;
    const transactions: FrameTransaction[] = [];
    for (const [place, transaction] of this.#frame.transactions.entries()) {
      const { firstEntry, entriesBefore, complete } = transaction;
      const end = this.#endOf(place);
      // One that has no entries in this frame ends before the entry at its place, so in the part that ends there.
      const isHere = firstEntry === end ? firstEntry <= to && (firstEntry > from || from === 0) : firstEntry < to && end > from;
      if (!isHere) continue;
      const earlier = Math.max(0, from - firstEntry);
      transactions.push({ ...transaction, firstEntry: firstEntry + earlier - from, entriesBefore: entriesBefore + earlier, complete: complete && end <= to });
    }
    return { entries, count: to - from, transactions, registers };
  }

  #endOf(place: number): number {
    return this.#frame.transactions[place + 1]?.firstEntry ?? this.#frame.count;
  }

  #advance(to: number): void {
    for (; this.#cut < to; this.#cut += 1) {
      while (this.#place === -1 || this.#cut >= this.#endOf(this.#place)) this.#begin();
      this.#cursor.next();
      const table = this.#deps.tableOf(this.#cursor.schemaId);
      this.#byTable.set(table, (this.#byTable.get(table) ?? 0) + 1);
    }
    while (this.#frame.transactions[this.#place + 1]?.firstEntry === to && this.#endOf(this.#place + 1) === to) this.#begin();
  }

  #begin(): void {
    this.#place += 1;
    const { position } = this.#transaction;
    this.#byTable = new Map(this.#partials.find((part) => this.#deps.compare(part.position, position) === 0)?.byTable);
  }

  get #transaction(): FrameTransaction {
    const transaction = this.#frame.transactions[this.#place];
    invariant(transaction !== undefined, 'every entry of a stream belongs to a transaction');
    return transaction;
  }

  #resumePoint(position: Uint8Array): ResumePoint {
    const { id, position: committedAt } = this.#transaction;
    const open = this.#cut < this.#endOf(this.#place) ? [partialTransaction(committedAt, id, new Map(this.#byTable))] : [];
    const awaited = this.#partials.filter((part) => this.#deps.compare(part.position, committedAt) > 0);
    const [partial = null, ...laterPartials] = [...open, ...awaited];
    return { position, partial, laterPartials };
  }
}
