/** The generations that a cluster holds, and the end of one. */
import type { GenerationListing } from '../../../src/connector/target.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { pathOf, type Cluster } from './cluster.ts';
import { failureOf, serverErrorOf } from './failure.ts';
import { indexState, indexStates, type IndexState } from './index-state.ts';
import { ownerOf } from './meta.ts';
import { generationIndex, nameProblem } from './names.ts';

/** Every index that is named like a generation and is one. */
export async function ownIndices(cluster: Cluster, signal: AbortSignal): Promise<IndexState[]> {
  return (await indexStates(cluster, '*-g*', signal)).filter((state) => ownerOf(state) !== undefined);
}

export async function listGenerations(cluster: Cluster, signal: AbortSignal): Promise<GenerationListing[]> {
  const states = await ownIndices(cluster, signal);
  if (states.length === 0) return [];
  const counts = await countsOf(cluster, signal);
  return states
    .map((state): GenerationListing => {
      const { index = '', generation = 0 } = ownerOf(state) ?? {};
      return { index, generation, promoted: state.aliases.includes(index), cursor: null, documents: counts.get(state.name) ?? 0 };
    })
    .toSorted((a, b) => (a.index === b.index ? a.generation - b.generation : a.index < b.index ? -1 : 1));
}

/** Documents that searches see, by index. */
async function countsOf(cluster: Cluster, signal: AbortSignal): Promise<Map<string, number>> {
  const path = '/*-g*/_stats/docs?filter_path=indices.*.primaries.docs.count&expand_wildcards=open,hidden&ignore_unavailable=true&forbid_closed_indices=false';
  const { indices } = (await cluster.json({ method: 'GET', path }, 'counting documents', signal)) as { readonly indices?: Readonly<Record<string, { readonly primaries?: { readonly docs?: { readonly count?: number } } }>> };
  return new Map(Object.entries(indices ?? {}).map(([name, { primaries }]) => [name, primaries?.docs?.count ?? 0]));
}

/**
 * Deletes the index of a generation; of one that is not there nothing is left to do, be it that another program has an index of its name now,
 * which is left alone. Resolves to its name. Rejects with INVARIANT for the one that readers see.
 */
export async function dropIndex(index: string, generation: number, cluster: Cluster, signal: AbortSignal): Promise<string | undefined> {
  if (nameProblem(index) !== undefined) return undefined;
  const physical = generationIndex(index, generation);
  const state = await indexState(cluster, physical, signal);
  if (state === undefined || ownerOf(state) === undefined) return undefined;
  if (state.aliases.includes(index)) throw new TailraceError('INVARIANT', { message: `A rule of tailrace's own was broken: generation ${generation} of ${index} is the one that readers see, and is not dropped.` });
  const answer = await cluster.request({ method: 'DELETE', path: pathOf(physical), isSlow: true }, signal);
  if (answer.status >= 300 && answer.status !== 404) throw failureOf(answer.status, serverErrorOf(answer.body), { what: `deleting ${physical}`, physical, index });
  return physical;
}
