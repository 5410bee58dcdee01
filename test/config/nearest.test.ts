import fc from 'fast-check';
import { expect, test } from 'vitest';
import { editDistance, nearest } from '../../src/config/nearest.ts';

test('the distance counts letters added, left out, changed and swapped', () => {
  expect([editDistance('slot', 'slott'), editDistance('slot', 'lot'), editDistance('slot', 'slat'), editDistance('slot', 'solt'), editDistance('', 'abc'), editDistance('where', 'where')]).toEqual([1, 1, 1, 1, 3, 0]);
  fc.assert(
    fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
      expect(editDistance(a, b)).toBe(editDistance(b, a));
      expect(editDistance(a, b) === 0).toBe(a === b);
      expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
    }),
  );
});

test('a misspelt name finds its neighbour, and a strange one none', () => {
  const known = ['url', 'slot', 'publication', 'max_value_bytes'];
  expect([nearest('slott', known), nearest('URL', known), nearest('publicaton', known), nearest('max_value_byte', known), nearest('mx_vlue_bytes', known)]).toEqual(['slot', 'url', 'publication', 'max_value_bytes', 'max_value_bytes']);
  expect([nearest('host', known), nearest('x', known), nearest('', known), nearest('a'.repeat(100), known)]).toEqual([undefined, undefined, undefined, undefined]);
});
