/**
 * What became of a change at its index: told from what the target holds now, where the index stands, and what is parked. Targets do not keep
 * their answers; a version that is there is one, and so is a newer one in its place.
 */
import { isFor, type Snapshot } from '../capture/snapshot-state.ts';
import { Op } from '../change/operation.ts';
import { versionOf, type Seq } from '../change/seq.ts';
import type { RowChange } from './row-changes.ts';

/**
 * - `applied`: the document is of this change, or gone with it;
 * - `filtered`: the row makes no document, so that there is none;
 * - `parked`: it made an error, or the target refused it: there is a dead letter;
 * - `superseded`: a later change took its place;
 * - `stale`: the target holds a newer version than any change that the log has of this document;
 * - `swept`: the document was removed at the end of a snapshot, in which the row was missing;
 * - `pending`: the index has not come to it;
 * - `before_generation`: older than this build of the index, which has the row from its snapshot;
 * - `not_taken`: a row of a snapshot that was read for another generation;
 * - `lost`: the target should hold the document, or should hold none, and does not;
 * - `unknown`: the target could not be asked, or it cannot be told what document the row made.
 */
export type Outcome = 'applied' | 'filtered' | 'parked' | 'superseded' | 'stale' | 'swept' | 'pending' | 'before_generation' | 'not_taken' | 'lost' | 'unknown';

/** The index and its target, as far as one document is concerned. */
export interface OutcomeScene {
  readonly epoch: number;
  /** Of the generation that is looked at. */
  readonly startSeq: Seq;
  /** Its name. */
  readonly generation: string;
  /** Null where the target did not say. */
  readonly cursor: Seq | null;
  /** Version of the document at the target; null when there is none, undefined when nobody knows. */
  readonly storedVersion: bigint | null | undefined;
  /** Seqs of the document's dead letters in the generation. */
  readonly parked: ReadonlySet<Seq>;
  /** Those of the table that the log tells of. */
  readonly snapshots: readonly Snapshot[];
}

/** What a row makes: told only for the change that decides what the target should hold. */
export type Made = 'document' | 'nothing' | 'unknown';

/** The newest change that the generation takes and has come to: what the target should hold follows from it. */
export function decisive(changes: readonly RowChange[], scene: OutcomeScene): RowChange | undefined {
  const { cursor, startSeq } = scene;
  return cursor === null ? undefined : changes.findLast((change) => change.seq <= cursor && change.seq > startSeq && isTaken(change, scene));
}

/** One outcome for each change. `made`: of the decisive one. */
export function outcomesOf(changes: readonly RowChange[], scene: OutcomeScene, made: Made): Outcome[] {
  const { epoch, cursor, startSeq, storedVersion, parked } = scene;
  const deciding = decisive(changes, scene);
  return changes.map((change) => {
    if (parked.has(change.seq)) return 'parked';
    if (!isTaken(change, scene)) return 'not_taken';
    // The target may be ahead of what it was known to have come to.
    if (storedVersion === versionOf(epoch, change.seq)) return 'applied';
    if (change.seq <= startSeq) return 'before_generation';
    if (cursor === null || storedVersion === undefined) return 'unknown';
    if (change.seq > cursor) return 'pending';
    if (change !== deciding) return 'superseded';
    if (storedVersion !== null && storedVersion > versionOf(epoch, change.seq)) return changes.some(({ seq }) => versionOf(epoch, seq) === storedVersion) ? 'superseded' : 'stale';
    return decided(change, scene, storedVersion, made);
  });
}

/** `stored` is no newer than the change, and another. */
function decided(change: RowChange, scene: OutcomeScene, stored: bigint | null, made: Made): Outcome {
  if (change.op === Op.delete || change.op === Op.truncate) return stored === null ? 'applied' : 'lost';
  if (made === 'unknown') return 'unknown';
  if (made === 'nothing') return stored === null ? 'filtered' : 'lost';
  return stored === null && isSwept(change, scene) ? 'swept' : 'lost';
}

/** The log tells of every snapshot that it has rows of. */
function isTaken({ snapshot: number }: RowChange, { snapshots, generation }: OutcomeScene): boolean {
  return number === null || snapshots.some((snapshot) => snapshot.number === number && isFor(snapshot, generation));
}

function isSwept({ seq }: RowChange, { snapshots, generation, cursor }: OutcomeScene): boolean {
  return snapshots.some((snapshot) => snapshot.sweep && snapshot.phase === 'done' && snapshot.startSeq >= seq && (snapshot.doneSeq ?? Infinity) <= (cursor ?? 0) && isFor(snapshot, generation));
}
