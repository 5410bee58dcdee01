/** What a state store leaves behind when its process dies. */
import type { Seq } from '../../../src/change/seq.ts';
import type { DeadLetter, GenerationRecord, JobRecord, LastBegun } from '../../../src/state/state-store.ts';

export class StateFile {
  logId: string | null = null;
  readonly generations = new Map<string, GenerationRecord>();
  readonly cursors = new Map<string, Seq>();
  readonly letters = new Map<string, DeadLetter>();
  readonly lastBegun = new Map<string, LastBegun>();
  readonly jobs = new Map<number, JobRecord>();

  /** As it is now: to be put back later, as an operator does with a backup. */
  cursorsNow(): ReadonlyMap<string, Seq> {
    return new Map(this.cursors);
  }
}
