import { expect, test } from 'vitest';
import { openSearchIndexSchema } from '../../../connectors/targets/opensearch/config.ts';
import { changedSettings, flatSettings, keptSettingsIn, settingsBody, wantedSettings } from '../../../connectors/targets/opensearch/index-settings.ts';

test('settings mean the same however they are nested, and dynamic is none of them', () => {
  const flat = { number_of_shards: 3, 'analysis.analyzer.mine.type': 'custom', 'analysis.analyzer.mine.filter': ['lowercase', 'asciifolding'] };
  expect(flatSettings({ dynamic: false, number_of_shards: 3, analysis: { analyzer: { mine: { type: 'custom', filter: ['lowercase', 'asciifolding'] } } } })).toEqual(flat);
  expect(flatSettings({ 'index.number_of_shards': 3, index: { analysis: { 'analyzer.mine.type': 'custom' } }, 'analysis.analyzer.mine.filter': ['lowercase', 'asciifolding'] })).toEqual(flat);
  expect(settingsBody({ refresh_interval: '1s', number_of_replicas: null })).toEqual({ 'index.refresh_interval': '1s', 'index.number_of_replicas': null });
});

test.each([{ gc_deletes: '1m' }, { index: { gc_deletes: '1m' } }, { 'index.blocks.write': true }, { blocks: { read_only: true } }, { default_pipeline: 'x' }, { uuid: 'x' }, { hidden: true }, { sort: { field: 'a' } }])('%j is refused: tailrace or the server keeps it', (settings) => {
  expect(keptSettingsIn(settings)).toHaveLength(1);
  expect(openSearchIndexSchema.safeParse({ settings }).success).toBe(false);
});

test('an index may say its mapping, its settings and what happens to other fields, and nothing else', () => {
  const good = { mapping: { name: { type: 'text', analyzer: 'english' } }, settings: { dynamic: false, number_of_shards: 2, refresh_interval: '5s' } };
  expect(openSearchIndexSchema.parse(good)).toEqual(good);
  expect(openSearchIndexSchema.safeParse({ settings: { dynamic: 'runtime' } }).success).toBe(false);
  expect(openSearchIndexSchema.safeParse({ mapping: { name: 'text' } }).success).toBe(false);
  expect(openSearchIndexSchema.safeParse({ aliases: {} }).success).toBe(false);
});

test('only what the server has otherwise is changed; null stands for its own default', () => {
  const wanted = wantedSettings({ number_of_shards: 2, 'analysis.filter': ['a', 'b'], codec: 'default' }, '1s');
  expect(wanted).toEqual({ refresh_interval: '1s', number_of_replicas: null, number_of_shards: 2, 'analysis.filter': ['a', 'b'], codec: 'default' });
  expect(changedSettings(wanted, { refresh_interval: '1s', number_of_shards: '2', 'analysis.filter': ['a', 'b'], codec: 'default' })).toEqual({});
  expect(changedSettings(wanted, { refresh_interval: '-1', number_of_replicas: '0', number_of_shards: '2', 'analysis.filter': ['a'] })).toEqual({ refresh_interval: '1s', number_of_replicas: null, 'analysis.filter': ['a', 'b'], codec: 'default' });
  expect(wantedSettings({ refresh_interval: '9s' }, '1s')['refresh_interval']).toBe('9s');
});
