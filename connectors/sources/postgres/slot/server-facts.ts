/** What a session has to know of the server before it does anything there. */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Query } from '../connection/query.ts';
import type { ReplicationConnection } from '../connection/replication-connection.ts';
import type { ClientEncoding } from '../connection/settings.ts';
import type { WalGeometry } from '../position.ts';

/** `pg_current_snapshot` and partitioned tables in a publication came with 13. */
export const VERSION_MIN = 130_000;
export const MAJOR_MIN = VERSION_MIN / 10_000;

/** From here on the server raises `wal_level` by itself when a logical slot is made. */
export const LEVEL_RAISES_ITSELF_VERSION = 190_000;

export interface ServerFacts {
  /** `server_version_num`: 180004. */
  readonly version: number;
  readonly encoding: ClientEncoding;
  readonly database: string;
  readonly databaseOid: string;
  readonly geometry: WalGeometry;
}

/**
 * Reads them. Throws SRC_VERSION or SRC_SETTING for a server that cannot be read; with `resuming`, SRC_CONN for a standby: what was a primary
 * once is one while roles are being changed, and it, or the one that takes over, will be soon.
 */
export async function readServerFacts(query: Query, source: string, resuming: boolean, signal: AbortSignal): Promise<ServerFacts> {
  const [row] = await query(
    `SELECT pg_catalog.current_setting('server_version_num') AS version, pg_catalog.current_setting('server_encoding') AS encoding,
       pg_catalog.current_setting('wal_level') AS wal_level, pg_catalog.pg_is_in_recovery()::pg_catalog.text AS in_recovery,
       pg_catalog.current_setting('wal_block_size') AS block_bytes,
       (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size') AS segment_bytes,
       pg_catalog.current_database() AS database,
       (SELECT oid::pg_catalog.text FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AS database_oid`,
    [],
    signal,
  );
  const text = (name: string): string => row?.[name] ?? '';
  const version = Number(text('version'));
  if (version < VERSION_MIN) throw new TailraceError('SRC_VERSION', { message: `Source ${source} is PostgreSQL ${Math.floor(version / 10_000)}; ${MAJOR_MIN} and later are read.`, entity: source });
  if (text('in_recovery') === 'true') {
    if (resuming) throw new TailraceError('SRC_CONN', { message: `Source ${source} is a standby now, and was a primary before.`, hint: 'While a failover is going on, nothing; else give the url of the primary.', entity: source });
    throw new TailraceError('SRC_SETTING', { message: `Source ${source} is a standby, which has no history of its own.`, hint: 'Give the url of the primary.', entity: source });
  }
  if (text('wal_level') !== 'logical' && version < LEVEL_RAISES_ITSELF_VERSION) {
    throw new TailraceError('SRC_SETTING', {
      message: `Source ${source} writes its log with wal_level = ${text('wal_level')}; reading changes needs logical.`,
      hint: 'ALTER SYSTEM SET wal_level = logical; and restart the server.',
      entity: source,
    });
  }
  return {
    version,
    encoding: text('encoding') === 'SQL_ASCII' ? 'SQL_ASCII' : 'UTF8',
    database: text('database'),
    databaseOid: text('database_oid'),
    geometry: { blockBytes: Number(text('block_bytes')), segmentBytes: Number(text('segment_bytes')) },
  };
}

export interface SystemIdentity {
  readonly systemId: string;
  readonly timeline: number;
}

/** Throws SRC_POOLER when what answers is no server that speaks replication. */
export async function identifySystem(connection: ReplicationConnection, signal: AbortSignal): Promise<SystemIdentity> {
  const [row] = await connection.command('IDENTIFY_SYSTEM', 'identifying the server', signal);
  const systemId = row?.['systemid'];
  const timeline = Number(row?.['timeline']);
  if (typeof systemId !== 'string' || !Number.isInteger(timeline)) throw new TailraceError('SRC_POOLER', { message: 'What answers at the source url does not say which server it is.' });
  return { systemId, timeline };
}

/**
 * What positions belong to: the cluster, the database, the slot. A failover keeps the cluster's identifier; its timeline is a part of each
 * position.
 */
export function identityOf(systemId: string, databaseOid: string, slot: string): string {
  return `postgres:${systemId}:${databaseOid}:${slot}`;
}
