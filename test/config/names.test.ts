import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nameProblem, parseTableReference } from '../../src/config/names.ts';

describe('the name of a table', () => {
  test('is source, schema and table, with quotes around what has dots', () => {
    expect(parseTableReference('shop.public.products')).toEqual({ source: 'shop', table: 'public.products' });
    expect(parseTableReference('shop.Public.Order-Lines')).toEqual({ source: 'shop', table: 'Public.Order-Lines' });
    expect(parseTableReference('shop."my schema"."a.b ""c"""')).toEqual({ source: 'shop', table: 'my schema.a.b "c"' });
    for (const wrong of ['', 'shop', 'shop.products', 'a.b.c.d', 'a..c', '.b.c', 'a.b.', 'a.b.c ', 'a."b.c', 'a."".c', 'a.b"x".c', 'a."b"x.c']) expect(parseTableReference(wrong), wrong).toBeTypeOf('string');
  });

  test('reads back whatever parts were quoted', () => {
    const part = fc.string({ minLength: 1, unit: 'binary' });
    const quoted = (text: string): string => `"${text.replaceAll('"', '""')}"`;
    fc.assert(
      fc.property(part, part, (schema, table) => {
        expect(parseTableReference(`shop.${quoted(schema)}.${quoted(table)}`)).toEqual({ source: 'shop', table: `${schema}.${table}` });
      }),
    );
  });
});

test('names of sources, targets and indices can be names of files, slots and indices anywhere', () => {
  for (const good of ['a', 'products', 'products-v2', 'a_b', 'x'.repeat(48)]) expect(nameProblem(good), good).toBeUndefined();
  for (const bad of ['', 'A', '1a', '-a', '_a', 'a b', 'a.b', 'a/b', 'ä', 'x'.repeat(49), 'products-g0001', 'products-g12345']) expect(nameProblem(bad), bad).toBeTypeOf('string');
});
