/**
 * Whether a first start may begin with a slot that is there already. Another data directory may be going on from it, one that is not mounted just
 * now, say: what is read and confirmed here would be missing there for ever.
 *
 * A slot does not tell whether somebody has read from it; its place in the log is the same either way. So it is taken without a word only where
 * it cannot be in use: its publication is not there, without which nobody gets on; or the config says that slots are made by hand (`create: false`),
 * and the server has not counted anything that was read from this one.
 */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Query } from '../connection/query.ts';
import type { ServerFacts } from './server-facts.ts';

/** The view `pg_stat_replication_slots` came with it. */
const SLOT_STATISTICS_VERSION = 140_000;

interface ForeignSlotDeps {
  readonly source: string;
  readonly query: Query;
  readonly server: Pick<ServerFacts, 'version'>;
  readonly slot: string;
  readonly publication: string;
  /** The setting `create`. */
  readonly create: boolean;
}

/** Throws SRC_SLOT_FOREIGN when the slot, which exists, may be that of another data directory. */
export async function refuseForeignSlot(deps: ForeignSlotDeps, signal: AbortSignal): Promise<void> {
  const { source, query, slot, publication, create } = deps;
  const published = await query('SELECT 1 AS one FROM pg_catalog.pg_publication WHERE pubname = $1', [publication], signal);
  if (published.length === 0) return;
  if (!create && !(await wasRead(deps, signal))) return;
  throw new TailraceError('SRC_SLOT_FOREIGN', {
    message: `Source ${source}: the slot ${slot} is there already, and this data directory has nothing that was read from it: it may belong to another one.`,
    hint: 'Name the data directory that reads from it, or give this one a slot of its own with `slot`; if that one is lost: `tailrace run --rebuild SOURCE`, or `take_over: true` to begin with the slot as it is.',
    entity: source,
  });
}

/** Whether the server has counted a transaction that was sent from the slot. A crash of the server makes it forget. */
async function wasRead({ query, server, slot }: ForeignSlotDeps, signal: AbortSignal): Promise<boolean> {
  if (server.version < SLOT_STATISTICS_VERSION) return false;
  const [row] = await query('SELECT (total_txns + stream_txns + spill_txns > 0)::pg_catalog.text AS was_read FROM pg_catalog.pg_stat_replication_slots WHERE slot_name = $1', [slot], signal);
  return row?.['was_read'] === 'true';
}
