import { expect, test } from 'vitest';
import { decodeKnown, encodeKnown, type KnownColumn, type KnownTable } from '../../../connectors/sources/postgres/catalog/known-tables.ts';

const columns = (count: number): KnownColumn[] => Array.from({ length: count }, (_, i) => ({ number: i + 1, name: `column_${i}`, type: 25, modifier: -1, version: '740' }));

function partitioned(leaves: number): KnownTable {
  const own = columns(40);
  return {
    root: 16_400,
    rootColumns: own,
    key: ['column_0'],
    keyGiven: false,
    missed: false,
    leaves: Array.from({ length: leaves }, (_, i) => ({ oid: 20_000 + i, name: `public.part_${i}`, file: 30_000 + i, identity: 'd', membership: [17_000], filter: null, columns: own, sent: own.map(({ name }) => name) })),
  };
}

test('what is known is read back as it was written, in whatever order the tables are', () => {
  const small: KnownTable = { ...partitioned(1), keyGiven: true, missed: true, key: [], leaves: [] };
  const known = new Map([['public.b', small], ['public.a', partitioned(3)]]);
  const bytes = encodeKnown(known);
  expect(decodeKnown(bytes)).toEqual(known);
  expect(encodeKnown(new Map([...known].toReversed())).equals(bytes)).toBe(true);
});

test('a thousand partitions that are alike take little room', () => {
  expect(encodeKnown(new Map([['public.t', partitioned(1_000)]])).length).toBeLessThan(200_000);
});

test.each(['nonsense', '{"form":2,"columns":[],"sent":[],"tables":[]}', '{"form":1,"columns":[],"sent":[],"tables":[["public.t",{"rootColumns":0,"leaves":[]}]]}'])('bytes that are something else are damage of the log: %s', (text) => {
  expect(() => decodeKnown(Buffer.from(text))).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }));
});
