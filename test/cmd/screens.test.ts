import { describe, expect, test } from 'vitest';
import { letterScreen } from '../../cmd/screens/dead-letters.ts';
import { findingLines } from '../../cmd/screens/findings.ts';
import { generationScreen } from '../../cmd/screens/generation-screen.ts';
import { hitLines } from '../../cmd/screens/hits.ts';
import { behindMoreThan, lagLine, lagReport, lagScreen } from '../../cmd/screens/lag-screen.ts';
import { entryLines } from '../../cmd/screens/log-entry.ts';
import { statusScreen } from '../../cmd/screens/status-screen.ts';
import { errorLines } from '../../cmd/terminal/error-text.ts';
import { withOptionsOf } from '../../cmd/terminal/given-options.ts';
import { plainPaint } from '../../cmd/terminal/table.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { Scrubber } from '../../src/observe/logging/scrub.ts';
import { statusReport, type StatusReport } from '../../src/observe/status-report.ts';
import type { JobStatus } from '../../src/pipeline/status.ts';
import { indexStatus, jobStatus, pipelineStatus, sourceStatus } from '../observe/sample-status.ts';

const report = statusReport(pipelineStatus, new Scrubber());
const quietSource = { ...sourceStatus, snapshots: [], notes: [], lag_bytes: 0, lag_seconds: 0, changes_per_second: 0, bytes_until_loss: null, seconds_until_loss: null };
const quietIndex = { ...indexStatus, verify: null, dead_letters: 0, lag_changes: 0, lag_seconds: 0, changes_per_second: 0 };
const quiet: StatusReport = { ...report, sources: [quietSource], indices: [quietIndex], jobs: [] };

describe('hints below errors and findings', () => {
  test('are about the pipeline that was asked about', () => {
    const before = process.argv;
    process.argv = ['node', 'tailrace', 'generations', 'list', '--config', 'strange.yaml'];
    try {
      const [serving] = indexStatus.generations;
      const error = { code: 'TGT_MAPPING', message: 'm', did: 'd', hint: 'Build it again: `tailrace resync products`.' };
      const mended = '`tailrace resync products --config strange.yaml`';
      expect(generationScreen(serving === undefined ? [] : [{ ...serving, error }], 0, plainPaint).at(-1)).toContain(mended);
      expect(findingLines({ level: 'warning', subject: 's', message: 'm', fix: error.hint }, plainPaint).at(-1)).toContain(mended);
    } finally {
      process.argv = before;
    }
  });
});

describe('status', () => {
  test('of a pipeline that is in step says so, and asks for nothing', () => {
    expect(statusScreen(quiet, plainPaint)).toEqual([
      'tailrace 1.2.3, pid 4711, up 1 min: in step',
      '',
      'SOURCE  TYPE      STATE      BEHIND  CHANGES/S  LOGGED     HEAD',
      'shop    postgres  streaming  0               0  0/1A2B000  0/1A2B3C8',
      '',
      'CHANGE LOG  3,456 changes up to seq 3,456, 1.2 MiB in 2 files, the oldest 1 min old: ok',
      '',
      'INDEX     TARGET  STATE    BEHIND  CHANGES/S  APPLIED  DEAD LETTERS',
      'products  search  serving  0               0    3,000             0',
    ]);
  });

  test('shows snapshots, notes, how long history lasts, parked documents and the command to look at them', () => {
    const text = statusScreen({ ...report, sources: [{ ...sourceStatus, bytes_until_loss: 500_000_000, seconds_until_loss: 7_200 }] }, plainPaint).join('\n');
    expect(text).toContain('shop    postgres  streaming  968 B, 0.3 s         43  0/1A2B000  0/1A2B3C8');
    expect(text).toContain('  reading shop.public.products: 1,000 of about 4,000 rows (25 %)');
    expect(text).toContain('  note: A transaction has been open for 3 h.');
    expect(text).toContain('  note: shop drops what tailrace still needs after 477 MiB more of its history, in about 2 h.');
    expect(text).toContain('products  search  serving  56 changes, 1.5 s         40    3,000             2');
    expect(text).toContain('NEXT\ntailrace dlq list products  see why 2 documents are parked');
  });

  test('shows what is wrong in three sentences below what it is wrong with, and what to do', () => {
    const error = { code: 'SRC_AUTH', message: 'The user app was refused.', did: 'tailrace stopped reading this source.', hint: 'Correct the password.' };
    const sources = [{ ...quietSource, phase: 'stopped' as const, lag_bytes: null, lag_seconds: null, head: null, error }];
    const lines = statusScreen({ ...quiet, ready: false, problems: ['Source shop is stopped: The user app was refused.', 'Index orders is building'], sources }, plainPaint);
    expect(lines[0]).toBe('tailrace 1.2.3, pid 4711, up 1 min: not in step: 2 problems');
    expect(lines[1]).toBe('  Index orders is building');
    expect(lines.slice(4, 8)).toEqual(['shop    postgres  stopped  ?               0  0/1A2B000  ?', '  ! shop: The user app was refused. (SRC_AUTH)', '    tailrace stopped reading this source.', '    → Correct the password.']);
    expect(lines.slice(-2)).toEqual(['NEXT', 'tailrace check  see what sources and targets lack, with the statements that mend it']);
  });

  test('shows long work that goes on, with how far it is and how to go on with what is paused', () => {
    const of = (...jobs: readonly Partial<JobStatus>[]): string[] => statusScreen({ ...quiet, jobs: jobs.map((job) => ({ ...jobStatus, ...job })) }, plainPaint).slice(9);
    expect(of({}, { stage: 'paused', per_second: null, eta_seconds: null }, { stage: 'applying', unit: 'changes', done: 10, total: 40, per_second: 2.5, eta_seconds: 12 }, { stage: 'waiting', done: 0, total: null, per_second: null, eta_seconds: null }, { total: null, eta_seconds: null })).toEqual([
      '',
      'JOBS',
      '  resync of products: reading, 1,000 of about 4,000 rows (25 %), 500 rows/s, 6.0 s left',
      '  resync of products: paused, 1,000 of about 4,000 rows (25 %), go on: `tailrace resync products --resume`',
      '  resync of products: applying, 10 of 40 changes (25 %), 2.5 changes/s, 12 s left',
      '  resync of products: waits to be read',
      '  resync of products: reading, 1,000 rows, 500 rows/s',
    ]);
  });

  test('tells of a comparison that goes on, and of what the last one found and nobody mended', () => {
    const below = (verify: (typeof indexStatus)['verify']): string[] => statusScreen({ ...quiet, indices: [{ ...quietIndex, verify }] }, plainPaint).slice(9);
    const { verify } = indexStatus;
    if (verify?.last == null || verify.running === null) throw new Error('the sample has both');
    expect(below(verify)).toEqual(['  products: generation 1 is being verified: 1,200 of about 4,000 rows, 1 difference']);
    expect(below({ ...verify, running: { ...verify.running, estimated_rows: null, differences: 0 } })).toEqual(['  products: generation 1 is being verified: 1,200 rows']);
    expect(below({ ...verify, running: null })).toEqual(['  products: 1 difference when it was last verified: `tailrace verify products --repair`']);
    expect(below({ ...verify, running: null, last: { ...verify.last, repair: null } })).toEqual(['  products: 3 differences when it was last verified: `tailrace verify products --repair`']);
    expect(below({ ...verify, running: null, last: { ...verify.last, equal: true } })).toEqual([]);
  });

  test('tells of generations that somebody waits for or has to look at, below their index', () => {
    const [serving] = indexStatus.generations;
    if (serving === undefined) throw new Error('there is one');
    const error = { code: 'TGT_MAPPING', message: 'The field price is kept as text.', did: 'd', hint: 'h' };
    const below = (...more: readonly Partial<typeof serving>[]): string[] => {
      const generations = [serving, ...more.map((one, i) => ({ ...serving, generation: i + 2, ...one }))];
      return statusScreen({ ...quiet, indices: [{ ...quietIndex, generations }] }, plainPaint).slice(9);
    };
    expect(below({ phase: 'retired' }, { phase: 'dropping' })).toEqual([]);
    expect(below({ phase: 'building', lag_changes: 1200 })).toEqual(['  products: generation 2 is being built, 1,200 changes behind']);
    expect(below({ phase: 'ready', held: true, lag_changes: 0 })).toEqual(['  products: generation 2 is ready: `tailrace generations promote products 2`']);
    expect(below({ phase: 'ready', lag_changes: 1 })).toEqual(['  products: generation 2 is about to be shown to readers, 1 change behind']);
    expect(below({ phase: 'building', condition: 'stopped', error, lag_changes: 0 })).toEqual(['  products: generation 2 has stopped: The field price is kept as text. (TGT_MAPPING)']);
  });

  test('gives commands that are about the pipeline that was asked about, and says that the daemon is in the way of a rebuild', () => {
    const error = { code: 'SRC_HISTORY_LOST', message: 'It is gone.', did: 'It stopped.', hint: 'Build it again: `tailrace run --rebuild shop`. See `tailrace --help`.' };
    const sources = [{ ...quietSource, phase: 'stopped' as const, error }];
    const complete = withOptionsOf(['status', '--config', '/etc/my conf.yaml', '--data-directory=/var/lib/t']);
    const of = (running: boolean): string[] => statusScreen({ ...quiet, running, sources }, plainPaint, complete);
    const options = "--config '/etc/my conf.yaml' --data-directory /var/lib/t";
    expect(of(true)).toContain(`    → Build it again: \`tailrace run --rebuild shop ${options}\`. See \`tailrace --help\`. Stop this daemon before that.`);
    expect(of(true).at(-1)).toBe(`tailrace check ${options}  see what sources and targets lack, with the statements that mend it`);
    expect(of(false).join('\n')).not.toContain('Stop this daemon');
    expect(errorLines(new TailraceError('NOT_RUNNING', { message: 'x' }), { debug: false, args: ['lag', '--config', 'a.yaml'], paint: plainPaint })[2]).toBe('  → Start the daemon with `tailrace run --config a.yaml`.');
  });

  test('gives them so in lines about jobs and generations, too', () => {
    const [serving] = indexStatus.generations;
    const generations = serving === undefined ? [] : [serving, { ...serving, generation: 2, phase: 'ready' as const, held: true, lag_changes: 0 }];
    const report = { ...quiet, jobs: [{ ...jobStatus, stage: 'paused' as const }], indices: [{ ...quietIndex, generations }] };
    const text = statusScreen(report, plainPaint, withOptionsOf(['status', '--config', 'strange.yaml'])).join('\n');
    expect(text).toContain('`tailrace resync products --resume --config strange.yaml`');
    expect(text).toContain('`tailrace generations promote products 2 --config strange.yaml`');
  });

  test('without a daemon shows dashes and question marks where only a daemon would know', () => {
    const sources = [{ ...quietSource, phase: null, head: null, lag_bytes: null, lag_seconds: null }];
    const indices = [{ ...quietIndex, phase: null, cursor: null, lag_changes: null, lag_seconds: null }];
    const lines = statusScreen({ ...quiet, running: false, pid: null, started_ms: null, ready: false, problems: ['tailrace is not running.'], sources, indices }, plainPaint);
    expect(lines[0]).toBe('tailrace 1.2.3 is not running; this is what its data directory says.');
    expect(lines[3]).toBe('shop    postgres  -      ?               -  0/1A2B000  ?');
    expect(lines[8]).toBe('products  search  -      ?               -        -             0');
    expect(lines.at(-1)).toBe('tailrace run  start the daemon');
  });

  test('of a log without room says who waits for what', () => {
    expect(statusScreen({ ...quiet, log: { ...report.log, condition: 'full' } }, plainPaint)[5]).toMatch(/: full: sources wait for the slowest index$/);
  });
});

describe('lag', () => {
  test('shows distance in bytes, changes and seconds, and when history runs out', () => {
    expect(lagScreen(lagReport(report), plainPaint)).toEqual([
      'SOURCE  STATE      NOT LOGGED  BEHIND  LOGGED     HEAD       KEPT FOR US  HISTORY RUNS OUT',
      'shop    streaming       968 B   0.3 s  0/1A2B000  0/1A2B3C8      4.0 KiB  after 954 MiB, about 1 d',
      '',
      'INDEX     STATE    NOT APPLIED  BEHIND  APPLIED  LOGGED',
      'products  serving           56   1.5 s    3,400   3,456',
    ]);
    expect(lagLine(lagReport(report))).toBe('2027-01-15T08:01:00.000Z  shop 968 B 0.3 s  products 56 changes 1.5 s');
  });

  test('of which something is not known is not shown as small', () => {
    const unknown = lagReport({ ...report, indices: [{ ...indexStatus, lag_seconds: null }, quietIndex] });
    expect(unknown.max_lag_seconds).toBeNull();
    expect(lagReport(report).max_lag_seconds).toBe(1.5);
    expect(lagScreen(unknown, plainPaint).find((line) => line.startsWith('products'))).toContain('  ?  ');
  });

  test('raises an alert for what is too far behind, not serving, not known or not running, and for nothing else', () => {
    const of = (index: Partial<StatusReport['indices'][number]>): string[] => behindMoreThan(lagReport({ ...report, indices: [{ ...indexStatus, ...index }] }), 60);
    expect(of({ lag_seconds: 60 })).toEqual([]);
    expect(of({ lag_seconds: 61 })).toEqual(['Index products is 1 min 1 s behind, more than 1 min.']);
    expect(of({ lag_seconds: null })).toEqual(['How far index products is behind is not known.']);
    expect(of({ lag_seconds: 0, phase: 'building' })).toEqual(['Index products is building.']);
    expect(behindMoreThan(lagReport({ ...report, running: false }), 60)).toEqual(['tailrace is not running.']);
  });
});

describe('search results', () => {
  test('fit the width, keep every digit, and cannot command the terminal', () => {
    const found = '{"index":"products","text":"lamp","limit":10,"hits":[{"id":"57","score":4.25,"document":{"id":12345678901234567890,"name":"Brass\\u001b[31m\\nLamp","price":177.90,"tags":["a",1.10],"gone":null}},{"id":"1377","score":11.5,"document":{"name":"x"}}]}';
    expect(hitLines('lamp', found, { paint: plainPaint, columns: 200 })).toEqual([
      '57      4.25  id: 12345678901234567890  name: Brass [31m Lamp  price: 177.90  tags: ["a",1.10]',
      '1377   11.50  name: x',
      '2 hits',
    ]);
    const [narrow] = hitLines('lamp', found, { paint: plainPaint, columns: 60 });
    expect(narrow).toHaveLength(60);
    expect(narrow?.endsWith('…')).toBe(true);
  });

  test('that are none say for what', () => {
    expect(hitLines('lmp', '{"index":"products","text":"lmp","limit":10,"hits":[]}', { paint: plainPaint, columns: 80 })).toEqual(['Nothing in products matches "lmp".']);
  });
});

test('what comes from elsewhere cannot command the terminal, wherever it is shown', () => {
  const evil = 'a\u001B[2J\u009Bb\nc\u202Ed';
  const error = { code: 'SRC_CONN', message: evil, did: evil, hint: evil };
  const status = statusScreen({ ...report, problems: [`x ${evil}`], sources: [{ ...sourceStatus, notes: [evil], error }], indices: [{ ...indexStatus, error }] }, plainPaint);
  const finding = findingLines({ level: 'problem', subject: evil, message: evil, fix: evil }, plainPaint);
  const thrown = errorLines(new TailraceError('SRC_CONN', { message: evil, hint: evil, cause: new Error(evil) }), { debug: true, args: [], paint: plainPaint });
  const entry = entryLines(JSON.stringify({ seq: 1, op: 'insert', source: 'shop', table: evil, id: evil, position: null, commit_time_ms: 0, snapshot: null, row_bytes: 0 }), plainPaint);
  const hits = hitLines('x', JSON.stringify({ index: 'p', text: 'x', limit: 1, hits: [{ id: evil, score: 1, document: { [evil]: evil, nested: { [evil]: evil } } }] }), { paint: plainPaint, columns: 500 });
  for (const line of [...status, ...finding, ...thrown, ...entry, ...hits]) expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u);
});

test('changes of the log are one line each, with the row below as it was written', () => {
  const change = { seq: 1_234, op: 'update', source: 'shop', table: 'public.products', id: '7', transaction: '77', position: '0/16B3748', commit_time_ms: 1_800_000_000_000, snapshot: null, row_bytes: 300 };
  const lines = `${JSON.stringify(change).slice(0, -1)},"row":{"id":7,"price":12.50}}\n${JSON.stringify({ ...change, op: 'read', snapshot: 3, commit_time_ms: null, position: null, row_base64: 'AAE=', row_error: 'SRC_UNDECODABLE' })}\n`;
  expect(entryLines(lines, plainPaint)).toEqual([
    '    1,234  update    shop.public.products  7  2027-01-15T08:00:00.000Z  0/16B3748  300 B',
    '           {"id":7,"price":12.50}',
    '    1,234  read      shop.public.products  7  snapshot 3  300 B',
    '           SRC_UNDECODABLE: AAE=',
  ]);
});

describe('parked documents', () => {
  const letters = Array.from({ length: 250 }, (_, i) => ({ index: 'products', generation: 1, id: `id-${i}`, seq: i, code: 'DOC_FAILED', reason: 'no', parked_at_ms: 0 }));

  test('are shown in parts, with how many there are and how to get the next', () => {
    const part = { total: 4_321, letters: letters.slice(0, 100), isFirst: true, isLast: false };
    const lines = letterScreen(part, plainPaint);
    expect(lines.filter((line) => line.includes('id-'))).toHaveLength(100);
    expect(lines.at(-1)).toMatch(/^4,321 documents are parked\. These are the first 100; the next: `--after products\/1\/99`\. A later/);
    expect(letterScreen({ ...part, isFirst: false }, plainPaint).at(-1)).toContain('These are 100 of them; the next:');
    expect(letterScreen({ total: 2, letters: letters.slice(0, 2), isFirst: true, isLast: true }, plainPaint).at(-1)).toMatch(/^2 documents are parked\. A later/);
    expect(letterScreen({ total: 0, letters: [], isFirst: true, isLast: true }, plainPaint)).toEqual(['No documents are parked.']);
    expect(letterScreen({ total: 9, letters: [], isFirst: false, isLast: true }, plainPaint)).toEqual(['No more documents are parked.']);
  });
});
