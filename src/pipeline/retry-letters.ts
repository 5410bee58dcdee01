/**
 * Has the rows of parked documents read again, by their keys: what makes a document by now, or is gone, is parked no more; what does not is parked
 * again. For a cause that was mended outside of the row: a limit that was raised, a target that takes the document now.
 */
import type { SnapshotRequest } from '../capture/snapshot-runner.ts';
import type { Snapshot } from '../capture/snapshot-state.ts';
import { keyOfDocumentId } from '../change/key.ts';
import type { IndexDefinition } from '../config/index-settings.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import { generationName, type DeadLetter, type DeadLetterFilter, type StateStore } from '../state/state-store.ts';
import { isFed, recordsOf } from './generations.ts';

/** Most letters that are tried at one time, in each generation. */
export const RETRIED_MAX = 10_000;

export interface RetryReport {
  readonly index: string;
  /** Documents whose rows are read again. */
  readonly asked: number;
  /** Numbers of the snapshots that read them. */
  readonly snapshots: readonly number[];
}

export interface RetryDeps {
  readonly state: StateStore;
  /** The index as the config has it. */
  readonly definition: IndexDefinition;
  /** Asks a source for a snapshot. */
  readonly request: (source: string, request: SnapshotRequest) => Promise<Snapshot>;
}

/** Resolves when it is durable that the rows are to be read. Errors: USAGE when no such letter is there, SRC_SELECTION for a row that cannot be asked for by its key. */
export async function retryLetters(filter: Omit<DeadLetterFilter, 'index'>, { state, definition, request }: RetryDeps): Promise<RetryReport> {
  const index = definition.name;
  const letters = state.someDeadLetters({ ...filter, index, limit: RETRIED_MAX });
  const snapshots: number[] = [];
  let asked = 0;
  for (const record of recordsOf(state, index)) {
    // What is being built reads every row anyway, and what is fed no more takes none.
    if (!isFed(record) || record.phase === 'building') continue;
    const keys = keysOf(letters.filter(({ generation }) => generation === record.generation));
    if (keys.length === 0) continue;
    const { from } = record.definition === '' ? definition : (JSON.parse(record.definition) as IndexDefinition);
    const snapshot = await request(from.source, { table: from.table, selection: { kind: 'keys', keys }, for: [generationName(index, record.generation)], reason: 'retry', sweep: false });
    snapshots.push(snapshot.number);
    asked += keys.length;
  }
  if (asked === 0) throw letters.length === 0 ? noneParked(index) : notFed(index, new Set(letters.map(({ generation }) => generation)));
  return { index, asked, snapshots };
}

function noneParked(index: string): TailraceError {
  return new TailraceError('USAGE', { message: `No such document of ${index} is parked.`, did: 'Nothing was changed.', hint: `See \`tailrace dlq list ${index}\`.`, entity: index });
}

function notFed(index: string, generations: ReadonlySet<number>): TailraceError {
  return new TailraceError('USAGE', {
    message: `The documents that are parked are of generation ${[...generations].join(', ')} of index ${index}, which is not built yet or not fed any more: no row is read again for them alone.`,
    did: 'Nothing was changed.',
    hint: `Mend the cause, then build the index again: \`tailrace resync ${index}\`.`,
    entity: index,
  });
}

/** Every id of a letter was made of a key. */
function keysOf(letters: readonly DeadLetter[]): Uint8Array[] {
  return letters.flatMap(({ id }) => keyOfDocumentId(id) ?? []);
}
