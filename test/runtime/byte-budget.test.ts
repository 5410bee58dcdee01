import { expect, test } from 'vitest';
import { ByteBudget } from '../../src/runtime/byte-budget.ts';

test('a budget is exhausted at its limit and wakes all who wait when it is below again', async () => {
  const budget = new ByteBudget(100);
  budget.take(60);
  await budget.available();
  budget.take(60);
  expect(budget.exhausted).toBe(true);
  const woken: string[] = [];
  const waiting = Promise.all(['a', 'b'].map(async (name) => budget.available().then(() => woken.push(name))));
  budget.give(10);
  await Promise.resolve();
  expect(woken).toEqual([]);
  budget.give(50);
  await waiting;
  expect(woken).toEqual(['a', 'b']);
});

test('a budget that is given more than was taken is a defect', () => {
  const budget = new ByteBudget(100);
  budget.take(1);
  expect(() => budget.give(2)).toThrow(expect.objectContaining({ code: 'INVARIANT' }));
});
