/** What the status says of how far an index is behind, on a source whose clock is the test's. */
import { expect, test } from 'vitest';
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
