/**
 * One short read with proof: a REPEATABLE READ transaction whose own snapshot shows every transaction that was pushed into the sink before
 * (see `../visibility.ts` for why that needs proof). A read without it is thrown away, and tried again when the server can give it.
 *
 * The whole transaction is one query string, so a read costs one round trip. The snapshot comes first in it; rows of a transaction that turns
 * out unproven are read past.
 */
import { invariant } from '../../../../src/errors/invariant.ts';
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { Backoff } from '../../../../src/runtime/backoff.ts';
import type { RawConnection, RowListener } from '../wire/raw-query.ts';
import type { ReadConnections } from './read-connections.ts';
import type { ReadDeps } from './read-deps.ts';
import { blockersOf } from './blockers.ts';
import { sqlStateOf } from '../connection/sql-state.ts';

const SNAPSHOT = 'SELECT pg_current_snapshot()::text';
const BEGIN = 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY';

/** The pauses between looks at a server that cannot prove visibility, or whose lock we did not get. */
const RETRY = { firstMs: 5, maxMs: 1_000 };

/** After so long without proof the transactions in the way are named. */
const STALLED_MS = 60_000;

/** SQLSTATEs after which the same read may succeed: lock_not_available, serialization_failure (on a standby), deadlock_detected. */
const passing = new Set(['55P03', '40001', '40P01']);

export interface Read {
  /** Statements of the transaction, the snapshot's own before them. Statement 1 of `onRow` is the first of them that returns rows. */
  readonly statements: string;
  /**
   * A statement that holds text of a person, and that returns the transaction's only rows: sent by itself, so that it is one statement to the server
   * too. It is statement 1 of `onRow`. The connection is not used again.
   */
  readonly alone?: string | undefined;
  /** What follows behind the COMMIT, to be known at or after the read; its rows come to `onRow` too. */
  readonly after: string;
  readonly onRow: RowListener;
  /** Called before each attempt: rows of the attempt before count for nothing. */
  readonly restart: () => void;
  /** Aborted by the reader itself when it has enough: the read ends well, with the rows so far and without `after`. */
  readonly enough?: AbortSignal | undefined;
  /** The table, for messages. */
  readonly table: string;
}

/** Reads until a read is proven. `mark` stands for what must be visible. Rejects with SRC_SNAPSHOT_STALLED when that takes too long. */
export async function readProven(deps: ReadDeps, connections: ReadConnections, mark: number, read: () => Read, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff(RETRY, deps.random);
  for (;;) {
    const attempt = read();
    try {
      if (await attemptRead(deps, connections, mark, attempt, signal)) return;
      await untilProven(deps, connections, mark, attempt.table, signal);
    } catch (error) {
      const state = sqlStateOf(error);
      if (state === undefined || !passing.has(state)) throw error;
      deps.logger.warn('snapshot_read_repeated', { source: deps.source, table: attempt.table, error });
      await deps.clock.sleep(backoff.nextMs(), signal);
    }
  }
}

/** True when the read is proven and complete; false when it counts for nothing. */
async function attemptRead(deps: ReadDeps, connections: ReadConnections, mark: number, read: Read, signal: AbortSignal): Promise<boolean> {
  let proven: boolean | null = null;
  read.restart();
  const listener: RowListener = (bytes, start, end, statement) => {
    if (statement === 0) proven = deps.visibility.sees(snapshotOf(bytes, end), mark);
    else if (proven === true) read.onRow(bytes, start, end, statement);
  };
  const either = read.enough === undefined ? signal : AbortSignal.any([signal, read.enough]);
  try {
    await connections.use(async (connection) => runRead(connection, read, listener, either), either, read.alone !== undefined);
  } catch (error) {
    signal.throwIfAborted();
    if (read.enough?.aborted !== true) throw error;
  }
  invariant(proven !== null, 'a read begins with its snapshot');
  return proven;
}

async function runRead(connection: RawConnection, { statements, alone, after }: Read, listener: RowListener, signal: AbortSignal): Promise<void> {
  const begin = `${BEGIN}; ${SNAPSHOT}; ${statements}`;
  if (alone === undefined) return connection.query(`${begin}; COMMIT; ${after}`, listener, signal);
  await connection.query(begin, listener, signal);
  await connection.statement(alone, (bytes, start, end) => listener(bytes, start, end, 1), signal);
  // Older servers let a reader make large objects: whatever it did is undone.
  await connection.query(`ROLLBACK; ${after}`, (bytes, start, end, statement) => listener(bytes, start, end, 2 + statement), signal);
}

/** `u16 1 | 't' | u32 length | text`: the one column of the snapshot's row. */
function snapshotOf(bytes: Buffer, end: number): string {
  return bytes.toString('latin1', 7, end);
}

/** Asks for snapshots until one proves that everything up to `mark` is visible. */
async function untilProven(deps: ReadDeps, connections: ReadConnections, mark: number, table: string, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff(RETRY, deps.random);
  const since = deps.clock.monotonicMs();
  await connections.use(async (connection) => {
    for (;;) {
      const snapshot = await currentSnapshot(connection, signal);
      if (deps.visibility.sees(snapshot, mark)) return;
      if (deps.clock.monotonicMs() - since > STALLED_MS) throw await stalled(deps, connection, snapshot, mark, table, signal);
      await deps.clock.sleep(backoff.nextMs(), signal);
    }
  }, signal);
}

async function currentSnapshot(connection: RawConnection, signal: AbortSignal): Promise<string> {
  const [row] = await connection.values(SNAPSHOT, signal);
  const snapshot = row?.[0];
  invariant(typeof snapshot === 'string', 'pg_current_snapshot() is a text');
  return snapshot;
}

async function stalled(deps: ReadDeps, connection: RawConnection, snapshot: string, mark: number, table: string, signal: AbortSignal): Promise<TailraceError> {
  const hidden = deps.visibility.hiddenXid(snapshot, mark);
  const blockers = hidden === undefined ? [] : await blockersOf(connection, hidden, signal);
  const who = hidden === undefined ? 'a transaction that is in the stream already' : `transaction ${hidden}`;
  const detail = blockers.length === 0 ? '' : `: ${blockers.join('; ')}`;
  return new TailraceError('SRC_SNAPSHOT_STALLED', {
    message: `A read of ${table} has waited ${Math.round(STALLED_MS / 1000)} s to see ${who}, which is committed in the write-ahead log but not yet visible to others${detail}.`,
    entity: `${deps.source}.${table}`,
  });
}
