/**
 * Whether a server's history continues the one that was read. A promoted standby goes on under a new timeline, which branches off the old
 * one at its switch point: what was read beyond that point is not in its history.
 * Source: PostgreSQL documentation, "Streaming Replication Protocol", TIMELINE_HISTORY.
 */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { ReplicationConnection } from '../connection/replication-connection.ts';
import { formatLsn, parseLsn, type Position } from '../position.ts';

/** Where a timeline ended and the next one began, by its number. */
type SwitchPoints = ReadonlyMap<number, bigint>;

/** Reads a timeline history file: a line for each timeline before, `number <tab> switch point <tab> reason`. */
export function parseTimelineHistory(content: string): SwitchPoints {
  const points = new Map<number, bigint>();
  for (const line of content.split('\n')) {
    const match = /^\s*(\d+)\s+([0-9A-F]+\/[0-9A-F]+)/i.exec(line);
    if (match !== null) points.set(Number(match[1]), parseLsn(match[2] as string));
  }
  return points;
}

/** The error for a position that is not in the history of `timeline`, or null when it is. */
export function divergence(position: Position, timeline: number, switchPoints: SwitchPoints, source: string): TailraceError | null {
  if (position.timeline === timeline) return null;
  const at = formatLsn(position.lsn);
  const diverged = (message: string): TailraceError => new TailraceError('SRC_DIVERGED', { message: `Source ${source} ${message}.`, entity: source });
  if (position.timeline > timeline) return diverged(`is on timeline ${timeline}; it was read on timeline ${position.timeline} up to ${at}`);
  const switchPoint = switchPoints.get(position.timeline);
  if (switchPoint === undefined) return diverged(`is on timeline ${timeline}, whose history does not have timeline ${position.timeline}, on which it was read up to ${at}`);
  if (position.lsn <= switchPoint) return null;
  return diverged(`left timeline ${position.timeline} at ${formatLsn(switchPoint)}; it was read up to ${at}, and what lies between is lost there`);
}

/** Throws SRC_DIVERGED when the server's history does not contain the position. */
export async function checkTimeline(connection: ReplicationConnection, position: Position, timeline: number, source: string, signal: AbortSignal): Promise<void> {
  if (position.timeline === timeline) return;
  const rows = timeline > 1 ? await connection.command(`TIMELINE_HISTORY ${timeline}`, 'identifying the server', signal) : [];
  const error = divergence(position, timeline, parseTimelineHistory(rows[0]?.['content'] ?? ''), source);
  if (error !== null) throw error;
}
