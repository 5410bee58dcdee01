/** Defects that a run must find. */
import type { Patch } from '../build/patch.ts';

export interface Mutation {
  readonly name: string;
  /** What is wrong, in one sentence. */
  readonly defect: string;
  readonly patches: readonly Patch[];
}

export const mutations: readonly Mutation[] = [];
