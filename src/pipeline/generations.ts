/**
 * Which generation of each index this run feeds. An index whose definition is new, or makes other documents than before, gets a new one:
 * readers keep the old until the new one is built.
 */
import type { IndexDefinition } from '../config/index-settings.ts';
import type { Seq } from '../change/seq.ts';
import type { GenerationRecord, StateStore } from '../state/state-store.ts';

export interface GenerationChoice {
  readonly record: GenerationRecord;
  /** Generations that this one takes the place of once readers see it. */
  readonly superseded: readonly GenerationRecord[];
}

/**
 * The newest generation of the index, or a new one, which begins behind `durableSeq`. `rebuild` asks for a new one in any case.
 * What it chooses is durable in the state when it returns.
 */
export function chooseGeneration(index: IndexDefinition, fingerprint: string, state: StateStore, durableSeq: Seq, rebuild: boolean): GenerationChoice {
  const records = state.generations().filter((record) => record.index === index.name);
  const newest = records.at(-1);
  if (newest !== undefined && newest.fingerprint === fingerprint && !rebuild) return { record: newest, superseded: records.slice(0, -1) };
  const record: GenerationRecord = { index: index.name, generation: (newest?.generation ?? 0) + 1, phase: 'building', startSeq: durableSeq, fingerprint };
  state.putGeneration(record);
  return { record, superseded: records };
}
