import { expect, test } from 'vitest';
import { InStepMarks } from '../../src/pipeline/in-step.ts';

test('an index has everything up to the latest moment of which it has applied all', () => {
  const marks = new InStepMarks();
  expect(marks.at(10)).toBeNull();
  marks.note(1_000, 10, 'a');
  marks.note(2_000, 20, 'b');
  expect([marks.at(9), marks.at(10), marks.at(19), marks.at(20), marks.at(99)]).toEqual([null, 1_000, 1_000, 2_000, 2_000]);
});

test('what the log got of other sources does not put it behind its own', () => {
  const marks = new InStepMarks();
  marks.note(1_000, 10, 'a');
  marks.note(3_601_000, 5_000, 'a');
  expect([marks.at(10), marks.isBehind(10, 'a'), marks.isBehind(9, 'a'), marks.isBehind(10, 'b')]).toEqual([3_601_000, true, false, false]);
});

test('moments are remembered in bounded number, the latest whole, the earlier ones thinned out', () => {
  const marks = new InStepMarks();
  for (let i = 1; i <= 10_000; i += 1) marks.note(i * 1_000, i, String(i));
  expect(marks.at(9_999)).toBe(9_999_000);
  expect(marks.at(5_000)).toBeLessThanOrEqual(5_000_000);
  expect(marks.at(2)).not.toBeNull();
  const kept = new Set(Array.from({ length: 10_000 }, (_, i) => marks.at(i + 1)));
  expect(kept.size).toBeLessThanOrEqual(130);
});
