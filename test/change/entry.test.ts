import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ENTRY_OVERHEAD_BYTES, EntryCursor, writeEntry } from '../../src/change/entry.ts';
import { Op } from '../../src/change/operation.ts';

const entry = fc.record({
  op: fc.constantFrom(...Object.values(Op)),
  flags: fc.integer({ min: 0, max: 255 }),
  schemaId: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  key: fc.uint8Array({ maxLength: 40 }),
  row: fc.uint8Array({ maxLength: 200 }),
});

function encode(entries: readonly { op: Op; flags: number; schemaId: number; key: Uint8Array; row: Uint8Array }[]): Buffer {
  const bytes = Buffer.alloc(entries.reduce((sum, { key, row }) => sum + ENTRY_OVERHEAD_BYTES + key.length + row.length, 0));
  let at = 0;
  for (const { op, flags, schemaId, key, row } of entries) at = writeEntry(bytes, at, op, flags, schemaId, key, 0, key.length, row, 0, row.length);
  expect(at).toBe(bytes.length);
  return bytes;
}

describe('entries of a frame', () => {
  test('are read back as they were written, with gap-free seqs', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 10 }), fc.integer({ min: 1, max: 2 ** 40 }), (entries, firstSeq) => {
        const cursor = new EntryCursor(encode(entries), firstSeq);
        for (const [i, { op, flags, schemaId, key, row }] of entries.entries()) {
          expect(cursor.next()).toBe(true);
          expect({ seq: cursor.seq, op: cursor.op, flags: cursor.flags, schemaId: cursor.schemaId }).toEqual({ seq: firstSeq + i, op, flags, schemaId });
          expect([cursor.key().equals(key), cursor.row().equals(row)]).toEqual([true, true]);
        }
        expect(cursor.next()).toBe(false);
      }),
    );
  });

  test('that end in the middle are reported as damage', () => {
    const bytes = encode([{ op: Op.insert, flags: 0, schemaId: 7, key: Buffer.from('key'), row: Buffer.from('row') }]);
    for (let length = 1; length < bytes.length; length += 1) {
      expect(() => new EntryCursor(bytes.subarray(0, length), 1).next(), `${length} bytes`).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }));
    }
  });
});
