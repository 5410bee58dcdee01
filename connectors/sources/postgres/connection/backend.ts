/** A server process that runs a query of ours on another connection: what it is doing, and how its query is ended. */
import type { Query } from './query.ts';

/** `awaiting_us`: it waits for something to read from us, or for us to take what it has written. */
export type BackendActivity = 'working' | 'awaiting_us' | 'gone';

/** What waits for the other end of its connection says so, whatever `track_activities` is; an id that was given anew is seldom of the same kind. */
export async function backendActivity(query: Query, pid: number, signal: AbortSignal): Promise<BackendActivity> {
  const [row] = await query(
    `SELECT wait_event_type AS waits_for FROM pg_catalog.pg_stat_activity
     WHERE pid = $1 AND backend_type = 'client backend' AND datname = pg_catalog.current_database() AND usename = SESSION_USER`,
    [pid],
    signal,
  );
  if (row === undefined) return 'gone';
  return row['waits_for'] === 'Client' ? 'awaiting_us' : 'working';
}

export async function cancelBackend(query: Query, pid: number, signal: AbortSignal): Promise<void> {
  await query('SELECT pg_catalog.pg_cancel_backend($1)', [pid], signal);
}
