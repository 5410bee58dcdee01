/** Makes a generation the one that readers see: settings for searching put back, everything searchable, then the alias moved in one step. */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { GenerationPlan } from '../../../src/connector/target.ts';
import { pathOf, type Cluster } from './cluster.ts';
import { failureOf, serverErrorOf } from './failure.ts';
import { keptSettings } from './index-settings.ts';
import { indexState, indexStates, waitForShards, type IndexState } from './index-state.ts';
import { putSettings } from './opening.ts';

/** Copies of a loaded index are made after it is built. Readers are not kept waiting for them longer than this. */
const COPIES_WITHIN = '30s';

export interface Promotion {
  readonly plan: GenerationPlan;
  readonly physical: string;
  /** The write alias of this opening: who has it no more promotes nothing. */
  readonly alias: string;
}

/** Resolves to false when the write alias, or the index, is gone; nothing was changed for readers then. */
export async function promote({ plan, physical, alias }: Promotion, cluster: Cluster, signal: AbortSignal): Promise<boolean> {
  const state = await indexState(cluster, physical, signal);
  if (state?.meta === undefined || !state.aliases.includes(alias)) return false;
  await putSettings(plan, state, { ...state.meta.settings, ...keptSettings }, cluster, signal);
  await cluster.json({ method: 'POST', path: `${pathOf(physical)}/_refresh`, isSlow: true }, { what: `refreshing ${physical}`, physical }, signal);
  const isAlone = await hasOneDataNode(cluster, signal);
  await waitForShards(cluster, physical, isAlone ? 'yellow' : 'green', COPIES_WITHIN, signal);
  const seen = await seenByReaders(plan.index, cluster, signal);
  if (seen.length === 1 && seen[0]?.name === physical) return true;
  const actions = [
    // Taken away and put back: the request fails as a whole when a newer opening has taken it.
    { remove: { index: physical, alias, must_exist: true } },
    { add: { index: physical, alias } },
    ...seen.filter(({ name }) => name !== physical).map(({ name }) => ({ remove: { index: name, alias: plan.index } })),
    { add: { index: physical, alias: plan.index } },
  ];
  const answer = await cluster.request({ method: 'POST', path: '/_aliases', body: JSON.stringify({ actions }) }, signal);
  if (answer.status === 404) return false;
  if (answer.status >= 300) throw failureOf(answer.status, serverErrorOf(answer.body), { what: `promoting ${physical}`, physical, index: plan.index });
  return true;
}

/** The indices behind the name that readers use. Throws TGT_IDENTITY when there is one that tailrace did not make. */
async function seenByReaders(index: string, cluster: Cluster, signal: AbortSignal): Promise<IndexState[]> {
  const seen = await indexStates(cluster, index, signal);
  const foreign = seen.find(({ meta }) => meta?.index !== index);
  if (foreign === undefined) return seen;
  const isAlias = foreign.name !== index;
  throw new TailraceError('TGT_IDENTITY', {
    message: isAlias ? `The alias ${index} is that of the index ${foreign.name}, which tailrace did not make.` : `There is an index with the name ${index}, which tailrace did not make; readers are to find an alias of that name.`,
    entity: index,
    did: 'Readers see what they saw before.',
    hint: isAlias ? `POST /_aliases {"actions": [{"remove": {"index": "${foreign.name}", "alias": "${index}"}}]}` : `If nobody needs it: DELETE /${index}. Or give the index another name in the config.`,
  });
}

async function hasOneDataNode(cluster: Cluster, signal: AbortSignal): Promise<boolean> {
  const health = (await cluster.json({ method: 'GET', path: '/_cluster/health?filter_path=number_of_data_nodes' }, 'asking for the nodes', signal)) as { readonly number_of_data_nodes?: number };
  return (health.number_of_data_nodes ?? 1) <= 1;
}
