/** Changes of the log for people: one line each, the row below it when there is one. */
import { printable } from '../terminal/printable.ts';
import type { Paint } from '../terminal/table.ts';
import { bytes, count } from '../terminal/units.ts';

interface EntryRecord {
  readonly seq: number;
  readonly op: string;
  readonly source: string;
  readonly table: string | null;
  readonly id: string | null;
  readonly position: string | null;
  readonly commit_time_ms: number | null;
  readonly snapshot: number | null;
  readonly row_bytes: number;
  readonly row?: Readonly<Record<string, unknown>>;
  readonly row_error?: string;
  readonly row_base64?: string;
}

/** `lines` are lines of JSON as `log entries` gives them. */
export function entryLines(lines: string, paint: Paint): string[] {
  return lines.split('\n').filter((line) => line !== '').flatMap((line) => describeEntry(line, paint));
}

function describeEntry(line: string, paint: Paint): string[] {
  const entry = JSON.parse(line) as EntryRecord;
  const when = entry.commit_time_ms === null ? `snapshot ${entry.snapshot ?? '?'}` : new Date(entry.commit_time_ms).toISOString();
  const head = [
    count(entry.seq).padStart(9),
    entry.op.padEnd(8),
    printable(`${entry.source}.${entry.table ?? '?'}`),
    printable(entry.id ?? ''),
    paint('dim', [when, entry.position, entry.row_bytes === 0 ? null : bytes(entry.row_bytes)].filter((part) => part !== null).join('  ')),
  ].join('  ');
  // The row's text comes from the line itself, where every number has its digits.
  const rowAt = line.indexOf(',"row":{');
  if (rowAt !== -1) return [head, `           ${printable(line.slice(rowAt + 7, -1))}`];
  if (entry.row_base64 !== undefined) return [head, `           ${entry.row_error === undefined ? 'no format for this row' : paint('yellow', entry.row_error)}: ${entry.row_base64}`];
  return [head];
}
