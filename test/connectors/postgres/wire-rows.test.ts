import fc from 'fast-check';
import { expect, test } from 'vitest';
import { keepsValue, rowLimits, TupleLayout, type RowLimits } from '../../../connectors/sources/postgres/tuple.ts';
import { appendTupleOfDataRow } from '../../../connectors/sources/postgres/wire/data-row.ts';
import { GrowingBytes } from '../../../connectors/sources/postgres/wire/growing-bytes.ts';
import { TupleSieve, type RowForm } from '../../../connectors/sources/postgres/wire/tuple-sieve.ts';
import { dataRow, leftOut, pieces, tuple, uint16, UNCHANGED, type Sent } from './wire-bytes.ts';

const anyValue = fc.oneof(fc.constant(null), fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes)));
const anyRow = fc.array(anyValue, { maxLength: 12 });
const anySizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 });

/** What a row is after everything above the limits was left out of it. */
function sifted(row: readonly Sent[], limits: RowLimits): Buffer {
  let kept = 0;
  const columns = row.map((value) => {
    if (value === null || value === UNCHANGED) return tuple([value]).subarray(2);
    const length = Buffer.byteLength(value);
    if (!keepsValue(limits, length, kept)) return leftOut(length);
    kept += length;
    return tuple([value]).subarray(2);
  });
  return Buffer.concat([uint16(row.length), ...columns]);
}

function sift(form: RowForm, body: Buffer, sizes: readonly number[], limits: RowLimits): Buffer {
  const out = new GrowingBytes();
  const sieve = new TupleSieve(form, limits, out);
  sieve.begin();
  for (const piece of pieces(body, sizes)) expect(sieve.read(piece, 0, piece.length)).toBe(piece.length);
  expect(sieve.done).toBe(true);
  return Buffer.from(out.bytes.subarray(0, out.length));
}

test('a row read from parts has every value within the limits and the lengths of the others, in both forms', () => {
  fc.assert(
    fc.property(anyRow, anySizes, fc.integer({ min: 1, max: 130 }), (row, sizes, valueBytesMax) => {
      const limits = rowLimits(valueBytesMax);
      expect(sift('data_row', dataRow(row), sizes, limits)).toEqual(sifted(row, limits));
      expect(sift('tuple', tuple(row), sizes, limits)).toEqual(sifted(row, limits));
    }),
  );
});

test('a row in one piece becomes the same tuple as one in parts', () => {
  fc.assert(
    fc.property(anyRow, anySizes, (row, sizes) => {
      const out = new GrowingBytes();
      const body = dataRow(row);
      appendTupleOfDataRow(body, 0, body.length, out);
      expect(Buffer.from(out.bytes.subarray(0, out.length))).toEqual(sift('data_row', body, sizes, rowLimits(2 ** 20)));
      expect(Buffer.from(out.bytes.subarray(0, out.length))).toEqual(tuple(row));
    }),
  );
});

test('what is unchanged stays so', () => {
  const row = ['a', UNCHANGED, null];
  expect(sift('tuple', tuple(row), [1], rowLimits(10))).toEqual(tuple(row));
});

test('a layout lies over each column of a tuple', () => {
  const layout = new TupleLayout();
  fc.assert(
    fc.property(fc.array(fc.oneof(anyValue, fc.constant(UNCHANGED)), { maxLength: 90 }), fc.nat(20), (row, offset) => {
      const bytes = Buffer.concat([Buffer.alloc(offset), tuple(row), Buffer.alloc(3)]);
      const end = layout.read(bytes, offset, bytes.length);
      expect(end).toBe(bytes.length - 3);
      expect(layout.count).toBe(row.length);
      expect(layout.unchanged).toBe(row.filter((value) => value === UNCHANGED).length);
      for (const [i, value] of row.entries()) {
        expect(bytes.subarray(layout.columns[i], layout.columns[i + 1])).toEqual(tuple([value]).subarray(2));
      }
    }),
  );
});

test('a tuple that is cut anywhere, or has a column of an unknown kind, is refused', () => {
  const whole = tuple(['abc', null, '']);
  const layout = new TupleLayout();
  for (let end = 0; end < whole.length; end += 1) expect(() => layout.read(whole, 0, end)).toThrow(expect.objectContaining({ code: 'SRC_PROTOCOL' }));
  const unknown = Buffer.from(whole);
  unknown[2] = 'b'.charCodeAt(0);
  expect(() => layout.read(unknown, 0, unknown.length)).toThrow(expect.objectContaining({ code: 'SRC_PROTOCOL' }));
  for (let end = 0; end < dataRow(['abc', null, '']).length; end += 1) {
    expect(() => appendTupleOfDataRow(dataRow(['abc', null, '']), 0, end, new GrowingBytes())).toThrow(expect.objectContaining({ code: 'SRC_PROTOCOL' }));
  }
});
