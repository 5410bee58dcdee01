/**
 * Brings one batch to the target, however often it takes. Operations that the target wants again are sent again, refused ones become dead
 * letters; only when every operation has its outcome is the batch done. A batch that fails as a whole is sent again as a whole: versions
 * make that harmless.
 */
import { seqOf } from '../change/seq.ts';
import type { ItemResult, Operation, TargetGeneration } from '../connector/target.ts';
import { invariant } from '../errors/invariant.ts';
import { dispositionOf } from '../errors/policy.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import type { Seq } from '../change/seq.ts';
import { untilAborted } from '../runtime/abort.ts';
import { Backoff } from '../runtime/backoff.ts';
import type { Runtime } from '../runtime/runtime.ts';

const RETRY = { firstMs: 100, maxMs: 30_000 };

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

export interface DeliveryRequest {
  readonly operations: readonly Operation[];
  readonly clearBelow: bigint | undefined;
  readonly forgetBelow: bigint;
  readonly cursor: Seq;
}

export interface DeliveryDeps {
  readonly target: TargetGeneration;
  /** The target stores the cursor with a batch, and leaves it where it is when it refuses an operation. */
  readonly atomicCursor: boolean;
  readonly runtime: Runtime;
  /** Told of every failed attempt, and with null when one succeeds: for the status. */
  readonly onTrouble: (error: unknown) => void;
  /** Told at once of operations that the target refused: what it does is durable before the target hears of the cursor again. */
  readonly onRefused: (refused: readonly RefusedOperation[]) => void;
}

/** Rejects with the signal's reason, or with an error that a pause does not mend. */
export async function deliver(request: DeliveryRequest, deps: DeliveryDeps, signal: AbortSignal): Promise<Delivered> {
  const backoff = new Backoff(RETRY, deps.runtime.random);
  const delivered = { applied: [] as Operation[], stale: [] as Operation[], refused: [] as RefusedOperation[] };
  let operations = request.operations;
  let { clearBelow } = request;
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
      await deps.runtime.clock.sleep(backoff.nextMs(), signal);
      continue;
    }
    invariant(results.length === operations.length, 'a target answers every operation');
    clearBelow = undefined;
    const refusedBefore = delivered.refused.length;
    const again = sort(operations, results, delivered);
    const refused = delivered.refused.slice(refusedBefore);
    if (refused.length > 0) deps.onRefused(refused);
    operations = again.operations;
    if (operations.length === 0) {
      // With its refused operations taken care of, the batch is sent once more, empty, so that the cursor moves.
      if (refused.length > 0 && deps.atomicCursor) continue;
      deps.onTrouble(null);
      return delivered;
    }
    await deps.runtime.clock.sleep(Math.max(backoff.nextMs(), again.afterMs), signal);
  }
}

/** Files each operation under its outcome; returns those to be sent again. */
function sort(
  operations: readonly Operation[],
  results: readonly ItemResult[],
  into: { applied: Operation[]; stale: Operation[]; refused: RefusedOperation[] },
): { readonly operations: Operation[]; readonly afterMs: number } {
  const again: Operation[] = [];
  let afterMs = 0;
  for (const [i, operation] of operations.entries()) {
    const result = results[i] as ItemResult;
    if (result.outcome === 'applied') into.applied.push(operation);
    else if (result.outcome === 'stale') into.stale.push(operation);
    else if (result.outcome === 'retry') {
      again.push(operation);
      afterMs = Math.max(afterMs, result.afterMs ?? 0);
    } else into.refused.push({ id: operation.id, seq: seqOf(operation.version), code: result.code, reason: result.reason });
  }
  return { operations: again, afterMs };
}
