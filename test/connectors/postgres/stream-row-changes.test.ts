import fc from 'fast-check';
import { expect, test } from 'vitest';
import { KEY_BYTES_MAX } from '../../../src/change/key.ts';
import { RowChanges, type RowTable } from '../../../connectors/sources/postgres/stream/row-changes.ts';
import { recordingSink } from './recording-sink.ts';
import { del, insert, leftOut, tuple, uint16, uint32, UNCHANGED, update, type Sent } from './wire-bytes.ts';

const table: RowTable = { table: 'public.t', schemaId: 4, keyIndexes: [0], columnCount: 3, identity: [true, false, false] };
const full: RowTable = { ...table, identity: [true, true, true] };
const keyless: RowTable = { ...full, keyIndexes: [] };

type Kind = 'insert' | 'update' | 'delete';

function calls(kind: Kind, of: RowTable, message: Buffer): string[] {
  const { calls: made, sink } = recordingSink();
  // Somewhere in a larger piece of the stream, as they lie.
  const bytes = Buffer.concat([Buffer.alloc(7, 0xee), message, Buffer.alloc(9, 0xee)]);
  new RowChanges(sink)[kind](of, bytes, 7, 7 + message.length);
  return made;
}

const protocol = expect.objectContaining({ code: 'SRC_PROTOCOL' });
const noIdentity = expect.objectContaining({ code: 'SRC_NO_IDENTITY' });

test('each kind of message becomes what happened to the row', () => {
  expect(calls('insert', table, insert(1, ['1', 'a', null]))).toEqual(['insert 4 [1] [1|a|~]']);
  expect(calls('update', table, update(1, ['1', 'b', null]))).toEqual(['update 4 [1] [1|b|~]']);
  expect(calls('delete', table, del(1, 'K', ['1', null, null]))).toEqual(['delete 4 [1]']);
  expect(calls('delete', full, del(1, 'O', ['1', 'a', null]))).toEqual(['delete 4 [1]']);
});

test('a change of key is a flagged delete and an update; an old row with the same key is no such change', () => {
  expect(calls('update', table, update(1, ['2', 'a', null], { mark: 'K', row: ['1', null, null] }))).toEqual(['delete+1 4 [1]', 'update 4 [2] [2|a|~]']);
  expect(calls('update', table, update(1, ['1', 'a', null], { mark: 'K', row: ['1', null, null] }))).toEqual(['update 4 [1] [1|a|~]']);
  expect(calls('update', full, update(1, ['1', 'a', null], { mark: 'O', row: ['1', 'x', 'y'] }))).toEqual(['update 4 [1] [1|a|~]']);
});

test('unchanged values come from the old row as far as it carries them, and make the row incomplete otherwise', () => {
  expect(calls('update', table, update(1, ['1', UNCHANGED, 'c']))).toEqual(['update 4 [1] [1|unchanged|c] incomplete']);
  expect(calls('update', full, update(1, ['1', UNCHANGED, 'c'], { mark: 'O', row: ['1', 'old', 'x'] }))).toEqual(['update 4 [1] [1|old|c]']);
  expect(calls('update', table, update(1, [UNCHANGED, UNCHANGED, 'c'], { mark: 'K', row: ['long', null, null] }))).toEqual(['update 4 [long] [long|unchanged|c] incomplete']);
  expect(calls('update', table, update(1, ['2', UNCHANGED, 'c'], { mark: 'K', row: ['1', null, null] }))).toEqual(['delete+1 4 [1]', 'update 4 [2] [2|unchanged|c] incomplete']);
});

test('rows without a key are told by all of themselves, and leave as rows to be looked for', () => {
  const [gone, came] = calls('update', keyless, update(1, ['1', UNCHANGED, 'd'], { mark: 'O', row: ['1', 'b', 'c'] }));
  expect(gone).toMatch(/^update 4 \[.+\] \[1\|b\|c\] incomplete$/s);
  expect(came).toMatch(/^update 4 \[.+\] \[1\|b\|d\]$/s);
  expect(calls('insert', keyless, insert(1, ['1', 'b', 'd']))[0]?.replace('insert', 'update')).toBe(came);
  expect(calls('delete', keyless, del(1, 'O', ['1', 'b', 'c']))).toEqual([gone]);
  expect(calls('update', keyless, update(1, ['1', 'b', 'c'], { mark: 'O', row: ['1', 'b', 'c'] }))).toHaveLength(1);
});

test('two rows have one key exactly when their key columns are equal', () => {
  const anyText = fc.oneof(fc.constant(null), fc.string({ maxLength: 4 }).filter((text) => text !== UNCHANGED));
  const two: RowTable = { ...table, keyIndexes: [2, 0] };
  const keyOf = (row: Sent[]): string => {
    let key = '';
    const { sink } = recordingSink();
    new RowChanges({ ...sink, change: (_op, _flags, _schema, bytes, length) => (key = Buffer.from(bytes.subarray(0, length)).toString('hex')) }).insert(two, insert(1, row), 0, insert(1, row).length);
    return key;
  };
  fc.assert(
    fc.property(anyText, anyText, anyText, anyText, (a, c, otherA, otherC) => {
      expect(keyOf([a, 'b', c]) === keyOf([otherA, 'x', otherC])).toBe(a === otherA && c === otherC);
    }),
  );
});

test('a key that is longer than keys may be is told by its digest', () => {
  const long = 'x'.repeat(KEY_BYTES_MAX);
  const [call] = calls('insert', table, insert(1, [long, null, null]));
  const [other] = calls('insert', table, insert(1, [`${long}y`, null, null]));
  expect(call?.split(' [')[1]?.length).toBeLessThan(80);
  expect(call?.split(' [')[1]).not.toBe(other?.split(' [')[1]);
});

test('a row whose key is not known is refused, never guessed', () => {
  expect(() => calls('update', table, update(1, [UNCHANGED, 'a', 'b']))).toThrow(noIdentity);
  const oversized = Buffer.concat([Buffer.from('I'), uint32(1), Buffer.from('N'), uint16(3), leftOut(9_000_000), tuple([null, null]).subarray(2)]);
  expect(() => calls('insert', table, oversized)).toThrow(noIdentity);
  expect(() => calls('insert', keyless, oversized)).toThrow(noIdentity);
});

test('what is not as the protocol says is refused', () => {
  expect(() => calls('insert', table, insert(1, ['1', 'a']))).toThrow(protocol);
  expect(() => calls('insert', table, Buffer.concat([insert(1, ['1', 'a', 'b']), Buffer.from('!')]))).toThrow(protocol);
  expect(() => calls('delete', table, Buffer.concat([del(1, 'K', ['1', null, null]), Buffer.from('!')]))).toThrow(protocol);
  expect(() => calls('delete', table, Buffer.concat([Buffer.from('D'), uint32(1), Buffer.from('N'), tuple(['1', null, null])]))).toThrow(protocol);
  expect(() => calls('update', table, insert(1, ['1', 'a', 'b']).fill('K', 5, 6))).toThrow(protocol);
});
