/** From the catalog's description of types to how their values are read, and the page that tells users about it. */
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { TypeFacts } from '../../../connectors/sources/postgres/catalog/document.ts';
import { builtInTypes, extensionTypes, TypeRegistry } from '../../../connectors/sources/postgres/catalog/type-registry.ts';

function typeOf(facts: Partial<TypeFacts> & { readonly oid: number; readonly name: string }): TypeFacts {
  return { namespace: 'pg_catalog', kind: 'b', category: 'U', length: -1, element: 0, delimiter: ',', base: 0, modifier: -1, extension: null, subtype: null, fields: null, ...facts };
}

function registryOf(...types: readonly TypeFacts[]): TypeRegistry {
  const registry = new TypeRegistry();
  registry.add(types);
  return registry;
}

describe('a type is read', () => {
  const int4 = typeOf({ oid: 23, name: 'int4' });

  test('by its name and extension, wherever that is installed', () => {
    const registry = registryOf(
      typeOf({ oid: 1, name: 'geometry', namespace: 'gis', extension: 'postgis' }),
      typeOf({ oid: 2, name: 'geometry', namespace: 'public' }),
      typeOf({ oid: 3, name: 'int4', namespace: 'public' }),
      typeOf({ oid: 4, name: 'constructor', namespace: 'pg_catalog' }),
    );
    expect(registry.resolve(1, -1)).toEqual({ kind: 'geometry', decoding: { as: 'ewkb' } });
    for (const own of [2, 3, 4, 99]) expect(registry.resolve(own, -1)).toEqual({ kind: 'other', decoding: { as: 'text' } });
  });

  test('with the dimensions that are declared, through domains and arrays too', () => {
    const vector = typeOf({ oid: 1, name: 'vector', namespace: 'public', extension: 'vector' });
    const registry = registryOf(vector, typeOf({ oid: 2, name: '_vector', category: 'A', element: 1 }), typeOf({ oid: 3, name: 'embedding', kind: 'd', base: 1, modifier: 384 }));
    expect(registry.resolve(1, 3)).toEqual({ kind: 'vector', decoding: { as: 'vector', dimensions: 3 } });
    expect(registry.resolve(1, -1).decoding).toEqual({ as: 'vector', dimensions: null });
    expect(registry.resolve(2, 3).decoding).toEqual({ as: 'array', of: { as: 'vector', dimensions: 3 }, delimiter: ',' });
    expect(registry.resolve(3, -1).decoding).toEqual({ as: 'vector', dimensions: 384 });
  });

  test('with everything it is made of', () => {
    const registry = registryOf(
      int4,
      typeOf({ oid: 1, name: 'pair', kind: 'c', category: 'C', fields: [{ name: 'a', type: 23, modifier: -1 }, { name: 'gone', type: 77, modifier: -1 }] }),
      typeOf({ oid: 2, name: '_pair', category: 'A', element: 1 }),
      typeOf({ oid: 3, name: 'int4range', kind: 'r', category: 'R', subtype: 23 }),
      typeOf({ oid: 4, name: 'box', category: 'G', length: 32, element: 600, delimiter: ';' }),
      typeOf({ oid: 5, name: '_box', category: 'A', element: 4 }),
      typeOf({ oid: 6, name: 'mood', kind: 'e', category: 'E' }),
      typeOf({ oid: 7, name: 'int2vector', category: 'A', element: 21 }),
    );
    expect(registry.resolve(2, -1).decoding).toEqual({ as: 'array', of: { as: 'composite', fields: [{ name: 'a', decoding: { as: 'int' } }, { name: 'gone', decoding: { as: 'text' } }] }, delimiter: ',' });
    expect(registry.resolve(3, -1)).toEqual({ kind: 'object', decoding: { as: 'range', of: { as: 'int' } } });
    expect(registry.resolve(5, -1).decoding).toEqual({ as: 'array', of: { as: 'box' }, delimiter: ';' });
    expect(registry.resolve(4, -1).kind).toBe('array');
    expect(registry.resolve(6, -1).kind).toBe('enum');
    expect(registry.resolve(7, -1).decoding).toEqual({ as: 'int_list' });
  });

  test('with what is in the innermost lists of an array, where it is one', () => {
    const registry = registryOf(
      int4,
      typeOf({ oid: 1, name: '_int4', category: 'A', element: 23 }),
      typeOf({ oid: 2, name: 'grid', kind: 'd', base: 1 }),
      typeOf({ oid: 3, name: '_grid', category: 'A', element: 2 }),
      typeOf({ oid: 4, name: 'pair', kind: 'c', category: 'C', fields: [{ name: 'a', type: 1, modifier: -1 }] }),
      typeOf({ oid: 5, name: '_pair', category: 'A', element: 4 }),
      typeOf({ oid: 6, name: 'int4multirange', kind: 'm', category: 'R', subtype: 23 }),
      typeOf({ oid: 7, name: '_int4multirange', category: 'A', element: 6 }),
      typeOf({ oid: 8, name: 'jsonb' }),
      typeOf({ oid: 9, name: '_jsonb', category: 'A', element: 8 }),
      typeOf({ oid: 10, name: 'lseg', category: 'G', length: 32 }),
      typeOf({ oid: 11, name: 'int2vector', category: 'A', element: 23 }),
      typeOf({ oid: 12, name: 'odd' }),
      typeOf({ oid: 13, name: '_odd', category: 'A', element: 12 }),
    );
    const elements = [1, 2, 3, 5, 6, 7, 9, 10, 11, 13].map((oid) => [registry.resolve(oid, -1).kind, registry.resolve(oid, -1).element]);
    expect(elements).toEqual(['int', 'int', 'int', 'object', 'object', 'object', 'json', 'object', 'int', 'other'].map((element) => ['array', element]));
    for (const oid of [23, 4, 8]) expect(registry.resolve(oid, -1)).not.toHaveProperty('element');
  });

  test('as text when the catalog says that it contains itself', () => {
    const registry = registryOf(typeOf({ oid: 1, name: 'd', kind: 'd', base: 1 }));
    expect(registry.resolve(1, -1).decoding).toEqual({ as: 'text' });
  });
});

describe('docs/sources/postgres-types.md', () => {
  /** Rows of the page's tables: names in the first cell, kind in the second. */
  async function documented(): Promise<Map<string, string>> {
    const page = await readFile(new URL('../../../docs/sources/postgres-types.md', import.meta.url), 'utf8');
    const kinds = new Map<string, string>();
    for (const line of page.split('\n')) {
      const [, names, kind] = /^\| (.+?) \| (\w+) \|/.exec(line) ?? [];
      for (const [, name] of (names ?? '').matchAll(/`([\w.]+)`/g)) kinds.set(name as string, kind as string);
    }
    return kinds;
  }

  test('names every type that is read in a way of its own, with its kind', async () => {
    const kinds = await documented();
    for (const [name, [kind]] of [...builtInTypes, ...extensionTypes]) expect([name, kinds.get(name)]).toEqual([name, kind]);
    expect(kinds.get('vector.vector')).toBe('vector');
  });

  test('promises nothing of a type that is not read so', async () => {
    for (const [name, kind] of await documented()) {
      const known = builtInTypes.get(name) ?? extensionTypes.get(name);
      expect([name, kind]).toEqual([name, known?.[0] ?? (name.startsWith('vector.') ? 'vector' : 'other')]);
    }
  });
});
