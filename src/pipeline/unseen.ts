/** What is said where readers do not find the generation that serves by the records, whoever looks: the daemon, or a verb that asks the target itself. */
import type { GenerationListing } from '../connector/target.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import type { GenerationRecord } from '../state/state-store.ts';

type Serving = Pick<GenerationRecord, 'index' | 'generation'>;

/** Of one that is there. `found`: what readers find instead. */
export function unseenError({ index, generation }: Serving, target: string, found: 'nothing' | 'another' | number): TailraceError {
  const instead = found === 'nothing' ? 'find nothing' : found === 'another' ? 'find another generation' : `find generation ${found}`;
  return new TailraceError('TGT_IDENTITY', {
    message: `Readers of index ${index} ${instead} at target ${target}: the name was taken from generation ${generation}, which is there.`,
    did: 'Everything is kept as it is.',
    hint: 'A daemon that runs shows it to them again within 10 s. If it does not: `tailrace check` says what is in the way.',
    entity: index,
  });
}

/** What a target lists, held against the records of an index: null where readers find what serves, where nothing does, or where a swap is half done. */
export function unseenAt(records: readonly GenerationRecord[], listed: readonly GenerationListing[], target: string): TailraceError | null {
  const serving = records.find(({ phase }) => phase === 'serving');
  if (serving === undefined) return null;
  const { index, generation } = serving;
  const own = listed.filter((one) => one.index === index);
  const held = own.find((one) => one.generation === generation);
  if (held?.promoted === true) return null;
  if (held === undefined) {
    return new TailraceError('TGT_MISSING', {
      message: `Generation ${generation} of index ${index}, which its readers are to see, is not at target ${target} any more.`,
      did: 'Nothing was made in its place.',
      hint: `Build the index again: \`tailrace resync ${index}\`.`,
      entity: index,
    });
  }
  const promoted = own.find((one) => one.promoted)?.generation;
  // The target is told first, and the record changes after it.
  if (records.some((record) => record.generation === promoted && record.phase === 'ready')) return null;
  return unseenError(serving, target, promoted ?? 'nothing');
}
