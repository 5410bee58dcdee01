import { expect, test } from 'vitest';
import { nodeClock } from '../../src/runtime/node/clock.ts';

test('a sleep that is aborted rejects with the reason itself, before it begins and in its middle', async () => {
  const reason = new Error('the connection broke');
  await expect(nodeClock.sleep(60_000, AbortSignal.abort(reason))).rejects.toBe(reason);
  const abort = new AbortController();
  const sleeping = nodeClock.sleep(60_000, abort.signal);
  abort.abort(reason);
  await expect(sleeping).rejects.toBe(reason);
});

test('a sleep that is not aborted ends by itself', async () => {
  const startMs = nodeClock.monotonicMs();
  await nodeClock.sleep(20, new AbortController().signal);
  expect(nodeClock.monotonicMs() - startMs).toBeGreaterThanOrEqual(19);
});
