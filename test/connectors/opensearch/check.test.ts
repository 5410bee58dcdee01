/** The preflight: each thing that is wrong has a finding with the request that mends it, and nothing is changed. */
import { expect, test } from 'vitest';
import { OpenSearchTarget } from '../../../connectors/targets/opensearch/target.ts';
import type { Finding } from '../../../src/connector/finding.ts';
import type { GenerationPlan } from '../../../src/connector/target.ts';
import { nodeClock } from '../../../src/runtime/node/clock.ts';
import { nodeRandom } from '../../../src/runtime/node/random.ts';
import type { Told } from './protocol-server.ts';
import { smallCluster, type SmallCluster } from './small-cluster.ts';

const { signal } = new AbortController();
const plan: GenerationPlan = { index: 'things', generation: 1, binding: { logId: 'log', epoch: 3, fingerprint: 'f' }, fields: [{ name: 'price', kind: 'decimal' }, { name: 'text', kind: 'text' }], isBuilding: false, options: { settings: { number_of_replicas: 1 } } };
const disk = { 'cluster.routing.allocation.disk.watermark.flood_stage': '95%', 'cluster.routing.allocation.disk.watermark.high': '90%' };
const quiet: Readonly<Record<string, Told>> = { '/_cluster/settings': { json: {} }, '/_cat/allocation': { json: [] } };

/** What the preflight of a cluster with one promoted generation finds beside what is well, after it was changed. */
async function found(change: (cluster: SmallCluster) => void, answers: Readonly<Record<string, Told>> = {}): Promise<Finding[]> {
  await using cluster = await smallCluster();
  await using target = new OpenSearchTarget({ name: 'search', config: cluster.server.config(), runtime: { clock: nodeClock, random: nodeRandom } });
  await using generation = await target.open(plan, signal);
  await generation.promote(signal);
  cluster.intercept = ({ path }) => ({ ...quiet, ...answers })[path.split('?')[0] ?? ''];
  change(cluster);
  const before = JSON.stringify([...cluster.indices]);
  const since = cluster.server.asked.length;
  const findings = await target.check(signal);
  expect(JSON.stringify([...cluster.indices])).toBe(before);
  expect(cluster.server.asked.slice(since).filter(({ method }) => method !== 'GET')).toEqual([]);
  return findings.filter(({ level }) => level !== 'ok');
}

const physical = 'things-g0001';
const index = (cluster: SmallCluster) => cluster.indices.get(physical) as NonNullable<ReturnType<SmallCluster['indices']['get']>>;

test('nothing, where all is well', async () => {
  expect(await found(() => {})).toEqual([]);
});

test.each<[string, (cluster: SmallCluster) => void, Partial<Finding>]>([
  ['an index that takes no writes', (on) => void (index(on).settings['index.blocks.write'] = 'true'), { level: 'problem', code: 'TGT_BLOCKED', fix: `PUT /${physical}/_settings {"index.blocks.write": null}` }],
  ['a closed index', (on) => void (index(on).settings['index.verified_before_close'] = 'true'), { level: 'problem', code: 'TGT_BLOCKED', fix: `POST /${physical}/_open` }],
  ['settings for loading that stayed', (on) => void (index(on).settings['index.refresh_interval'] = '-1'), { level: 'warning', fix: `PUT /${physical}/_settings {"index.refresh_interval": "1s"}` }],
  ['a field of another type', (on) => void Object.assign(index(on).mappings.properties ?? {}, { price: { type: 'long' } }), { level: 'warning', message: expect.stringContaining('price was double and is long') as string, fix: expect.stringContaining('tailrace resync things') as string }],
  ['a field with other parameters', (on) => void Object.assign(index(on).mappings.properties ?? {}, { text: { type: 'text', index: false } }), { level: 'warning', message: expect.stringContaining('text (text) has other parameters') as string }],
  ['fields that somebody added, and one that is gone', (on) => void (index(on).mappings.properties = { price: index(on).mappings.properties?.['price'], a: { type: 'long' }, b: {}, c: {}, d: {}, e: {}, f: {} }), { level: 'warning', message: expect.stringMatching(/text is gone; a is new; .*and 2 more/) as string }],
  ['another index behind the name that readers use', (on) => void on.indices.set('strange', { uuid: 's', history: 'h', settings: {}, mappings: {}, aliases: { things: {} } }), { level: 'problem', code: 'TGT_IDENTITY', fix: 'POST /_aliases {"actions": [{"remove": {"index": "strange", "alias": "things"}}]}' }],
  ['another index alone behind it', (on) => { delete index(on).aliases['things']; on.indices.set('strange', { uuid: 's', history: 'h', settings: {}, mappings: {}, aliases: { things: {} } }); }, { level: 'problem', message: 'The alias things leads to strange, which tailrace did not make.' }],
  ['an index that says no more whose it is', (on) => void (index(on).mappings._meta = { a: 1 }), { level: 'problem', code: 'TGT_IDENTITY', subject: `index ${physical}`, fix: expect.stringContaining('tailrace status') as string }],
  ['an index of that name itself', (on) => void on.indices.set('things', { uuid: 's', history: 'h', settings: {}, mappings: {}, aliases: {} }), { level: 'problem', code: 'TGT_IDENTITY', fix: 'DELETE /things' }],
  ['an index with the name of a write alias', (on) => void on.indices.set(`${physical}-w9-00ff00ff`, { uuid: 's', history: 'h', settings: {}, mappings: {}, aliases: {} }), { level: 'warning', fix: `DELETE /${physical}-w9-00ff00ff` }],
])('%s', async (_, change, expected) => {
  const findings = await found(change);
  expect(findings).toHaveLength(1);
  expect(findings[0]).toMatchObject(expected);
});

test.each<[string, Readonly<Record<string, Told>>, Partial<Finding>]>([
  ['a cluster that is read-only', { '/_cluster/settings': { json: { persistent: { 'cluster.blocks.read_only': 'true' } } } }, { level: 'problem', code: 'TGT_BLOCKED', fix: expect.stringContaining('"cluster.blocks.read_only": null') as string }],
  ['a disk that is full', { '/_cluster/settings': { json: { defaults: disk } }, '/_cat/allocation': { json: [{ node: 'n1', 'disk.percent': '96' }] } }, { level: 'problem', code: 'TGT_BLOCKED', subject: 'disk of node n1' }],
  ['a disk that will be full soon', { '/_cluster/settings': { json: { defaults: disk } }, '/_cat/allocation': { json: [{ node: 'n1', 'disk.percent': '91' }, { node: null, 'disk.percent': null }] } }, { level: 'warning', subject: 'disk of node n1' }],
  ['a shard without a primary', { '/_cluster/health/*-g*': { json: { indices: { [physical]: { status: 'red' } } } } }, { level: 'problem', code: 'TGT_CONN', subject: `index ${physical}` }],
  ['a right that is missing, and everything else is looked at all the same', { '/_cluster/settings': { status: 403, json: { error: { type: 'security_exception', reason: 'no permissions for [cluster:monitor/settings]' } } } }, { level: 'problem', code: 'TGT_BLOCKED', message: expect.stringContaining('cluster:monitor/settings') as string }],
])('%s', async (_, answers, expected) => {
  const findings = await found(() => {}, answers);
  expect(findings[0]).toMatchObject(expected);
});

test('a cluster whose disks are not watched by the server, and one that makes indices by itself, are no trouble', async () => {
  const settings = { 'cluster.routing.allocation.disk.threshold_enabled': 'false', 'action.auto_create_index': 'true' };
  expect(await found(() => {}, { '/_cluster/settings': { json: { defaults: settings } }, '/_cat/allocation': { json: [{ node: 'n1', 'disk.percent': '99' }] } })).toEqual([]);
});

test('a cluster that cannot be reached, or does not let us in, is the only finding', async () => {
  expect(await found(() => {}, { '/': { status: 503, text: '' } })).toMatchObject([{ level: 'problem', code: 'TGT_CONN' }]);
  expect(await found(() => {}, { '/': { status: 401, json: {} } })).toMatchObject([{ level: 'problem', code: 'TGT_AUTH' }]);
  expect(await found(() => {}, { '/': { json: { version: { number: '7.10.2' } } } })).toMatchObject([{ level: 'problem', code: 'TGT_VERSION' }]);
});
