import { expect, test } from 'vitest';
import { PreparedFields } from '../../src/apply/prepared-fields.ts';
import type { FieldPlan, TargetGeneration } from '../../src/connector/target.ts';

const { signal } = new AbortController();

/** What the target was asked to make room for, call by call. */
function scene(schemas: Readonly<Record<number, readonly FieldPlan[]>>, known: readonly FieldPlan[]): { readonly fields: PreparedFields; readonly asked: FieldPlan[][] } {
  const asked: FieldPlan[][] = [];
  const target = { prepare: async (fields: readonly FieldPlan[]) => void asked.push([...fields]) } as unknown as TargetGeneration;
  return { fields: new PreparedFields({ target, fieldsOf: (id) => schemas[id] ?? [] }, known), asked };
}

test('the target is asked for room once for each field that it does not have, before the first batch with it', async () => {
  const id: FieldPlan = { name: 'id', kind: 'int' };
  const added: FieldPlan = { name: 'added', kind: 'text' };
  const { fields, asked } = scene({ 1: [id], 2: [id, added], 3: [added] }, [id]);
  for (const ids of [[1], [1, 2], [3], [2]]) await fields.prepare(new Set(ids), signal);
  expect(asked).toEqual([[added]]);
});

test('a field of another kind, and an array of other elements, is another field', async () => {
  const of = (element: 'int' | 'text'): FieldPlan => ({ name: 'tags', kind: 'array', element });
  const { fields, asked } = scene({ 1: [of('int')], 2: [of('text')], 3: [{ name: 'tags', kind: 'text' }] }, [of('int')]);
  for (const id of [1, 2, 3]) await fields.prepare(new Set([id]), signal);
  expect(asked).toEqual([[of('text')], [{ name: 'tags', kind: 'text' }]]);
});
