/** Parked documents for people: some of them in a table, or one with its change. */
import type { DeadLetterReport } from '../../src/observe/reports.ts';
import { printable } from '../terminal/printable.ts';
import { table, type Paint } from '../terminal/table.ts';
import { bytes, count, counted } from '../terminal/units.ts';

/** Most that people are shown unless they ask for more. */
export const LETTERS_SHOWN = 100;

export interface LetterTable {
  /** Of all that were asked for. */
  readonly total: number;
  readonly letters: readonly DeadLetterReport[];
  /** None come before these. */
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

export function letterScreen({ total, letters, isFirst, isLast }: LetterTable, paint: Paint): string[] {
  const last = letters.at(-1);
  if (last === undefined) return [isFirst ? 'No documents are parked.' : 'No more documents are parked.'];
  const rows = letters.map(({ index, id, seq, code, parked_at_ms: parkedAtMs, reason }) => [index, printable(id), count(seq), new Date(parkedAtMs).toISOString(), code, printable(reason)]);
  const lines = table([{ title: 'index' }, { title: 'id' }, { title: 'seq', align: 'right' }, { title: 'parked' }, { title: 'code' }, { title: 'reason' }], rows, paint);
  const shown = isLast ? '' : ` ${isFirst ? `These are the first ${rows.length}` : `These are ${rows.length} of them`}; the next: \`--after ${last.index}/${last.generation}/${last.seq}\`.`;
  return [...lines, '', `${counted(total, 'document is', 'documents are')} parked.${shown} A later change of the row takes the place of its parked one; docs/errors.md tells what mends each code.`];
}

/** A letter with its change as a line of `log dump`, which is null when the log does not hold it any more. */
export interface ShownLetter extends DeadLetterReport {
  readonly hint: string | null;
  readonly entry: string | null;
}

/** JSON text of the row in a line of `log dump`, as it stands there, where every number has its digits. */
function rowOf(entry: string): string | null {
  // Inside a string its quotes would be escaped.
  const at = entry.indexOf(',"row":{');
  return at === -1 ? null : entry.slice(at + 7, -1);
}

interface EntryFields {
  readonly seq: number;
  readonly op: string;
  readonly source: string;
  readonly table: string | null;
  readonly position: string | null;
  readonly commit_time_ms: number | null;
  readonly snapshot: number | null;
  readonly row_bytes: number;
  readonly row_error?: string;
}

interface LetterChange extends EntryFields {
  readonly columns: readonly string[];
  readonly rowText: string | null;
}

function changeOf({ entry }: ShownLetter): LetterChange | null {
  if (entry === null) return null;
  const rowText = rowOf(entry);
  const { row: _, row_base64: __, ...fields } = JSON.parse(entry) as EntryFields & { readonly row?: unknown; readonly row_base64?: string };
  return { ...fields, columns: rowText === null ? [] : Object.keys(JSON.parse(rowText) as object), rowText };
}

/** One object of JSON; with `values` it has the row as well. */
export function letterJson(letter: ShownLetter, values: boolean): string {
  const { entry: _, ...fields } = letter;
  const change = changeOf(letter);
  const { rowText, ...shown } = change ?? { rowText: null };
  const head = JSON.stringify({ ...fields, change: change === null ? null : shown });
  return values && rowText !== null ? `${head.slice(0, -1)},"row":${rowText}}\n` : `${head}\n`;
}

export function letterLines(letter: ShownLetter, values: boolean, paint: Paint): string[] {
  const { index, generation, id, code, reason, parked_at_ms: parkedAtMs, hint } = letter;
  const field = (name: string, value: string): string => `${paint('dim', name.padEnd(8))} ${value}`;
  return [
    `${paint('bold', `${index} ${printable(id)}`)}  ${paint('dim', `generation ${generation}, parked ${new Date(parkedAtMs).toISOString()}`)}`,
    field('reason', `${printable(reason)} (${paint('yellow', code)})`),
    ...(hint === null ? [] : [field('mend', hint)]),
    ...changeLines(letter, values, field),
  ];
}

function changeLines(letter: ShownLetter, values: boolean, field: (name: string, value: string) => string): string[] {
  const change = changeOf(letter);
  if (change === null) return [field('change', `seq ${count(letter.seq)}, which the log does not hold any more`)];
  const when = change.commit_time_ms === null ? `snapshot ${change.snapshot ?? '?'}` : `committed ${new Date(change.commit_time_ms).toISOString()}`;
  const parts = [`seq ${count(change.seq)}`, change.op, `${change.source}.${change.table ?? '?'}`, when, change.position, bytes(change.row_bytes)].filter((part) => part !== null);
  const columns = change.columns.length === 0 ? [] : [field('columns', printable(change.columns.join(', ')))];
  const unread = change.row_error === undefined ? [] : [field('row', `cannot be read (${change.row_error}); \`tailrace log dump --first ${change.seq} --last ${change.seq}\` has its bytes`)];
  const row = values && change.rowText !== null ? [field('row', printable(change.rowText))] : [];
  return [field('change', printable(parts.join('  '))), ...columns, ...unread, ...row];
}
