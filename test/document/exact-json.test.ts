import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Decimal } from '../../src/change/value.ts';
import { exactNumber, parseExactJson } from '../../src/document/exact-json.ts';

const plain = (text: string): unknown => parseExactJson(text, { number: Number, object: (entries) => Object.fromEntries(entries) });

describe('exact JSON', () => {
  test('reads whatever JSON.stringify writes, with and without spaces', { timeout: 60_000 }, () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), fc.constantFrom(undefined, 1, '\t'), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        expect(plain(text)).toEqual(JSON.parse(text));
      }),
      { numRuns: 1000 },
    );
  });

  test('refuses what JSON.parse refuses, and takes what it takes', () => {
    const piece = fc.constantFrom('{', '}', '[', ']', ',', ':', '"', '"a"', '1', '-', '01', '1.', '.5', '1e', '1e5', 'true', 'nul', 'null', ' ', '\n', '\\', '"\\u0041"', '"\\x"', '"\\u12"', "'a'", '\u0001', '"\u0001"', '\u00a0');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        const text = pieces.join('');
        expect(attempt(() => plain(text)), text).toEqual(attempt(() => JSON.parse(text)));
      }),
      { numRuns: 5000 },
    );
  });

  test('keeps the digits of numbers and the order of names', () => {
    expect(exactNumber('12345678901234567890')).toBe(12345678901234567890n);
    expect(exactNumber('1.50')).toBe(1.5);
    expect(exactNumber('0.1234567890123456789')).toEqual(new Decimal('0.1234567890123456789'));
    expect(exactNumber('1e400')).toEqual(new Decimal('1e400'));
    expect(exactNumber('-0')).toBe(-0);
    expect(parseExactJson('{"b":1,"2":2,"1":3,"b":4}', { number: exactNumber, object: (entries) => entries.map(([name]) => name) })).toEqual(['b', '2', '1', 'b']);
  });

  test('reads escaped names as what they are, whatever it read before', () => {
    const names = (text: string): unknown => parseExactJson(text, { number: exactNumber, object: (entries) => entries.map(([name]) => name) });
    expect(names('{"h":1,"\\\\":0}')).toEqual(['h', '\\']);
    expect(names('{"h":1,"\\n":2}')).toEqual(['h', '\n']);
    expect(names('{"h":1,"\\"":2}')).toEqual(['h', '"']);
  });
});

function attempt(read: () => unknown): unknown {
  try {
    return { value: read() };
  } catch (error) {
    return (error as Error).name;
  }
}
