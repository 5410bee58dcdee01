import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LowWater } from '../../src/apply/low-water.ts';

test('the cursor is the end of the longest prefix of finished batches, in whatever order they finish', () => {
  const order = fc.integer({ min: 1, max: 12 }).chain((n) => fc.shuffledSubarray(Array.from({ length: n }, (_, i) => i), { minLength: n, maxLength: n }));
  fc.assert(
    fc.property(order, (finishing) => {
      const lowWater = new LowWater(10);
      const done = finishing.map((_, i) => lowWater.begin(20 + i * 10, null));
      const finished = new Set<number>();
      for (const batch of finishing) {
        (done[batch] as () => void)();
        finished.add(batch);
        let prefix = 0;
        while (finished.has(prefix)) prefix += 1;
        expect(lowWater.cursor).toBe(prefix === 0 ? 10 : 10 + prefix * 10);
      }
    }),
  );
});

test('the newest commit that is applied is none that an older batch is still missing before', () => {
  const lowWater = new LowWater(10);
  const [first, second, third] = [lowWater.begin(20, 100), lowWater.begin(30, 200), lowWater.begin(40, null)];
  expect(lowWater.commitTimeMs).toBeNull();
  second();
  third();
  expect(lowWater.commitTimeMs).toBeNull();
  first();
  expect(lowWater.commitTimeMs).toBe(200);
});

test('batches that begin out of order are a defect', () => {
  const lowWater = new LowWater(10);
  lowWater.begin(30, null);
  expect(() => lowWater.begin(20, null)).toThrow(expect.objectContaining({ code: 'INVARIANT' }));
});
