import { expect, test } from 'vitest';
import { Rate } from '../../src/pipeline/rate.ts';
import type { Clock } from '../../src/runtime/clock.ts';

test('a rate is the growth over the last seconds, and falls back to zero when nothing comes', () => {
  let nowMs = 0;
  const rate = new Rate({ monotonicMs: () => nowMs } as Clock);
  expect(rate.perSecond(0)).toBe(0);
  nowMs = 1000;
  expect(rate.perSecond(500)).toBe(500);
  nowMs = 2000;
  expect(rate.perSecond(2000)).toBe(1000);
  for (nowMs = 3000; nowMs <= 12_000; nowMs += 1000) rate.perSecond(2000);
  expect(rate.perSecond(2000)).toBe(0);
});
