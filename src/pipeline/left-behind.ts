/**
 * What a target holds that this pipeline does nothing with: generations of an index that the config has no more, or that no record knows, because
 * another data directory built them. They are never removed but by command, and never while readers see them.
 */
import type { GenerationListing, Target } from '../connector/target.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { untilAborted } from '../runtime/abort.ts';
import type { GenerationRecord, StateStore } from '../state/state-store.ts';

/** A generation that a target holds, or should, and that this config does nothing with. */
export interface LeftBehind {
  readonly index: string;
  readonly generation: number;
  readonly target: string;
  /** Readers see it; null where the target could not be asked. */
  readonly promoted: boolean | null;
  readonly documents: number | null;
  /** Whether this data directory built it. */
  readonly known: boolean;
}

export interface Known {
  readonly records: readonly GenerationRecord[];
  /** Whether the config has an index of this name. */
  readonly isConfigured: (index: string) => boolean;
}

/** Of what a target holds, what is left behind. */
export function leftAt(target: string, listed: readonly GenerationListing[], { records, isConfigured }: Known): LeftBehind[] {
  return listed.flatMap(({ index, generation, promoted, documents }) => {
    const known = records.some((record) => record.index === index && record.generation === generation);
    return known && isConfigured(index) ? [] : [{ index, generation, target, promoted, documents, known }];
  });
}

/** Resolves when nothing of it is left at the target. Errors: USAGE for one that is in use, or not there; and those of the target. */
export async function dropLeft(target: Target, { index, generation }: Pick<LeftBehind, 'index' | 'generation'>, isConfigured: Known['isConfigured'], state: Pick<StateStore, 'generations' | 'forgetGeneration'> | null, signal: AbortSignal): Promise<void> {
  const listed = await untilAborted(target.generations(signal), signal);
  // Looked at after the target has answered: one that was begun meanwhile has its record.
  const left = leftAt(target.name, listed, { records: state?.generations() ?? [], isConfigured });
  const one = left.find((candidate) => candidate.index === index && candidate.generation === generation);
  const refused = (message: string, hint: string): TailraceError => new TailraceError('USAGE', { message, did: 'Nothing was changed.', hint, entity: index });
  if (one === undefined) {
    const isInUse = listed.some((candidate) => candidate.index === index && candidate.generation === generation);
    if (isInUse) throw refused(`Generation ${generation} of index ${index} belongs to this pipeline.`, `\`tailrace generations drop ${index} ${generation}\`, without \`--at\`.`);
    throw refused(`Target ${target.name} holds no generation ${generation} of ${index}.`, `See \`tailrace generations list --at ${target.name}\`.`);
  }
  if (one.promoted === true) throw refused(`Readers of ${index} see generation ${generation} at target ${target.name}: it is not removed under them.`, 'When nobody reads it any more, remove it with the tools of the target, whose page says how.');
  await untilAborted(target.drop(index, generation, signal), signal);
  if (one.known) state?.forgetGeneration(index, generation);
}
