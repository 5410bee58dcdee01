/**
 * Makes sure that the server keeps a history that the stream can begin or go on with: publication and slot, made at the first start and
 * only looked at ever after. Whatever would leave a gap stops here, before anything is read.
 */
import type { Beginnings, ConnectRequest } from '../../../../src/connector/source.ts';
import { invariant } from '../../../../src/errors/invariant.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Logger } from '../../../../src/runtime/logger.ts';
import type { ReplicationConnection } from '../connection/replication-connection.ts';
import { decodePosition, parseLsn } from '../position.ts';
import { awaitOpenTransactions, ensurePublication, isUnsettled, settlePublication, type PublicationDeps } from './publication.ts';
import { refuseForeignSlot } from './foreign-slot.ts';
import { adoptionProblem, readGateFacts, resumeProblem, turnedBack, type GateFacts } from './resume-gate.ts';
import type { ServerFacts, SystemIdentity } from './server-facts.ts';
import { identityOf } from './server-facts.ts';
import { createSlot, createSlotStatement, slotSql, slotFacts } from './slot.ts';
import { checkTimeline } from './timeline.ts';
import { unreadSlots } from './unread-slots.ts';

/** How long a reader that was told to end may take, and how often it is looked after. */
const TAKE_OVER_WITHIN_MS = 10_000;
const TAKE_OVER_LOOK_MS = 50;

interface HistoryDeps extends PublicationDeps {
  readonly connection: ReplicationConnection;
  readonly server: ServerFacts;
  readonly system: SystemIdentity;
  readonly slot: string;
  readonly logger: Logger;
  /** Whether another connection that reads from the slot is ended, and a first start begins with a slot that may be somebody else's. */
  readonly takeOver: boolean;
  readonly beginnings: Beginnings;
}

export interface History {
  readonly identity: string;
  /** Where the stream starts. */
  readonly startLsn: bigint;
  /** The slot's `restart_lsn` while nobody read from it; null for a new slot. */
  readonly keptFrom: bigint | null;
}

type Start = Omit<History, 'identity'>;

/** Opens the history for a first start (`resume` null) or from a resume point. Throws the catalogued error of whatever stands in the way. */
export async function openHistory(deps: HistoryDeps, resume: ConnectRequest['resume'], signal: AbortSignal): Promise<History> {
  const { system, server, slot } = deps;
  const identity = identityOf(system.systemId, server.databaseOid, slot);
  const start = resume === null ? await beginHistory(deps, identity, signal) : await resumeHistory(deps, resume, identity, signal);
  return { identity, ...start };
}

/** The slot must not have been moved between the look at it and the start of the stream, which would silently begin later. */
export async function checkSlotUnmoved(deps: Pick<HistoryDeps, 'query' | 'slot' | 'source'>, startLsn: bigint, signal: AbortSignal): Promise<void> {
  const [row] = await deps.query(slotSql(deps.slot), [], signal);
  const confirmed = slotFacts(row)?.confirmedFlushLsn ?? null;
  if (confirmed !== null && confirmed <= startLsn) return;
  throw new TailraceError('SRC_SLOT_AHEAD', { message: `Source ${deps.source}: the slot ${deps.slot} was moved by somebody else while this session began.`, entity: deps.source });
}

async function resumeHistory(deps: HistoryDeps, resume: NonNullable<ConnectRequest['resume']>, identity: string, signal: AbortSignal): Promise<Start> {
  const { source, system, connection } = deps;
  if (resume.identity !== identity) {
    throw new TailraceError('SRC_IDENTITY_CHANGED', { message: `Source ${source} is ${identity} now; the log was read from ${resume.identity}.`, entity: source });
  }
  const position = decodePosition(resume.position);
  await checkTimeline(connection, position, system.timeline, source, signal);
  const { facts } = await takeOver(deps, (gate) => resumeProblem(position.lsn, gate) ?? turnedBack(position, system.timeline, gate), signal);
  await ensurePublication(deps, false, true, signal);
  if (await isUnsettled(deps, signal)) {
    await awaitOpenTransactions(deps, signal);
    await settlePublication(deps, signal);
  }
  return { startLsn: position.lsn, keptFrom: facts?.restartLsn ?? null };
}

async function beginHistory(deps: HistoryDeps, identity: string, signal: AbortSignal): Promise<Start> {
  const gate = await takeOver(deps, ({ facts, ...rest }) => (facts === null ? null : adoptionProblem({ ...rest, facts })), signal);
  if (gate.facts !== null && !deps.takeOver && !deps.beginnings.has(identity)) await refuseForeignSlot(deps, signal);
  // Before the publication is made: with it there, the slot could be anybody's.
  if (gate.facts !== null) await deps.beginnings.note(identity, signal);
  await ensurePublication(deps, true, gate.facts !== null, signal);
  if (gate.facts !== null) {
    deps.logger.info('slot_adopted', { slot: deps.slot });
    return { startLsn: await adoptSlot(deps, { ...gate, facts: gate.facts }, signal), keptFrom: gate.facts.restartLsn };
  }
  if (!deps.create) {
    throw new TailraceError('SRC_SETTING', {
      message: `Source ${deps.source}: there is no slot ${deps.slot}.`,
      hint: createSlotStatement(deps.slot, deps.server.version),
      entity: deps.source,
    });
  }
  await deps.beginnings.note(identity, signal);
  for (const { slot, keptBytes, statement } of await unreadSlots(deps.query, deps.slot, signal)) deps.logger.warn('slot_unread', { slot, kept_bytes: keptBytes, statement });
  const startLsn = await createSlot(deps.connection, deps.query, deps.slot, deps.server.version, signal);
  await settlePublication(deps, signal);
  return { startLsn, keptFrom: null };
}

/**
 * Begins with a slot that somebody made before, or an earlier start that did not get further. What it holds from before the publication
 * cannot be decoded: nobody needs it, so the slot is moved beyond.
 */
async function adoptSlot(deps: HistoryDeps, gate: GateFacts & { readonly facts: NonNullable<GateFacts['facts']> }, signal: AbortSignal): Promise<bigint> {
  if (await isUnsettled(deps, signal)) {
    await awaitOpenTransactions(deps, signal);
    const [row] = await deps.query(`SELECT end_lsn FROM pg_catalog.pg_replication_slot_advance($1, pg_catalog.pg_current_wal_flush_lsn())`, [deps.slot], signal);
    await settlePublication(deps, signal);
    return parseLsn(row?.['end_lsn'] ?? '');
  }
  const { confirmedFlushLsn } = gate.facts;
  invariant(confirmedFlushLsn !== null, 'a logical slot that can be used stands somewhere');
  return confirmedFlushLsn;
}

/**
 * How the slot stands, when nothing is in the way; throws what is. A reader that is in the way, and alone, is ended if that is allowed: what
 * it still confirms until then is seen by the second look.
 */
async function takeOver(deps: HistoryDeps, problemOf: (gate: GateFacts) => TailraceError | null, signal: AbortSignal): Promise<GateFacts> {
  const { connection, query, clock, slot, logger } = deps;
  let gate = await readGateFacts(connection, gateNames(deps), signal);
  let problem = problemOf(gate);
  const giveUpMs = clock.monotonicMs() + TAKE_OVER_WITHIN_MS;
  if (problem?.code === 'SRC_SLOT_IN_USE' && deps.takeOver) logger.warn('slot_taken_over', { slot, reader: gate.user ?? 'unknown' });
  while (problem?.code === 'SRC_SLOT_IN_USE' && deps.takeOver && clock.monotonicMs() < giveUpMs) {
    await query('SELECT pg_catalog.pg_terminate_backend(active_pid) FROM pg_catalog.pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL', [slot], signal);
    await clock.sleep(TAKE_OVER_LOOK_MS, signal);
    gate = await readGateFacts(connection, gateNames(deps), signal);
    problem = problemOf(gate);
  }
  if (problem !== null) throw problem;
  return gate;
}

function gateNames(deps: HistoryDeps): Pick<GateFacts, 'source' | 'slot' | 'database'> {
  return { source: deps.source, slot: deps.slot, database: deps.server.database };
}
