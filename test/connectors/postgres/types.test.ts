/** Reading values out of rows of format postgres/1, without a server: what the server never prints, and what must not be lost. */
import { describe, expect, test } from 'vitest';
import type { Decoding } from '../../../connectors/sources/postgres/types/decoding.ts';
import { postgresFormat } from '../../../connectors/sources/postgres/types/row-format.ts';
import type { ColumnSchema, RowSchema } from '../../../src/change/schema.ts';
import { Decimal, jsonOf, RawJson, type Value } from '../../../src/change/value.ts';

function schemaOf(...decodings: readonly Decoding[]): RowSchema {
  const columns = decodings.map((decoding, i): ColumnSchema => ({ name: `c${i}`, kind: 'other', sourceType: 'some type', nullable: true, keyOrdinal: 0, decoding: { ...decoding } }));
  return { id: 1, source: 'shop', table: 'public.t', format: 'postgres/1', columns };
}

const unchanged = Symbol('unchanged');

type Cell = string | Buffer | null | { readonly leftOut: number } | typeof unchanged;

function tupleOf(...cells: readonly Cell[]): Buffer {
  const parts: Buffer[] = [Buffer.from([cells.length >> 8, cells.length & 0xff])];
  for (const cell of cells) {
    if (cell === null) parts.push(Buffer.from('n'));
    else if (cell === unchanged) parts.push(Buffer.from('u'));
    else {
      const leftOut = typeof cell === 'object' && !Buffer.isBuffer(cell);
      const bytes = leftOut ? Buffer.alloc(0) : Buffer.from(cell as string);
      const head = Buffer.alloc(5);
      head.write(leftOut ? 'x' : 't');
      head.writeUInt32BE(leftOut ? cell.leftOut : bytes.length, 1);
      parts.push(head, bytes);
    }
  }
  return Buffer.concat(parts);
}

function decode(decoding: Decoding, cell: Cell): Value {
  return postgresFormat.decoder(schemaOf(decoding), ['c0']).decode(tupleOf(cell))[0] as Value;
}

function json(decoding: Decoding, text: string | Buffer): string {
  return jsonOf(decode(decoding, text));
}

const text = { as: 'text' } as const;
const int = { as: 'int' } as const;

describe('rows', () => {
  const schema = schemaOf({ as: 'bigint' }, text, { as: 'boolean' }, text);

  test('give the projected columns in the order asked for and step over the rest', () => {
    const decoder = postgresFormat.decoder(schema, ['c2', 'c0']);
    expect(decoder.decode(tupleOf('7', 'ignored', 't', { leftOut: 99 }))).toEqual([true, 7]);
    expect(decoder.decode(tupleOf('7', { leftOut: 1 }, null, unchanged))).toEqual([null, 7]);
    expect(decoder.decode(new Uint8Array(tupleOf('8', '', 'f', '')))).toEqual([false, 8]);
  });

  test('keep nothing of one row for the next', () => {
    const decoder = postgresFormat.decoder(schema, ['c0', 'c1']);
    const first = decoder.decode(tupleOf('1', 'a', null, null));
    expect(decoder.decode(tupleOf(null, null, null, null))).toEqual([null, null]);
    expect(first).toEqual([1, 'a']);
  });

  test('with a projected value that was left out are refused by its size, never by a null', () => {
    expect(() => decode(text, { leftOut: 9_000_000 })).toThrow(expect.objectContaining({ code: 'SRC_VALUE_TOO_LARGE', entity: 'shop.public.t', message: expect.stringContaining('9000000 bytes in column c0') as string }));
  });

  test.for<[string, Buffer]>([
    ['another number of columns', tupleOf('1')],
    ['no bytes', Buffer.alloc(0)],
    ['a length beyond its end', tupleOf('1', 'a', 't', 'abc').subarray(0, 12)],
    ['an unknown kind of column', Buffer.concat([Buffer.from([0, 4]), Buffer.from('z')])],
    ['an unchanged value, which no complete row has', tupleOf(unchanged, 'a', 't', null)],
  ])('with %s are refused', ([, row]) => {
    expect(() => postgresFormat.decoder(schema, ['c0', 'c1', 'c2', 'c3']).decode(row)).toThrow(expect.objectContaining({ code: 'SRC_UNDECODABLE' }));
  });

  test('name the column and the type of a malformed value, not the value', () => {
    const decoder = postgresFormat.decoder(schema, ['c0']);
    const failing = (): unknown => decoder.decode(tupleOf('secret42', 'a', 't', null));
    expect(failing).toThrow(expect.objectContaining({ code: 'SRC_UNDECODABLE', message: expect.stringContaining('column c0 (some type)') as string }));
    expect(failing).toThrow(expect.not.objectContaining({ message: expect.stringContaining('secret42') as string }));
  });

  test('asked for a column that their schema does not have break an invariant', () => {
    expect(() => postgresFormat.decoder(schema, ['nope'])).toThrow(expect.objectContaining({ code: 'INVARIANT' }));
  });
});

describe('malformed text is refused', () => {
  const array = { as: 'array', of: text, delimiter: ',' } as const;
  const composite = { as: 'composite', fields: [{ name: 'a', decoding: int }, { name: 'b', decoding: text }] } as const;
  test.for<[Decoding, ...string[]]>([
    [{ as: 'boolean' }, '', 'true', 'x'],
    [int, '', '-', '1.5', '1x', '0x10', ' 1'],
    [{ as: 'bigint' }, '99999999999999999999x'],
    [{ as: 'decimal' }, '', '1e5', '.5', '5.', 'nan', '+1'],
    [{ as: 'float' }, '', 'inf', '1e', 'e5', '0x1'],
    [{ as: 'money' }, '', '1.00', '$1', '$1,00.00'],
    [{ as: 'bytes' }, '', 'ab', '\\xa', '\\xzz', '\\xab zz'],
    [{ as: 'date' }, '', '01.02.2026', '2026-1-1', '2026-01-01 AD'],
    [{ as: 'time' }, '', '12:00', '12:00:00+02'],
    [{ as: 'timetz' }, '', '12:00:00', '12:00:00Z'],
    [{ as: 'timestamp' }, '', '2026-01-01', '2026-01-01 00:00:00+00', 'Infinity'],
    [{ as: 'timestamptz' }, '', '2026-01-01 00:00:00', '2026-01-01 00:00:00+02', '2026-01-01 00:00:00+00:30'],
    [array, '', 'a', '{', '{a', '{"a}', '{a,}', '{a}b', '{{a}', '{a"b"}x', `${'{'.repeat(7)}a${'}'.repeat(7)}`],
    [composite, '', '1,2', '(1)', '(1,2,3)', '(1,"2)', '(1,2', '("1"x,2)'],
    [{ as: 'range', of: int }, '', '[1,2', '1,2', '[1]', '[1,2,3]'],
    [{ as: 'multirange', of: int }, '', '[1,2)', '{[1,2)', '{[1,2)[3,4)}', '{[1,2),', '{x}'],
    [{ as: 'hstore' }, 'a=>1', '"a"=>1', '"a"', '"a"=>"b" "c"=>"d"'],
    [{ as: 'vector', dimensions: 2 }, '', '[]', '[1]', '[1,2,3]', '[1,x]', '[1,]', '1,2', '[--1,2]', '[1..2,3]', '[NaN,1]'],
    [{ as: 'sparse_vector' }, '', '{1:2}', '{1:x}/3', '{:1}/3', '{1:2,}/3'],
    [{ as: 'point' }, '', '(1)', '(1,2,3)', '(1,x)'],
    [{ as: 'polygon' }, '((1,2),(3))'],
    [{ as: 'circle' }, '<(1,2)>'],
    [{ as: 'ewkb' }, '', 'zz', '01', '0101000000', '0163000000', `0107000000${'ffffffff'}`, '0101000000000000000000F03F000000000000004000'],
  ])('%o', ([decoding, ...texts]) => {
    for (const malformed of texts) expect(() => decode(decoding, malformed), malformed).toThrow(expect.objectContaining({ code: 'SRC_UNDECODABLE' }));
  });
});

describe('numbers', () => {
  test('are exact at every size', () => {
    expect(decode({ as: 'bigint' }, '9007199254740991')).toBe(Number.MAX_SAFE_INTEGER);
    expect(decode({ as: 'bigint' }, '9007199254740993')).toBe(9007199254740993n);
    expect(json({ as: 'bigint' }, '-9223372036854775808')).toBe('-9223372036854775808');
    expect(json({ as: 'bigint' }, '18446744073709551615')).toBe('18446744073709551615');
    expect(json({ as: 'decimal' }, '0.10000000000000000000000000000000001000')).toBe('0.10000000000000000000000000000000001000');
    expect(json({ as: 'money' }, '-$92,233,720,368,547,758.08')).toBe('-92233720368547758.08');
    expect(decode(int, '0')).toBe(0);
  });

  test('that JSON has no word for become text, never null', () => {
    expect(['NaN', 'Infinity', '-Infinity'].map((special) => json({ as: 'decimal' }, special))).toEqual(['"NaN"', '"Infinity"', '"-Infinity"']);
    expect(['NaN', 'Infinity', '-Infinity', '-0'].map((special) => json({ as: 'float' }, special))).toEqual(['"NaN"', '"Infinity"', '"-Infinity"', '-0.0']);
    expect(decode({ as: 'decimal' }, 'NaN')).toEqual(new Decimal('NaN'));
  });
});

describe('dates and times', () => {
  test.for<[Decoding, string, string]>([
    [{ as: 'timestamptz' }, '2026-01-02 03:04:05.000001+00', '2026-01-02T03:04:05.000001Z'],
    [{ as: 'timestamptz' }, '2026-01-02 03:04:05+00', '2026-01-02T03:04:05Z'],
    [{ as: 'timestamp' }, '2026-01-02 03:04:05.1', '2026-01-02T03:04:05.1'],
    [{ as: 'timestamptz' }, '0044-03-15 12:00:00+00 BC', '-000043-03-15T12:00:00Z'],
    [{ as: 'timestamp' }, '0001-12-31 23:59:59.5 BC', '+000000-12-31T23:59:59.5'],
    [{ as: 'timestamp' }, '4713-01-01 00:00:00 BC', '-004712-01-01T00:00:00'],
    [{ as: 'timestamptz' }, '12026-01-02 03:04:05+00', '+012026-01-02T03:04:05Z'],
    [{ as: 'timestamp' }, '294276-12-31 23:59:59.999999', '+294276-12-31T23:59:59.999999'],
    [{ as: 'timestamptz' }, 'infinity', 'infinity'],
    [{ as: 'timestamp' }, '-infinity', '-infinity'],
    [{ as: 'date' }, '5874897-12-31', '+5874897-12-31'],
    [{ as: 'date' }, '0001-01-01 BC', '+000000-01-01'],
    [{ as: 'date' }, '2026-02-28', '2026-02-28'],
    [{ as: 'timetz' }, '12:00:00.5+02', '12:00:00.5+02:00'],
    [{ as: 'timetz' }, '12:00:00-05:30:15', '12:00:00-05:30:15'],
    [{ as: 'time' }, '24:00:00', '24:00:00'],
  ])('%o %s', ([decoding, from, to]) => {
    expect(decode(decoding, from)).toBe(to);
    expect(decode({ as: 'array', of: decoding, delimiter: ',' }, `{"${from}"}`)).toEqual([to]);
  });
});

describe('bytes that are not UTF-8', () => {
  const latin = Buffer.from([0x4d, 0xfc, 0x6c, 0x6c]);

  test('appear as hex whatever the type, so that nothing is replaced and nothing fails', () => {
    expect(decode(text, latin)).toBe('\\x4dfc6c6c');
    expect(decode({ as: 'json' }, latin)).toBe('\\x4dfc6c6c');
    expect(decode({ as: 'array', of: text, delimiter: ',' }, Buffer.concat([Buffer.from('{'), latin, Buffer.from('}')]))).toBe('\\x7b4dfc6c6c7d');
  });

  test('are told from a replacement character that the row holds itself', () => {
    expect(decode(text, 'a\ufffdb')).toBe('a\ufffdb');
  });
});

describe('json', () => {
  test('is kept letter by letter', () => {
    const document = '{"b":1.10, "a" : 12345678901234567890123.000, "a":2}';
    expect(decode({ as: 'json' }, document)).toEqual(new RawJson(document));
    expect(json({ as: 'array', of: { as: 'json' }, delimiter: ',' }, '{"{\\"a\\": [1, 2]}",NULL}')).toBe('[{"a": [1, 2]},null]');
  });
});

describe('parts', () => {
  test('of composite values may be named like anything', () => {
    const composite = { as: 'composite', fields: [{ name: '__proto__', decoding: int }, { name: 'constructor', decoding: text }] } as const;
    expect(json(composite, '(1,)')).toBe('{"__proto__":1,"constructor":null}');
    expect(json({ as: 'hstore' }, '"__proto__"=>"1", "toString"=>NULL')).toBe('{"__proto__":"1","toString":null}');
    expect(json({ as: 'composite', fields: [] }, '()')).toBe('{}');
  });
});

describe('vectors', () => {
  const vector = { as: 'vector', dimensions: null } as const;

  test('are the floats nearest to their text', () => {
    const floats = [0, -0, 1, -1.5, 0.1, 1e-7, 3.4028235e38, 1.17549435e-38, 1.4e-45, 123456.789, 0.333333343, 16777217, 1e15].map(Math.fround);
    expect(decode(vector, `[${floats.map((float) => (Object.is(float, -0) ? '-0' : String(float))).join(',')}]`)).toEqual(Float32Array.from(floats));
    expect(decode(vector, '[0.100000001490116119384765625,1234567890123456768]')).toEqual(Float32Array.of(0.1, 1.2345679e18));
  });

  test('have the declared number of dimensions', () => {
    expect(decode({ as: 'vector', dimensions: 3 }, '[1,2,3]')).toEqual(Float32Array.of(1, 2, 3));
    expect(() => decode({ as: 'vector', dimensions: 3 }, '[1,2]')).toThrow('not a vector of 3 dimensions, not 2');
  });

  test('that are sparse keep their dimensions', () => {
    expect(json({ as: 'sparse_vector' }, '{1:0.5,7:-2e-5}/9')).toBe('{"dimensions":9,"indices":[1,7],"values":[0.5,-0.00002]}');
    expect(json({ as: 'sparse_vector' }, '{}/9')).toBe('{"dimensions":9,"indices":[],"values":[]}');
  });
});
