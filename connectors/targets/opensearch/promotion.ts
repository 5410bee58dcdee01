/** Makes a generation the one that readers see: settings for searching put back, everything searchable, then the alias moved in one step. */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { GenerationPlan, Seen } from '../../../src/connector/target.ts';
import { pathOf, type Cluster } from './cluster.ts';
import { failureOf, serverErrorOf } from './failure.ts';
import { keptSettings, type FlatSettings } from './index-settings.ts';
import { indexState, indexStates, waitForShards, type IndexState } from './index-state.ts';
import { newMeta, overwrittenMeta, ownerOf } from './meta.ts';
import { putSettings } from './opening.ts';

/** Copies of a loaded index are made after it is built. Readers are not kept waiting for them longer than this. */
const COPIES_WITHIN = '30s';

export interface Promotion {
  readonly plan: GenerationPlan;
  readonly physical: string;
  /** The write alias of this opening: who has it no more promotes nothing. */
  readonly alias: string;
  /** Those that the index is to have for its readers. */
  readonly settings: FlatSettings;
}

/** Resolves to false when the write alias, or the index, is gone; nothing was changed for readers then. */
export async function promote({ plan, physical, alias, settings }: Promotion, cluster: Cluster, signal: AbortSignal): Promise<boolean> {
  const state = await indexState(cluster, physical, signal);
  if (state === undefined || !state.aliases.includes(alias)) return false;
  if (state.meta === undefined) throw overwrittenMeta(state, newMeta(plan, settings));
  await putSettings(plan, state, { ...state.meta.settings, ...keptSettings }, cluster, signal);
  await cluster.json({ method: 'POST', path: `${pathOf(physical)}/_refresh`, isSlow: true }, { what: `refreshing ${physical}`, physical }, signal);
  const isAlone = await hasOneDataNode(cluster, signal);
  await waitForShards(cluster, physical, isAlone ? 'yellow' : 'green', COPIES_WITHIN, signal);
  const seen = await indexStates(cluster, plan.index, signal);
  const foreign = foreignIn(seen, plan.index);
  if (foreign !== undefined) throw foreign;
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

/** What readers of the index find, seen from this index of it. */
export async function seenFrom(physical: string, index: string, cluster: Cluster, signal: AbortSignal): Promise<Seen> {
  const seen = await indexStates(cluster, index, signal);
  if (seen.length === 0) return 'nothing';
  const foreign = foreignIn(seen, index, 'This index is kept in step; as soon as nothing else has its name, readers get it back.');
  return foreign ?? (seen.length === 1 && seen[0]?.name === physical ? 'this' : 'another');
}

/** TGT_IDENTITY when there is one behind the name that readers use that tailrace did not make. */
function foreignIn(seen: readonly IndexState[], index: string, did = 'Readers see what they saw before.'): TailraceError | undefined {
  const foreign = seen.find((state) => ownerOf(state)?.index !== index);
  if (foreign === undefined) return undefined;
  const isAlias = foreign.name !== index;
  return new TailraceError('TGT_IDENTITY', {
    message: isAlias ? `The alias ${index} is that of the index ${foreign.name}, which tailrace did not make.` : `There is an index with the name ${index}, which tailrace did not make; readers are to find an alias of that name.`,
    entity: index,
    did,
    hint: isAlias ? `POST /_aliases {"actions": [{"remove": {"index": "${foreign.name}", "alias": "${index}"}}]}` : `If nobody needs it: DELETE /${index}. Or give the index another name in the config.`,
  });
}

async function hasOneDataNode(cluster: Cluster, signal: AbortSignal): Promise<boolean> {
  const health = (await cluster.json({ method: 'GET', path: '/_cluster/health?filter_path=number_of_data_nodes' }, 'asking for the nodes', signal)) as { readonly number_of_data_nodes?: number };
  return (health.number_of_data_nodes ?? 1) <= 1;
}
