import { expect, test } from 'vitest';
import { differenceLines, progressItem, reportLines } from '../../cmd/screens/verify-screen.ts';
import { plainPaint } from '../../cmd/terminal/table.ts';
import { indexStatus } from '../observe/sample-status.ts';

const { running, last } = indexStatus.verify ?? {};
if (running == null || last == null) throw new Error('the sample has both');

test('how far a comparison is tells what it does, and what it has found', () => {
  expect(progressItem(running)).toEqual({ label: 'comparing products, 1 difference', unit: 'rows', done: 1_200, total: 4_000 });
  expect(progressItem({ ...running, phase: 'waiting', differences: 0, error: { code: 'TGT_CONN', message: 'm', did: 'd', hint: 'h' } }).label).toBe('waiting (TGT_CONN) with products');
});

test('differences are listed with what is known of each, and ids cannot command the terminal', () => {
  const found = [{ id: 'a\u001B[2J', kind: 'wrong_version' as const, field: null, stored_version: '281474976710661', stored_seq: 5 }, { id: 'b', kind: 'missing' as const, field: null, stored_version: null, stored_seq: null }];
  expect(differenceLines(found, last, plainPaint)).toEqual([
    'DIFFERENCE     ID     FIELD  STORED SEQ   STORED VERSION',
    'wrong version  a [2J                  5  281474976710661',
    'missing        b',
    'and 1 more: --limit shows more of them',
    '',
  ]);
  expect(differenceLines([], { ...last, differences: 0 }, plainPaint)).toEqual([]);
});

test('the report says how much was compared, what came of it, and what to do', () => {
  expect(reportLines(last, plainPaint)).toEqual([
    'products, generation 1: 3,200 documents compared with 3,300 rows as of seq 3,000 to 3,100, in 30 s (110 rows/s).',
    '2 rows have no document because they are parked: `tailrace dlq list products`',
    '3 differences: 1 missing, 2 altered.',
    '2 documents are repaired.',
    '1 difference remains: 1 missing.',
    'The index is not what its table says.',
  ]);
  expect(reportLines({ ...last, equal: true, differences: 0, kinds: {}, parked: 0, repair: null, share: 0.25 }, plainPaint).slice(-1)).toEqual(['The sample is equal.']);
  expect(reportLines({ ...last, unsettled: 1, repair: null }, plainPaint)).toContain('1 document changed whenever it was looked at: nothing can be said of it.');
  expect(reportLines({ ...last, repair: { repaired: 1, remaining: 2, kinds: { altered: 2 }, untried: 4, beyond: 2 } }, plainPaint)).toEqual(expect.arrayContaining(['2 rows cannot be asked for by key: build the index again with `tailrace resync products`', '4 differences were more than are repaired at one time: do it again, or build the index again with `tailrace resync products`']));
});
