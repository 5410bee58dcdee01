/** The way of built batches to a generation's target: what they replace is no longer parked, what became of them is counted, and trouble is told. */
import { versionOf, type Seq } from '../change/seq.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { TargetGeneration } from '../connector/target.ts';
import { codeOf } from '../errors/tailrace-error.ts';
import { Notifier } from '../runtime/abort.ts';
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
  /** Of batches that wait to be sent again, each with why. */
  readonly #troubles = new Map<BuiltBatch, unknown>();
  readonly #recovered = new Notifier();

  constructor(deps: DeliveriesDeps, letters: DeadLetters) {
    this.#deps = deps;
    this.#letters = letters;
  }

  /** Why the target does not take what it is sent, while it does not. */
  get trouble(): unknown {
    return this.#troubles.values().next().value ?? null;
  }

  /** Resolves when the target has taken the batch, with the cursor. Rejects as `deliver` does. */
  async bring(built: BuiltBatch, cursor: Seq, signal: AbortSignal): Promise<void> {
    const { log, target, runtime, atomicCursor } = this.#deps;
    const { operations, withdrawals, clearedAt } = built;
    if (!built.isEmpty || atomicCursor) {
      const clearBelow = clearedAt === null ? undefined : versionOf(log.epoch, clearedAt);
      const request = { operations, withdrawals, clearBelow, forgetBelow: versionOf(log.epoch, log.firstSeq), cursor };
      const onTrouble = (error: unknown): void => this.#noteTrouble(built, error);
      const onRefused = (refused: readonly RefusedOperation[]): void => this.#letters.park(refused);
      const deps = { target, atomicCursor, runtime, onTrouble, onRefused, recovered: this.#recovered };
      // Of older changes closed before, not after: a target that keeps the cursor has moved it when it answers, and what is missed then is never looked at again.
      this.#letters.closeFor(operations, clearedAt);
      const delivered = await deliver(request, deps, signal);
      this.#letters.closeTaken(delivered.applied);
      this.#letters.closeTaken(delivered.stale);
      this.#account(built, delivered);
    }
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

  #noteTrouble(built: BuiltBatch, error: unknown): void {
    const { runtime, index } = this.#deps;
    if (error !== null) {
      if (codeOf(error) !== codeOf(this.trouble)) runtime.logger.warn('target_trouble', { index, error });
      this.#troubles.set(built, error);
      return;
    }
    const hadTrouble = this.#troubles.delete(built);
    if (hadTrouble && this.#troubles.size === 0) runtime.logger.info('target_recovered', { index });
    if (this.#troubles.size > 0) this.#recovered.notify();
  }
}
