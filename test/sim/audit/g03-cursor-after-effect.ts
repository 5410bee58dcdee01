/** G3: when a cursor is durable, everything up to it has taken effect at the target. */
import { builds, isFor, type Snapshot } from '../../../src/capture/snapshot-state.ts';
import { Op } from '../../../src/change/operation.ts';
import { versionOf } from '../../../src/change/seq.ts';
import { generationName, type GenerationRecord } from '../../../src/state/state-store.ts';
import type { IndexPlan } from '../world/plan.ts';
import type { KeptDocuments } from './kept-documents.ts';
import { idOf, renderEntry, takes } from './expected-index.ts';
import type { Findings } from './findings.ts';
import type { LogBook } from './log-book.ts';

interface CursorSubject {
  readonly record: GenerationRecord;
  readonly index: IndexPlan;
  readonly cursor: number;
  readonly kept: KeptDocuments;
  readonly epoch: number;
  readonly letters: ReadonlySet<string>;
}

export class CursorAuditor {
  readonly #findings: Findings;
  readonly #book: LogBook;
  /** By generation: up to where it was checked, as a place in the book's items. */
  readonly #checked = new Map<string, number>();

  constructor(findings: Findings, book: LogBook) {
    this.#findings = findings;
    this.#book = book;
  }

  /** A cursor is about to become durable, or has become so together with its effects. `letters`: ids of parked documents. */
  cursorStored(record: GenerationRecord, index: IndexPlan, cursor: number, kept: KeptDocuments, epoch: number, letters: ReadonlySet<string>): void {
    this.#check(`${record.index} ${record.generation}`, { record, index, cursor, kept, epoch, letters });
  }

  /** Readers get to see a generation: it must be as complete as if its cursor stood behind its snapshot. */
  promoted(record: GenerationRecord, index: IndexPlan, kept: KeptDocuments, epoch: number, letters: ReadonlySet<string>): void {
    const own = generationName(record.index, record.generation);
    const done = this.#book.items.findLast((item) => item.kind === 'done' && builds(item.snapshot, own));
    if (done === undefined) return this.#findings.add('G7', `${own} is promoted, and its snapshot is not done`);
    const name = `${record.index} ${record.generation} as it is promoted,`;
    this.#checked.delete(name);
    this.#check(name, { record, index, cursor: done.behind, kept, epoch, letters });
  }

  #check(name: string, { record, index, cursor, kept, epoch, letters }: CursorSubject): void {
    const { items } = this.#book;
    this.#findings.expect('G3', cursor <= this.#book.lastSeq, () => `${name} has the cursor ${cursor}, and the log ends with ${this.#book.lastSeq}`);
    const last = new Map<string, { seq: number; mustBe: 'document' | 'gone' | 'either' }>();
    let at = this.#checked.get(name) ?? 0;
    for (; at < items.length; at += 1) {
      const item = items[at];
      if (item === undefined || (item.kind === 'entry' && item.seq > cursor)) break;
      if (item.kind === 'done') {
        if (item.behind < cursor || !item.isAlone) this.#checkEnd(name, item.snapshot, { record, index, cursor, kept, epoch, letters });
        if (item.snapshot.sweep && item.snapshot.table === index.table && item.snapshot.source === index.source) for (const [id, { seq }] of last) if (seq <= item.snapshot.startSeq) last.delete(id);
        continue;
      }
      if (!takes(this.#book, record, index, item)) continue;
      if (item.op === Op.truncate) {
        last.clear();
        continue;
      }
      const rendered = item.op === Op.delete ? 'gone' : renderEntry(index, item).kind;
      last.set(idOf(item.key), { seq: item.seq, mustBe: rendered === 'document' ? 'document' : rendered === 'poison' ? 'either' : 'gone' });
    }
    this.#checked.set(name, at);
    for (const [id, { seq, mustBe }] of last) {
      const document = kept.get(id);
      const isNewer = document !== undefined && document.version >= versionOf(epoch, seq);
      const isGone = document === undefined || document.document === null;
      if (mustBe === 'either') this.#findings.expect('G11', isNewer || letters.has(id) || this.#laterSaysOtherwise(record, index, id, at, true), () => `${name} has the cursor ${cursor}, but the refused document ${id} (seq ${seq}) is parked nowhere`);
      else if (mustBe === 'gone') this.#findings.expect('G3', isNewer || isGone || this.#isRefusedLater(record, index, id, at), () => `${name} has the cursor ${cursor}, but ${id} is still there, which went with seq ${seq}`);
      else this.#findings.expect('G3', isNewer || (isGone && this.#laterSaysOtherwise(record, index, id, at, false)) || this.#isRefusedLater(record, index, id, at), () => `${name} has the cursor ${cursor}, but the target lacks ${id} as of seq ${seq}`);
    }
  }

  /** A cursor behind the end of a snapshot: what follows from that has happened, for whoever goes on from there does not meet it again. */
  #checkEnd(name: string, snapshot: Snapshot, { record, index, cursor, kept, epoch }: CursorSubject): void {
    const own = generationName(record.index, record.generation);
    if (snapshot.source !== index.source || snapshot.table !== index.table || !isFor(snapshot, own)) return;
    this.#findings.expect('G3', record.phase !== 'building' || !builds(snapshot, own), () => `${name} has the cursor ${cursor} behind the end of snapshot ${snapshot.number}, and is still being built from it`);
    if (!snapshot.sweep || snapshot.startSeq <= record.startSeq) return;
    const left = [...kept].find(([, { version, document }]) => document !== null && version < versionOf(epoch, snapshot.startSeq + 1));
    this.#findings.expect('G3', left === undefined, () => `${name} has the cursor ${cursor} behind the end of snapshot ${snapshot.number}, which did not find ${left?.[0]}, and that is still there`);
  }

  /** The cursor was put back: what is behind it is checked again. */
  putBack(record: Pick<GenerationRecord, 'index' | 'generation'>): void {
    this.#checked.delete(`${record.index} ${record.generation}`);
  }

  /**
   * A refused document stays what it was when its batch began, whatever else the batch had for it; and a cursor that was put back may stand within
   * that batch.
   */
  #isRefusedLater(record: GenerationRecord, index: IndexPlan, id: string, from: number): boolean {
    for (let at = from; at < this.#book.items.length; at += 1) {
      const item = this.#book.items[at];
      if (item?.kind !== 'entry' || item.op === Op.delete || item.op === Op.truncate || !takes(this.#book, record, index, item)) continue;
      if (idOf(item.key) === id && renderEntry(index, item).kind === 'poison') return true;
    }
    return false;
  }

  /** Batches behind the cursor may have taken effect already: one of them may have removed the document, or replaced the refused one. */
  #laterSaysOtherwise(record: GenerationRecord, index: IndexPlan, id: string, from: number, anyWill: boolean): boolean {
    for (let at = from; at < this.#book.items.length; at += 1) {
      const item = this.#book.items[at];
      if (item === undefined) break;
      if (item.kind === 'done') {
        if (item.snapshot.sweep) return true;
        continue;
      }
      if (!takes(this.#book, record, index, item)) continue;
      if (item.op === Op.truncate) return true;
      if (idOf(item.key) === id && (anyWill || item.op === Op.delete || renderEntry(index, item).kind === 'filtered')) return true;
    }
    return false;
  }
}
