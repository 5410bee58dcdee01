/**
 * Opens a generation: makes its index if it is not there, makes sure that it is ours, and takes the way of writing away from whoever opened it
 * before. What was opened earlier writes through an alias that is gone from then on, so that the cluster itself refuses it.
 */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { GenerationPlan } from '../../../src/connector/target.ts';
import type { Random } from '../../../src/runtime/random.ts';
import { pathOf, type Cluster } from './cluster.ts';
import type { Dialect } from './dialect.ts';
import { failureOf, rebuilding, serverErrorOf } from './failure.ts';
import { accepted, bringFields, recordFields, refusedLimit } from './fields.ts';
import { changedSettings, keptSettings, loadingSettings, settingsBody, TOTAL_FIELDS, TOTAL_FIELDS_DEFAULT, wantedSettings, type FlatSettings } from './index-settings.ts';
import { incarnationOf, indexState, indexStates, type IndexState } from './index-state.ts';
import { canonicalText, dynamicOf, plannedMappings } from './mapping.ts';
import { assertOwn, newMeta, overwrittenMeta, ownerOf } from './meta.ts';
import { generationIndex, nameProblem, writeAlias, writeAliasNumber } from './names.ts';

/** Others may open the same generation at the same moment; each try loses to one of them. */
const OPENING_TRIES = 10;

const TOKEN_BYTES = 8;

export interface OpeningDeps {
  readonly cluster: Cluster;
  readonly dialect: Dialect;
  readonly random: Random;
  /** For indices that do not say it. */
  readonly refreshInterval: string;
}

export interface OpenedIndex {
  readonly physical: string;
  readonly uuid: string;
  /** What everything is written through. */
  readonly alias: string;
  readonly incarnation: string;
  /** Those that it is to have when it is built. */
  readonly settings: FlatSettings;
}

export async function openIndex(plan: GenerationPlan, deps: OpeningDeps, signal: AbortSignal): Promise<OpenedIndex> {
  const { cluster, dialect, random } = deps;
  const physical = generationIndex(plan.index, plan.generation);
  const problem = nameProblem(plan.index);
  if (problem !== undefined) throw new TailraceError('CFG_INVALID', { message: `The name of the index ${plan.index} ${problem}.`, entity: plan.index });
  const wanted = wantedSettings(plan.options.settings, deps.refreshInterval);
  const token = random.hex(TOKEN_BYTES);
  const state = await ownState(plan, physical, wanted, token, deps, signal);
  const alias = state.aliases.find((name) => name.endsWith(token)) ?? (await fence(cluster, plan, physical, token, signal));
  await removeStrays(cluster, physical, signal);
  await bringSettings(plan, state, wanted, cluster, signal);
  await bringFields([], { cluster, dialect, plan, physical, settings: wanted }, signal);
  return { physical, uuid: state.uuid, alias, incarnation: await incarnationOf(cluster, state, signal), settings: wanted };
}

/** The generation's index as it is, or as it was just made. */
async function ownState(plan: GenerationPlan, physical: string, wanted: FlatSettings, token: string, deps: OpeningDeps, signal: AbortSignal): Promise<IndexState> {
  for (let tries = 0; tries < OPENING_TRIES; tries += 1) {
    const [state] = await indexStates(deps.cluster, physical, signal);
    if (state !== undefined) {
      if (state.name !== physical) throw new TailraceError('TGT_IDENTITY', { message: `${physical} is an alias of the index ${state.name}, and no generation.`, entity: plan.index, hint: `POST /_aliases {"actions": [{"remove": {"index": "${state.name}", "alias": "${physical}"}}]}` });
      if (state.meta === undefined && ownerOf(state) !== undefined) throw overwrittenMeta(state, newMeta(plan, wanted));
      assertOwn(physical, state.meta, plan);
      return state;
    }
    await create(plan, physical, wanted, token, deps, signal);
  }
  throw new TailraceError('TGT_CONN', { message: `The index ${physical} is made and deleted again and again by somebody else.` });
}

/** Makes the index with everything that identifies it, so that there is no moment at which it is anybody's. One that is there is left alone. */
async function create(plan: GenerationPlan, physical: string, wanted: FlatSettings, token: string, { cluster, dialect }: OpeningDeps, signal: AbortSignal): Promise<void> {
  const properties = Object.fromEntries(plannedMappings(plan.fields, plan.options, dialect));
  const given = Object.fromEntries(Object.entries({ ...wanted, ...(plan.isBuilding ? loadingFor(wanted) : {}), ...keptSettings }).filter(([, value]) => value !== null));
  const mappings = { dynamic: dynamicOf(plan.options), _meta: { tailrace: newMeta(plan, wanted) }, properties };
  const aliases = { [writeAlias(physical, 1, token)]: {} };
  let limit = Number(given[TOTAL_FIELDS] ?? TOTAL_FIELDS_DEFAULT);
  for (;;) {
    const settings = settingsBody(limit === TOTAL_FIELDS_DEFAULT ? given : { ...given, [TOTAL_FIELDS]: limit });
    const answer = await cluster.request({ method: 'PUT', path: pathOf(physical), body: JSON.stringify({ settings, mappings, aliases }), isSlow: true }, signal);
    if (answer.status === 400 && serverErrorOf(answer.body).type === 'resource_already_exists_exception') return;
    const next = refusedLimit(answer, limit, plan);
    if (next === undefined) return void accepted(answer, physical, plan, Object.keys(properties));
    limit = next;
  }
}

function loadingFor(wanted: FlatSettings): FlatSettings {
  // The server would set the replicas itself.
  return 'auto_expand_replicas' in wanted ? { refresh_interval: loadingSettings['refresh_interval'] } : loadingSettings;
}

/** Takes every write alias of the generation away and adds a new one, in one step: if another opening came first, in the next try. */
async function fence(cluster: Cluster, plan: GenerationPlan, physical: string, token: string, signal: AbortSignal): Promise<string> {
  for (let tries = 0; tries < OPENING_TRIES; tries += 1) {
    const state = await indexState(cluster, physical, signal);
    if (state === undefined) throw new TailraceError('TGT_MISSING', { message: `The index ${physical} was deleted while it was opened.`, entity: plan.index, hint: rebuilding(plan.index) });
    const held = state.aliases.filter((name) => writeAliasNumber(physical, name) !== undefined);
    const number = Math.max(0, ...held.map((name) => writeAliasNumber(physical, name) ?? 0)) + 1;
    const alias = writeAlias(physical, number, token);
    // `must_exist`: of two that open at once, one finds that what it takes away is gone, and nothing of its request is done.
    const actions = [...held.map((name) => ({ remove: { index: physical, alias: name, must_exist: true } })), { add: { index: physical, alias } }];
    const answer = await cluster.request({ method: 'POST', path: '/_aliases', body: JSON.stringify({ actions }) }, signal);
    if (answer.status < 300) return acknowledged(answer.body, alias);
    const error = serverErrorOf(answer.body);
    if (answer.status !== 404) throw failureOf(answer.status, error, { what: `opening ${physical}`, physical, index: plan.index });
  }
  throw new TailraceError('TGT_CONN', { message: `Others open ${physical} all the time.`, entity: plan.index });
}

/** Until every node knows of the change, one of them might still take what comes through the old alias. */
function acknowledged(body: Buffer | null, alias: string): string {
  const { acknowledged: known } = JSON.parse((body ?? Buffer.from('{}')).toString()) as { readonly acknowledged?: boolean };
  if (known !== true) throw new TailraceError('TGT_CONN', { message: 'The cluster did not confirm in time that all its nodes know the new write alias.' });
  return alias;
}

/**
 * Deletes empty indices with the name of a write alias of this generation. Servers make one when somebody deletes through an alias that is
 * gone, and tailrace's own requests never do: these are left by programs that copied one.
 */
async function removeStrays(cluster: Cluster, physical: string, signal: AbortSignal): Promise<void> {
  for (const stray of await indexStates(cluster, `${physical}-w*`, signal)) {
    if (writeAliasNumber(physical, stray.name) === undefined || stray.meta !== undefined) continue;
    const { count } = (await cluster.json({ method: 'GET', path: `${pathOf(stray.name)}/_count` }, `counting ${stray.name}`, signal)) as { readonly count?: number };
    if (count !== 0) continue;
    const answer = await cluster.request({ method: 'DELETE', path: pathOf(stray.name) }, signal);
    if (answer.status >= 300 && answer.status !== 404) throw failureOf(answer.status, serverErrorOf(answer.body), `deleting the empty index ${stray.name}`);
  }
}

/** Settings of the config that changed since, and those for loading; what the index is to have once it is built is kept in it. */
async function bringSettings(plan: GenerationPlan, state: IndexState, wanted: FlatSettings, cluster: Cluster, signal: AbortSignal): Promise<void> {
  const isLoading = plan.isBuilding && !state.aliases.includes(plan.index);
  const dropped = Object.fromEntries(Object.keys(state.meta?.settings ?? {}).filter((name) => !(name in wanted)).map((name) => [name, null]));
  const target = { ...dropped, ...wanted, ...(isLoading ? loadingFor(wanted) : {}), ...keptSettings };
  await putSettings(plan, state, target, cluster, signal);
  if (state.meta !== undefined && canonicalText(state.meta.settings) !== canonicalText(wanted)) await recordFields(cluster, state.name, { ...state.meta, settings: wanted }, signal);
}

/** Puts those settings that the index has otherwise. Rejects with TGT_MAPPING for one that cannot be changed in place. */
export async function putSettings(plan: GenerationPlan, state: IndexState, wanted: FlatSettings, cluster: Cluster, signal: AbortSignal): Promise<void> {
  const changed = changedSettings(wanted, state.settings);
  if (Object.keys(changed).length === 0) return;
  const answer = await cluster.request({ method: 'PUT', path: `${pathOf(state.name)}/_settings`, body: JSON.stringify(settingsBody(changed)), isSlow: true }, signal);
  accepted(answer, state.name, plan, []);
}
