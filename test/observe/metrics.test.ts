import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { createMetrics } from '../../src/observe/metrics/metrics.ts';
import { metricDefinitions, type MetricDefinition } from '../../src/observe/metrics/names.ts';
import type { PipelineStatus } from '../../src/pipeline/status.ts';
import { watchProcessUsage } from '../../src/runtime/node/process-usage.ts';
import { indexStatus, pipelineStatus, sourceStatus } from './sample-status.ts';

const usage = { residentBytes: 1, heapUsedBytes: 2, externalBytes: 3, cpuSeconds: 4.5, eventLoopDelaySeconds: 0.001 };

/** The samples of a scrape by name and labels. */
async function scraped(status: PipelineStatus): Promise<Map<string, number>> {
  const { text } = await createMetrics(() => status, () => usage)();
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
}

test('every metric has a value when everything is known, and no sample has a name that is not defined', async () => {
  const names = new Set([...(await scraped(pipelineStatus)).keys()].map((key) => key.replace(/\{.*/, '')));
  expect([...names].toSorted()).toEqual(Object.keys(metricDefinitions).toSorted());
});

test('values are those of the status, with the names of their source, index, table and phase', async () => {
  const samples = await scraped(pipelineStatus);
  expect(samples.get('tailrace_info{version="1.2.3"}')).toBe(1);
  expect(samples.get('tailrace_source_lag_bytes{source="shop"}')).toBe(968);
  expect(samples.get('tailrace_source_phase{source="shop",phase="streaming"}')).toBe(1);
  expect(samples.get('tailrace_source_phase{source="shop",phase="stopped"}')).toBe(0);
  expect(samples.get('tailrace_source_snapshot_estimated_rows{source="shop",table="public.products"}')).toBe(4_000);
  expect(samples.get('tailrace_index_lag_changes{index="products"}')).toBe(56);
  expect(samples.get('tailrace_index_applied_total{index="products"}')).toBe(3_000);
  expect(samples.get('tailrace_log_oldest_age_seconds')).toBe(60);
  expect(samples.get('tailrace_process_cpu_seconds_total')).toBe(4.5);
});

test('a second scrape gives the values of its moment, not sums', async () => {
  const scrape = createMetrics(() => pipelineStatus, () => usage);
  expect((await scrape()).text).toBe((await scrape()).text);
});

test('what is not known has no series, not the value 0', async () => {
  const source = { ...sourceStatus, lag_bytes: null, lag_seconds: null, bytes_until_loss: null, seconds_until_loss: null, snapshots: [] };
  const log = { ...pipelineStatus.log, oldestMs: null };
  const names = [...(await scraped({ ...pipelineStatus, log, sources: [source], indices: [{ ...indexStatus, lag_seconds: null }] })).keys()];
  expect(names.filter((name) => /source_lag|until_loss|snapshot_rows|oldest|index_lag_seconds/.test(name))).toEqual([]);
  expect(names).toContain('tailrace_source_snapshots{source="shop"}');
});

test('names follow one rule: the prefix, the unit last, and _total for what only grows', () => {
  for (const [name, { kind, labels }] of Object.entries<MetricDefinition>(metricDefinitions)) {
    expect(name).toMatch(/^tailrace_[a-z_]+$/);
    expect(name.endsWith('_total')).toBe(kind === 'counter');
    for (const label of labels) expect(['source', 'index', 'table', 'phase', 'condition', 'version']).toContain(label);
    if (name.includes('bytes') || name.includes('seconds')) expect(name).toMatch(/_(?:bytes|seconds)(?:_total)?$/);
  }
});

test('docs/metrics.md lists every metric with its kind, labels and help, and no other', () => {
  const documented = readFileSync('docs/metrics.md', 'utf8').split('\n').filter((line) => line.startsWith('| `tailrace_'));
  const defined = Object.entries<MetricDefinition>(metricDefinitions).map(([name, { kind, help, labels }]) => `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${help} |`);
  expect(documented).toEqual(defined);
});

test('a pause of the event loop is in the next reading, and in no later one', async () => {
  const read = watchProcessUsage();
  // A period begins with the first firing of the watch's timer.
  const turnFor = async (ms: number): Promise<void> => {
    const until = performance.now() + ms;
    while (performance.now() < until) await new Promise((resolve) => void setImmediate(resolve));
  };
  await turnFor(100);
  const end = performance.now() + 2_000;
  while (performance.now() < end);
  await turnFor(100);
  expect(read().eventLoopDelaySeconds).toBeGreaterThan(1.5);
  await expect.poll(() => read().eventLoopDelaySeconds, { timeout: 10_000 }).toBeLessThan(1.5);
}, 40_000);

test('the real process has memory, and has used the processor', () => {
  const read = watchProcessUsage();
  const { residentBytes, heapUsedBytes, externalBytes, cpuSeconds } = read();
  expect(residentBytes).toBeGreaterThan(heapUsedBytes);
  expect(externalBytes).toBeGreaterThan(0);
  expect(cpuSeconds).toBeGreaterThan(0);
});
