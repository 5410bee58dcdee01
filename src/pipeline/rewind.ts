/**
 * Has an index apply changes of the log again, from an older place on: when its target has lost documents that it had taken, or what was parked is
 * to be tried again. Versions make it harmless (G8): what the target has already, or has newer, stays.
 *
 * Nothing is done while a daemon runs. The place is written to the state store, and the next start begins there.
 */
import type { Seq } from '../change/seq.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { openLogReadOnly } from '../log/read-only.ts';
import type { Runtime } from '../runtime/runtime.ts';
import { takeLock } from '../state/lock.ts';
import { openSqliteState } from '../state/sqlite-state.ts';
import type { GenerationRecord, StateStore } from '../state/state-store.ts';
import { recordOfIndex } from './generations.ts';
import { layoutOf } from './layout.ts';
import { refuseForeignLog, refuseWithoutLog, refuseWithoutState } from './whole-directory.ts';

export interface RewindRequest {
  readonly index: string;
  /** Everything behind it is applied again. */
  readonly seq: Seq;
  /** Tells what would be done, and does it not. */
  readonly dryRun: boolean;
}

export interface RewindReport {
  readonly index: string;
  readonly generation: number;
  /** Where it stands. */
  readonly cursor: Seq;
  readonly rewound_to: Seq;
  /** Changes of the log, of all tables, that are read again. */
  readonly changes: number;
  readonly dry_run: boolean;
}

/** Tells where a generation stands: its target's answer, or the state store's. */
export type CursorOf = (record: GenerationRecord, state: StateStore) => Promise<Seq>;

/** Errors: LOCK_HELD while a daemon runs; USAGE for a place that cannot be gone back to; STATE_*, LOG_CORRUPT, and those of `cursorOf`. */
export async function rewind(directory: string, { index, seq, dryRun }: RewindRequest, cursorOf: CursorOf, runtime: Runtime): Promise<RewindReport> {
  const layout = layoutOf(directory);
  await refuseWithoutState(layout, runtime.disk);
  using _lock = takeLock(layout.lock);
  using state = openSqliteState({ path: layout.state });
  await refuseWithoutLog(layout, state.logId, runtime.disk);
  await using log = await openLogReadOnly(layout.log, runtime);
  refuseForeignLog(directory, state.logId, log);
  const record = recordOfIndex(state, index);
  if (record === undefined) throw refused(`Index ${index} has not been built yet.`, 'Start the daemon with `tailrace run`.', index);
  if (record.phase !== 'serving') throw refused(`Index ${index} is being built: it reads everything that it needs.`, 'Start the daemon with `tailrace run`, and wait until the index serves.', index);
  const cursor = await cursorOf(record, state);
  const oldest = Math.max(log.firstSeq - 1, record.startSeq);
  if (seq < oldest) throw refused(`Index ${index} cannot go back to seq ${seq}: the oldest it can go back to is ${oldest}.`, `Name that one, or a later one; for everything from the beginning: \`tailrace run\`, and then \`tailrace resync ${index}\`.`, index);
  if (seq > cursor) throw refused(`Index ${index} has applied changes up to seq ${cursor} only; going on to ${seq} would leave some out.`, `Name ${cursor} or an earlier one.`, index);
  if (!dryRun) state.putCursor(index, record.generation, seq);
  return { index, generation: record.generation, cursor, rewound_to: seq, changes: cursor - seq, dry_run: dryRun };
}

function refused(message: string, hint: string, entity: string): TailraceError {
  return new TailraceError('USAGE', { message, did: 'Nothing was changed.', hint, entity });
}
