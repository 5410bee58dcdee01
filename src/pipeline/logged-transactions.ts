/** Which of some transactions the log holds. Asked once per connection at most, for the few that were in progress as it began. */
import type { LogStore } from '../connector/log-store.ts';

/** Looks through all frames that are kept. */
export async function loggedTransactions(log: LogStore, source: string, ids: ReadonlySet<bigint>): Promise<ReadonlySet<bigint>> {
  if (ids.size === 0) return new Set();
  // A segment that retention removed in the middle of the look would end it with LOG_GAP, and the source with it.
  const hold = `looking-for-transactions:${source}`;
  log.hold(hold, log.firstSeq - 1);
  try {
    return await heldBy(log, source, ids);
  } finally {
    log.release(hold);
  }
}

async function heldBy(log: LogStore, source: string, ids: ReadonlySet<bigint>): Promise<ReadonlySet<bigint>> {
  const held = new Set<bigint>();
  const through = log.durableSeq;
  await using reader = log.reader(log.firstSeq - 1);
  for (;;) {
    const frame = await reader.poll();
    if (frame === undefined || frame.lastSeq > through) return held;
    if (frame.source !== source) continue;
    for (const { id } of frame.transactions) if (ids.has(id)) held.add(id);
  }
}
