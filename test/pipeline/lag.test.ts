/** What the status says of how far an index is behind, on a source whose clock is the test's. */
import { expect, test } from 'vitest';
import { behindMoreThan, lagReport } from '../../cmd/screens/lag-screen.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { Scrubber } from '../../src/observe/logging/scrub.ts';
import { statusReport } from '../../src/observe/status-report.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { ScriptedServer, ScriptedStage } from './scripted-server.ts';

const HOUR_MS = 3_600_000;
const within = (): AbortSignal => AbortSignal.timeout(20_000);

function lagOf(pipeline: Pipeline, index: string): number | null {
  return pipeline.status().indices.find(({ name }) => name === index)?.lag_seconds ?? null;
}

/** Until the source was asked for its head after its clock was moved. */
async function seen(pipeline: Pipeline): Promise<void> {
  await pipeline.caughtUp(within());
}

test('an index that was in step with a silent source for an hour is not an hour behind when the next commit comes', async () => {
  const server = new ScriptedServer();
  server.write('public.items', '1', 'first');
  await using stage = await ScriptedStage.make();
  await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' } });
  server.write('public.items', '2', 'second');
  await pipeline.caughtUp(within());
  server.nowMs += HOUR_MS;
  await seen(pipeline);
  expect(lagOf(pipeline, 'items')).toBe(0);
  server.write('public.items', '3', 'third');
  const lags: (number | null)[] = [];
  stage.beforeApply = () => void lags.push(lagOf(pipeline, 'items'));
  await expect.poll(() => stage.documents('items')['3']).toBeDefined();
  expect(lags).toHaveLength(1);
  expect(lags[0]).toBeLessThan(30);
  expect(lagOf(pipeline, 'items')).toBeLessThan(30);
});

test('an index of a silent source is in step, however busy another source keeps the log', async () => {
  const quiet = new ScriptedServer();
  const busy = new ScriptedServer();
  quiet.write('public.items', '1', 'first');
  await using stage = await ScriptedStage.make();
  await using pipeline = await stage.start({ servers: { quiet, busy }, indices: { items: 'quiet.public.items', orders: 'busy.public.orders' } });
  quiet.write('public.items', '2', 'second');
  await pipeline.caughtUp(within());
  quiet.nowMs += HOUR_MS;
  await seen(pipeline);
  const lags: (number | null)[] = [];
  for (let i = 0; i < 200; i += 1) {
    busy.write('public.orders', String(i), 'x');
    await new Promise((resolve) => void setImmediate(resolve));
    lags.push(lagOf(pipeline, 'items'));
  }
  expect(Math.max(...lags.map((lag) => lag ?? Infinity))).toBe(0);
});

test('a source that stops while it is in step is not called in step from then on, nor are its indices, and nothing old is said of its history', async () => {
  const server = new ScriptedServer();
  server.bytesUntilLoss = 5_000;
  server.write('public.items', '1', 'first');
  await using stage = await ScriptedStage.make();
  await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' } });
  await pipeline.caughtUp(within());
  expect(pipeline.status().sources[0]).toMatchObject({ lag_bytes: 0, lag_seconds: 0, bytes_until_loss: 5_000 });
  server.breakWith(new TailraceError('SRC_HISTORY_LOST', { message: 'It is gone.' }));
  await expect.poll(() => pipeline.status().sources[0]?.phase).toBe('stopped');
  server.write('public.items', '2', 'never seen');
  await expect.poll(() => lagOf(pipeline, 'items') ?? 0, { timeout: 10_000 }).toBeGreaterThan(0.2);
  const status = pipeline.status();
  expect(status.sources[0]).toMatchObject({ head: null, lag_bytes: null, retained_bytes: null, bytes_until_loss: null, seconds_until_loss: null });
  expect(status.sources[0]?.lag_seconds).toBeGreaterThan(0.2);
  const lag = lagReport(statusReport(status, new Scrubber()));
  expect(behindMoreThan(lag, 0.1)).toEqual(['Source shop is stopped.', expect.stringContaining('Index items is ')]);
  expect(behindMoreThan(lag, 3_600)).toEqual(['Source shop is stopped.']);
});

test('the head that is shown is never behind what is logged', async () => {
  const server = new ScriptedServer();
  await using stage = await ScriptedStage.make();
  await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' } });
  await pipeline.caughtUp(within());
  const before = Number(pipeline.status().sources[0]?.head);
  for (let i = 0; i < 20; i += 1) server.write('public.items', String(i), 'x');
  await expect.poll(() => Number(pipeline.status().sources[0]?.logged)).toBe(before + 20);
  expect(Number(pipeline.status().sources[0]?.head)).toBe(before + 20);
});
