/** `tailrace verify` for people: what differs, and in a sentence whether the index is what its table says. */
import type { DifferenceStatus, VerifyProgressStatus, VerifyReport } from '../../src/pipeline/verify-status.ts';
import { printable } from '../terminal/printable.ts';
import type { ProgressItem } from '../terminal/progress.ts';
import { table, type Paint } from '../terminal/table.ts';
import { count, counted, duration, rate } from '../terminal/units.ts';

export function progressItem({ index, phase, rows, estimated_rows: total, differences, error }: VerifyProgressStatus): ProgressItem {
  const doing = { hashing: 'comparing', comparing: 'comparing', looking_for_extras: 'looking for what is too much in', repairing: 'repairing', waiting: `waiting${error === null ? '' : ` (${error.code})`} with` }[phase];
  return { label: `${doing} ${index}${differences === 0 ? '' : `, ${counted(differences, 'difference')}`}`, unit: 'rows', done: rows, total };
}

/** Empty when nothing was found. */
export function differenceLines(found: readonly DifferenceStatus[], { differences }: VerifyReport, paint: Paint): string[] {
  if (differences === 0) return [];
  const rows = found.map(({ id, kind, field, stored_seq: seq, stored_version: version }) => [paint('red', kind.replace('_', ' ')), printable(id), field === null ? '' : printable(field), seq === null ? '' : count(seq), version ?? '']);
  const more = differences > found.length ? [`and ${count(differences - found.length)} more: --limit shows more of them`] : [];
  return [...(rows.length === 0 ? [] : table([{ title: 'difference' }, { title: 'id' }, { title: 'field' }, { title: 'stored seq', align: 'right' }, { title: 'stored version', align: 'right' }], rows, paint)), ...more, ''];
}

export function reportLines(report: VerifyReport, paint: Paint): string[] {
  const { index, generation, equal, rows, documents, share, differences, kinds, parked, unsettled, from_seq: from, to_seq: to, started_ms: startedMs, ended_ms: endedMs, repair } = report;
  const seconds = Math.max(0.001, (endedMs - startedMs) / 1000);
  const extent = share < 1 ? `a sample of ${counted(documents, 'document')} (${(share * 100).toPrecision(3)} %)` : counted(documents, 'document');
  const lines = [`${paint('bold', index)}, generation ${generation}: ${extent} compared with ${counted(rows, 'row')} as of seq ${count(from)} to ${count(to)}, in ${duration(seconds)} (${rate(rows / seconds)} rows/s).`];
  if (parked > 0) lines.push(`${counted(parked, 'row has', 'rows have')} no document because ${parked === 1 ? 'it is' : 'they are'} parked: \`tailrace dlq list ${index}\``);
  if (unsettled > 0) lines.push(paint('yellow', `${counted(unsettled, 'document')} changed whenever ${unsettled === 1 ? 'it was' : 'they were'} looked at: nothing can be said of ${unsettled === 1 ? 'it' : 'them'}.`));
  if (differences > 0) lines.push(paint(repair === null ? 'red' : 'yellow', `${counted(differences, 'difference')}: ${kindsText(kinds)}.`));
  if (repair !== null) {
    lines.push(`${counted(repair.repaired, 'document is', 'documents are')} repaired.`);
    if (repair.remaining > 0) lines.push(paint('red', `${counted(repair.remaining, 'difference remains', 'differences remain')}: ${kindsText(repair.kinds)}.`));
    if (repair.beyond > 0) lines.push(`${counted(repair.beyond, 'row')} cannot be asked for by key: build the index again with \`tailrace resync ${index}\``);
    if (repair.untried > 0) lines.push(`${counted(repair.untried, 'difference was', 'differences were')} more than are repaired at one time: do it again, or build the index again with \`tailrace resync ${index}\``);
  } else if (differences > 0) lines.push(`Mend it: \`tailrace verify ${index}${share < 1 ? '' : ` --generation ${generation}`} --repair\``);
  return [...lines, equal ? paint('green', share < 1 ? 'The sample is equal.' : 'The index is what its table says.') : paint('red', 'The index is not what its table says.')];
}

function kindsText(kinds: VerifyReport['kinds']): string {
  return Object.entries(kinds).map(([kind, number]) => `${count(number)} ${kind.replace('_', ' ')}`).join(', ');
}
