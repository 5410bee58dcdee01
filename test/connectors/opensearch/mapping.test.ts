import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Dialect } from '../../../connectors/targets/opensearch/dialect.ts';
import { canonicalText, dynamicOf, fieldMapping, has, plannedMappings, signatureOf } from '../../../connectors/targets/opensearch/mapping.ts';
import type { ColumnKind } from '../../../src/change/schema.ts';

const dialect: Dialect = { kind: 'opensearch', version: '3.6.0', flatObject: { type: 'flat_object' } };
const types: Readonly<Record<ColumnKind, string>> = {
  boolean: 'boolean', int: 'long', bigint: 'long', decimal: 'double', float: 'double', text: 'text', uuid: 'keyword', date: 'date', time: 'keyword', timestamp: 'date', timestamptz: 'date',
  interval: 'keyword', json: 'object', bytes: 'binary', enum: 'keyword', ip: 'ip', geometry: 'object', vector: 'object', array: 'text', object: 'object', other: 'keyword',
};

describe.each(Object.entries(types) as [ColumnKind, string][])('a field of kind %s', (kind, type) => {
  test(`becomes ${type}, and the guide says so`, () => {
    expect(fieldMapping({ name: 'x', kind }, undefined, dialect)['type']).toBe(type);
    const guide = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'targets', 'opensearch.md'), 'utf8');
    const row = guide.split('\n').find((line) => line.startsWith('| ') && (line.split('|')[1] ?? '').split(/[ ,]+/).includes(kind));
    expect(row).toContain(`\`${type}\``);
  });
});

test('an array is mapped as what is in it, and as text where nobody says what that is', () => {
  for (const element of Object.keys(types) as ColumnKind[]) {
    if (element === 'array') continue;
    for (const searched of [undefined, true]) expect(fieldMapping({ name: 'x', kind: 'array', element, searched }, undefined, dialect)).toEqual(fieldMapping({ name: 'x', kind: element, searched }, undefined, dialect));
  }
  expect(fieldMapping({ name: 'x', kind: 'array' }, undefined, dialect)).toEqual(fieldMapping({ name: 'x', kind: 'text' }, undefined, dialect));
});

test('what the config says of a field is laid over what follows from its kind, unless it names another type', () => {
  const text = { name: 'x', kind: 'text' } as const;
  expect(fieldMapping(text, { analyzer: 'english' }, dialect)).toEqual({ type: 'text', analyzer: 'english', fields: { keyword: { type: 'keyword', ignore_above: 1024 } } });
  expect(fieldMapping(text, { type: 'text', fields: {} }, dialect)).toEqual({ type: 'text', fields: {} });
  expect(fieldMapping(text, { type: 'keyword' }, dialect)).toEqual({ type: 'keyword' });
  expect(fieldMapping({ name: 'x', kind: 'object' }, { properties: { a: { type: 'long' } } }, dialect)).toEqual({ properties: { a: { type: 'long' } } });
});

test('a field that the config names to be searched is searched as text, whatever it is', () => {
  expect(fieldMapping({ name: 'x', kind: 'decimal', searched: true }, undefined, dialect)['fields']).toMatchObject({ keyword: {}, search: { type: 'text' } });
  expect(fieldMapping({ name: 'x', kind: 'uuid', searched: true }, undefined, dialect)['fields']).toEqual({ search: { type: 'text' } });
  expect(fieldMapping({ name: 'x', kind: 'text', searched: true }, undefined, dialect)['fields']).not.toHaveProperty('search');
  expect(fieldMapping({ name: 'x', kind: 'json', searched: true }, undefined, dialect)).toEqual({ type: 'flat_object' });
  expect(fieldMapping({ name: 'x', kind: 'decimal', searched: false }, undefined, dialect)['fields']).not.toHaveProperty('search');
});

test('fields that only the config names are in the mapping too', () => {
  const mappings = plannedMappings([{ name: 'a', kind: 'int' }], { mapping: { made: { type: 'geo_point' }, a: { ignore_malformed: false } } }, dialect);
  expect([...mappings]).toEqual([['a', { type: 'long', ignore_malformed: false }], ['made', { type: 'geo_point' }]]);
});

test('unknown fields are refused unless the config says otherwise', () => {
  expect([dynamicOf({}), dynamicOf({ settings: { dynamic: true } }), dynamicOf({ settings: { dynamic: false } }), dynamicOf({ settings: { dynamic: 'strict' } })]).toEqual(['strict', 'true', 'false', 'strict']);
});

test('a field has what is wanted when the server\'s mapping has all of it, in its own way of writing', () => {
  const held = { type: 'text', fields: { keyword: { type: 'keyword', ignore_above: 1024 } } };
  expect(has(held, { type: 'text' })).toBe(true);
  expect(has(held, { type: 'text', fields: { keyword: { ignore_above: 1024 } } })).toBe(true);
  expect(has({ enabled: false }, { type: 'object', enabled: false })).toBe(true);
  expect(has(held, { type: 'keyword' })).toBe(false);
  expect(has(held, { type: 'text', fields: { search: { type: 'text' } } })).toBe(false);
  expect(has(undefined, { type: 'text' })).toBe(false);
});

test('a field\'s signature does not depend on the order of names, and changes with any parameter', () => {
  expect(signatureOf({ type: 'text', fields: { a: 1, b: [2] } })).toBe(signatureOf({ fields: { b: [2], a: 1 }, type: 'text' }));
  expect(signatureOf({ type: 'text' })).not.toBe(signatureOf({ type: 'text', index: false }));
  expect(signatureOf({ properties: {} })).toMatch(/^object#[0-9a-f]{8}$/);
  expect(canonicalText({ b: { d: null, c: 1 }, a: [] })).toBe('{"a":[],"b":{"c":1,"d":null}}');
});
