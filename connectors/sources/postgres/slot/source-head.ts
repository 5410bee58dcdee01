/** How the server stands towards us: where its log ends, what it keeps because of us, and what else holds that up. */
import type { SourceHead } from '../../../../src/connector/source.ts';
import type { Query, QueryRow } from '../connection/query.ts';
import { logAmount } from '../log-amount.ts';
import { encodePosition, parseLsn, recordEnd, type WalGeometry } from '../position.ts';
import type { KeptLog } from './kept-log.ts';
import { openTransactions, slotFacts, slotSql, type SlotFacts } from './slot.ts';

/** A transaction that is open this long, and before what the slot still needs, is worth a sentence. */
const LONG_TRANSACTION_SECONDS = 300;

/** The slot keeps more than its reader needs: somebody else's transaction is the reason. */
const HELD_BACK_BYTES = 16 * 1024 * 1024;

interface HeadDeps {
  readonly query: Query;
  readonly slot: string;
  readonly geometry: WalGeometry;
  readonly timeline: number;
  readonly keptLog: Pick<KeptLog, 'saw'>;
}

export async function readHead(deps: HeadDeps, signal: AbortSignal): Promise<SourceHead> {
  const [row] = await deps.query(
    `SELECT pg_catalog.pg_current_wal_insert_lsn() AS inserted,
       (EXTRACT(epoch FROM pg_catalog.clock_timestamp()) * 1000)::pg_catalog.int8::pg_catalog.text AS now_ms,
       (${slotSql(deps.slot)}) AS slot, (${ABSENT_STANDBYS}) AS absent`,
    [],
    signal,
  );
  const head = recordEnd(parseLsn(row?.['inserted'] ?? ''), deps.geometry);
  const slot = slotFacts(row);
  deps.keptLog.saw(slot?.restartLsn ?? null);
  return {
    position: encodePosition(head, deps.timeline),
    nowMs: Number(row?.['now_ms']),
    retainedBytes: slot === null || slot.restartLsn === null ? null : Math.max(0, Number(head - slot.restartLsn)),
    bytesUntilLoss: slot?.safeWalSize ?? null,
    notes: slot === null ? [] : [...slotNotes(slot), ...standbyNotes(row), ...(await transactionNotes(deps, slot, signal))],
  };
}

/** Slots of standbys that must have a change before we get it, and that nothing reads from. The setting came with 17. */
const ABSENT_STANDBYS = `SELECT pg_catalog.string_agg(slot_name, ', ' ORDER BY slot_name) FROM pg_catalog.pg_replication_slots
  WHERE NOT active AND slot_name = ANY (pg_catalog.regexp_split_to_array(pg_catalog.current_setting('synchronized_standby_slots', true), '\\s*,\\s*'))`;

function standbyNotes(row: QueryRow | undefined): string[] {
  const absent = row?.['absent'] ?? null;
  return absent === null ? [] : [`The server sends nothing that its standbys do not have (synchronized_standby_slots), and no standby reads from ${absent}.`];
}

function slotNotes(slot: SlotFacts): string[] {
  if (slot.walStatus === 'unreserved') return ['The server is about to remove log that is not read yet: max_slot_wal_keep_size is used up.'];
  if (slot.invalidationReason !== null) return [`The server gave up the slot: ${slot.invalidationReason}.`];
  return [];
}

/** The server keeps its log from the oldest open transaction on, read or not. */
async function transactionNotes(deps: HeadDeps, slot: SlotFacts, signal: AbortSignal): Promise<string[]> {
  const [oldest] = await openTransactions(deps.query, signal);
  if (oldest === undefined) return [];
  const heldBytes = slot.restartLsn === null || slot.confirmedFlushLsn === null ? 0 : Number(slot.confirmedFlushLsn - slot.restartLsn);
  const isLong = (oldest.seconds ?? 0) >= LONG_TRANSACTION_SECONDS;
  if (!isLong && heldBytes < HELD_BACK_BYTES) return [];
  return [`The server keeps ${logAmount(heldBytes)} of log that was read already, because of an open transaction: ${oldest.description}.`];
}
