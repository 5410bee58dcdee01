/**
 * Index settings: as the config names them, as the server does, and which of them change while an index is loaded.
 *
 * What the config wants of refresh and replicas is kept in the index itself (`meta.ts`), so that it can be put back after a crash in the middle.
 */

/** Index settings by their flat name without `index.`: `{ 'analysis.analyzer.x.type': 'custom' }`. Null: the server's own default. */
export type FlatSettings = Readonly<Record<string, unknown>>;

/** Memory of deletes, so that an older write that arrives late stays stale. A second belt: the server forgets them all when it restarts. */
export const GC_DELETES = '1h';

/**
 * What every generation has, whatever a template of the cluster says: deletes are remembered, and no pipeline makes other documents of ours.
 */
export const keptSettings: FlatSettings = { gc_deletes: GC_DELETES, default_pipeline: '_none', final_pipeline: '_none' };

/** While a generation is built nobody searches it, and copies of it would only be written twice. */
export const loadingSettings: FlatSettings = { refresh_interval: '-1', number_of_replicas: '0' };

/** As the server comes with it. */
export const TOTAL_FIELDS_DEFAULT = 1000;

/** A mapping with more fields makes every change of it slow for the whole cluster; more are wanted by the config or not at all. */
export const TOTAL_FIELDS_MAX = 10_000;

export const TOTAL_FIELDS = 'mapping.total_fields.limit';

const kept: readonly (readonly [RegExp, string])[] = [
  [/^gc_deletes$/, 'is kept by tailrace: deletes are remembered with it'],
  [/^soft_deletes\./, 'is kept by the server'],
  [/^(uuid|creation_date|provided_name|version\..*|history\.uuid|resize\..*|routing_path|mode)$/, 'is kept by the server'],
  [/^blocks\./, 'would block what tailrace writes'],
  [/^mapping\.source\.mode$/, 'would give documents back otherwise than they were written'],
  [/^hidden$/, 'would hide the index from tailrace'],
  [/^(default_pipeline|final_pipeline)$/, 'would change documents on their way, so that they are never those of the source'],
  [/^number_of_routing_shards$/, 'has no use here'],
  [/^sort\./, 'has no use here'],
];

/** The config's settings under flat names. `dynamic` is none of the server's index settings and stays out. */
export function flatSettings(settings: Readonly<Record<string, unknown>>): FlatSettings {
  const flat: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(settings)) {
    if (name === 'dynamic') continue;
    if (name === 'index' && isObject(value)) flatten('', value, flat);
    else flatten(name.startsWith('index.') ? name.slice('index.'.length) : name, value, flat);
  }
  return flat;
}

function flatten(name: string, value: unknown, into: Record<string, unknown>): void {
  if (!isObject(value)) {
    into[name] = value;
    return;
  }
  for (const [inner, one] of Object.entries(value)) flatten(name === '' ? inner : `${name}.${inner}`, one, into);
}

/** Settings that tailrace keeps itself, each with the reason. */
export function keptSettingsIn(settings: Readonly<Record<string, unknown>>): [name: string, why: string][] {
  return Object.keys(flatSettings(settings)).flatMap((name) => {
    const rule = kept.find(([pattern]) => pattern.test(name));
    return rule === undefined ? [] : [[name, rule[1]]];
  });
}

/** What an index shall have when readers use it. */
export function wantedSettings(settings: Readonly<Record<string, unknown>> | undefined, refreshInterval: string): FlatSettings {
  return { refresh_interval: refreshInterval, number_of_replicas: null, ...flatSettings(settings ?? {}) };
}

/** The server gives every setting as text. */
export function sameSetting(wanted: unknown, held: unknown): boolean {
  if (wanted === null || wanted === undefined) return held === undefined || held === null;
  return settingText(wanted) === settingText(held);
}

/** A setting as the server writes it: text, or a list of texts. */
export function settingText(value: unknown): string {
  if (Array.isArray(value)) return JSON.stringify(value.map(settingText));
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '');
}

/** Those of `wanted` that the index does not have; a null is left out where the index has nothing either. */
export function changedSettings(wanted: FlatSettings, held: FlatSettings): FlatSettings {
  return Object.fromEntries(Object.entries(wanted).filter(([name, value]) => !sameSetting(value, held[name])));
}

/** As a request says it. */
export function settingsBody(flat: FlatSettings): Record<string, unknown> {
  return Object.fromEntries(Object.entries(flat).map(([name, value]) => [`index.${name}`, value]));
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
