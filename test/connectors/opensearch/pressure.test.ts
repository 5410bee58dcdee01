import { expect, test } from 'vitest';
import { Pressure } from '../../../connectors/targets/opensearch/pressure.ts';

const limits = { requestsMax: 8, requestBytesMax: 8 << 20 };
const { signal } = new AbortController();

/** Keeps as many requests under way as there is room for, and answers them all well. */
async function answerWell(pressure: Pressure, times: number): Promise<void> {
  for (let i = 0; i < times; i += 1) {
    const running = Array.from({ length: pressure.concurrency }, () => Promise.withResolvers<void>());
    const done = running.map(async ({ promise }) => pressure.run(async () => {
      await promise;
      pressure.learn('well', pressure.round, 1 << 20, 10);
    }, signal));
    for (const { resolve } of running) resolve();
    await Promise.all(done);
  }
}

test('requests side by side grow by one for each round that was answered well, up to the limit', async () => {
  const pressure = new Pressure(limits);
  const seen: number[] = [pressure.concurrency];
  for (let i = 0; i < 30; i += 1) {
    await answerWell(pressure, 1);
    seen.push(pressure.concurrency);
  }
  expect(seen[0]).toBe(2);
  expect(seen.every((now, i) => i === 0 || now - (seen[i - 1] ?? 0) <= 1)).toBe(true);
  expect(seen.at(-1)).toBe(8);
});

test('a refusal halves them once, however many requests met it together', async () => {
  const pressure = new Pressure(limits);
  await answerWell(pressure, 30);
  const { round } = pressure;
  for (let i = 0; i < 8; i += 1) pressure.learn('refused', round, 1 << 20, 5);
  expect(pressure.concurrency).toBe(4);
  pressure.learn('refused', pressure.round, 1 << 20, 5);
  expect(pressure.concurrency).toBe(2);
});

test('a slow answer counts as a refusal', async () => {
  const pressure = new Pressure(limits);
  await answerWell(pressure, 30);
  pressure.learn('well', pressure.round, 1 << 20, 60_000);
  expect(pressure.concurrency).toBe(4);
});

test('requests become smaller for want of memory, and when one at a time is still too much; they grow again', () => {
  const pressure = new Pressure(limits);
  pressure.learn('short of memory', pressure.round, 8 << 20, 5);
  expect(pressure.requestBytes).toBe(4 << 20);
  while (pressure.concurrency > 1) pressure.learn('refused', pressure.round, 4 << 20, 5);
  pressure.learn('refused', pressure.round, 4 << 20, 5);
  expect(pressure.requestBytes).toBeLessThanOrEqual(2 << 20);
  for (let i = 0; i < 100; i += 1) pressure.learn('refused', pressure.round, 1, 5);
  expect(pressure.concurrency).toBe(1);
  expect(pressure.requestBytes).toBe(64 * 1024);
  for (let i = 0; i < 100; i += 1) pressure.learn('well', pressure.round, 64 * 1024, 5);
  expect(pressure.requestBytes).toBe(8 << 20);
});

test('what waits for room and is called off rejects with the reason, and never runs', async () => {
  const pressure = new Pressure({ requestsMax: 1, requestBytesMax: 1 << 20 });
  const first = Promise.withResolvers<void>();
  const controller = new AbortController();
  const running = pressure.run(() => first.promise, signal);
  let ran = false;
  const waiting = pressure.run(async () => void (ran = true), controller.signal).catch((error: unknown) => error);
  const reason = new Error('enough');
  controller.abort(reason);
  expect(await waiting).toBe(reason);
  first.resolve();
  await running;
  expect(ran).toBe(false);
});
