/** What happened to some rows in a stretch of the log: every change of theirs that a generation takes, with what it made of the row. */
import { IndexedTable } from '../apply/indexed-table.ts';
import { EntryCursor } from '../change/entry.ts';
import { Op } from '../change/operation.ts';
import type { Seq } from '../change/seq.ts';
import { FrameKind, type Frame, type LogStore } from '../connector/log-store.ts';
import type { DocumentBuilder } from '../document/builder.ts';
import { codeOf } from '../errors/tailrace-error.ts';
import { expectedOf } from './expected-rows.ts';
import type { Expected, KeyChange } from './verdict.ts';

/** Whose changes are looked for. */
export interface WindowSubject {
  readonly log: LogStore;
  readonly source: string;
  readonly table: string;
  /** Name of the generation. */
  readonly name: string;
  readonly documents: DocumentBuilder;
}

const NONE: Expected = { kind: 'none' };

/**
 * Changes behind `from` and up to `to`, which is durable, by key (`keyText`), in the order of seqs. A key of which there are none is left out.
 * Null when the log does not reach back to there any more. Rejects with the signal's reason and what reading the log does.
 */
export async function changesWithin(subject: WindowSubject, keys: ReadonlySet<string>, from: Seq, to: Seq, signal: AbortSignal): Promise<ReadonlyMap<string, readonly KeyChange[]> | null> {
  const found = new Map<string, KeyChange[]>();
  const note = (key: string, change: KeyChange): void => {
    const changes = found.get(key);
    if (changes === undefined) found.set(key, [change]);
    else changes.push(change);
  };
  if (to <= from || keys.size === 0) return found;
  const table = new IndexedTable({ ...subject, isBuilding: () => false }, subject.name);
  table.learn(subject.log.registers);
  try {
    for await (const frame of framesWithin(subject.log, from, to, signal)) {
      table.learn(frame.registers);
      if (frame.kind === FrameKind.snapshot && !table.interest.takesSnapshot(frame.source, frame.snapshot)) continue;
      const entries = new EntryCursor(frame.entries, frame.firstSeq);
      while (entries.next()) {
        const { seq, op, schemaId } = entries;
        if (seq <= from || seq > to || !table.interest.hasSchema(schemaId)) continue;
        if (op === Op.truncate) for (const key of keys) note(key, { seq, expected: NONE });
        if (op === Op.truncate) continue;
        const key = keyText(entries.key());
        if (!keys.has(key)) continue;
        const builder = op === Op.delete ? null : table.builderOf(schemaId, op);
        note(key, { seq, expected: builder === null ? NONE : expectedOf(builder, entries.row()) });
      }
    }
  } catch (error) {
    // Retention was faster.
    if (codeOf(error) === 'LOG_GAP') return null;
    throw error;
  }
  return found;
}

/** Of each of these keys the newest change up to `to`, as far as the log tells from `from` on. Of a change of the whole table nothing is said. */
export async function newestWithin({ log, ...subject }: WindowSubject, keys: ReadonlySet<string>, from: Seq, to: Seq, signal: AbortSignal): Promise<ReadonlyMap<string, Seq>> {
  const newest = new Map<string, Seq>();
  const table = new IndexedTable({ ...subject, isBuilding: () => false }, subject.name);
  table.learn(log.registers);
  try {
    for await (const frame of framesWithin(log, Math.max(from, log.firstSeq - 1), to, signal)) {
      if (frame.kind === FrameKind.snapshot && !table.interest.takesSnapshot(frame.source, frame.snapshot)) continue;
      const entries = new EntryCursor(frame.entries, frame.firstSeq);
      while (entries.next()) {
        if (entries.seq <= from || entries.seq > to || !table.interest.hasSchema(entries.schemaId)) continue;
        const key = keyText(entries.key());
        if (keys.has(key)) newest.set(key, entries.seq);
      }
    }
  } catch (error) {
    // What was found until then holds.
    if (codeOf(error) !== 'LOG_GAP') throw error;
  }
  return newest;
}

async function* framesWithin(log: LogStore, from: Seq, to: Seq, signal: AbortSignal): AsyncGenerator<Frame, void, undefined> {
  if (to <= from) return;
  await using reader = log.reader(from);
  for (let frame = await reader.poll(); frame !== undefined; frame = await reader.poll()) {
    signal.throwIfAborted();
    yield frame;
    if (frame.lastSeq >= to) return;
  }
}

/** A key as text, equal for equal keys only. */
export function keyText(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}
