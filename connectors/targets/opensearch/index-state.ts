/** An index as the cluster has it: settings, mapping, aliases, and the names of its past. */
import { createHash } from 'node:crypto';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { parsed, pathOf, type Cluster } from './cluster.ts';
import { failureOf, serverErrorOf } from './failure.ts';
import { settingText, type FlatSettings } from './index-settings.ts';
import type { FieldMapping } from './mapping.ts';
import { metaIn, type GenerationMeta } from './meta.ts';

/** How long the cluster may take to give an index's shards a place. */
const SHARDS_WITHIN = '30s';

export interface IndexState {
  /** Its own name; asked for by an alias, another one than was asked for. */
  readonly name: string;
  readonly uuid: string;
  readonly isClosed: boolean;
  /** Without `index.`. */
  readonly settings: FlatSettings;
  readonly aliases: readonly string[];
  /** All of `_meta`, tailrace's part and what others keep there. */
  readonly wholeMeta: Readonly<Record<string, unknown>>;
  readonly meta: GenerationMeta | undefined;
  readonly dynamic: string;
  /** Mappings of fields, parts of objects inside of them. */
  readonly properties: Readonly<Record<string, FieldMapping>>;
}

interface RawIndex {
  readonly aliases?: Readonly<Record<string, unknown>>;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly mappings?: { readonly _meta?: Readonly<Record<string, unknown>>; readonly dynamic?: unknown; readonly properties?: Readonly<Record<string, FieldMapping>> };
}

/** Indices by a name, an alias or a pattern; none when nothing has it. */
export async function indexStates(cluster: Cluster, name: string, signal: AbortSignal): Promise<IndexState[]> {
  const answer = await cluster.request({ method: 'GET', path: `${pathOf(name)}?flat_settings=true&expand_wildcards=all&ignore_unavailable=true&allow_no_indices=true` }, signal);
  if (answer.status === 404) return [];
  const what = `looking at the index ${name}`;
  if (answer.status >= 300) throw failureOf(answer.status, serverErrorOf(answer.body), what);
  return Object.entries(parsed(answer, what) as Readonly<Record<string, RawIndex>>).map(([own, raw]) => stateOf(own, raw));
}

/** The index of that very name; undefined when there is none. An alias of that name is not it. */
export async function indexState(cluster: Cluster, physical: string, signal: AbortSignal): Promise<IndexState | undefined> {
  return (await indexStates(cluster, physical, signal)).find(({ name }) => name === physical);
}

function stateOf(name: string, { aliases, settings, mappings }: RawIndex): IndexState {
  const flat = Object.fromEntries(Object.entries(settings ?? {}).map(([setting, value]) => [setting.replace(/^index\./, ''), value]));
  return {
    name,
    uuid: settingText(flat['uuid']),
    isClosed: flat['verified_before_close'] === 'true',
    settings: flat,
    aliases: Object.keys(aliases ?? {}),
    wholeMeta: mappings?._meta ?? {},
    meta: metaIn(mappings?._meta),
    dynamic: settingText(mappings?.dynamic ?? true),
    properties: mappings?.properties ?? {},
  };
}

/** The mapping of a field; a name with dots is that of a part of an object, as the servers have it. */
export function fieldIn(properties: Readonly<Record<string, FieldMapping>>, name: string): FieldMapping | undefined {
  if (Object.hasOwn(properties, name)) return properties[name];
  const dot = name.indexOf('.');
  if (dot === -1) return undefined;
  const outer = Object.hasOwn(properties, name.slice(0, dot)) ? properties[name.slice(0, dot)] : undefined;
  const inner = outer?.['properties'] as Readonly<Record<string, FieldMapping>> | undefined;
  return inner === undefined ? undefined : fieldIn(inner, name.slice(dot + 1));
}

interface ShardStats {
  readonly indices?: Readonly<Record<string, { readonly uuid?: string; readonly shards?: Readonly<Record<string, readonly { readonly commit?: { readonly user_data?: { readonly history_uuid?: string } } }[]>> }>>;
}

/**
 * Names the index with its past: its uuid and the history of every shard. A restored snapshot, also one put over the closed index, and a
 * stale or empty copy that was made primary by force have other histories; restarts, and copies that take over, have the same.
 */
export async function incarnationOf(cluster: Cluster, { name, settings }: IndexState, signal: AbortSignal): Promise<string> {
  await waitForShards(cluster, name, 'yellow', SHARDS_WITHIN, signal);
  const path = `${pathOf(name)}/_stats/docs?level=shards&filter_path=indices.*.uuid,indices.*.shards.*.commit.user_data.history_uuid`;
  const { indices } = (await cluster.json({ method: 'GET', path }, { what: `asking for the shards of ${name}`, physical: name }, signal)) as ShardStats;
  const stats = indices?.[name];
  const histories = Object.entries(stats?.shards ?? {}).map(([shard, copies]) => `${shard}:${[...new Set(copies.map(({ commit }) => commit?.user_data?.history_uuid ?? ''))].toSorted().join()}`);
  if (stats?.uuid === undefined || histories.length !== Number(settings['number_of_shards'] ?? 1)) throw new TailraceError('TGT_CONN', { message: `Not all shards of ${name} are there.` });
  return `${stats.uuid}/${createHash('sha256').update(histories.toSorted().join()).digest('hex').slice(0, 24)}`;
}

/** Resolves when every shard has its primary (yellow) or all its copies (green), and false when that is not so in time. */
async function shardsAre(cluster: Cluster, physical: string, status: 'yellow' | 'green', within: string, signal: AbortSignal): Promise<boolean> {
  const answer = await cluster.request({ method: 'GET', path: `/_cluster/health${pathOf(physical)}?wait_for_status=${status}&timeout=${within}&filter_path=status,timed_out`, isSlow: true }, signal);
  if (answer.status === 408) return false;
  if (answer.status >= 300) throw failureOf(answer.status, serverErrorOf(answer.body), `asking for the shards of ${physical}`);
  return (parsed(answer, 'cluster health') as { readonly timed_out?: boolean }).timed_out !== true;
}

/** Rejects with TGT_CONN when a shard has no primary in time. That copies (green) are missing is no failure. */
export async function waitForShards(cluster: Cluster, physical: string, status: 'yellow' | 'green', within: string, signal: AbortSignal): Promise<void> {
  if (await shardsAre(cluster, physical, status, within, signal)) return;
  if (status === 'green' && (await shardsAre(cluster, physical, 'yellow', '1s', signal))) return;
  throw new TailraceError('TGT_CONN', { message: `A shard of ${physical} has no primary copy.`, hint: 'GET /_cluster/allocation/explain says why.' });
}
