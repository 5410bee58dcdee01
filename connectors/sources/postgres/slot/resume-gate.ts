/**
 * Whether the stream may go on from where it was. The server itself is no guard: asked to start before what it has been told to forget,
 * it silently starts later, and asked to start beyond its end, it silently waits. Everything here fails closed.
 */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { quoteLiteral } from '../connection/identifier.ts';
import type { ReplicationConnection } from '../connection/replication-connection.ts';
import { formatLsn, parseLsn, type Position } from '../position.ts';
import { slotFacts, slotSql, type SlotFacts } from './slot.ts';

export interface GateFacts {
  readonly source: string;
  readonly slot: string;
  readonly database: string;
  /** null when there is no such slot. */
  readonly facts: SlotFacts | null;
  readonly insertLsn: bigint;
  /** Who uses the slot, for messages: `pid 4711 (tailrace, 10.0.0.7)`. */
  readonly user: string | null;
}

/** Reads the facts over the streaming connection itself, so that they are those of the server that will stream. */
export async function readGateFacts(connection: ReplicationConnection, names: Pick<GateFacts, 'source' | 'slot' | 'database'>, signal: AbortSignal): Promise<GateFacts> {
  const [row] = await connection.command(
    `SELECT pg_catalog.pg_current_wal_insert_lsn() AS inserted, (${slotSql(names.slot)}) AS slot,
       (SELECT 'pid ' || a.pid || ' (' || pg_catalog.concat_ws(', ', NULLIF(a.application_name, ''), pg_catalog.host(a.client_addr)) || ')'
        FROM pg_catalog.pg_replication_slots s JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid WHERE s.slot_name = ${quoteLiteral(names.slot)}) AS slot_user`,
    'asking the server',
    signal,
  );
  return { ...names, facts: slotFacts(row), insertLsn: parseLsn(row?.['inserted'] ?? ''), user: row?.['slot_user'] ?? null };
}

/** What stands in the way of going on from `lsn`, or null. */
export function resumeProblem(lsn: bigint, gate: GateFacts): TailraceError | null {
  const { facts, insertLsn, slot, source } = gate;
  if (lsn > insertLsn) {
    return problem('SRC_DIVERGED', gate, `${source} ends at ${formatLsn(insertLsn)}, before ${formatLsn(lsn)}, up to which it was read: it was restored or replaced`);
  }
  if (facts === null) return problem('SRC_HISTORY_LOST', gate, `the slot ${slot} is gone, and with it the changes after ${formatLsn(lsn)}`);
  const unusable = unusableSlot(gate, facts);
  if (unusable !== null) return unusable;
  const confirmed = facts.confirmedFlushLsn;
  if (confirmed !== null && confirmed > lsn) {
    return problem('SRC_SLOT_AHEAD', gate, `the slot ${slot} stands at ${formatLsn(confirmed)}, beyond ${formatLsn(lsn)}, up to which the log was written: somebody else read or moved it`);
  }
  return inUse(gate, facts);
}

/** What stands in the way when the server's files are earlier ones than those that the position was read from, or null. */
export function turnedBack({ timeline, keptFrom }: Position, timelineNow: number, gate: GateFacts): TailraceError | null {
  const from = gate.facts?.restartLsn ?? null;
  if (keptFrom === null || from === null || timeline !== timelineNow || from >= keptFrom) return null;
  return problem('SRC_DIVERGED', gate, `keeps its log for the slot ${gate.slot} from ${formatLsn(from)} on, and kept it from ${formatLsn(keptFrom)} on before: earlier files of the server were put back`);
}

/** What stands in the way of beginning with a slot that is there already, or null. */
export function adoptionProblem(gate: GateFacts & { readonly facts: SlotFacts }): TailraceError | null {
  return unusableSlot(gate, gate.facts) ?? inUse(gate, gate.facts);
}

function unusableSlot(gate: GateFacts, facts: SlotFacts): TailraceError | null {
  const { slot, database } = gate;
  if (facts.plugin !== 'pgoutput' || facts.database !== database || facts.twoPhase) {
    const what = facts.plugin !== 'pgoutput' ? `is made for ${facts.plugin ?? 'physical replication'}, not for pgoutput` : facts.database !== database ? `belongs to database ${facts.database}` : 'sends prepared transactions before they are committed';
    return new TailraceError('SRC_SETTING', { message: `Source ${gate.source}: the slot ${slot} ${what}.`, hint: 'Give this pipeline a slot of its own with `slot`.', entity: gate.source });
  }
  if (facts.invalidationReason !== null) return problem('SRC_HISTORY_LOST', gate, `the server gave up the slot ${slot} (${facts.invalidationReason}) and removed changes that were not read yet`);
  return null;
}

function inUse(gate: GateFacts, facts: SlotFacts): TailraceError | null {
  if (!facts.active) return null;
  return problem('SRC_SLOT_IN_USE', gate, `the slot ${gate.slot} is in use by ${gate.user ?? (facts.activePid === null ? 'another connection' : `pid ${facts.activePid}`)}`);
}

function problem(code: 'SRC_DIVERGED' | 'SRC_HISTORY_LOST' | 'SRC_SLOT_AHEAD' | 'SRC_SLOT_IN_USE', gate: GateFacts, what: string): TailraceError {
  return new TailraceError(code, { message: `Source ${gate.source}: ${what}.`, entity: gate.source });
}
