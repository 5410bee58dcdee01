import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bytesBetween, comparePositions, decodePosition, encodePosition, formatLsn, parseLsn, recordEnd } from '../../../connectors/sources/postgres/position.ts';

const anyLsn = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

test('positions keep their place and timeline, and are ordered by place alone', () => {
  fc.assert(
    fc.property(anyLsn, anyLsn, fc.nat(), fc.nat(), fc.option(anyLsn), (a, b, timelineA, timelineB, keptFrom) => {
      const [left, right] = [encodePosition(a, timelineA, keptFrom), encodePosition(b, timelineB)];
      expect(decodePosition(left)).toEqual({ lsn: a, timeline: timelineA, keptFrom });
      expect(decodePosition(right)).toEqual({ lsn: b, timeline: timelineB, keptFrom: null });
      expect(Math.sign(comparePositions(left, right))).toBe(a < b ? -1 : a > b ? 1 : 0);
      expect(bytesBetween(left, right)).toBe(b > a ? Number(b - a) : 0);
    }),
  );
});

test('an LSN is read and written as PostgreSQL does', () => {
  expect(formatLsn(0x16_b3748n)).toBe('0/16B3748');
  expect(parseLsn('FFFFFFFF/FFFFFFF8')).toBe(0xffff_ffff_ffff_fff8n);
  fc.assert(fc.property(anyLsn, (lsn) => parseLsn(formatLsn(lsn)) === lsn));
  expect(() => parseLsn('0/')).toThrow(expect.objectContaining({ code: 'SRC_PROTOCOL' }));
  expect(() => parseLsn('')).toThrow(expect.objectContaining({ code: 'SRC_PROTOCOL' }));
});

test('a position that is none is damage, not a place', () => {
  expect(() => decodePosition(Buffer.alloc(8))).toThrow(expect.objectContaining({ code: 'STATE_CORRUPT' }));
});

test('the place behind a page\'s or segment\'s header is the end of the record before it; every other place is itself', () => {
  const geometry = { blockBytes: 8192, segmentBytes: 16 * 1024 * 1024 };
  const segment = BigInt(geometry.segmentBytes);
  expect(recordEnd(5n * segment + 40n, geometry)).toBe(5n * segment);
  expect(recordEnd(5n * segment + 3n * 8192n + 24n, geometry)).toBe(5n * segment + 3n * 8192n);
  fc.assert(
    fc.property(fc.nat(100), fc.nat(2047), fc.nat(1023), (s, page, eighth) => {
      const within = BigInt(eighth * 8);
      const header = page === 0 ? 40n : 24n;
      const lsn = BigInt(s) * segment + BigInt(page) * 8192n + within;
      // Records neither begin nor end within a header; on a segment's first page, 24 lies within.
      if (within < header && within !== 0n) return;
      expect(recordEnd(lsn, geometry)).toBe(within === header ? lsn - header : lsn);
    }),
  );
});
