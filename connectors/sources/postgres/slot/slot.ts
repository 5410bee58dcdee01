/** The replication slot: how it stands, how it is made and removed, who holds that up. */
import { codeOf, TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { quoteIdentifier, quoteLiteral } from '../connection/identifier.ts';
import type { Query, QueryRow } from '../connection/query.ts';
import type { ReplicationConnection } from '../connection/replication-connection.ts';
import { parseLsn } from '../position.ts';

/** A row of `pg_replication_slots`, as far as the server's version has its columns. */
export interface SlotFacts {
  readonly plugin: string | null;
  readonly database: string | null;
  readonly active: boolean;
  readonly activePid: number | null;
  readonly twoPhase: boolean;
  readonly restartLsn: bigint | null;
  readonly confirmedFlushLsn: bigint | null;
  /** `reserved`, `extended`, `unreserved` or `lost`. */
  readonly walStatus: string | null;
  /** Bytes that may still be written before the slot is lost; null without a limit. */
  readonly safeWalSize: number | null;
  /** Why the slot cannot be used any more; null when it can. */
  readonly invalidationReason: string | null;
  /** A standby that copies slots has it too; null before 17, where no standby does. */
  readonly failover: boolean | null;
}

interface SlotRow {
  readonly plugin: string | null;
  readonly database: string | null;
  readonly active: boolean;
  readonly active_pid: number | null;
  readonly two_phase?: boolean;
  readonly restart_lsn: string | null;
  readonly confirmed_flush_lsn: string | null;
  readonly wal_status: string | null;
  readonly safe_wal_size: number | null;
  readonly conflicting?: boolean | null;
  readonly invalidation_reason?: string | null;
  readonly failover?: boolean;
}

/** As JSON: versions have different columns. */
export function slotSql(slot: string): string {
  return `SELECT pg_catalog.to_jsonb(s)::pg_catalog.text AS slot FROM pg_catalog.pg_replication_slots s WHERE slot_name = ${quoteLiteral(slot)}`;
}

/** Reads what `slotSql` returned; null when there is no such slot. */
export function slotFacts(row: QueryRow | undefined): SlotFacts | null {
  const json = row?.['slot'];
  if (typeof json !== 'string') return null;
  const slot = JSON.parse(json) as SlotRow;
  const conflicting = slot.conflicting === true ? 'conflict with recovery' : null;
  return {
    plugin: slot.plugin,
    database: slot.database,
    active: slot.active,
    activePid: slot.active_pid,
    twoPhase: slot.two_phase === true,
    restartLsn: slot.restart_lsn === null ? null : parseLsn(slot.restart_lsn),
    confirmedFlushLsn: slot.confirmed_flush_lsn === null ? null : parseLsn(slot.confirmed_flush_lsn),
    walStatus: slot.wal_status,
    safeWalSize: slot.safe_wal_size,
    invalidationReason: slot.invalidation_reason ?? conflicting ?? (slot.wal_status === 'lost' ? 'wal_removed' : null),
    failover: slot.failover ?? null,
  };
}

/** A slot that a promoted standby has too. */
const FAILOVER_VERSION = 170_000;

/**
 * Creates the slot and returns where its history begins: after every transaction that was open has ended. The server waits for those
 * itself; when one takes too long this throws SRC_SLOT_BLOCKED and no slot is left behind.
 */
export async function createSlot(connection: ReplicationConnection, query: Query, slot: string, version: number, signal: AbortSignal): Promise<bigint> {
  const options = version >= FAILOVER_VERSION ? "(SNAPSHOT 'nothing', FAILOVER)" : 'NOEXPORT_SNAPSHOT';
  try {
    const [row] = await connection.command(`CREATE_REPLICATION_SLOT ${quoteIdentifier(slot)} LOGICAL pgoutput ${options}`, 'creating the slot', signal);
    return parseLsn(row?.['consistent_point'] ?? '');
  } catch (error) {
    if (codeOf(error) !== 'SRC_SLOT_BLOCKED') throw error;
    throw slotBlocked(`The slot ${slot} was not created: it waits for every transaction that is open`, await openTransactions(query, signal), error);
  }
}

/** The statement that makes the slot, for whoever wants to do that. */
export function createSlotStatement(slot: string, version: number): string {
  return `SELECT pg_create_logical_replication_slot('${slot}', 'pgoutput'${version >= FAILOVER_VERSION ? ', failover => true' : ''});`;
}

/** Removes the slot if it is there. Throws SRC_SLOT_IN_USE while somebody reads from it. */
export async function dropSlot(query: Query, slot: string, source: string, signal: AbortSignal): Promise<void> {
  const [row] = await query(slotSql(slot), [], signal);
  const facts = slotFacts(row);
  if (facts === null) return;
  if (facts.active) throw new TailraceError('SRC_SLOT_IN_USE', { message: `Source ${source}: the slot ${slot} is in use by pid ${facts.activePid ?? 'unknown'}, and was left as it is.`, entity: source });
  await query('SELECT pg_catalog.pg_drop_replication_slot($1)', [slot], signal);
}

export interface OpenTransaction {
  /** null for a prepared one. */
  readonly pid: number | null;
  /** Lower 32 bits. */
  readonly xid: number;
  /** As in `pid 4711 (psql, app) open for 2 h`. */
  readonly description: string;
  readonly seconds: number | null;
  /** False when it runs in another database. */
  readonly here: boolean;
}

/**
 * Transactions that have written something and are open, the oldest first. Every one holds a lock on its own id until it has ended for
 * all other transactions; everybody may see that.
 */
export async function openTransactions(query: Query, signal: AbortSignal): Promise<OpenTransaction[]> {
  const rows = await query(
    `SELECT l.pid::pg_catalog.text AS pid, l.transactionid::pg_catalog.text AS xid, a.usename, a.application_name, p.gid,
       (COALESCE(a.datname, p.database) = pg_catalog.current_database())::pg_catalog.text AS here,
       EXTRACT(epoch FROM pg_catalog.clock_timestamp() - COALESCE(a.xact_start, p.prepared))::pg_catalog.int8::pg_catalog.text AS seconds
     FROM pg_catalog.pg_locks l
     LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
     LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = l.transactionid
     WHERE l.locktype = 'transactionid' AND l.mode = 'ExclusiveLock' AND l.granted AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
     ORDER BY COALESCE(a.xact_start, p.prepared) NULLS LAST, l.transactionid::pg_catalog.text::pg_catalog.int8`,
    [],
    signal,
  );
  return rows.map(openTransaction);
}

function openTransaction(row: QueryRow): OpenTransaction {
  const pid = row['pid'] ?? null;
  const seconds = row['seconds'] ?? null;
  const who = [row['application_name'], row['usename']].filter((name) => name !== null && name !== undefined && name !== '').join(', ');
  const name = pid === null ? `prepared transaction ${JSON.stringify(row['gid'] ?? row['xid'])}` : `pid ${pid}${who === '' ? '' : ` (${who})`}`;
  return {
    pid: pid === null ? null : Number(pid),
    xid: Number(row['xid']),
    seconds: seconds === null ? null : Number(seconds),
    here: row['here'] !== 'false',
    description: seconds === null ? name : `${name}, open for ${seconds} s`,
  };
}

/** How many transactions a message names. */
const NAMED_MAX = 5;

export function slotBlocked(what: string, open: readonly OpenTransaction[], cause?: unknown): TailraceError {
  const byDescription = new Map(open.map((transaction) => [transaction.description, transaction]));
  const named = [...byDescription.values()].slice(0, NAMED_MAX);
  const message = named.length === 0 ? `${what}.` : `${what}: ${named.map((transaction) => transaction.description).join('; ')}.`;
  const pids = [...new Set(named.flatMap((transaction) => (transaction.pid === null ? [] : [transaction.pid])))];
  const hint = pids.length === 0 ? undefined : `End what does not need to go on: ${pids.map((pid) => `SELECT pg_terminate_backend(${pid});`).join(' ')}`;
  return new TailraceError('SRC_SLOT_BLOCKED', { message, hint, cause });
}
