import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fieldProblem, generationIndex, nameProblem, parseGenerationIndex, writeAlias, writeAliasNumber } from '../../../connectors/targets/opensearch/names.ts';

test.each(['products', 'a', 'shop-products_2', 'übersicht', '日本語', 'a.b', 'x'.repeat(215)])('%s may be the name of an index', (name) => {
  expect(nameProblem(name)).toBeUndefined();
});

test.each([
  ['Products', 'lower case'],
  ['', 'empty'],
  ['a b', 'white space'],
  ['a\u0000b', 'white space'],
  ['a,b', ','],
  ['a*', '*'],
  ['a/b', '/'],
  ['a:b', ':'],
  ['_a', 'begin'],
  ['-a', 'begin'],
  ['.a', 'begin'],
  ['..', 'begin'],
  ['é'.repeat(108), '215 bytes'],
  ['products-g0001', 'generation'],
  ['products-g0001-w3-ab', 'generation'],
])('%j may not', (name, why) => {
  expect(nameProblem(name)).toContain(why);
});

describe('the index of a generation', () => {
  test('is named after it, and tells which it is', () => {
    expect(generationIndex('products', 3)).toBe('products-g0003');
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z][a-z0-9-]{0,20}$/), fc.integer({ min: 1, max: 999_999_999 }), (index, generation) => {
        expect(parseGenerationIndex(generationIndex(index, generation))).toEqual({ index, generation });
      }),
    );
  });

  test.each(['products', 'products-g1', 'products-g00001', 'products-g0001-w1-ab', '-g0001', 'products-g0001x'])('%s is none', (name) => {
    expect(parseGenerationIndex(name)).toBeUndefined();
  });

  test('has write aliases that are told from everything else, and none is longer than the server takes', () => {
    expect(writeAliasNumber('products-g0001', writeAlias('products-g0001', 12, '00ff'))).toBe(12);
    for (const other of ['products', 'products-g0001', 'products-g0001-w', 'products-g0001-wx-00ff', 'products-g0001-w1', 'products-g0002-w1-00ff']) expect(writeAliasNumber('products-g0001', other)).toBeUndefined();
    expect(writeAlias(generationIndex('x'.repeat(215), 999_999_999), 999_999_999, '0123456789abcdef').length).toBeLessThanOrEqual(255);
  });
});

test('a field may have any name but those of the cluster and ones with nothing before or behind a dot', () => {
  for (const name of ['id', '_private', 'a.b', 'größe', '_ID', 'x '.trim()]) expect(fieldProblem(name)).toBeUndefined();
  expect(fieldProblem('_id')).toBe("is the name of a field of the cluster's own");
  for (const name of ['.a', 'a.', 'a..b', ' ', '']) expect(fieldProblem(name)).toBe('has an empty part before or behind a dot');
});
