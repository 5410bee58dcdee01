/**
 * Slots that look like those of another tailrace source and that nobody reads from: a source that got another name leaves its slot behind, and
 * the server keeps its log for that for ever.
 *
 * Whose they are cannot be told from here. Another source of the same config that is stopped, or another daemon, has slots of such names as well;
 * so they are named, and left alone.
 */
import { SLOT_NAME_PREFIX } from '../config.ts';
import type { Query } from '../connection/query.ts';

interface UnreadSlot {
  readonly slot: string;
  /** Bytes of log that the server keeps for it; null when it keeps none any more. */
  readonly keptBytes: number | null;
  /** Removes it. */
  readonly statement: string;
}

/** The unread slots of this database but for `ownSlot`, by name. */
export async function unreadSlots(query: Query, ownSlot: string, signal: AbortSignal): Promise<UnreadSlot[]> {
  const rows = await query(
    `SELECT slot_name AS slot, pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), restart_lsn)::pg_catalog.int8::pg_catalog.text AS kept
     FROM pg_catalog.pg_replication_slots
     WHERE NOT active AND NOT temporary AND plugin = 'pgoutput' AND database = pg_catalog.current_database() AND pg_catalog.starts_with(slot_name, $1) AND slot_name <> $2
     ORDER BY slot_name`,
    [SLOT_NAME_PREFIX, ownSlot],
    signal,
  );
  return rows.map((row) => {
    const slot = row['slot'] ?? '';
    const kept = row['kept'] ?? null;
    // A slot's name has letters, digits and `_` only.
    return { slot, keptBytes: kept === null ? null : Number(kept), statement: `SELECT pg_drop_replication_slot('${slot}');` };
  });
}
