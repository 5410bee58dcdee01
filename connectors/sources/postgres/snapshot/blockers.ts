/** Who holds a transaction that others cannot see yet: as far as the server lets us know. */
import type { RawConnection } from '../wire/raw-query.ts';

/** Prepared transactions have no session; sessions of other users are seen with `pg_read_all_stats` only. */
const BLOCKERS = (xid32: string): string => `
  SELECT 'session ' || pid || ' of ' || coalesce(usename, '?') || CASE WHEN application_name <> '' THEN ' (' || application_name || ')' ELSE '' END
    || CASE WHEN wait_event = 'SyncRep' THEN ', which waits for a synchronous standby' WHEN wait_event IS NOT NULL THEN ', which waits for ' || wait_event ELSE '' END
    || ', since ' || date_trunc('second', xact_start)
  FROM pg_stat_activity WHERE backend_xid::text = '${xid32}'
  UNION ALL
  SELECT 'prepared transaction ' || gid || ' of ' || owner || ', since ' || date_trunc('second', prepared) FROM pg_prepared_xacts WHERE transaction::text = '${xid32}'`;

const XID_RANGE = 2 ** 32;

/** Sentences about transaction `xid` (64 bits), empty when nothing may be known. */
export async function blockersOf(connection: RawConnection, xid: number, signal: AbortSignal): Promise<string[]> {
  const rows = await connection.values(BLOCKERS(String(xid % XID_RANGE)), signal);
  return rows.map(([sentence]) => sentence ?? '').filter((sentence) => sentence !== '');
}
