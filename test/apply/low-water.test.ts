import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LowWater } from '../../src/apply/low-water.ts';

test('the cursor is the end of the longest prefix of finished batches, in whatever order they finish', () => {
  const order = fc.integer({ min: 1, max: 12 }).chain((n) => fc.shuffledSubarray(Array.from({ length: n }, (_, i) => i), { minLength: n, maxLength: n }));
  fc.assert(
    fc.property(order, (finishing) => {
      const lowWater = new LowWater(10);
      const done = finishing.map((_, i) => lowWater.begin(20 + i * 10));
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

test('batches that begin out of order are a defect', () => {
  const lowWater = new LowWater(10);
  lowWater.begin(30);
  expect(() => lowWater.begin(20)).toThrow(expect.objectContaining({ code: 'INVARIANT' }));
});
