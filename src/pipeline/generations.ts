/**
 * Which generation of each index this run feeds, and the end of those that nobody reads any more. An index whose definition is new, or makes
 * other documents than before, gets a new one: readers keep the old until the new one is built.
 */
import type { IndexDefinition } from '../config/index-settings.ts';
import type { Seq } from '../change/seq.ts';
import type { Target } from '../connector/target.ts';
import { dispositionOf } from '../errors/policy.ts';
import type { Logger } from '../runtime/logger.ts';
import { generationName, type GenerationRecord, type StateStore } from '../state/state-store.ts';

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

export interface DropDeps {
  readonly target: Target;
  readonly state: StateStore;
  readonly logger: Logger;
}

/**
 * Drops generations that another one has taken the place of, then forgets them. Nothing waits for that: what cannot be dropped now is left, and
 * asked for again when the index is opened next, as is one that readers still see because the target was put back to an earlier time.
 */
export async function dropSuperseded(superseded: readonly GenerationRecord[], { target, state, logger }: DropDeps, signal: AbortSignal): Promise<void> {
  const [first] = superseded;
  if (first === undefined) return;
  try {
    const listed = await target.generations(signal);
    const seen = new Set(listed.filter(({ promoted }) => promoted).map(({ index, generation }) => generationName(index, generation)));
    for (const { index, generation } of superseded) {
      if (seen.has(generationName(index, generation))) continue;
      await target.drop(index, generation, signal);
      state.forgetGeneration(index, generation);
      logger.info('generation_dropped', { index, generation });
    }
  } catch (error) {
    // The index is whole without it; only what ends the process is more than a reason to try again later.
    if (signal.aborted || dispositionOf(error) === 'exit') throw error;
    logger.warn('generation_not_dropped', { index: first.index, error });
  }
}
