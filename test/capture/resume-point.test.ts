import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeResumePoint, encodeResumePoint, partialTransaction } from '../../src/capture/resume-point.ts';

const bytes = fc.uint8Array({ maxLength: 24 }).map((array) => Buffer.from(array));

test('a resume point is read back as it was written', () => {
  const counts = fc.array(fc.tuple(fc.string(), fc.integer({ min: 1, max: 2 ** 40 })), { maxLength: 4 }).map((pairs) => new Map(pairs));
  const partials = fc.array(fc.record({ position: bytes, id: fc.bigInt({ min: 0n, max: 2n ** 64n }), byTable: counts }), { maxLength: 3 });
  fc.assert(
    fc.property(bytes, partials, (position, unfinished) => {
      const [partial = null, ...laterPartials] = unfinished.map(({ position: at, id, byTable }) => partialTransaction(at, id, byTable));
      const point = { position, partial, laterPartials };
      expect(decodeResumePoint(encodeResumePoint(point))).toEqual(point);
    }),
  );
});

test('a register that is no resume point is damage of the log', () => {
  expect(() => decodeResumePoint(Buffer.from('nonsense'))).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }));
});
