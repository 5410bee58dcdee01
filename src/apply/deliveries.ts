/** The way of built batches to a generation's target: what they replace is no longer parked, what became of them is counted, and trouble is told. */
import { versionOf, type Seq } from '../change/seq.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { TargetGeneration } from '../connector/target.ts';
import { codeOf } from '../errors/tailrace-error.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { BuiltBatch } from './built-batch.ts';
import type { ApplyCounters } from './counters.ts';
import type { DeadLetters } from './dead-letters.ts';
import { deliver, type Delivered, type RefusedOperation } from './delivery.ts';

interface DeliveriesDeps {
  readonly index: string;
  readonly atomicCursor: boolean;
  readonly log: LogStore;
  readonly target: TargetGeneration;
  readonly runtime: Runtime;
  readonly counters: ApplyCounters;
}

export class Deliveries {
  readonly #deps: DeliveriesDeps;
  readonly #letters: DeadLetters;
  #trouble: unknown = null;
  #appliedCommitMs: number | null = null;

  constructor(deps: DeliveriesDeps, letters: DeadLetters) {
    this.#deps = deps;
    this.#letters = letters;
  }

  /** Why the target does not take what it is sent, while it does not. */
  get trouble(): unknown {
    return this.#trouble;
  }

  /** Source's wall clock at the newest commit that was brought. */
  get appliedCommitMs(): number | null {
    return this.#appliedCommitMs;
  }

  /** Resolves when the target has taken the batch, with the cursor. Rejects as `deliver` does. */
  async bring(built: BuiltBatch, cursor: Seq, signal: AbortSignal): Promise<void> {
    const { log, target, runtime, atomicCursor } = this.#deps;
    const { operations, withdrawals, clearedAt } = built;
    if (!built.isEmpty || atomicCursor) {
      const clearBelow = clearedAt === null ? undefined : versionOf(log.epoch, clearedAt);
      const request = { operations, withdrawals, clearBelow, forgetBelow: versionOf(log.epoch, log.firstSeq), cursor };
      const deps = { target, atomicCursor, runtime, onTrouble: (error: unknown) => this.#noteTrouble(error), onRefused: (refused: readonly RefusedOperation[]) => this.#letters.park(refused) };
      // Closed before, not after: a target that keeps the cursor has moved it when it answers, and what is missed then is never looked at again.
      this.#letters.closeFor(operations, clearedAt);
      const delivered = await deliver(request, deps, signal);
      this.#account(built, delivered);
    }
    if (built.commitTimeMs !== null) this.#appliedCommitMs = built.commitTimeMs;
  }

  /** All at once, when the batch is done: one that is given up, and sent again later, counts once. */
  #account(built: BuiltBatch, { applied, stale, refused }: Delivered): void {
    const { counters } = this.#deps;
    const filtered = applied.filter(({ id }) => built.filtered.has(id)).length;
    counters.read += built.read;
    counters.superseded += built.superseded;
    counters.filtered += filtered;
    counters.applied += applied.length - filtered + (built.clearedAt === null ? 0 : 1);
    counters.stale += stale.length;
    counters.dead_lettered += built.failed.length + refused.length;
    counters.batches += 1;
    counters.document_bytes += built.documentBytes;
  }

  #noteTrouble(error: unknown): void {
    const { runtime, index } = this.#deps;
    if (error !== null && codeOf(error) !== codeOf(this.#trouble)) runtime.logger.warn('target_trouble', { index, error });
    if (error === null && this.#trouble !== null) runtime.logger.info('target_recovered', { index });
    this.#trouble = error;
  }
}
