import { describe, expect, test } from 'vitest';
import { defineConfig } from '../../src/config/define.ts';
import { Secret } from '../../src/runtime/secret.ts';
import { connectors } from './connectors.ts';

describe('a config in TypeScript', () => {
  test('is checked and completed as a file is', () => {
    const config = defineConfig({ sources: { shop: { type: 'postgres', url: new Secret('postgres://db/shop') } }, indices: { products: { from: 'shop.public.products', fields: { id: true } } } }, { connectors });
    expect(config).toMatchObject({ targets: [{ name: 'embedded' }], indices: [{ name: 'products', to: 'embedded', fields: [{ kind: 'column', name: 'id', column: 'id' }] }], data_directory: 'tailrace-data' });
  });

  test('is refused with all that is wrong', () => {
    const wrong = { sources: { shop: { type: 'postgres' as const, url: 'x' } }, indices: { products: { from: 'shp.public.products' }, other: { from: 'shop' } }, lgo: 1 };
    expect(() => defineConfig(wrong, { connectors })).toThrow(
      'The config is not valid:\n  indices.other.from: expected `source.schema.table`\n  `lgo` is not known here; did you mean `log`?\n  indices.products.from: there is no such source; did you mean `shop`?',
    );
  });

  test('is typed: unknown connectors and settings do not compile', () => {
    const url = 'postgres://db/shop';
    const indices = { products: { from: 'shop.public.products' } };
    // @ts-expect-error -- no such connector
    expect(() => defineConfig({ sources: { shop: { type: 'postgre', url } }, indices }, { connectors })).toThrow('sources.shop.type');
    // @ts-expect-error -- no such setting
    expect(() => defineConfig({ sources: { shop: { type: 'postgres', url, slott: 'x' } }, indices }, { connectors })).toThrow('slott');
  });
});
