import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ColumnKind } from '../../src/change/schema.ts';
import { Decimal, jsonOf, RawJson, type Value } from '../../src/change/value.ts';
import { CelRow, RowScope } from '../../src/document/cel-row.ts';
import { celOf, valueOfCel } from '../../src/document/cel-value.ts';
import { compare } from '../../src/document/decimal-arithmetic.ts';
import { compileExpression, documentValue } from '../../src/document/expression.ts';
import { checkExpression } from '../../src/document/expression-source.ts';
import { codeOf } from '../../src/errors/tailrace-error.ts';
import { column } from './prepared-rows.ts';

const columns = [
  column('id', 'bigint', false),
  column('qty', 'int'),
  column('price', 'decimal'),
  column('prices', 'array'),
  column('weight', 'float'),
  column('name', 'text'),
  column('nothing', 'text'),
  column('none', 'int'),
  column('tags', 'array'),
  column('attrs', 'json'),
  column('active', 'boolean'),
  column('unknown', 'boolean'),
  column('made', 'timestamp'),
  column('day', 'date'),
  column('raw', 'bytes'),
  column('type', 'text'),
  column('row', 'int'),
  column('order date', 'date'),
  column('constructor', 'text'),
];
const row: Record<string, Value> = {
  id: 9_223_372_036_854_775_807n,
  qty: 7,
  price: new Decimal('19.90'),
  prices: [new Decimal('1.10'), new Decimal('2')],
  weight: 1.5,
  name: 'Walnut desk',
  nothing: null,
  none: null,
  tags: ['a', 'b'],
  attrs: new RawJson('{"color":"red","qty":12345678901234567890,"list":[1,2.5],"empty":null,"constructor":{"__proto__":1}}'),
  active: true,
  unknown: null,
  made: '2024-02-03T04:05:06.123456',
  day: '2024-02-03',
  raw: Buffer.from('{"n":9007199254740993}'),
  type: 'book',
  row: 3,
  'order date': '2024-01-02',
  constructor: 'Ada',
};

/** JSON of the result, or the error's code. */
function outcome(text: string, values: Record<string, Value> = row): string {
  const source = { text, setting: 'indices.products.where' };
  try {
    checkExpression(source);
    const expression = compileExpression(source, 'public.products', columns);
    const needed = columns.filter(({ name }) => expression.columns.has(name));
    const cel = new CelRow(needed);
    cel.load(needed.map(({ name }) => values[name] as Value));
    return jsonOf(documentValue(expression.evaluate(new RowScope(cel)), source));
  } catch (error) {
    return codeOf(error) ?? `not catalogued: ${String(error)}`;
  }
}

function table(rows: Readonly<Record<string, string>>): void {
  expect(Object.fromEntries(Object.keys(rows).map((text) => [text, outcome(text)]))).toEqual(rows);
}

describe('an expression', () => {
  test('calculates with decimals exactly, and with the number that a double prints', () => {
    table({
      'price * 1.19': '23.6810',
      'round(price * 1.19, 2)': '23.68',
      'price + 1': '20.90',
      '1 - price': '-18.90',
      '-price': '-19.90',
      'price == 19.9': 'true',
      '19.9 == price': 'true',
      'price != 19.9': 'false',
      'price > 19': 'true',
      'price <= 19.8999999999': 'false',
      'decimal("0.1") + decimal(0.2)': '0.3',
      'price in [19.9, 5.0]': 'true',
      'price in [19, 20]': 'false',
      '2.0 in prices': 'true',
      '2 in prices': 'true',
      '1.1 in prices': 'true',
      'int(price)': '19',
      'double(price)': '19.9',
      'string(price)': '"19.90"',
      'price - id': '-9223372036854775787.10',
    });
  });

  test('keeps every digit of whole numbers and refuses to round them silently', () => {
    table({ id: '9223372036854775807', 'id - 1': '9223372036854775806', 'id + 1': 'DOC_FAILED', 'id * 1.5': 'DOC_FAILED', 'qty * 1.5': '10.5', 'qty / 2': '3', 'qty / 2.0': '3.5', 'attrs.qty': '12345678901234567890', 'raw.json().n': '9007199254740993' });
  });

  test('treats a null like SQL: unknown until something else decides', () => {
    table({
      'none + 1': 'null',
      'none > 1': 'null',
      '!(none > 1)': 'null',
      'none > 1 || qty > 1': 'true',
      'qty > 1 || none > 1': 'true',
      'none > 1 && qty > 100': 'false',
      'none > 1 && qty > 1': 'null',
      'nothing + "x"': 'null',
      'nothing.startsWith("x")': 'null',
      'size(nothing)': 'null',
      unknown: 'null',
      'unknown && active': 'null',
      'unknown || active': 'true',
      'unknown ? 1 : 2': 'null',
      'none == null': 'true',
      'null == none': 'true',
      'qty == null': 'false',
      'id != null': 'true',
      'none == 1': 'false',
      'none == null ? "none" : "some"': '"none"',
      'price * none': 'null',
    });
  });

  test('reads what is not there in JSON as null, and has() tells', () => {
    table({ 'attrs.color': '"red"', 'attrs.missing': 'null', 'attrs.missing.deeper': 'null', 'attrs.color.deeper': 'null', 'has(attrs.missing)': 'false', 'has(attrs.color)': 'true', 'attrs.list[1]': '2.5', 'attrs.list[9]': 'null', 'tags[9]': 'null', 'attrs.empty == null': 'true', 'attrs.constructor': '{"__proto__":1}' });
  });

  test('fails for a row whose JSON is of another type, instead of calling it unknown', () => {
    table({ 'attrs.color + 1': 'DOC_FAILED', 'attrs.color > 5': 'DOC_FAILED', 'attrs.color && active': 'DOC_FAILED', 'attrs.list.startsWith("x")': 'DOC_FAILED' });
  });

  test('never takes a word of CEL for the column of that name', () => {
    table({ 'attrs.color == type': 'SRC_DDL', 'attrs.color == row.type': 'false' });
  });

  test('reaches every column as row.NAME, whatever its name', () => {
    table({ 'row.type': '"book"', 'row.row + 1': '4', 'row["order date"]': '"2024-01-02"', 'row.constructor': '"Ada"', constructor: '"Ada"', 'row["na" + "me"]': '"Walnut desk"' });
    expect(JSON.parse(outcome('row').replace('9223372036854775807', '0'))).toMatchObject({ type: 'book', row: 3, 'order date': '2024-01-02' });
  });

  test('has lists, loops and texts', () => {
    table({
      'tags.map(t, t + "!")': '["a!","b!"]',
      'tags.exists(t, t == "b")': 'true',
      '"c" in tags': 'false',
      'tags.filter(t, (t) != ("a"))': '["b"]',
      'tags.map(t, [1, 2].map(n, t + string(n)))': '[["a1","a2"],["b1","b2"]]',
      'cel.bind(x, qty + 1, x * x)': '64',
      '{"a": qty, "b": [name]}': '{"a":7,"b":["Walnut desk"]}',
      'name.matches("(?i)^WAL.*k$")': 'true',
      'name.matches(name)': 'true',
      raw: '"eyJuIjo5MDA3MTk5MjU0NzQwOTkzfQ=="',
    });
  });

  test('reads times without a zone as UTC, whatever the zone of the machine', () => {
    const zone = process.env['TZ'];
    process.env['TZ'] = 'America/St_Johns';
    try {
      expect(new Date('2024-02-03T04:05:06').getTimezoneOffset(), 'the zone of this process is another').toBe(210);
      times();
    } finally {
      if (zone === undefined) delete process.env['TZ'];
      else process.env['TZ'] = zone;
    }
  });

  function times(): void {
    table({ 'timestamp(made)': '"2024-02-03T04:05:06.123Z"', 'timestamp(day)': '"2024-02-03T00:00:00.000Z"', 'timestamp(made).getHours()': '4', 'timestamp((day) + "T01:00:00+02:00")': '"2024-02-02T23:00:00.000Z"', 'timestamp(0)': '"1970-01-01T00:00:00.000Z"', 'timestamp(made) - timestamp(day)': '"14706.123s"', 'timestamp("soon")': 'DOC_FAILED', 'duration("-1.5h")': '"-5400s"' });
  }

  test('is refused before it meets a table when it cannot be right for any', () => {
    const wrong = ['', '1 +', 'nonsense(1)', 'name.nonsense()', '1 + "x"', 'name.matches("(")', '{"__proto__": 1}', '{"constructor": 1}', '{name: 1}', 'timestamp(made).getHours("Europe/Berlin")', 'timestamp(made).getDayOfYear()', 'type == "x"', '('.repeat(100) + '1' + ')'.repeat(100), Array.from({ length: 3000 }, () => '1').join('+')];
    expect(wrong.map((text) => [text.slice(0, 40), outcome(text)])).toEqual(wrong.map((text) => [text.slice(0, 40), 'CFG_TRANSFORM']));
  });

  test('is refused when it does not fit the table', () => {
    const wrong = ['missing', 'row.missing', 'name > 1', 'name + 1', 'none.x', 'active + 1', 'round(name, 1)'];
    expect(wrong.map((text) => [text, outcome(text)])).toEqual(wrong.map((text) => [text, 'SRC_DDL']));
  });

  test('fails for one row only, and says so without its values', () => {
    const source = { text: 'int(name)', setting: 'indices.products.fields.n' };
    const expression = compileExpression(source, 'public.products', columns);
    const cel = new CelRow([column('name', 'text')]);
    cel.load(['my secret']);
    expect(() => expression.evaluate(new RowScope(cel))).toThrow(expect.objectContaining({ code: 'DOC_FAILED', message: 'indices.products.fields.n: int conversion error.' }));
    cel.load(['12']);
    expect(expression.evaluate(new RowScope(cel))).toBe(12n);
    for (const text of ['bool(name)', 'duration(name)', 'name.matches(name)', 'tags[qty - 100]', '1 / (qty - 7)', 'type(name)', 'double(name)', 'name.substring(100)']) {
      const where = { text, setting: 'w' };
      const failing = compileExpression(where, 'public.products', columns);
      const needed = columns.filter(({ name }) => failing.columns.has(name));
      const scope = new RowScope(new CelRow(needed));
      scope.row.load(needed.map(({ name }) => (name === 'name' ? '(my secret' : (row[name] as Value))));
      let message = '';
      try {
        documentValue(failing.evaluate(scope), where);
      } catch (error) {
        message = String(error);
      }
      expect(message).not.toContain('secret');
    }
  });

  test('ends loops that run away', () => {
    const many: Value = Array.from({ length: 2000 }, (_, i) => i);
    expect(outcome('tags.map(a, tags.map(b, 1)).size()', { ...row, tags: many })).toBe('DOC_FAILED');
    expect(outcome('tags.map(a, a).size()', { ...row, tags: many })).toBe('2000');
  });

  test('names the place of an error', () => {
    expect(() => checkExpression({ text: 'qty > 1 &&\n  nonsense(2)', setting: 'indices.products.where' })).toThrow(/indices\.products\.where, line 2, column 3: found no matching overload for 'nonsense\(int\)'/);
    expect(() => checkExpression({ text: 'type == "x"', setting: 'w' })).toThrow(/a column of that name is `row\.type`/);
    expect(() => compileExpression({ text: 'qty > 1 && mising', setting: 'w' }, 'public.products', columns)).toThrow(/w, column 12 does not fit the table public\.products: Unknown variable: mising \(its columns are `id`, `qty`/);
    expect(() => checkExpression({ text: '1 + 1', setting: 'w' }, ['bool', 'dyn'])).toThrow(/w: the expression yields int; expected bool/);
  });

  test('decodes only the columns that it names', () => {
    const needs = (text: string): string[] => [...compileExpression({ text, setting: 'w' }, 't', columns).columns];
    expect(needs('tags.map(name2, name2 + name).size() > row.qty')).toEqual(['qty', 'name', 'tags']);
    expect(needs('1 > 2')).toEqual([]);
    expect(needs('row["na" + "me"] == "x"')).toHaveLength(columns.length);
  });
});

describe('a value that passes through an expression', () => {
  const decimal = fc.tuple(fc.bigInt(), fc.nat({ max: 30 })).map(([unscaled, exponent]) => `${unscaled}e-${exponent}`);
  const leaf: fc.Arbitrary<Value> = fc.oneof(fc.constant(null), fc.boolean(), fc.string({ unit: 'grapheme' }), fc.double(), fc.bigInt(), decimal.map((digits) => new Decimal(digits)), fc.uint8Array());
  const value = fc.letrec<{ node: Value }>((tie) => ({ node: fc.oneof({ maxDepth: 3 }, leaf, fc.array(tie('node')), fc.dictionary(fc.string(), tie('node'))) })).node;

  test('comes out as the same JSON, digit by digit', () => {
    const kindOf = (input: Value): ColumnKind => (typeof input === 'number' ? 'float' : input instanceof Decimal ? 'decimal' : typeof input === 'bigint' ? 'bigint' : 'object');
    fc.assert(
      fc.property(value, (input) => {
        const output = valueOfCel(celOf(input, kindOf(input)));
        expect(output === undefined ? 'nothing' : jsonOf(output)).toBe(jsonOf(input));
      }),
      { numRuns: 1000 },
    );
  });

  test('keeps JSON: names, order, and the numbers that doubles round', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (input) => {
        const text = JSON.stringify(input);
        expect(JSON.parse(jsonOf(valueOfCel(celOf(new RawJson(text), 'json')) as Value))).toEqual(JSON.parse(text));
      }),
    );
    fc.assert(
      fc.property(decimal, (digits) => {
        const output = jsonOf(valueOfCel(celOf(new RawJson(`[{"n":${digits}}]`), 'json')) as Value);
        expect(compare(new Decimal(output.slice('[{"n":'.length, -2)), new Decimal(digits))).toBe(0);
      }),
    );
    const odd = '{"b":1,"a":{"__proto__":{"x":1},"constructor":2},"n":1e400,"z":-0}';
    expect(jsonOf(valueOfCel(celOf(new RawJson(odd), 'json')) as Value)).toBe('{"b":1,"a":{"__proto__":{"x":1},"constructor":2},"n":1e400,"z":-0.0}');
  });
});

test.each([
  ['[name, nothing]', 'array', 'text'],
  ['[[qty], [7]]', 'array', 'bigint'],
  ['[{"a": qty}]', 'array', 'object'],
  ['[weight, 1.5]', 'array', 'float'],
  ['[attrs.list]', 'array', undefined],
  ['tags', 'other', undefined],
  ['qty + 1', 'bigint', undefined],
])('what %s yields is known beforehand as far as its type says it', (text, kind, element) => {
  const source = { text, setting: 'indices.products.fields.x' };
  expect(compileExpression(source, 'public.things', columns)).toMatchObject({ kind, element });
});
