import { expect, test } from 'vitest';
import { Backoff } from '../../src/runtime/backoff.ts';

test('pauses grow to their limit, stay within half of it, and begin anew after progress', () => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 1000 }, { fraction: () => 0, hex: () => '' });
  expect(Array.from({ length: 6 }, () => backoff.nextMs())).toEqual([50, 100, 200, 400, 500, 500]);
  backoff.reset();
  expect(backoff.nextMs()).toBe(50);
  const full = new Backoff({ firstMs: 100, maxMs: 1000 }, { fraction: () => 0.999, hex: () => '' });
  expect(Array.from({ length: 5 }, () => full.nextMs())).toEqual([100, 200, 400, 800, 1000]);
});

test('an attempt count beyond any double does not turn the pause into nonsense', () => {
  const backoff = new Backoff({ firstMs: 1, maxMs: 500 }, { fraction: () => 0.5, hex: () => '' });
  for (let i = 0; i < 5000; i += 1) backoff.nextMs();
  expect(backoff.nextMs()).toBe(375);
});
