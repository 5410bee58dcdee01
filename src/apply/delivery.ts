/**
 * Brings one batch to the target, however often it takes. Operations that the target wants again are sent again, refused ones become dead
 * letters; only when every operation has its outcome is the batch done. A batch that fails as a whole is sent again as a whole: versions
 * make that harmless.
 *
 * Of a document that cannot be had no older version stays in the index: which one that would be depends on where batches begin and end.
 */
import { seqOf } from '../change/seq.ts';
import type { ItemResult, Operation, TargetGeneration } from '../connector/target.ts';
import { invariant } from '../errors/invariant.ts';
import { dispositionOf } from '../errors/policy.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import type { Seq } from '../change/seq.ts';
import { type Notifier, untilAborted, within } from '../runtime/abort.ts';
import { Backoff } from '../runtime/backoff.ts';
import type { Runtime } from '../runtime/runtime.ts';

const RETRY = { firstMs: 100, maxMs: 30_000 };

/** A target that puts off all that it is sent is busy; one that does so for this long takes nothing, and that is told. */
const PUT_OFF_TOLD_AFTER_MS = 5_000;

export interface Delivered {
  readonly applied: readonly Operation[];
  readonly stale: readonly Operation[];
  readonly refused: readonly RefusedOperation[];
}

export interface RefusedOperation {
  readonly id: string;
  readonly seq: Seq;
  readonly code: ErrorCode;
  readonly reason: string;
}

interface DeliveryRequest {
  readonly operations: readonly Operation[];
  /** Of documents that could not be built (see `withdrawalOf`): sent with the operations, and no part of what was delivered. */
  readonly withdrawals: readonly Operation[];
  readonly clearBelow: bigint | undefined;
  readonly forgetBelow: bigint;
  readonly cursor: Seq;
}

interface DeliveryDeps {
  readonly target: TargetGeneration;
  /** The target stores the cursor with a batch, and leaves it where it is when it refuses an operation. */
  readonly atomicCursor: boolean;
  readonly runtime: Runtime;
  /** Told of every failed attempt, and of those that take nothing for long; with null when something is taken: for the status. */
  readonly onTrouble: (error: unknown) => void;
  /** Told when another batch was taken: then it is this one's turn, too, however long its pause is. */
  readonly recovered: Notifier;
  /** Told at once of operations that the target refused: what it does is durable before the target hears of the cursor again. */
  readonly onRefused: (refused: readonly RefusedOperation[]) => void;
}

/**
 * Takes what stands in the place of a refused document out of the index, as of just before its version: the document itself still comes when
 * it is sent again and its cause is mended, and nothing older does.
 */
export function withdrawalOf(id: string, version: bigint): Operation {
  return { kind: 'delete', id, version: version - 1n };
}

/** Rejects with the signal's reason, or with an error that a pause does not mend. */
export async function deliver(request: DeliveryRequest, deps: DeliveryDeps, signal: AbortSignal): Promise<Delivered> {
  const backoff = new Backoff(RETRY, deps.runtime.random);
  const delivered = { applied: [] as Operation[], stale: [] as Operation[], refused: [] as RefusedOperation[] };
  const withdrawals = new Set(request.withdrawals);
  let operations: readonly Operation[] = [...request.operations, ...withdrawals];
  let { clearBelow } = request;
  let takenAtMs = deps.runtime.clock.monotonicMs();
  for (;;) {
    signal.throwIfAborted();
    let results: ItemResult[];
    try {
      // A target that hangs may not notice the signal: what it still does is like a request that was on its way when its sender died.
      results = await untilAborted(deps.target.apply({ operations, clearBelow, forgetBelow: request.forgetBelow, cursor: request.cursor }, signal), signal);
    } catch (error) {
      const disposition = dispositionOf(error);
      if (signal.aborted || (disposition !== 'backoff' && disposition !== 'pause')) throw error;
      deps.onTrouble(error);
      const pauseMs = backoff.nextMs();
      await within(pauseMs, deps.runtime.clock, async (either) => deps.recovered.wait(either), signal);
      continue;
    }
    invariant(results.length === operations.length, 'a target answers every operation');
    clearBelow = undefined;
    const refusedBefore = delivered.refused.length;
    const next = sort(operations, results, withdrawals, delivered);
    const refused = delivered.refused.slice(refusedBefore);
    if (refused.length > 0) deps.onRefused(refused);
    for (const withdrawal of next.withdrawals) withdrawals.add(withdrawal);
    operations = [...next.again, ...next.withdrawals];
    if (operations.length === 0) {
      // With its refused operations taken care of, the batch is sent once more, empty, so that the cursor moves.
      if (next.isRefused && deps.atomicCursor) continue;
      deps.onTrouble(null);
      return delivered;
    }
    if (next.again.length < results.length) {
      takenAtMs = deps.runtime.clock.monotonicMs();
      backoff.reset();
      deps.onTrouble(null);
    } else if (deps.runtime.clock.monotonicMs() - takenAtMs >= PUT_OFF_TOLD_AFTER_MS) deps.onTrouble(takesNothing(results));
    if (next.again.length > 0) await deps.runtime.clock.sleep(Math.max(backoff.nextMs(), next.afterMs), signal);
  }
}

function takesNothing(results: readonly ItemResult[]): TailraceError {
  const reason = results.find((result) => result.outcome === 'retry')?.reason;
  return new TailraceError('TGT_CONN', { message: `The target puts off everything that it is sent${reason === undefined ? '' : ` (${reason})`}.`, hint: 'See at the target what it lacks: room, memory, or a place to write to.' });
}

interface Next {
  /** Operations to be sent again, not before `afterMs`. */
  readonly again: Operation[];
  afterMs: number;
  /** For documents that were refused. */
  readonly withdrawals: Operation[];
  /** An operation of whatever kind was refused. */
  isRefused: boolean;
}

/** Files each operation under its outcome; returns what is to be sent next. A withdrawal that is refused, for its id, has nothing to take out. */
function sort(
  operations: readonly Operation[],
  results: readonly ItemResult[],
  withdrawals: ReadonlySet<Operation>,
  into: { applied: Operation[]; stale: Operation[]; refused: RefusedOperation[] },
): Next {
  const next: Next = { again: [], afterMs: 0, withdrawals: [], isRefused: false };
  for (const [i, operation] of operations.entries()) {
    const result = results[i] as ItemResult;
    const isOwn = withdrawals.has(operation);
    if (result.outcome === 'retry') {
      next.again.push(operation);
      next.afterMs = Math.max(next.afterMs, result.afterMs ?? 0);
    } else if (result.outcome === 'poison') {
      next.isRefused = true;
      if (!isOwn) into.refused.push({ id: operation.id, seq: seqOf(operation.version), code: result.code, reason: result.reason });
      if (operation.kind === 'put') next.withdrawals.push(withdrawalOf(operation.id, operation.version));
    } else if (!isOwn && result.outcome === 'applied') into.applied.push(operation);
    else if (!isOwn) into.stale.push(operation);
  }
  return next;
}
