/** What somebody may order to be done with the generations of an index: which of them readers shall see, and which shall go. Refused where readers would lose by it. */
import type { IndexDefinition } from '../config/index-settings.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import type { GenerationRecord } from '../state/state-store.ts';
import { isFed } from './generations.ts';
import type { GenerationRunner } from './generation-runner.ts';
import type { IndexGenerations } from './index-generations.ts';

/**
 * Readers shall see this generation, and none that they were to see by an earlier order: such a one waits for a person. It is durable that they shall when this returns; they do
 * when it is in step. Throws USAGE when it cannot be.
 */
export function orderPromotion(generations: IndexGenerations, generation: number): GenerationRecord {
  const { record, condition, target } = known(generations, generation);
  const { name, to } = generations.definition;
  if (record.phase === 'serving') throw refused(`Readers of index ${name} see generation ${generation} already.`, name);
  if (record.phase === 'building' || record.phase === 'dropping') throw refused(`Generation ${generation} of index ${name} is ${record.phase === 'building' ? 'not built yet' : 'being removed'}.`, name);
  if (condition === 'stopped' || !isFed(record)) throw refused(`Generation ${generation} of index ${name} has stopped and is not in step: readers would get what it had when it stopped.`, name);
  if (target.name !== to) throw refused(`Generation ${generation} of index ${name} is at target ${target.name}, and the index is at ${to} now.`, name);
  for (const { record: other } of generations.all) {
    if (other.generation === generation) continue;
    if (other.phase === 'ready' && other.retiredAtMs !== null) generations.put({ ...other, phase: 'retired' });
    else if ((other.phase === 'ready' || other.phase === 'building') && !other.held) generations.put({ ...other, held: true });
  }
  return generations.put({ ...record, phase: 'ready', held: false });
}

/** Removes a generation that readers do not see. It is durable that it goes when this returns. Throws USAGE for one that they see, or that is the only one. */
export function orderRemoval(generations: IndexGenerations, generation: number): GenerationRecord {
  const { record } = known(generations, generation);
  const { name } = generations.definition;
  if (record.phase === 'serving') throw refused(`Readers of index ${name} see generation ${generation}: promote another one first.`, name);
  if (record.phase === 'dropping') return record;
  if (generations.main.record === record) throw refused(`Generation ${generation} is the only one of index ${name}: without it there would be none.`, name);
  return generations.put({ ...record, phase: 'dropping' });
}

/** Throws USAGE where a generation that is kept from its readers would leave them with none. */
export function refuseHeld({ all, definition: { name } }: { readonly all: readonly Pick<GenerationRunner, 'record'>[]; readonly definition: Pick<IndexDefinition, 'name'> }): void {
  if (all.some(({ record }) => record.phase === 'serving' && isFed(record))) return;
  throw refused(`Readers of index ${name} wait for the generation that is being built: it cannot be kept from them.`, name);
}

function known({ all, definition: { name } }: IndexGenerations, generation: number): GenerationRunner {
  const runner = all.find(({ record }) => record.generation === generation);
  if (runner !== undefined) return runner;
  throw refused(`Index ${name} has no generation ${generation}; it has: ${all.map(({ record }) => record.generation).join(', ')}.`, name);
}

function refused(message: string, entity: string): TailraceError {
  return new TailraceError('USAGE', { message, did: 'Nothing was changed.', hint: 'See `tailrace generations list`.', entity });
}
