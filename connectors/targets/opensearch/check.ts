/** The preflight of a cluster: can it be reached and written to, and is what stands there as tailrace left it. Nothing is changed. */
import type { Finding } from '../../../src/connector/finding.ts';
import { codeOf } from '../../../src/errors/tailrace-error.ts';
import type { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { pathOf, parsed, type Cluster } from './cluster.ts';
import type { OpenSearchConfig } from './config.ts';
import { askDialect, dialectName } from './dialect.ts';
import { serverErrorOf } from './failure.ts';
import { sameSetting, settingText, type FlatSettings } from './index-settings.ts';
import { indexStates, type IndexState } from './index-state.ts';
import { ownIndices } from './listing.ts';
import { signatureOf, type FieldMapping } from './mapping.ts';
import { ownerOf } from './meta.ts';
import { parseGenerationIndex, writeAliasNumber } from './names.ts';

/** Beyond these many fields a finding names the rest by their number. */
const NAMED_FIELDS_MAX = 5;

export async function checkCluster(config: OpenSearchConfig, cluster: Cluster, signal: AbortSignal): Promise<Finding[]> {
  const shown = await cluster.shown();
  const subject = `cluster ${shown}`;
  try {
    const dialect = await askDialect(cluster, signal);
    const findings: Finding[] = [{ level: 'ok', subject, message: `${dialectName(dialect)}.` }, ...encryption(config, shown)];
    findings.push(...(await step('settings of the cluster', () => clusterSettings(cluster, signal), signal)));
    findings.push(...(await step('disks of the cluster', () => disks(cluster, signal), signal)));
    findings.push(...(await step('indices', () => indices(cluster, signal), signal)));
    return findings;
  } catch (error) {
    return [problemOf(subject, error, signal)];
  }
}

/** What one look found; that it is not allowed is a finding of its own, and keeps no other look from being taken. */
async function step(subject: string, look: () => Promise<Finding[]>, signal: AbortSignal): Promise<Finding[]> {
  try {
    return await look();
  } catch (error) {
    return [problemOf(subject, error, signal)];
  }
}

function problemOf(subject: string, error: unknown, signal: AbortSignal): Finding {
  const code = codeOf(error);
  // What is not known is no finding.
  if (signal.aborted || code === undefined || code === 'UNKNOWN') throw error;
  const { message, hint } = error as TailraceError;
  return { level: 'problem', subject, message, code, fix: hint };
}

const loopback = /^https?:\/\/(localhost|127(\.\d+){3}|\[::1\])(:|$)/;

function encryption({ tls }: OpenSearchConfig, shown: string): Finding[] {
  const far = shown.split(', ').filter((url) => !loopback.test(url));
  const open = far.filter((url) => url.startsWith('http:'));
  if (open.length > 0) return [{ level: 'warning', subject: 'encryption', message: `Documents and password go to ${open.join(', ')} without encryption.`, fix: 'Give an https url.' }];
  return far.length > 0 && tls.mode === 'insecure' ? [{ level: 'warning', subject: 'encryption', message: 'The cluster\'s certificate is not checked.', fix: 'Name the authority with `tls: { ca: FILE }` and leave `mode` out.' }] : [];
}

async function settingsOf(cluster: Cluster, names: readonly string[], signal: AbortSignal): Promise<FlatSettings> {
  // A flat name is one part of a filter's path, and its dots are not: the star stands for all before the last.
  const filter = ['persistent', 'transient', 'defaults'].flatMap((kind) => names.map((name) => `${kind}.*${name.slice(name.lastIndexOf('.') + 1)}`)).join(',');
  const answer = (await cluster.json({ method: 'GET', path: `/_cluster/settings?include_defaults=true&flat_settings=true&filter_path=${filter}` }, 'reading the cluster\'s settings', signal)) as Readonly<Record<string, FlatSettings | undefined>>;
  return { ...answer['defaults'], ...answer['persistent'], ...answer['transient'] };
}

async function clusterSettings(cluster: Cluster, signal: AbortSignal): Promise<Finding[]> {
  const blocks = ['cluster.blocks.read_only', 'cluster.blocks.read_only_allow_delete'];
  const settings = await settingsOf(cluster, [...blocks, 'action.auto_create_index'], signal);
  const findings: Finding[] = blocks
    .filter((name) => sameSetting('true', settings[name]))
    .map((name) => ({ level: 'problem', subject: name, code: 'TGT_BLOCKED', message: 'The whole cluster is read-only.', fix: `PUT /_cluster/settings {"persistent": {"${name}": null}, "transient": {"${name}": null}}` }));
  const auto = settings['action.auto_create_index'];
  if (auto !== undefined && !sameSetting('false', auto)) findings.push({ level: 'ok', subject: 'action.auto_create_index', message: `Is ${settingText(auto)}: the server makes indices by itself when something writes to their names. What tailrace writes never does that.` });
  return findings;
}

interface Allocation {
  readonly node?: string;
  readonly 'disk.percent'?: string | null;
}

async function disks(cluster: Cluster, signal: AbortSignal): Promise<Finding[]> {
  const prefix = 'cluster.routing.allocation.disk';
  const settings = await settingsOf(cluster, [`${prefix}.threshold_enabled`, `${prefix}.watermark.flood_stage`, `${prefix}.watermark.high`], signal);
  if (sameSetting('false', settings[`${prefix}.threshold_enabled`])) return [];
  const percent = (name: string): number => Number(/^([\d.]+)%$/.exec(settingText(settings[`${prefix}.watermark.${name}`]))?.[1] ?? Number.NaN);
  const nodes = (await cluster.json({ method: 'GET', path: '/_cat/allocation?format=json&h=node,disk.percent' }, 'looking at the disks', signal)) as readonly Allocation[];
  return nodes.flatMap(({ node, 'disk.percent': used }): Finding[] => {
    const full = Number(used ?? Number.NaN);
    const subject = `disk of node ${node ?? ''}`;
    if (full >= percent('flood_stage')) return [{ level: 'problem', subject, code: 'TGT_BLOCKED', message: `Is ${full} % full; the server makes indices there read-only.`, fix: 'Free space on the disk.' }];
    return full >= percent('high') ? [{ level: 'warning', subject, message: `Is ${full} % full; from ${percent('flood_stage')} % on the server makes indices there read-only.`, fix: 'Free space on the disk.' }] : [];
  });
}

async function indices(cluster: Cluster, signal: AbortSignal): Promise<Finding[]> {
  const own = await ownIndices(cluster, signal);
  const findings: Finding[] = [];
  for (const state of own) findings.push(...blocksOf(state), ...metaOf(state), ...driftOf(state), ...loadingOf(state));
  for (const index of new Set(own.flatMap((state) => ownerOf(state)?.index ?? []))) findings.push(...(await namesOf(index, cluster, signal)));
  findings.push(...(await unassigned(own, cluster, signal)), ...(await strays(cluster, signal)));
  return findings;
}

function blocksOf({ name, settings, isClosed }: IndexState): Finding[] {
  const subject = `index ${name}`;
  if (isClosed) return [{ level: 'problem', subject, code: 'TGT_BLOCKED', message: 'Is closed.', fix: `POST /${name}/_open` }];
  return Object.entries(settings)
    .filter(([setting, value]) => setting.startsWith('blocks.') && sameSetting('true', value))
    .map(([setting]) => ({ level: 'problem', subject, code: 'TGT_BLOCKED', message: `Takes no writes: index.${setting} is set.`, fix: `PUT /${name}/_settings {"index.${setting}": null}` }));
}

/** What says whose it is was overwritten: the index is known by its name and its write alias. */
function metaOf(state: IndexState): Finding[] {
  const index = ownerOf(state)?.index;
  if (state.meta !== undefined || index === undefined) return [];
  return [{ level: 'problem', subject: `index ${state.name}`, code: 'TGT_IDENTITY', message: 'Its `_meta`, by which tailrace knows it, was overwritten by somebody else.', fix: `What belongs there \`tailrace status\` says. Or \`tailrace resync ${index}\`.` }];
}

/** What somebody else changed in the mapping since tailrace last touched it. */
function driftOf({ name, meta, properties }: IndexState): Finding[] {
  if (meta === undefined || Object.keys(meta.fields).length === 0) return [];
  const changes: string[] = [];
  for (const [field, was] of Object.entries(meta.fields)) {
    const held = Object.hasOwn(properties, field) ? (properties[field] as FieldMapping) : undefined;
    const is = held === undefined ? undefined : signatureOf(held);
    if (is === was) continue;
    const [wasType = ''] = was.split('#');
    const [isType = ''] = (is ?? '').split('#');
    changes.push(is === undefined ? `${field} is gone` : isType === wasType ? `${field} (${isType}) has other parameters` : `${field} was ${wasType} and is ${isType}`);
  }
  for (const field of Object.keys(properties)) if (!Object.hasOwn(meta.fields, field)) changes.push(`${field} is new`);
  if (changes.length === 0) return [];
  const named = changes.slice(0, NAMED_FIELDS_MAX).join('; ') + (changes.length > NAMED_FIELDS_MAX ? `; and ${changes.length - NAMED_FIELDS_MAX} more` : '');
  return [{ level: 'warning', subject: `mapping of ${name}`, message: `Was changed by somebody else, or by documents: ${named}.`, fix: `GET /${name}/_mapping shows it. To have it as the config says: \`tailrace resync ${meta.index}\`` }];
}

/** An index that readers see with the settings for loading: a promotion was cut off, or somebody set them. */
function loadingOf({ name, meta, aliases, settings }: IndexState): Finding[] {
  if (meta === undefined || !aliases.includes(meta.index)) return [];
  const off = ['refresh_interval', 'number_of_replicas'].filter((setting) => meta.settings[setting] !== null && meta.settings[setting] !== undefined && !sameSetting(meta.settings[setting], settings[setting]));
  return off.map((setting) => ({
    level: 'warning',
    subject: `index ${name}`,
    message: `index.${setting} is ${settingText(settings[setting])}; the config wants ${settingText(meta.settings[setting])}. A restart of tailrace puts it right.`,
    fix: `PUT /${name}/_settings {"index.${setting}": ${JSON.stringify(meta.settings[setting])}}`,
  }));
}

async function namesOf(index: string, cluster: Cluster, signal: AbortSignal): Promise<Finding[]> {
  const seen = await indexStates(cluster, index, signal);
  const foreign = seen.filter((state) => ownerOf(state)?.index !== index);
  return foreign.map(({ name }) => ({
    level: 'problem',
    subject: `alias ${index}`,
    code: 'TGT_IDENTITY',
    message: name === index ? `There is an index with the name ${index}, so that readers cannot be given an alias of that name.` : `The alias ${index} ${seen.length > foreign.length ? 'also leads' : 'leads'} to ${name}, which tailrace did not make.`,
    fix: name === index ? `DELETE /${index}` : `POST /_aliases {"actions": [{"remove": {"index": "${name}", "alias": "${index}"}}]}`,
  }));
}

async function unassigned(own: readonly IndexState[], cluster: Cluster, signal: AbortSignal): Promise<Finding[]> {
  if (own.length === 0) return [];
  const path = `/_cluster/health${pathOf('*-g*')}?level=indices&filter_path=indices.*.status&expand_wildcards=all`;
  const answer = await cluster.request({ method: 'GET', path }, signal);
  if (answer.status >= 300 && answer.status !== 408) return [{ level: 'warning', subject: 'health of indices', message: `Cannot be read (${serverErrorOf(answer.body).type}).` }];
  const { indices: health } = parsed(answer, 'reading the health of indices') as { readonly indices?: Readonly<Record<string, { readonly status?: string }>> };
  return own
    .filter(({ name }) => health?.[name]?.status === 'red')
    .map(({ name }) => ({ level: 'problem', subject: `index ${name}`, code: 'TGT_CONN', message: 'A shard has no primary copy.', fix: 'GET /_cluster/allocation/explain says why.' }));
}

/** Indices that were made by a server itself, for a write alias that was gone. */
async function strays(cluster: Cluster, signal: AbortSignal): Promise<Finding[]> {
  const found = (await indexStates(cluster, '*-g*-w*', signal)).filter(({ name }) => {
    const at = name.lastIndexOf('-w');
    return parseGenerationIndex(name.slice(0, at)) !== undefined && writeAliasNumber(name.slice(0, at), name) !== undefined;
  });
  return found.map(({ name }) => ({ level: 'warning', subject: `index ${name}`, message: 'Has the name of a write alias: something other than tailrace wrote through an alias that was gone, and the server made an index.', fix: `DELETE /${name}` }));
}
