/** `tailrace trace` for people: a line for each change, what the target holds, and in a sentence how the document is. */
import type { Outcome } from '../../src/pipeline/change-outcome.ts';
import type { TracedChange, TraceReport } from '../../src/pipeline/trace.ts';
import { typed, typedText } from '../terminal/given-options.ts';
import { printable } from '../terminal/printable.ts';
import { table, type Colour, type Paint } from '../terminal/table.ts';
import { bytes, count, counted } from '../terminal/units.ts';

/** Longest text of a document that people are shown. */
const DOCUMENT_CHARS_MAX = 4_000;

const colours: Partial<Readonly<Record<Outcome, Colour>>> = { applied: 'green', parked: 'yellow', pending: 'yellow', lost: 'red', stale: 'yellow', superseded: 'dim', before_generation: 'dim', not_taken: 'dim' };

/** The report as one object of JSON; the document goes in as it stands, so that its numbers keep every digit. */
export function traceJson({ stored, ...report }: TraceReport): string {
  const head = JSON.stringify(report).slice(0, -1);
  if (stored === null) return `${head},"stored":null}\n`;
  const { document, ...facts } = stored;
  return `${head},"stored":${JSON.stringify(facts).slice(0, -1)},"document":${document}}}\n`;
}

/** False when neither the log nor the target nor a dead letter tells of the document. */
export function isKnown({ changes, stored, dead_letters: letters }: TraceReport): boolean {
  return stored !== null || letters.length > 0 || changes.some(({ op }) => op !== 'truncate');
}

export function traceScreen(report: TraceReport, paint: Paint): string[] {
  const { log, changes } = report;
  const isAll = log.read_from_seq <= log.first_seq;
  const span = `seq ${count(log.read_from_seq)} to ${count(log.last_seq)}${isAll ? ', which is all that the log holds' : ''}`;
  const found = changes.length === 0 ? [`No change of it: ${span}.`] : [...changeLines(changes, paint), '', paint('dim', `${counted(changes.length, 'change')} in ${span}`)];
  return [headline(report, paint), '', ...found, ...letterLines(report, paint), ...storedLines(report, paint), '', ...typed([verdict(report)])];
}

function headline({ index, id, source, table: name, key, generation, cursor }: TraceReport, paint: Paint): string {
  const row = key === null ? 'known by a digest of its key' : key.map(({ column, value }) => `${column} = ${value ?? 'null'}`).join(', ');
  const stands = generation === null ? 'not begun' : `generation ${generation}, applied up to seq ${cursor === null ? '?' : count(cursor)}`;
  return `${paint('bold', `${index} ${printable(id)}`)}  ${printable(`${source}.${name}, ${row}`)}  ${paint('dim', stands)}`;
}

function changeLines(changes: readonly TracedChange[], paint: Paint): string[] {
  const right = 'right' as const;
  return table(
    [{ title: 'seq', align: right }, { title: 'op' }, { title: 'from' }, { title: 'committed' }, { title: 'position' }, { title: 'transaction' }, { title: 'row', align: right }, { title: 'became' }],
    changes.map((change) => [
      count(change.seq),
      change.key_changed ? `${change.op} (of key)` : change.op,
      change.snapshot === null ? 'stream' : `snapshot ${change.snapshot}`,
      change.commit_time_ms === null ? '-' : new Date(change.commit_time_ms).toISOString(),
      change.position ?? '-',
      change.transaction ?? '-',
      change.row_bytes === 0 ? '-' : bytes(change.row_bytes),
      painted(change.outcome, paint),
    ]),
    paint,
  );
}

function painted(outcome: Outcome, paint: Paint): string {
  const colour = colours[outcome];
  const text = outcome.replaceAll('_', ' ');
  return colour === undefined ? text : paint(colour, text);
}

function letterLines({ dead_letters: letters }: TraceReport, paint: Paint): string[] {
  return letters.map(({ generation, seq, code, reason, parked_at_ms: parkedAtMs }) => `${paint('yellow', 'parked')} seq ${count(seq)} at ${new Date(parkedAtMs).toISOString()} in generation ${generation}: ${printable(reason)} (${code})`);
}

function storedLines({ stored, error, unseen }: TraceReport, paint: Paint): string[] {
  if (unseen !== null) return ['', `${paint('red', '!')} ${printable(unseen.message)} (${unseen.code})`, `  ${paint('cyan', '→')} ${printable(typedText(unseen.hint))}`];
  if (error !== null) return ['', `${paint('red', '!')} The target could not be asked: ${printable(error.message)} (${error.code})`, `  ${paint('cyan', '→')} ${printable(typedText(error.hint))}`];
  if (stored === null) return ['', 'The target holds no such document.'];
  const cut = stored.document.length > DOCUMENT_CHARS_MAX;
  return ['', `The target holds the version of seq ${count(stored.seq)}, epoch ${stored.epoch}:`, `${printable(stored.document.slice(0, DOCUMENT_CHARS_MAX))}${cut ? ` ... (\`--json\` prints all of it)` : ''}`];
}

/** How the document is, and what to do where something is to be done. */
function verdict(report: TraceReport): string {
  const { index, id, changes, stored, error, unseen, log } = report;
  const repair = `See what differs, and mend it: \`tailrace verify ${index} --repair\``;
  const last = changes.findLast(({ outcome }) => outcome !== 'not_taken');
  if (!isKnown(report)) return error === null ? 'Nothing is known of it: there is no such row, or it is older than the log and not in the index.' : 'Nothing is known of it in the log.';
  if (unseen !== null) return `Readers find no document of ${index}, whatever became of the changes.`;
  if (error !== null) return 'What became of the changes is not known without the target.';
  if (last === undefined) {
    const isForeign = stored !== null && ((log.first_seq === 1 && log.read_from_seq <= 1) || stored.epoch !== log.epoch || stored.seq > log.last_seq);
    return isForeign ? `No change made this document: something else wrote it. ${repair}` : 'Its last change is older than what was read of the log.';
  }
  switch (last.outcome) {
    case 'applied':
      if (stored === null) return 'It is in step: the row is gone, and so is the document.';
      return stored.as_built === false ? `The document is not what its row makes: something else wrote it, or the transform makes something else now. ${repair}` : 'It is in step.';
    case 'filtered':
      return 'It is in step: its row makes no document, as `where` or the transform says.';
    case 'swept':
      return 'It is in step: a later snapshot did not find the row.';
    case 'parked':
      return `It is parked: \`tailrace dlq show ${index} ${shellWord(id)}\``;
    case 'pending':
      return 'The index has not come to its last change yet: `tailrace lag`';
    case 'stale':
      return `The target holds a version that no change of this document has: something else wrote it. ${repair}`;
    case 'before_generation':
      return 'Its last change is older than this build of the index, which read the row afterwards; the log holds that no more.';
    case 'lost':
      return `The target does not hold what it should. ${repair}`;
    case 'superseded':
    case 'not_taken':
    case 'unknown':
      return 'What its last change made of it cannot be told: the config is not the one that the index is built by, or the row cannot be read.';
  }
}

/** An id as it is typed in a shell. */
export function shellWord(text: string): string {
  return /^[\w.:%@/+-]+$/.test(text) && !text.startsWith('-') ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
