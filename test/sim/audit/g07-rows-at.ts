/** G7: rows that are handed out as of a seq are what the log says up to there, for every key that did not change meanwhile. */
import { windowKey } from '../../../src/capture/chunk-window.ts';
import { isOver } from '../../../src/capture/snapshot-state.ts';
import type { RowsAt } from '../../../src/capture/rows-at.ts';
import { decodeKey } from '../../../src/change/key.ts';
import { Op } from '../../../src/change/operation.ts';
import { keysOf } from '../../capture/chunk-keys.ts';
import { decodeRow } from '../source/sim-row.ts';
import type { Findings } from './findings.ts';
import type { LogBook, LoggedEntry } from './log-book.ts';

export function auditRowsAt(findings: Findings, book: LogBook, source: string, table: string, rows: RowsAt): void {
  const { chunk, seq, changed } = rows;
  // What is to be read again, and waits for a person, is not in the log yet.
  for (const snapshot of book.snapshots.values()) if (snapshot.source === source && snapshot.table === table && snapshot.selection.kind === 'all' && snapshot.paused && !isOver(snapshot)) return;
  const words = lastWords(book, source, table, seq);
  for (const [i, key] of keysOf(chunk).entries()) {
    const word = words.get(idOf(key));
    if (changed.has(windowKey(key)) || word === undefined) continue;
    const at = `row ${idOf(key)} of ${table}, handed out as of seq ${seq},`;
    if (word.row === null) {
      findings.add('G7', `${at} is gone by the log since seq ${word.seq}`);
      continue;
    }
    const shown = decodeRow(chunk.bytes.subarray(chunk.offsets[i], chunk.offsets[i + 1])).values;
    for (const [place, { name }] of chunk.schema.columns.entries()) {
      const own = word.schema?.columns.findIndex((column) => column.name === name) ?? -1;
      if (own === -1) continue;
      const logged = word.row.values[own] ?? null;
      findings.expect('G7', logged === (shown[place] ?? null), () => `${at} has ${JSON.stringify(shown[place])} in ${name}, where the log has ${JSON.stringify(logged)} (seq ${word.seq})`);
    }
  }
  for (const key of chunk.absentKeys) {
    const word = words.get(idOf(key));
    if (changed.has(windowKey(key)) || word === undefined) continue;
    findings.expect('G7', word.row === null, () => `key ${idOf(key)} of ${table} is absent as of seq ${seq}, and the log has a row of it (seq ${word.seq})`);
  }
}

/** By key; without what a truncate or a sweep took away, of which the log has no word of its own. */
function lastWords(book: LogBook, source: string, table: string, upTo: number): ReadonlyMap<string, LoggedEntry> {
  const words = new Map<string, LoggedEntry>();
  for (const item of book.items) {
    if (item.behind > upTo) break;
    if (item.kind === 'done') {
      const { snapshot } = item;
      if (!snapshot.sweep || snapshot.source !== source || snapshot.table !== table) continue;
      for (const [id, { seq }] of words) if (seq <= snapshot.startSeq) words.delete(id);
    } else if (book.belongs(item, source, table)) {
      if (item.op === Op.truncate) words.clear();
      else words.set(item.key, item);
    }
  }
  return words;
}

function idOf(key: Uint8Array): string {
  const [part] = decodeKey(Buffer.from(key));
  return part === undefined || part === null ? '' : Buffer.from(part).toString();
}
