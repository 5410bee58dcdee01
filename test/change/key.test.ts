import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeKey, documentIdOf, keyOfDocumentId } from '../../src/change/key.ts';
import { encodeKey } from './encode-key.ts';

const part = fc.oneof(fc.uint8Array({ maxLength: 12 }), fc.constant(null));
const textPart = fc.oneof(fc.string({ unit: 'binary', maxLength: 6 }), fc.constantFrom('', '%', ':', '%3A', '%N', '%E', '%25', 'a:b')).map((text) => Buffer.from(text));

function plain(parts: readonly (Uint8Array | null)[]): (number[] | null)[] {
  return parts.map((bytes) => (bytes === null ? null : [...bytes]));
}

describe('an encoded key', () => {
  test('gives its parts back, whatever bytes they hold', () => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), (parts) => {
        expect(plain(decodeKey(encodeKey(parts)))).toEqual(plain(parts));
      }),
    );
  });

  test('equals another only when all parts are equal', () => {
    fc.assert(
      fc.property(fc.array(part, { maxLength: 4 }), fc.array(part, { maxLength: 4 }), (a, b) => {
        const same = JSON.stringify(plain(a)) === JSON.stringify(plain(b));
        expect(encodeKey(a).equals(encodeKey(b))).toBe(same);
      }),
    );
  });

  test('that is cut short is refused', () => {
    const key = encodeKey([Buffer.from('abc'), Buffer.from('de')]);
    const whole = encodeKey([Buffer.from('abc')]).length;
    for (let length = 1; length < key.length; length += 1) {
      if (length === whole) continue;
      expect(() => decodeKey(key.subarray(0, length)), `${length} bytes`).toThrow(RangeError);
    }
  });
});

describe('a document id', () => {
  test('of a plain one-column key is the value itself', () => {
    expect(documentIdOf(encodeKey([Buffer.from('42')]))).toBe('42');
  });

  test('tells null, empty, separators and escapes apart', () => {
    const id = (...parts: (string | null)[]): string => documentIdOf(encodeKey(parts.map((text) => (text === null ? null : Buffer.from(text)))));
    expect([id('a', 'b'), id('a:b', ''), id(null), id(''), id('%N')]).toEqual(['a:b', 'a%3Ab:%E', '%N', '%E', '%25N']);
  });

  test('is different for different keys of the same number of parts', () => {
    const someParts = fc.integer({ min: 1, max: 3 }).chain((n) => {
      const parts = fc.array(fc.oneof(textPart, fc.uint8Array({ maxLength: 3 }), fc.constant(null)), { minLength: n, maxLength: n });
      return fc.tuple(parts, parts);
    });
    fc.assert(
      fc.property(someParts, ([a, b]) => {
        const same = encodeKey(a).equals(encodeKey(b));
        expect(documentIdOf(encodeKey(a)) === documentIdOf(encodeKey(b))).toBe(same);
      }),
      { numRuns: 2000 },
    );
  });

  test('gives the key back that it was made of, whatever bytes that holds', () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(textPart, fc.uint8Array({ maxLength: 4 }), fc.constant(null)), { minLength: 1, maxLength: 3 }), (parts) => {
        const key = encodeKey(parts);
        expect(keyOfDocumentId(documentIdOf(key))).toEqual(key);
      }),
      { numRuns: 2000 },
    );
  });

  test('that no key makes is known as such', () => {
    expect(['', 'a::b', '%41', '%', '%zz', ':', '%ff', 'x%00'].filter((id) => keyOfDocumentId(id) !== null)).toEqual([]);
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('%', ':', 'N', 'E', '2', '5', '3', 'A', 'F', 'é'), maxLength: 9 }), (id) => {
        const key = keyOfDocumentId(id);
        if (key !== null) expect(documentIdOf(key)).toBe(id);
      }),
    );
  });
});
