/** What is shown of one document: its trace, its dead letter. */
import { describe, expect, test } from 'vitest';
import { letterJson, letterLines, type ShownLetter } from '../../cmd/screens/dead-letters.ts';
import { isKnown, shellWord, traceJson, traceScreen } from '../../cmd/screens/trace-screen.ts';
import { plainPaint } from '../../cmd/terminal/table.ts';
import type { Outcome } from '../../src/pipeline/change-outcome.ts';
import type { TracedChange, TraceReport } from '../../src/pipeline/trace.ts';

const stored = { version: '281474976710659', epoch: 1, seq: 3, as_built: true, document: '{"id":57,"price":12345678901234567890.10}' };

function change(seq: number, outcome: Outcome, more: Partial<TracedChange> = {}): TracedChange {
  return { seq, op: 'update', key_changed: false, version: '281474976710659', frame: 'stream', snapshot: null, transaction: '777', position: '0/1A', commit_time_ms: 0, row_bytes: 300, outcome, ...more };
}

const report: TraceReport = {
  index: 'products',
  id: '57',
  source: 'shop',
  table: 'public.products',
  key: [{ column: 'id', value: '57' }],
  generation: 1,
  cursor: 3_456,
  error: null,
  unseen: null,
  changes: [change(1, 'superseded', { frame: 'snapshot', snapshot: 1, op: 'read', transaction: null, position: null, commit_time_ms: null }), change(3, 'applied')],
  dead_letters: [],
  log: { epoch: 1, first_seq: 1, last_seq: 3_456, read_from_seq: 1 },
  stored,
};

const verdict = (more: Partial<TraceReport>): string => traceScreen({ ...report, ...more }, plainPaint).at(-1) ?? '';

describe('a trace', () => {
  test('is read from top to bottom: the document, its changes, what the target holds, how it is', () => {
    expect(traceScreen(report, plainPaint)).toEqual([
      'products 57  shop.public.products, id = 57  generation 1, applied up to seq 3,456',
      '',
      'SEQ  OP      FROM        COMMITTED                 POSITION  TRANSACTION    ROW  BECAME',
      '  1  read    snapshot 1  -                         -         -            300 B  superseded',
      '  3  update  stream      1970-01-01T00:00:00.000Z  0/1A      777          300 B  applied',
      '',
      '2 changes in seq 1 to 3,456, which is all that the log holds',
      '',
      'The target holds the version of seq 3, epoch 1:',
      '{"id":57,"price":12345678901234567890.10}',
      '',
      'It is in step.',
    ]);
    expect(traceScreen({ ...report, log: { ...report.log, read_from_seq: 3 } }, plainPaint)[6]).toBe('2 changes in seq 3 to 3,456');
  });

  test('says that readers find no document at all, and what to do, instead of what became of the changes', () => {
    const unseen = { code: 'TGT_MISSING', message: 'It is gone.', did: 'd', hint: 'Build the index again: `tailrace resync products`.' };
    expect(traceScreen({ ...report, stored: null, unseen }, plainPaint).slice(-4)).toEqual(['! It is gone. (TGT_MISSING)', '  → Build the index again: `tailrace resync products`.', '', 'Readers find no document of products, whatever became of the changes.']);
  });

  test('keeps every digit of the document in its JSON', () => {
    const { document: _, ...facts } = stored;
    expect(traceJson(report)).toContain(`"stored":${JSON.stringify(facts).slice(0, -1)},"document":{"id":57,"price":12345678901234567890.10}}}\n`);
    expect(JSON.parse(traceJson(report))).toMatchObject({ index: 'products', changes: [{}, {}], stored: { seq: 3, document: { id: 57 } } });
    expect(JSON.parse(traceJson({ ...report, stored: null }))).toMatchObject({ id: '57', stored: null });
  });

  const gone = { stored: null, changes: [change(9, 'applied', { op: 'delete' })] };
  const ends: readonly (readonly [string, Partial<TraceReport>, RegExp])[] = [
    ['gone', gone, /^It is in step: the row is gone/],
    ['another', { stored: { ...stored, as_built: false } }, /not what its row makes.*tailrace verify products --repair/],
    ['filtered', { stored: null, changes: [change(9, 'filtered')] }, /makes no document/],
    ['swept', { stored: null, changes: [change(9, 'swept')] }, /later snapshot did not find the row/],
    ['parked', { id: 'a b', stored: null, changes: [change(9, 'parked')] }, /`tailrace dlq show products 'a b'`$/],
    ['pending', { changes: [change(3, 'applied'), change(9, 'pending')] }, /`tailrace lag`$/],
    ['stale', { changes: [change(9, 'stale')] }, /no change of this document has.*tailrace verify products --repair/],
    ['lost', { stored: null, changes: [change(9, 'lost'), change(10, 'not_taken')] }, /does not hold what it should.*tailrace verify products --repair/],
    ['older than the generation', { changes: [change(9, 'before_generation')] }, /older than this build/],
    ['untold', { changes: [change(9, 'unknown')] }, /cannot be told/],
    ['older than the log', { changes: [], log: { ...report.log, first_seq: 2, read_from_seq: 2 } }, /older than what was read/],
    ['never in the log', { changes: [] }, /^No change made this document.*tailrace verify products --repair/],
    ['of another epoch', { changes: [], stored: { ...stored, epoch: 0 }, log: { ...report.log, first_seq: 2, read_from_seq: 2 } }, /^No change made this document/],
    ['nowhere', { changes: [], stored: null }, /^Nothing is known of it: /],
    ['nowhere, with a truncate', { changes: [change(2, 'superseded', { op: 'truncate' })], stored: null }, /^Nothing is known of it: /],
  ];
  test.for(ends)('says in a sentence how the document is: %s', ([, more, said]) => {
    expect(verdict(more)).toMatch(said);
  });

  test('of which nobody knows anything is a no', () => {
    expect(isKnown(report)).toBe(true);
    expect(isKnown({ ...report, changes: [], stored: null })).toBe(false);
    expect(isKnown({ ...report, changes: [], stored: null, dead_letters: [{ generation: 1, seq: 1, code: 'DOC_FAILED', reason: '', parked_at_ms: 0 }] })).toBe(true);
  });

  test('says so when the target could not be asked, and shows dead letters, long documents and strange names on lines of their own', () => {
    const error = { code: 'TGT_CONN', message: 'Nobody answers.', did: 'd', hint: 'Start it.' };
    const lines = traceScreen({ ...report, error, stored: null, cursor: null, changes: [change(3, 'unknown')] }, plainPaint);
    expect(lines).toContain('! The target could not be asked: Nobody answers. (TGT_CONN)');
    expect(lines).toContain('  → Start it.');
    expect(lines.at(-1)).toBe('What became of the changes is not known without the target.');
    const odd = traceScreen({ ...report, id: 'a\u001B[31m', key: null, dead_letters: [{ generation: 1, seq: 3, code: 'DOC_FAILED', reason: 'no\nfield', parked_at_ms: 0 }], stored: { ...stored, document: `"${'x'.repeat(9_000)}"` } }, plainPaint);
    expect(odd[0]).toMatch(/^products a \[31m {2}shop\.public\.products, known by a digest of its key/);
    expect(odd).toContain('parked seq 3 at 1970-01-01T00:00:00.000Z in generation 1: no field (DOC_FAILED)');
    expect(odd.find((line) => line.startsWith('"xxx'))).toMatch(/x \.\.\. \(`--json` prints all of it\)$/);
  });

  test('writes ids as a shell takes them', () => {
    expect(['57', 'a:b%3A', 'a b', "it's", '-x', ''].map(shellWord)).toEqual(['57', 'a:b%3A', "'a b'", "'it'\\''s'", "'-x'", "''"]);
  });
});

describe('a dead letter', () => {
  const entry = '{"seq":9,"op":"update","source":"shop","table":"public.products","id":"57","transaction":"1","position":"0/1A","commit_time_ms":0,"snapshot":null,"row_bytes":300,"row":{"id":57,"name":"secret lamp","price":12345678901234567890.10}}';
  const letter: ShownLetter = { index: 'products', generation: 1, id: '57', seq: 9, code: 'DOC_TOO_LARGE', reason: 'It is too large.', parked_at_ms: 0, hint: 'Leave it out.', entry };

  test('is shown with its change and the names of its columns; with what they hold only when that is asked for', () => {
    const lines = letterLines(letter, false, plainPaint);
    expect(lines).toEqual([
      'products 57  generation 1, parked 1970-01-01T00:00:00.000Z',
      'reason   It is too large. (DOC_TOO_LARGE)',
      'mend     Leave it out.',
      'change   seq 9  update  shop.public.products  committed 1970-01-01T00:00:00.000Z  0/1A  300 B',
      'columns  id, name, price',
    ]);
    expect(letterLines(letter, true, plainPaint)).toEqual([...lines, 'row      {"id":57,"name":"secret lamp","price":12345678901234567890.10}']);
    expect(letterJson(letter, false)).not.toContain('lamp');
    expect(letterJson(letter, true)).toMatch(/,"row":\{"id":57,"name":"secret lamp","price":12345678901234567890\.10\}\}\n$/);
    expect(JSON.parse(letterJson(letter, true))).toMatchObject({ id: '57', change: { seq: 9, columns: ['id', 'name', 'price'] }, row: { name: 'secret lamp' } });
  });

  test('whose row cannot be read, or is in the log no more, says so', () => {
    const unread = { ...letter, entry: `${entry.slice(0, entry.indexOf(',"row":{'))},"row_error":"SRC_UNDECODABLE","row_base64":"c2VjcmV0"}` };
    expect(letterLines(unread, true, plainPaint).at(-1)).toBe('row      cannot be read (SRC_UNDECODABLE); `tailrace log dump --first 9 --last 9` has its bytes');
    expect(letterJson(unread, true)).not.toContain('c2VjcmV0');
    expect(letterLines({ ...letter, entry: null, hint: null }, true, plainPaint).at(-1)).toBe('change   seq 9, which the log does not hold any more');
    expect(JSON.parse(letterJson({ ...letter, entry: null }, true))).toMatchObject({ change: null });
  });
});
