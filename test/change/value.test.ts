import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Decimal, jsonOf, RawJson } from '../../src/change/value.ts';

describe('JSON of a value', () => {
  test('keeps every digit of numbers that a double cannot hold', () => {
    expect(jsonOf(9_007_199_254_740_993n)).toBe('9007199254740993');
    expect(jsonOf(new Decimal('0.10000000000000000000000001'))).toBe('0.10000000000000000000000001');
  });

  test('names what JSON has no word for instead of making it null', () => {
    expect([jsonOf(Number.NaN), jsonOf(-Infinity), jsonOf(new Decimal('NaN')), jsonOf(new Decimal('Infinity'))]).toEqual(['"NaN"', '"-Infinity"', '"NaN"', '"Infinity"']);
  });

  test('passes JSON text through as it stands', () => {
    expect(jsonOf({ a: new RawJson('{"x": 1.10}') })).toBe('{"a":{"x": 1.10}}');
  });

  test('writes bytes as base64 and vectors as numbers', () => {
    expect(jsonOf(Buffer.from([0, 255]))).toBe('"AP8="');
    expect(jsonOf(new Float32Array([0.5, -1]))).toBe('[0.5,-1]');
  });

  test('is what JSON.stringify says for values that JSON knows', () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        // JSON.stringify drops the sign of zero, which jsonOf keeps.
        const unsigned = (_: string, item: unknown): unknown => (item === 0 ? 0 : item);
        expect(JSON.parse(jsonOf(value as never), unsigned)).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  test('is well-formed Unicode even where a string is not', () => {
    expect(jsonOf('a\uD800b')).toBe('"a\uFFFDb"');
  });
});
