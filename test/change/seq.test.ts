import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EPOCH_MAX, SEQ_MAX, seqOf, versionOf } from '../../src/change/seq.ts';

const epochs = fc.integer({ min: 0, max: EPOCH_MAX });
const seqs = fc.integer({ min: 0, max: SEQ_MAX });

test('a version holds epoch and seq, and fits a signed 64-bit number', () => {
  fc.assert(
    fc.property(epochs, seqs, (epoch, seq) => {
      const version = versionOf(epoch, seq);
      expect([version >> 48n, seqOf(version), BigInt.asIntN(64, version) === version]).toEqual([BigInt(epoch), seq, true]);
    }),
  );
});

test('versions are ordered by epoch first, then by seq', () => {
  fc.assert(
    fc.property(epochs, seqs, epochs, seqs, (e1, s1, e2, s2) => {
      expect(versionOf(e1, s1) < versionOf(e2, s2)).toBe(e1 < e2 || (e1 === e2 && s1 < s2));
    }),
  );
});

test('an epoch or seq out of range is refused', () => {
  expect(() => versionOf(EPOCH_MAX + 1, 0)).toThrow(RangeError);
  expect(() => versionOf(0, SEQ_MAX + 1)).toThrow(RangeError);
  expect(() => versionOf(0, 1.5)).toThrow(RangeError);
});
