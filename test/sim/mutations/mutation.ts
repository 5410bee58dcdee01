/** A defect that is put into the engine, to see whether a run finds it. */
import type { Patch } from '../build/patch.ts';

export interface Mutation {
  readonly name: string;
  /** What is wrong, in one sentence. */
  readonly defect: string;
  readonly patches: readonly Patch[];
}
