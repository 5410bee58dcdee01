/**
 * Mends differences: rows are read again by their keys for this one generation, through the log and the applier like any other change, so that what
 * changes meanwhile wins; a key that has no row becomes a delete. What nothing that comes by the log wins over, a version from the future, is taken
 * out before, and what no key can be asked for and no row makes is taken out, too.
 */
import { isOver, snapshotsIn } from '../capture/snapshot-state.ts';
import { versionOf, type Seq } from '../change/seq.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import { untilAborted } from '../runtime/abort.ts';
import type { Difference } from './difference.ts';
import { keyText } from './log-window.ts';
import type { VerifySubject } from './subject.ts';

/** Keys of one snapshot. What waits to be read is in registers of the log, which have a limit. */
const KEYS_AT_ONCE = 1_000;

/** While a snapshot is read its end is looked for this often. */
const POLL_MS = 20;

/** What was done. */
export interface Repaired {
  /** Ids of documents that were taken out. */
  readonly removed: number;
  /** Rows that were read again. */
  readonly reread: number;
  /** Ids of which the row cannot be asked for by its key. */
  readonly beyond: readonly string[];
}

/** Resolves when the target has all of it. Rejects with the signal's reason, and with what source, log and target do. */
export async function repair(subject: VerifySubject, differences: readonly Difference[], signal: AbortSignal): Promise<Repaired> {
  const blocked = differences.filter((difference) => difference.key === null || isFromTheFuture(subject, difference)).map(({ id }) => id);
  await remove(subject, blocked, signal);
  const keys = [...new Map(differences.flatMap(({ key }) => (key === null ? [] : [[keyText(key), key] as const]))).values()];
  const refused = new Set<string>();
  for (let from = 0; from < keys.length; from += KEYS_AT_ONCE) for (const key of await reread(subject, keys.slice(from, from + KEYS_AT_ONCE), signal)) refused.add(keyText(key));
  const unread = differences.filter(({ key }) => key !== null && refused.has(keyText(key)));
  const leftOver = unread.flatMap(({ kind, id }) => (kind === 'extra' ? [id] : []));
  await remove(subject, leftOver, signal);
  return { removed: blocked.length + leftOver.length, reread: keys.length - refused.size, beyond: unread.flatMap(({ kind, id }) => (kind === 'extra' ? [] : [id])) };
}

/** Nothing that comes by the log could win over it. */
function isFromTheFuture({ log }: VerifySubject, { storedVersion }: Difference): boolean {
  return storedVersion !== null && storedVersion > versionOf(log.epoch, log.durableSeq);
}

/** A target forgets other deletes, too, when it removes: nothing older than what the log has now may be on its way. */
async function remove(subject: VerifySubject, ids: readonly string[], signal: AbortSignal): Promise<void> {
  if (ids.length === 0) return;
  await subject.applied(subject.log.durableSeq, signal);
  await (await subject.opened(signal)).remove(ids, signal);
}

/** Returns the keys that the source cannot be asked for. */
async function reread(subject: VerifySubject, keys: readonly Uint8Array[], signal: AbortSignal): Promise<readonly Uint8Array[]> {
  if (keys.length === 0) return [];
  const { definition, name } = subject;
  const connection = await subject.connection(signal);
  try {
    const request = { table: definition.from.table, selection: { kind: 'keys', keys }, for: [name], reason: 'verify', sweep: false } as const;
    const { number } = await connection.requestSnapshot(request, signal);
    await subject.applied(await ended(subject, number, signal), signal);
    return [];
  } catch (error) {
    if (codeOf(error) !== 'SRC_SELECTION') throw error;
    if (keys.length === 1) return keys;
    const middle = keys.length >>> 1;
    return [...(await reread(subject, keys.slice(0, middle), signal)), ...(await reread(subject, keys.slice(middle), signal))];
  }
}

/** The seq up to which the snapshot's rows are. */
async function ended({ log, runtime, definition: { from } }: VerifySubject, number: number, signal: AbortSignal): Promise<Seq> {
  for (;;) {
    const snapshot = snapshotsIn(log.registers).find((one) => one.source === from.source && one.number === number);
    // One that is forgotten was over, and acted upon by everybody.
    if (snapshot === undefined || snapshot.phase === 'done') return snapshot?.doneSeq ?? log.durableSeq;
    if (isOver(snapshot)) throw new TailraceError(snapshot.phase === 'failed' ? 'SRC_SELECTION' : 'USAGE', { message: `The snapshot ${number} of ${from.source}, which was to repair documents, was ${snapshot.phase}${snapshot.failure === null ? '' : `: ${snapshot.failure.message}`}.`, entity: from.source });
    await untilAborted(runtime.clock.sleep(POLL_MS, signal), signal);
  }
}
