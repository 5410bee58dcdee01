/** What of a running pipeline makes progress that somebody waits for: snapshots being read, indices being built or catching up. */
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import type { PipelineStatus } from '../../src/pipeline/status.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';
import { ProgressMeter, type MeasuredItem, type ProgressItem } from '../terminal/progress.ts';

/** An index that is this far behind is worth a bar although it serves. */
const WORTH_A_BAR_CHANGES = 10_000;

export function progressOf({ sources, indices, log }: PipelineStatus): ProgressItem[] {
  const snapshots = sources.flatMap(({ name, snapshots: all }) =>
    all.filter(({ phase }) => phase !== 'done').map(({ table, rows, estimated_rows: total }): ProgressItem => ({ label: `reading ${name}.${table}`, unit: 'rows', done: rows, total })),
  );
  const applying = indices.flatMap(({ name, phase, cursor, lag_changes: behind }): ProgressItem[] => {
    const isWorthIt = cursor !== null && behind !== null && ((phase === 'building' && behind > 0) || (phase === 'serving' && behind > WORTH_A_BAR_CHANGES));
    return isWorthIt ? [{ label: `applying to ${name}`, unit: 'changes', done: cursor, total: Math.max(log.durableSeq, cursor + behind) }] : [];
  });
  return [...snapshots, ...applying];
}

/** However seldom progress is shown, it is measured so often: what has begun since the last time has a rate, too. */
const MEASURE_EVERY_MS = 1_000;

/** Shows the pipeline's progress every `everyMs` until the signal is aborted. */
export async function watchProgress(pipeline: Pipeline, everyMs: number, show: (items: readonly MeasuredItem[]) => void, signal: AbortSignal): Promise<void> {
  const meter = new ProgressMeter();
  let nextShownMs = nodeClock.monotonicMs();
  while (!signal.aborted) {
    const nowMs = nodeClock.monotonicMs();
    const items = meter.measure(progressOf(pipeline.status()), nowMs);
    if (nowMs >= nextShownMs) {
      show(items);
      nextShownMs = nowMs + everyMs;
    }
    // Aborted is how it ends.
    await nodeClock.sleep(Math.min(MEASURE_EVERY_MS, nextShownMs - nowMs), signal).catch(() => {});
  }
}
