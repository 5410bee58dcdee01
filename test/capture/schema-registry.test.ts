import { expect, test } from 'vitest';
import { SchemaRegistry } from '../../src/capture/schema-registry.ts';
import type { DeclaredSchema } from '../../src/change/schema.ts';

function shapeWith(columns: number): DeclaredSchema {
  return {
    table: 'public.items',
    format: 'test',
    columns: Array.from({ length: columns }, (_, i) => ({ name: `c${i}`, type: 'text', kind: 'text' as const, nullable: true })),
    key: ['c0'],
  } as unknown as DeclaredSchema;
}

test('schemas come in the order of their numbers, also from a log that has its registers by name', () => {
  const registry = new SchemaRegistry(new Map());
  const updates = Array.from({ length: 12 }, (_, i) => registry.number('shop', shapeWith(i + 1)).register);
  const registers = new Map(updates.flatMap((update) => (update === null || update[1] === null ? [] : [[update[0], update[1]] as const])).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  expect([...registers.keys()].slice(0, 3)).toEqual(['schema:1', 'schema:10', 'schema:11']);
  expect(new SchemaRegistry(registers).all().map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
});
