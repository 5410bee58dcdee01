import { describe, expect, test } from 'vitest';
import { documentIdOf } from '../../src/change/key.ts';
import type { ColumnSchema, DeclaredSchema } from '../../src/change/schema.ts';
import { keysFrom } from '../../src/pipeline/resync-keys.ts';

const column = (name: string, keyOrdinal = 0, more: Partial<ColumnSchema> = {}): ColumnSchema => ({ name, kind: 'text', sourceType: 'text', nullable: false, keyOrdinal, decoding: {}, ...more });
const table = (...columns: readonly ColumnSchema[]): DeclaredSchema => ({ table: 'public.items', format: 'f/1', columns });

const one = table(column('id', 1), column('name'));
/** The key is (sku, shop): not in the order of the columns. */
const two = table(column('shop', 2), column('sku', 1), column('name'));

const ids = (schema: DeclaredSchema, ...texts: readonly string[]): string[] => keysFrom(texts, schema).map(documentIdOf);

function refusal(schema: DeclaredSchema, ...texts: readonly string[]): string {
  try {
    keysFrom(texts, schema);
  } catch (error) {
    expect(error).toMatchObject({ code: 'SRC_SELECTION', did: 'Nothing was changed.' });
    return (error as Error).message;
  }
  throw new Error('it was taken');
}

describe('a key as a person writes it', () => {
  test('is a value, a list in the order of the key, or an object by its columns', () => {
    expect(ids(one, '57', '"A-17"', '["x"]', '{"id": "y"}')).toEqual(['57', 'A-17', 'x', 'y']);
    expect(ids(two, '["a:b", 3]', '{"shop": 3, "sku": "a:b"}')).toEqual(['a%3Ab:3', 'a%3Ab:3']);
  });

  test('keeps every digit and every sign, and knows null from nothing and from text', () => {
    expect(ids(table(column('id', 1, { nullable: true })), '12345678901234567890123', '1.10', '-0', '1e3', 'null', '""', '"null"')).toEqual(['12345678901234567890123', '1.10', '-0', '1e3', '%N', '%E', 'null']);
  });

  test('is refused by the name of what is wrong with it', () => {
    expect(refusal(one, '57', 'x')).toBe('Key 2 of 2 for public.items is no JSON.');
    expect(refusal(two, '57')).toBe("The key for public.items has 1 value; the table's key is (sku, shop).");
    expect(refusal(two, '["a", 1, 2]')).toContain('has 3 values');
    expect(refusal(two, '{"sku": "a"}')).toBe("The key for public.items lacks shop: the table's key is (sku, shop).");
    expect(refusal(two, '{"sku": "a", "shp": 1}')).toBe("The key for public.items names the column shp, which the table does not have: the table's key is (sku, shop); did you mean `shop`?");
    expect(refusal(two, '{"sku": "a", "shop": 1, "name": "x"}')).toContain('names the column name, which is no part of the key');
    expect(refusal(one, 'true')).toContain('has true for id; a value is text or a number');
    expect(refusal(one, '[["x"]]')).toContain('has a list for id');
    expect(refusal(one, '[{"x": 1}]')).toContain('has an object for id');
    expect(refusal(one, 'null')).toBe('The key for public.items has null for id, which is never null.');
    const numbered = table(column('id', 1, { kind: 'bigint' }));
    expect(ids(numbered, '57', '"-8"')).toEqual(['57', '-8']);
    for (const slip of ['"abc"', '1.5', '1e3', '""']) expect(refusal(numbered, slip)).toContain('for id, which is a whole number');
    expect(refusal(one, JSON.stringify('x'.repeat(40_000)))).toContain('cannot be asked for by key');
    expect(refusal(table(column('a')), '1')).toContain('they are told apart by all of their columns');
  });
});
