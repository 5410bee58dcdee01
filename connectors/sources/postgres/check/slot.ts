/** The slot, the connection that streams, and what would hold them up. */
import type { Finding } from '../../../../src/connector/finding.ts';
import type { PostgresConfig } from '../config.ts';
import type { Query } from '../connection/query.ts';
import { ReplicationConnection, type ReplicationDeps } from '../connection/replication-connection.ts';
import { logAmount } from '../log-amount.ts';
import { adoptionProblem, readGateFacts } from '../slot/resume-gate.ts';
import { identifySystem } from '../slot/server-facts.ts';
import { createSlotStatement, openTransactions, type SlotFacts } from '../slot/slot.ts';
import { unreadSlots } from '../slot/unread-slots.ts';
import { fine, problemOf, warning } from './findings.ts';

interface SlotLook extends ReplicationDeps {
  readonly source: string;
  readonly slot: string;
  readonly config: PostgresConfig;
  readonly database: string;
  /** `server_version_num` */
  readonly version: number;
}

/** Connects as the stream will, and looks at the slot over that connection. */
export async function slotFindings(look: SlotLook, signal: AbortSignal): Promise<Finding[]> {
  const subject = `slot ${look.slot}`;
  const findings: Finding[] = [];
  try {
    await using connection = await ReplicationConnection.open(look, signal);
    const { timeline } = await identifySystem(connection, signal);
    findings.push(fine('replication connection', `the server itself, timeline ${timeline}`));
    const gate = await readGateFacts(connection, look, signal);
    if (gate.facts === null) {
      if (look.config.create) return [...findings, fine(subject, 'it will be made at the first start')];
      const fix = createSlotStatement(look.slot, look.version);
      return [...findings, { level: 'problem', subject, code: 'SRC_SETTING', message: 'it does not exist, and `create` is off', fix }];
    }
    const problem = adoptionProblem({ ...gate, facts: gate.facts });
    if (problem === null) findings.push(fine(subject, soundSlot(gate.facts)));
    // A slot in use is what a running daemon looks like.
    else if (problem.code === 'SRC_SLOT_IN_USE') findings.push(fine(subject, problem.message));
    else findings.push(problemOf(subject, problem));
    return findings;
  } catch (error) {
    signal.throwIfAborted();
    return [...findings, problemOf('replication connection', error)];
  }
}

function soundSlot({ safeWalSize, failover }: SlotFacts): string {
  const untilLoss = safeWalSize === null ? '' : `; ${logAmount(safeWalSize)} of log until it is lost`;
  return `it is there${untilLoss}${failover === false ? '; no standby gets a copy of it, so it does not outlive a failover' : ''}`;
}

/** Slots that a source of another name may have left behind. */
export async function unreadSlotFindings(query: Query, slot: string, signal: AbortSignal): Promise<Finding[]> {
  const unread = await unreadSlots(query, slot, signal);
  return unread.map(({ slot: other, keptBytes, statement }) => {
    const kept = keptBytes === null ? '' : `, and the server keeps ${logAmount(keptBytes)} of log for it`;
    return warning(`slot ${other}`, `nobody reads from it${kept}: drop it when no source has this name any more, here or elsewhere`, statement);
  });
}

/** Transactions that have been open for so long hold back what the server may forget, and the creation of a slot. */
export async function transactionFindings(query: Query, longOpenS: number, signal: AbortSignal): Promise<Finding[]> {
  const open = (await openTransactions(query, signal)).filter(({ seconds }) => seconds !== null && seconds >= longOpenS);
  return open.map(({ description, pid }) =>
    warning('open transaction', `${description}: a slot is not made before it ends, and the server keeps its log from where it began`, pid === null ? undefined : `SELECT pg_terminate_backend(${pid});`),
  );
}
