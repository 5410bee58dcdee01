/**
 * The way out of the generations of an index: when one that readers saw before goes by itself, and how everything of one is removed. That it goes is
 * durable before anything of it is taken away.
 */
import type { LogStore } from '../connector/log-store.ts';
import { untilAborted } from '../runtime/abort.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { GenerationRecord } from '../state/state-store.ts';
import { dropAtMs } from './generations.ts';
import type { IndexGenerations } from './index-generations.ts';

export interface RemovalDeps {
  readonly log: LogStore;
  readonly runtime: Runtime;
  /** Of one that readers never saw: it is `dropping`, and gone. */
  readonly onOutcome: (record: GenerationRecord) => void;
}

/** Notes which generations are to go by now; what a full log waits for is given up, if readers do not see it any more. */
export function retire(generations: IndexGenerations, { log, runtime }: Pick<RemovalDeps, 'log' | 'runtime'>): void {
  const nowMs = runtime.clock.nowMs();
  for (const { record } of generations.all) {
    const atMs = dropAtMs(record, generations.definition.rollback_hours);
    if (atMs !== null && nowMs >= atMs) generations.put({ ...record, phase: 'dropping' });
  }
  if (log.condition !== 'full') return;
  const { holds } = log.stats();
  const least = Math.min(...holds.map(({ seq }) => seq));
  for (const { record, condition, name } of generations.all) {
    if (record.phase === 'retired' && condition !== 'stopped' && holds.some((hold) => hold.name === name && hold.seq === least)) generations.evict(name);
  }
}

/** Removes what is to go, at its target and here. Rejects as the target does. */
export async function remove(generations: IndexGenerations, { log, runtime, onOutcome }: RemovalDeps, signal: AbortSignal): Promise<void> {
  for (const runner of generations.all.filter(({ record }) => record.phase === 'dropping')) {
    const { index, generation, retiredAtMs } = runner.record;
    await generations.stop(runner);
    log.release(runner.name);
    const listed = await untilAborted(runner.target.generations(signal), signal);
    // A target that was put back to an earlier time shows it to its readers until the one that serves is told to be promoted.
    const isSeen = listed.some((one) => one.index === index && one.generation === generation && one.promoted);
    if (isSeen && runner.target.name === generations.definition.to) continue;
    // At a target that the index has left, readers keep what they have there.
    if (!isSeen) await untilAborted(runner.target.drop(index, generation, signal), signal);
    generations.forget(runner);
    runtime.logger.info('generation_dropped', { index, generation });
    if (retiredAtMs === null) onOutcome(runner.record);
  }
}

/** Something is to go, now or later. */
export function isRemovalDue(generations: IndexGenerations): boolean {
  return generations.all.some(({ record }) => record.phase === 'retired' || record.phase === 'dropping');
}
