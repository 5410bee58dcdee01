/** Which of some transactions the log holds. Asked once per connection at most, for the few that were in progress as it began. */
import type { LogStore } from '../connector/log-store.ts';

/** Looks through all frames that are kept. */
export async function loggedTransactions(log: LogStore, source: string, ids: ReadonlySet<bigint>): Promise<ReadonlySet<bigint>> {
  const found = new Set<bigint>();
  if (ids.size === 0) return found;
  const through = log.durableSeq;
  await using reader = log.reader(log.firstSeq - 1);
  for (;;) {
    const frame = await reader.poll();
    if (frame === undefined || frame.lastSeq > through) return found;
    if (frame.source !== source) continue;
    for (const { id } of frame.transactions) if (ids.has(id)) found.add(id);
  }
}
