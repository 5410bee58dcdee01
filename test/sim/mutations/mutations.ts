/** Defects that runs must find: each breaks one thing that a promise rests on. Whoever changes a source text that is named here changes it here, too. */
import { applyMutations } from './apply-mutations.ts';
import { boundsMutations } from './bounds-mutations.ts';
import { captureMutations } from './capture-mutations.ts';
import { logMutations } from './log-mutations.ts';
import type { Mutation } from './mutation.ts';
import { pipelineMutations } from './pipeline-mutations.ts';

export const mutations: readonly Mutation[] = [...captureMutations, ...logMutations, ...applyMutations, ...pipelineMutations, ...boundsMutations];
