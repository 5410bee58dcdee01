/**
 * How far a generation has applied the log, and how far that is durable. Some targets keep the cursor with their documents; for the others it
 * is in the state store, now and then. The log is released only up to what a restart would begin at.
 */
import type { Seq } from '../change/seq.ts';
import type { LogStore } from '../connector/log-store.ts';
import type { TargetGeneration } from '../connector/target.ts';
import type { Runtime } from '../runtime/runtime.ts';
import type { StateStore } from '../state/state-store.ts';
import { LowWater } from './low-water.ts';

/** A cursor that the target does not keep is written to the state store at most this often. */
export const CURSOR_EVERY_MS = 200;

interface StoredCursorDeps {
  readonly index: string;
  readonly generation: number;
  /** Where to begin when nobody has a cursor. */
  readonly startSeq: Seq;
  readonly atomicCursor: boolean;
  readonly log: LogStore;
  readonly target: TargetGeneration;
  readonly state: StateStore;
  readonly runtime: Runtime;
}

export class StoredCursor {
  readonly #deps: StoredCursorDeps;
  /** What the log is held by. */
  readonly #name: string;
  #lowWater = new LowWater(0);
  #stored: Seq = 0;
  #storedAtMs = -Infinity;
  /** Where a replay has come to where the target was; null while there is none. */
  #replayedAt: Seq | null = null;
  #isOpen = false;

  constructor(deps: StoredCursorDeps, name: string) {
    this.#deps = deps;
    this.#name = name;
  }

  /** Everything up to here is applied. */
  get seq(): Seq {
    return this.#lowWater.cursor;
  }

  /** The same; null until `open` has found it. */
  get known(): Seq | null {
    return this.#isOpen ? this.seq : null;
  }

  /** Source's wall clock at the newest commit that is applied, together with all before it. */
  get appliedCommitMs(): number | null {
    return this.#lowWater.commitTimeMs;
  }

  get isStored(): boolean {
    return this.#deps.atomicCursor || this.#stored === this.seq;
  }

  /** Finds out where to go on. */
  async open(): Promise<void> {
    const { atomicCursor, target, state, index, generation, startSeq, log } = this.#deps;
    const stored = state.cursor(index, generation);
    const kept = (atomicCursor ? await target.cursor() : stored) ?? startSeq;
    // Such a target never moves its cursor back: that it is to be replayed from earlier is in the state store, until that is done.
    const isReplay = atomicCursor && stored !== null && stored < kept;
    this.#replayedAt = isReplay ? kept : null;
    if (atomicCursor && stored !== null && !isReplay) state.putCursor(index, generation, null);
    this.#stored = isReplay ? stored : kept;
    this.#lowWater = new LowWater(this.#stored);
    this.#isOpen = true;
    log.hold(this.#name, this.#stored);
  }

  /** As `LowWater.begin`. */
  begin(through: Seq, commitTimeMs: number | null): () => void {
    const done = this.#lowWater.begin(through, commitTimeMs);
    return () => {
      done();
      this.#moved();
    };
  }

  #endReplay(): void {
    const { state, index, generation } = this.#deps;
    state.putCursor(index, generation, null);
    this.#replayedAt = null;
  }

  store(): void {
    const { atomicCursor, state, index, generation, log, runtime } = this.#deps;
    if (atomicCursor || this.isStored) return;
    state.putCursor(index, generation, this.seq);
    this.#stored = this.seq;
    this.#storedAtMs = runtime.clock.monotonicMs();
    log.hold(this.#name, this.seq);
  }

  #moved(): void {
    const { atomicCursor, log, runtime } = this.#deps;
    if (atomicCursor) {
      if (this.#replayedAt !== null && this.seq >= this.#replayedAt) this.#endReplay();
      log.hold(this.#name, this.seq);
    } else if (runtime.clock.monotonicMs() - this.#storedAtMs >= CURSOR_EVERY_MS) this.store();
  }
}
