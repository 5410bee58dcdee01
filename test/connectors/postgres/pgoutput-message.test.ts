import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LargeMessage } from '../../../connectors/sources/postgres/pgoutput/large-message.ts';
import { readBegin, readCommit, readRelation, readTruncate, readType, relationOidOf } from '../../../connectors/sources/postgres/pgoutput/message.ts';
import { rowLimits } from '../../../connectors/sources/postgres/tuple.ts';
import { begin, commit, cstring, del, insert, leftOut, pieces, relation, tuple, uint16, uint32, UNCHANGED, update, xlogData, type Sent } from './wire-bytes.ts';

test('transaction ids and OIDs are unsigned', () => {
  const bytes = begin(0xffff_ffff_0000_0008n, 0xffff_fff0);
  expect(readBegin(bytes, 0, bytes.length)).toEqual({ commitLsn: 0xffff_ffff_0000_0008n, commitTimeMs: Date.UTC(2000, 0, 1), xid: 0xffff_fff0 });
  const described = relation(0xf000_0001, 't', [{ name: 'id', key: true, type: 0xf000_0002 }]);
  expect(readRelation(described, 0, described.length, new Map())).toMatchObject({ oid: 0xf000_0001, columns: [{ typeOid: 0xf000_0002, typeModifier: -1, identity: true }] });
  expect(relationOidOf(insert(0xf000_0003, ['1']), 0)).toBe(0xf000_0003);
  const truncated = Buffer.concat([Buffer.from('T'), uint32(2), Buffer.from([3]), uint32(0xf000_0004), uint32(5)]);
  expect(readTruncate(truncated, 0, truncated.length).relationOids).toEqual([0xf000_0004, 5]);
});

test('a commit tells its own place and where the stream goes on', () => {
  const bytes = commit(100n, 148n);
  expect(readCommit(bytes, 0, bytes.length)).toEqual({ commitLsn: 100n, endLsn: 148n });
});

test('an empty namespace is pg_catalog', () => {
  const bytes = Buffer.concat([Buffer.from('Y'), uint32(7), cstring(''), cstring('box')]);
  expect(readType(bytes, 0, bytes.length)).toEqual({ oid: 7, namespace: 'pg_catalog', name: 'box' });
});

test('a message that is cut anywhere is refused', () => {
  const whole = relation(1, 'tähle', [{ name: 'id', key: true }, { name: 'b"c' }]);
  expect(readRelation(whole, 0, whole.length, new Map()).name).toBe('tähle');
  for (let end = 1; end < whole.length; end += 1) {
    const cut = Buffer.concat([whole.subarray(0, end), Buffer.alloc(64, 0x41)]);
    expect(() => readRelation(cut, 0, end, new Map())).toThrow(expect.objectContaining({ code: 'SRC_PROTOCOL' }));
  }
  expect(() => readBegin(begin(1n, 1), 0, 20)).toThrow(expect.objectContaining({ code: 'SRC_PROTOCOL' }));
});

test('a replica identity that does not exist is refused', () => {
  const bytes = relation(1, 't', [], 'q');
  expect(() => readRelation(bytes, 0, bytes.length, new Map())).toThrow(expect.objectContaining({ code: 'SRC_PROTOCOL' }));
});

/** What comes out of a message that is read from parts. */
function readLarge(plugin: Buffer, sizes: readonly number[], valueBytesMax: number): Buffer[] {
  const out: Buffer[] = [];
  const large = new LargeMessage(rowLimits(valueBytesMax), (bytes, start, end) => out.push(Buffer.from(bytes.subarray(start, end))));
  const body = xlogData(plugin).subarray(5);
  const parts = large.begin();
  for (const piece of pieces(body, sizes)) parts.part(piece, 0, piece.length);
  parts.end();
  return out;
}

const anyRow = fc.array(fc.oneof(fc.constant(null), fc.constant(UNCHANGED), fc.string({ maxLength: 30 }).filter((text) => text !== UNCHANGED)), { minLength: 1, maxLength: 6 });
const anySizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 6 });

test('a message read from parts is the message, when nothing in it is too large', () => {
  fc.assert(
    fc.property(anyRow, anyRow, anySizes, (row, old, sizes) => {
      for (const plugin of [insert(1, row), update(1, row), update(1, row, { mark: 'K', row: old }), update(1, row, { mark: 'O', row: old }), del(1, 'O', old), relation(1, 't', [{ name: 'id' }])]) {
        expect(readLarge(plugin, sizes, 10_000)).toEqual([plugin]);
      }
    }),
  );
});

test('values that are too large are left out of old and new rows, each row by its own measure', () => {
  const big = 'x'.repeat(50);
  const row: Sent[] = ['1', big, 'after'];
  const expected = Buffer.concat([uint16(3), tuple(['1']).subarray(2), leftOut(50), tuple(['after']).subarray(2)]);
  expect(readLarge(update(9, row, { mark: 'O', row }), [3], 20)).toEqual([Buffer.concat([Buffer.from('U'), uint32(9), Buffer.from('O'), expected, Buffer.from('N'), expected])]);
});

test('what is no row, or no message of a stream, is refused', () => {
  const protocol = expect.objectContaining({ code: 'SRC_PROTOCOL' });
  expect(() => readLarge(Buffer.concat([Buffer.from('I'), uint32(1), Buffer.from('Q'), tuple(['1'])]), [5], 20)).toThrow(protocol);
  expect(() => readLarge(insert(1, ['1', '2']).subarray(0, 14), [5], 20)).toThrow(protocol);
  const parts = new LargeMessage(rowLimits(20), () => {}).begin();
  expect(() => parts.part(Buffer.from('zzz'), 0, 3)).toThrow(protocol);
});
