/** Begins and keeps the record of pushed transactions: what an earlier session left unproven, and that the record stays small. */
import type { ConnectRequest } from '../../../../src/connector/source.ts';
import { dispositionOf } from '../../../../src/errors/policy.ts';
import type { Clock } from '../../../../src/runtime/clock.ts';
import type { Query } from '../connection/query.ts';
import { openTransactions } from '../slot/slot.ts';
import { isVisible, parseSnapshot, VisibilityTracker, widenXid } from '../visibility.ts';

/** More transactions than this are not remembered for long. */
const REMEMBERED_MAX = 50_000;

const LOOK_EVERY_MS = 1_000;

/**
 * A tracker for a session. Transactions that the log holds already were pushed before it: a snapshot taken now shows nearly all of them.
 * One that it does not show is open in the server's eyes, so it holds the lock on its id; looked for before the snapshot is taken, none
 * is missed. Which of the open ones are in the log, the log says.
 */
export async function beginVisibility(query: Query, logged: ConnectRequest['logged'], signal: AbortSignal): Promise<VisibilityTracker> {
  const open = await openTransactions(query, signal);
  const first = parseSnapshot(await currentSnapshot(query, signal));
  const xids = [...first.running, ...open.map((transaction) => widenXid(transaction.xid, first.xmax))].filter((xid) => !isVisible(first, xid));
  if (xids.length === 0) return new VisibilityTracker(first, []);
  const inLog = await logged(new Set(xids.map(BigInt)), signal);
  return new VisibilityTracker(first, [...inLog].map(Number));
}

/** Forgets what is proven, when it is much, until the signal is aborted; then rejects with its reason. */
export async function keepVisibilitySmall(tracker: VisibilityTracker, query: Query, clock: Clock, signal: AbortSignal): Promise<void> {
  for (;;) {
    await clock.sleep(LOOK_EVERY_MS, signal);
    if (tracker.size <= REMEMBERED_MAX) continue;
    const mark = tracker.mark();
    try {
      tracker.prune(await currentSnapshot(query, signal), mark);
    } catch (error) {
      // The stream's own connection tells whether the server is gone; meanwhile the record grows a little.
      if (signal.aborted || dispositionOf(error) !== 'backoff') throw error;
    }
  }
}

async function currentSnapshot(query: Query, signal: AbortSignal): Promise<string> {
  const [row] = await query('SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text AS snapshot', [], signal);
  return row?.['snapshot'] ?? '';
}
