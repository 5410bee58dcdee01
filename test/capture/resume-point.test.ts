import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeResumePoint, encodeResumePoint } from '../../src/capture/resume-point.ts';

const bytes = fc.uint8Array({ maxLength: 24 }).map((array) => Buffer.from(array));

test('a resume point is read back as it was written', () => {
  const partial = fc.option(fc.record({ position: bytes, changes: fc.integer({ min: 1, max: 2 ** 40 }) }), { nil: null });
  fc.assert(
    fc.property(bytes, partial, (position, unfinished) => {
      expect(decodeResumePoint(encodeResumePoint({ position, partial: unfinished }))).toEqual({ position, partial: unfinished });
    }),
  );
});

test('a register that is no resume point is damage of the log', () => {
  expect(() => decodeResumePoint(Buffer.from('nonsense'))).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }));
});
