import { describe, expect, test } from 'vitest';
import { decodeKeyRange, encodeKeyRange, isKeyRange, keyRangesOf } from '../../../connectors/sources/postgres/snapshot/key-range.ts';
import { checkPredicateText } from '../../../connectors/sources/postgres/snapshot/predicate-text.ts';
import { encodeRange } from '../../../connectors/sources/postgres/snapshot/tid-range.ts';
import { encodeKey } from '../../change/encode-key.ts';

const keyOf = (...parts: (string | null)[]): Buffer => encodeKey(parts.map((part) => (part === null ? null : Buffer.from(part))));

describe('the text of a condition', () => {
  const refusal = (text: string): string => {
    try {
      checkPredicateText('t', text);
      return 'taken';
    } catch (error) {
      return (error as Error).message;
    }
  };

  test.each(["a = 'it''s; (' AND \"b;)\" > 1", '(a OR (b AND c)) AND d', "a LIKE 'x--y' AND b = '$1 /* */'", 'tags @> ARRAY[1, 2]', "a = U&'\\0061' AND b->>'c' = 'd'", "a IN (SELECT b FROM public.u WHERE c = ')')", "a = 'e' AND b ='x'"])('%s is taken', (text) => {
    expect(refusal(text)).toBe('taken');
  });

  test.each([
    ['a = 1) OR (1 = 1', 6],
    ['((a)', 1],
    ["a = 'x", 5],
    ['"a', 1],
    ["a = ''';", 7],
    ['a; b', 2],
    ['a = $$;$$', 5],
    ["a = E'\\'; DROP TABLE t; --'", 5],
    ["a = 1e'\\'; --'", 6],
    ['a --', 3],
    ['a /* b */', 3],
    ['a = $1', 5],
    ['a = 1\0', 6],
    ['', 1],
    [`a = '${'x'.repeat(20_000)}'`, 16_385],
    ['😀 ; a', 3],
  ])('%s is refused at character %i', (text, place) => {
    expect(refusal(text)).toContain(`is refused, at character ${place}: `);
  });
});

describe('ranges of keys', () => {
  test('keep their keys, whatever bytes they have, and are told from others', () => {
    const keys = [keyOf('a'), keyOf(''), encodeKey([Buffer.from([0, 255, 39])])];
    const range = encodeKeyRange({ keys, atOnce: 7 });
    expect(decodeKeyRange(range).keys.map((key) => Buffer.from(key))).toEqual(keys);
    expect(decodeKeyRange(range).atOnce).toBe(7);
    const place = { relation: 'r', oid: 1, file: 2, from: { block: 0, line: 0 }, to: 5, predicate: undefined };
    expect([range, encodeRange(place)].map((bytes) => isKeyRange(bytes))).toEqual([true, false]);
    expect(() => decodeKeyRange(range.subarray(0, range.length - 2).subarray(0, 7))).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }) as Error);
  });

  test('have a bounded number of keys and bytes, and nulls in the same places', () => {
    const keys = [...Array.from({ length: 4_500 }, (_, i) => keyOf(String(i), 'x')), keyOf('1', null), keyOf('2', null), ...Array.from({ length: 30 }, (_, i) => keyOf(String(i), 'y'.repeat(20_000)))];
    const ranges = keyRangesOf(keys).map((range) => decodeKeyRange(range).keys);
    expect(ranges.flat()).toHaveLength(keys.length);
    expect(Math.max(...ranges.map(({ length }) => length))).toBe(2_000);
    expect(Math.max(...keyRangesOf(keys).map(({ length }) => length))).toBeLessThan(300_000);
    expect(ranges.filter((range) => range.some((key) => Buffer.from(key).equals(keyOf('1', null)))).map(({ length }) => length)).toEqual([2]);
    expect(keyRangesOf([])).toEqual([]);
  });
});
