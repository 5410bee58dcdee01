/** What an index must hold: by the log, change for change, and by the source as it is. */
import { documentIdOf } from '../../../src/change/key.ts';
import { Op } from '../../../src/change/operation.ts';
import type { GenerationRecord } from '../../../src/state/state-store.ts';
import { generationName } from '../../../src/state/state-store.ts';
import type { SimDatabase } from '../source/sim-database.ts';
import { keyOf } from '../source/sim-row.ts';
import type { IndexPlan } from '../world/plan.ts';
import type { LogBook, LoggedEntry } from './log-book.ts';
import { render, type Rendered } from './rendering.ts';

/** The last word of the log on one document. */
export interface Expected {
  readonly seq: number;
  readonly rendered: Rendered;
}

/** True when the generation takes the entry. */
export function takes(book: LogBook, record: GenerationRecord, index: IndexPlan, entry: LoggedEntry): boolean {
  if (entry.seq <= record.startSeq || !book.belongs(entry, index.source, index.table)) return false;
  if (entry.snapshot === 0) return true;
  const snapshot = book.snapshots.get(`${entry.source} ${entry.snapshot}`);
  return snapshot !== undefined && isFor(snapshot.for, record);
}

function isFor(names: readonly string[], record: GenerationRecord): boolean {
  return names.includes('*') || names.includes(generationName(record.index, record.generation));
}

export function idOf(key: string): string {
  return documentIdOf(keyOf(key));
}

/** Deletes and filtered rows have no place here. Poison rows have: their documents are what they were before. */
export function expectedFromLog(book: LogBook, record: GenerationRecord, index: IndexPlan): Map<string, Expected> {
  const expected = new Map<string, Expected>();
  for (const item of book.items) {
    if (item.kind === 'done') {
      const { snapshot } = item;
      if (!snapshot.sweep || snapshot.source !== index.source || snapshot.table !== index.table || !isFor(snapshot.for, record)) continue;
      for (const [id, { seq }] of expected) if (seq <= snapshot.startSeq) expected.delete(id);
      continue;
    }
    if (!takes(book, record, index, item)) continue;
    if (item.op === Op.truncate) expected.clear();
    else if (item.op === Op.delete) expected.delete(idOf(item.key));
    else expected.set(idOf(item.key), { seq: item.seq, rendered: renderEntry(index, item) });
  }
  return expected;
}

export function renderEntry(index: IndexPlan, entry: LoggedEntry): Rendered {
  return render(index.shape, entry.schema?.columns.map(({ name }) => name) ?? [], entry.row?.values ?? []);
}

/** By document id. */
export function expectedFromSource(database: SimDatabase, index: IndexPlan): Map<string, Rendered> {
  const { columns, rows } = database.table(index.table);
  const names = columns.map(({ name }) => name);
  const expected = new Map<string, Rendered>();
  for (const [key, { values }] of rows) {
    const full = columns.map(({ defaultValue }, i) => values[i] ?? defaultValue);
    expected.set(idOf(key), render(index.shape, names, full));
  }
  return expected;
}
