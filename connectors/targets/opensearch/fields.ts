/**
 * Brings fields into a generation's mapping. Only what is not there is put; the server decides whether what is there with other words can be
 * changed, since it alone knows its defaults.
 */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { FieldPlan, GenerationPlan } from '../../../src/connector/target.ts';
import { parsed, pathOf, type Answer, type Cluster } from './cluster.ts';
import type { Dialect } from './dialect.ts';
import { failureOf, rebuilding, serverErrorOf, type ServerError } from './failure.ts';
import { settingsBody, TOTAL_FIELDS, TOTAL_FIELDS_DEFAULT, TOTAL_FIELDS_MAX, type FlatSettings } from './index-settings.ts';
import { fieldIn, indexState, type IndexState } from './index-state.ts';
import { canonicalText, dynamicOf, has, plannedMappings, signatureOf, type FieldMapping } from './mapping.ts';
import { newMeta, overwrittenMeta, searchedOf, type GenerationMeta } from './meta.ts';

export interface FieldsDeps {
  readonly cluster: Cluster;
  readonly dialect: Dialect;
  readonly plan: GenerationPlan;
  readonly physical: string;
  /** Those that the index is to have when it is built. */
  readonly settings: FlatSettings;
}

/** Puts what is missing of the plan's fields and of `fields`. Rejects with TGT_MAPPING when the index cannot take it, TGT_MISSING when it is gone. */
export async function bringFields(fields: readonly FieldPlan[], { cluster, dialect, plan, physical, settings }: FieldsDeps, signal: AbortSignal): Promise<void> {
  const state = await indexState(cluster, physical, signal);
  if (state === undefined) throw new TailraceError('TGT_MISSING', { message: `The index ${physical} is not there.`, entity: plan.index, hint: rebuilding(plan.index) });
  if (state.meta === undefined) throw overwrittenMeta(state, newMeta(plan, settings));
  const wanted = plannedMappings([...plan.fields, ...fields], plan.options, dialect);
  const missing = [...wanted].filter(([name, mapping]) => !has(fieldIn(state.properties, name), mapping));
  const dynamic = dynamicOf(plan.options);
  if (missing.length > 0 || state.dynamic !== dynamic) await putMapping(cluster, state, { dynamic, properties: Object.fromEntries(missing) }, plan, signal);
  const searched = withSearched(state.meta.searched, searchedOf(fields));
  await recordFields(cluster, physical, { ...state.meta, searched }, signal);
}

function withSearched(held: readonly string[] | null, more: readonly string[] | null): readonly string[] | null {
  return more === null ? held : [...new Set([...(held ?? []), ...more])];
}

/** Keeps in the index how its fields are now: what differs from that later was changed by somebody else. */
export async function recordFields(cluster: Cluster, physical: string, meta: GenerationMeta, signal: AbortSignal): Promise<void> {
  const state = await indexState(cluster, physical, signal);
  if (state === undefined) return;
  const fields = Object.fromEntries(Object.entries(state.properties).map(([name, held]) => [name, signatureOf(held)]));
  const next: GenerationMeta = { ...meta, fields };
  if (canonicalText(next) === canonicalText(state.meta)) return;
  const body = JSON.stringify({ _meta: { ...state.wholeMeta, tailrace: next } });
  await cluster.json({ method: 'PUT', path: `${pathOf(physical)}/_mapping`, body }, `keeping the fields of ${physical}`, signal);
}

async function putMapping(cluster: Cluster, state: IndexState, mapping: { readonly dynamic: string; readonly properties: Readonly<Record<string, FieldMapping>> }, plan: GenerationPlan, signal: AbortSignal): Promise<void> {
  const path = `${pathOf(state.name)}/_mapping`;
  const body = JSON.stringify(mapping);
  let limit = Number(state.settings[TOTAL_FIELDS] ?? TOTAL_FIELDS_DEFAULT);
  for (;;) {
    const answer = await cluster.request({ method: 'PUT', path, body }, signal);
    const next = refusedLimit(answer, limit, plan);
    if (next === undefined) return void accepted(answer, state.name, plan, Object.keys(mapping.properties));
    const settings = JSON.stringify(settingsBody({ [TOTAL_FIELDS]: next }));
    await cluster.json({ method: 'PUT', path: `${pathOf(state.name)}/_settings`, body: settings }, `raising the field limit of ${state.name}`, signal);
    limit = next;
  }
}

/**
 * The limit of fields to try next when `limit` was refused; undefined when that is not what the answer says. Throws TGT_MAPPING where it may
 * not be raised: beyond reason, or set by the config.
 */
export function refusedLimit(answer: Answer, limit: number, plan: GenerationPlan): number | undefined {
  if (answer.status !== 400) return undefined;
  const error = serverErrorOf(answer.body);
  if (!isFieldLimit(error)) return undefined;
  const given = Object.keys(plan.options.settings ?? {}).some((name) => name.includes('total_fields') || name === 'mapping');
  if (limit < TOTAL_FIELDS_MAX && !given) return Math.min(TOTAL_FIELDS_MAX, limit * 2);
  throw new TailraceError('TGT_MAPPING', {
    message: `The index ${plan.index} would have more than ${limit} fields.`,
    entity: plan.index,
    hint: 'Leave columns out with `fields` of the index, or raise `mapping.total_fields.limit` in its `settings`.',
  });
}

function isFieldLimit({ reason, causedBy }: ServerError): boolean {
  return /Limit of total fields \[\d+\]/.test(`${reason} ${causedBy ?? ''}`);
}

/** Throws TGT_MAPPING with the server's own words for a mapping that it refused: there are only names in them. */
export function accepted(answer: Answer, physical: string, plan: GenerationPlan, fields: readonly string[]): unknown {
  const what = `making or changing the index ${physical}`;
  if (answer.status < 300) return parsed(answer, what);
  const error = serverErrorOf(answer.body);
  if (answer.status === 404) throw new TailraceError('TGT_MISSING', { message: `The index ${physical} is not there.`, entity: plan.index, hint: rebuilding(plan.index) });
  if (answer.status !== 400) throw failureOf(answer.status, error, { what, physical, index: plan.index });
  const named = fields.filter((name) => `${error.reason} ${error.causedBy ?? ''}`.includes(`[${name}]`));
  throw new TailraceError('TGT_MAPPING', {
    message: `The index ${physical} does not take ${named.length === 0 ? 'its mapping or settings' : `the field ${named.join(', ')}`} as wanted: ${error.reason.replaceAll(/\s+/g, ' ')}.`,
    entity: plan.index,
    hint: `Build the index again with the new mapping: \`tailrace resync ${plan.index}\`. Or set \`mapping\` and \`settings\` of the index back.`,
  });
}
