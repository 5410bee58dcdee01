import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { jsonSchemaOf, type JsonSchema } from '../../src/config/json-schema.ts';
import { loadConfig } from '../../src/config/load.ts';
import { schema } from './connectors.ts';
import { renderReference } from './render-reference.ts';

const root = join(import.meta.dirname, '..', '..');
const jsonSchema = jsonSchemaOf(schema.zod);

describe('the reference of the config', () => {
  // `vitest run --project unit test/config/reference.test.ts --update` writes it anew.
  test('docs/config.md is what the schema says', async () => {
    await expect(renderReference(jsonSchema)).toMatchFileSnapshot(join(root, 'docs', 'config.md'));
  });

  test('describes every setting', () => {
    expect([...undescribed(jsonSchema, [])]).toEqual([]);
  });

  test('is JSON Schema that editors read: draft 7, strict, with defaults and secrets marked', () => {
    expect(jsonSchema).toMatchObject({ $schema: 'http://json-schema.org/draft-07/schema#', additionalProperties: false, required: ['sources', 'indices'] });
    const [postgres] = choicesOf(jsonSchema.properties?.['sources']);
    expect(postgres).toMatchObject({ required: ['type', 'url'], additionalProperties: false, properties: { type: { const: 'postgres' }, url: { type: 'string', secret: true } } });
    expect(jsonSchema.properties?.['log']).toMatchObject({ default: {}, properties: { on_full: { enum: ['block', 'evict'], default: 'block' } } });
  });
});

test('config.example.yaml is a valid config', async () => {
  const text = await readFile(join(root, 'config.example.yaml'), 'utf8');
  const secrets = { environment: () => 'postgres://localhost/shop', readFile: () => Promise.reject(new Error('no files')) };
  const config = await loadConfig({ text, path: '/config.example.yaml', schema, secrets });
  expect(config.indices.map(({ name }) => name)).toEqual(['customers', 'products', 'reviews']);
  expect(text.startsWith('# yaml-language-server: $schema=')).toBe(true);
});

function choicesOf(records: JsonSchema | undefined): readonly JsonSchema[] {
  const inner = records?.additionalProperties;
  return typeof inner === 'object' ? (inner.oneOf ?? []) : [];
}

/** Paths of settings without a description. */
function* undescribed(node: JsonSchema, path: readonly string[]): Generator<string> {
  for (const [name, setting] of Object.entries(node.properties ?? {})) {
    if (setting.const === undefined && setting.description === undefined) yield [...path, name].join('.');
    yield* undescribed(setting, [...path, name]);
  }
  for (const inner of [...(node.oneOf ?? []), ...(node.anyOf ?? []), node.additionalProperties]) {
    if (typeof inner === 'object') yield* undescribed(inner, [...path, '*']);
  }
}
