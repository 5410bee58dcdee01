/** Parked documents for people: the first of them, and how many there are. */
import type { DeadLetterPage } from '../../src/observe/reports.ts';
import { printable } from '../terminal/printable.ts';
import { table, type Paint } from '../terminal/table.ts';
import { count, counted } from '../terminal/units.ts';

/** Most that people are shown. */
const SHOWN_MAX = 100;

export function letterScreen({ total, dead_letters: letters }: DeadLetterPage, paint: Paint): string[] {
  if (letters.length === 0) return ['No documents are parked.'];
  const rows = letters.slice(0, SHOWN_MAX).map(({ index, id, seq, code, parked_at_ms: parkedAtMs, reason }) => [index, printable(id), count(seq), new Date(parkedAtMs).toISOString(), code, printable(reason)]);
  const lines = table([{ title: 'index' }, { title: 'id' }, { title: 'seq', align: 'right' }, { title: 'parked' }, { title: 'code' }, { title: 'reason' }], rows, paint);
  const shown = total > rows.length ? ` These are the first ${rows.length}; \`--json\` prints all.` : '';
  return [...lines, '', `${counted(total, 'document is', 'documents are')} parked.${shown} A later change of the row takes the place of its parked one; docs/errors.md tells what mends each code.`];
}
