import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ColumnKind } from '../../src/change/schema.ts';
import { Decimal, jsonOf, RawJson, type Value } from '../../src/change/value.ts';
import { CelRow, RowScope } from '../../src/document/cel-row.ts';
import { LOOP_PASSES_MAX } from '../../src/document/cel-functions.ts';
import { parseExactJson } from '../../src/document/exact-json.ts';
import { compileExpression, documentValue } from '../../src/document/expression.ts';
import { checkExpression } from '../../src/document/expression-source.ts';
import { column } from './prepared-rows.ts';

const kinds: Readonly<Record<string, ColumnKind>> = { id: 'bigint', price: 'decimal', discount: 'decimal', stock: 'int', title: 'text', tags: 'array', attributes: 'json', active: 'boolean', created_at: 'timestamptz', type: 'enum' };
const page = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'expressions.md'), 'utf8');

test('every example on docs/expressions.md gives what the page says', () => {
  const text = /```json\n([^]*?)```/.exec(page)?.[1] ?? '';
  const row = parseExactJson(text, { number: (digits) => new Decimal(digits), object: (entries) => new Map(entries) }) as Map<string, unknown>;
  const columns = [...row.keys()].map((name) => column(name, kinds[name] ?? 'other', name !== 'id'));
  const values = columns.map(({ name, kind }) => valueOf(row.get(name), kind));
  const examples = [...page.matchAll(/^\| `(.+?)` \| `(.+)` \|$/gm)].map(([, expression = '', result = '']) => [expression.replaceAll('\\|', '|'), result] as const);
  expect(examples.length).toBeGreaterThan(25);
  const outcomes = examples.map(([expression]) => {
    const source = { text: expression, setting: expression };
    checkExpression(source);
    const compiled = compileExpression(source, 'products', columns);
    const scope = new RowScope(new CelRow(columns));
    scope.row.load(values);
    return [expression, jsonOf(documentValue(compiled.evaluate(scope), source))];
  });
  expect(outcomes).toEqual(examples);
});

test('docs/expressions.md names the limit of loops', () => {
  expect(page).toContain(`at most ${LOOP_PASSES_MAX} passes`);
});

function valueOf(given: unknown, kind: ColumnKind): Value {
  if (given instanceof Decimal) return kind === 'decimal' ? given : BigInt(given.digits);
  return kind === 'json' ? new RawJson(jsonOf(objectOf(given))) : (given as Value);
}

function objectOf(given: unknown): Value {
  if (given instanceof Map) return Object.fromEntries(Array.from(given as Map<string, unknown>, ([name, item]) => [name, objectOf(item)]));
  return Array.isArray(given) ? given.map(objectOf) : (given as Value);
}
