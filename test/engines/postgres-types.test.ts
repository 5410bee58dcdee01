/**
 * Every type, with the server as the judge: values are written by SQL, read as the stream would bring them, decoded, and the server is asked
 * whether our JSON is what it makes of the same value itself.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Catalog } from '../../connectors/sources/postgres/catalog/catalog.ts';
import { quoteLiteral } from '../../connectors/sources/postgres/connection/identifier.ts';
import { postgresFormat } from '../../connectors/sources/postgres/types/row-format.ts';
import type { ColumnSchema } from '../../src/change/schema.ts';
import { jsonOf } from '../../src/change/value.ts';
import { never, openControl, testConfig, type TestControl } from './postgres-control.ts';
import { describePostgres, type PostgresServer } from './postgres.ts';

const setup = `
  CREATE EXTENSION hstore; CREATE EXTENSION citext; CREATE EXTENSION ltree; CREATE EXTENSION cube;
  CREATE TYPE mood AS ENUM ('sad', 'o''k "fine"'); CREATE DOMAIN positive AS numeric(12,3) CHECK (value > 0); CREATE DOMAIN words AS text[];
  CREATE TYPE inner_pair AS (a int, b text); CREATE TYPE outer_pair AS (p inner_pair, ps inner_pair[], "weird ""name" jsonb, d date, gone int); ALTER TYPE outer_pair DROP ATTRIBUTE gone;
  CREATE TYPE text_range AS RANGE (subtype = text, collation = "C"); CREATE DOMAIN paired AS inner_pair;
  CREATE PUBLICATION pub FOR ALL TABLES;
  DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = UTC', current_database()); EXECUTE format('ALTER DATABASE %I SET intervalstyle = iso_8601', current_database()); END $$`;

/** What the server itself says a value is; `v` is the value. */
const timestampOracle = (zone: string): string => `CASE WHEN NOT isfinite(v) THEN to_json(v)::jsonb ELSE to_jsonb(
  ${yearOracle} || to_char(v${zone === 'Z' ? " AT TIME ZONE 'UTC'" : ''}, '-MM-DD"T"HH24:MI:SS') || rtrim(rtrim(to_char(v, '.US'), '0'), '.') || '${zone}') END`;
const yearOracle = `(SELECT CASE WHEN y BETWEEN 1 AND 9999 THEN lpad(y::text, 4, '0') WHEN y < 0 THEN '-' || lpad((-y)::text, 6, '0') ELSE '+' || lpad(y::text, greatest(6, length(y::text)), '0') END
  FROM (SELECT CASE WHEN extract(year FROM v) < 0 THEN extract(year FROM v) + 1 ELSE extract(year FROM v) END::int AS y) iso)`;
const rangeOracle = (r: string, bound: (b: string) => string): string =>
  `jsonb_build_object('lower', ${bound(`lower(${r})`)}, 'upper', ${bound(`upper(${r})`)}, 'lower_inc', lower_inc(${r}), 'upper_inc', upper_inc(${r}), 'empty', isempty(${r}))`;
const pointOracle = (p: string): string => `jsonb_build_object('x', (${p})[0], 'y', (${p})[1])`;

interface Typed {
  readonly type: string;
  readonly kind: ColumnSchema['kind'];
  /** Of an array. */
  readonly element?: ColumnSchema['element'];
  /** SQL expressions of values that matter. */
  readonly values: readonly string[];
  /** SQL over `v` that makes the expected jsonb; by default `to_jsonb(v)`. */
  readonly oracle?: string;
  /** SQL over `ours`, our JSON as text, and `v`: true when they are the same. By default the oracle's jsonb is compared. */
  readonly same?: string;
  readonly random?: fc.Arbitrary<string>;
}

const literal = (text: string, type: string): string => `${quoteLiteral(text)}::${type}`;
/** Any text that a database takes: no NUL, and letters that are quotes, braces or blanks elsewhere more often than chance would have it. */
const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.string({ unit: fc.constantFrom('"', "'", '\\', '{', '}', '(', ')', '[', ']', ',', ';', ' ', '\n', '=', '>', 'N', 'U', 'L', 'n', 'é', '🙂'), maxLength: 10 }),
  fc.constantFrom('NULL', 'null', '', ' ', '{}', '"', '\\'),
).map((text) => text.toWellFormed().replaceAll('\0', ''));
const textLiteral = anyText.map((text) => literal(text, 'text'));
const orNull = (value: fc.Arbitrary<string>): fc.Arbitrary<string> => fc.option(value, { nil: 'NULL', freq: 5 });
const int4 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }).map((value) => `(${value})`);
const int8 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map((value) => `(${value})::numeric::int8`);
const digits = (max: number): fc.Arbitrary<string> => fc.string({ unit: fc.constantFrom('0', '1', '2', '3', '4', '5', '6', '7', '8', '9'), minLength: 1, maxLength: max });
const numeric = fc.tuple(fc.boolean(), digits(40), fc.option(digits(30))).map(([negative, whole, fraction]) => literal(`${negative ? '-' : ''}${whole}${fraction === null ? '' : `.${fraction}`}`, 'numeric'));
const float8 = fc.double().map((value) => literal(String(value), 'float8'));
const float4 = fc.float().map((value) => literal(String(value), 'float4'));
const microseconds = (from: string, years: number): fc.Arbitrary<string> => fc.tuple(fc.integer({ min: 0, max: years * 365 }), fc.integer({ min: 0, max: 86_400 * 1_000_000 - 1 })).map(([days, micros]) => `('${from}' + ${days} * interval '1 day' + ${micros} * interval '1 microsecond')`);
const pair = fc.tuple(orNull(int4), orNull(textLiteral)).map(([a, b]) => `ROW(${a}, ${b})::inner_pair`);
const list = (item: fc.Arbitrary<string>, type: string): fc.Arbitrary<string> => fc.array(orNull(item), { maxLength: 5 }).map((items) => `ARRAY[${items.join(', ')}]::${type}[]`);
const bytes = fc.uint8Array({ maxLength: 40 }).map((value) => `'\\x${Buffer.from(value).toString('hex')}'::bytea`);
/** One float may be spelled with different digits: 44752309388836860 and 44752309388836864 are the same double. */
const floatSame = (type: string): string => `(ours::jsonb #>> '{}')::${type} = v`;
const byteOracle = (v: string): string => `to_jsonb(replace(encode(${v}, 'base64'), E'\\n', ''))`;
const coordinate = fc.oneof(fc.double({ noNaN: true, min: -1e6, max: 1e6 }), fc.integer({ min: -180, max: 180 }));
const hstorePairs = fc.array(fc.tuple(textLiteral, orNull(textLiteral)), { maxLength: 4 }).map((pairs) => `hstore(ARRAY[${pairs.map(([name]) => name).join(', ')}]::text[], ARRAY[${pairs.map(([, value]) => value).join(', ')}]::text[])`);

const types: readonly Typed[] = [
  { type: 'boolean', kind: 'boolean', values: ['true', 'false'] },
  { type: 'smallint', kind: 'int', values: ['-32768', '32767', '0'] },
  { type: 'integer', kind: 'int', values: ['-2147483648', '2147483647'], random: int4 },
  { type: 'bigint', kind: 'bigint', values: ['-9223372036854775808', '9223372036854775807', '9007199254740993', '-9007199254740993', '0'], random: int8 },
  { type: 'oid', kind: 'int', values: ['4294967295', '0'], oracle: 'to_jsonb(v::int8)' },
  { type: 'xid', kind: 'int', values: ["'4294967295'"], oracle: 'to_jsonb(v::text::int8)' },
  { type: 'xid8', kind: 'bigint', values: ["'18446744073709551615'", "'7'"], oracle: 'to_jsonb(v::text::numeric)' },
  { type: 'numeric', kind: 'decimal', values: ["'NaN'", "'Infinity'", "'-Infinity'", '1.10', '-0.000', '0.00000000000000000001', "repeat('9', 131072)::numeric", "('0.' || repeat('1', 16383))::numeric"], random: numeric },
  { type: 'numeric(10,2)', kind: 'decimal', values: ['1', '-99999999.99'] },
  { type: 'money', kind: 'decimal', values: ["'1234567.89'", "'-0.01'", "'-92233720368547758.08'"], oracle: 'to_jsonb(v::numeric)' },
  { type: 'real', kind: 'float', values: ["'NaN'", "'Infinity'", "'-Infinity'", '1e-45', '3.4028235e38', '0.1', '16777217', "'-0'"], same: floatSame('real'), random: float4 },
  { type: 'double precision', kind: 'float', values: ["'NaN'", "'Infinity'", "'-Infinity'", '5e-324', '1.7976931348623157e308', '0.1 + 0.2::float8', '1e21', '1e-7', "'-0'"], same: floatSame('float8'), random: float8 },
  { type: 'text', kind: 'text', values: ["''", "E'\\x01\\x1f'", "U&'\\FFFD'"], random: textLiteral },
  { type: 'character varying(20)', kind: 'text', values: ["'abc'"] },
  { type: 'character(5)', kind: 'text', values: ["'ab'", "''"], oracle: "to_jsonb(format('%s', v))" },
  { type: '"char"', kind: 'text', values: ["'x'", "''"] },
  { type: 'name', kind: 'text', values: ["'some name'"] },
  { type: 'xml', kind: 'text', values: ["'<a>b &amp; c</a>'"], oracle: 'to_jsonb(v::text)' },
  { type: 'citext', kind: 'text', values: ["'MiXed'"] },
  { type: 'ltree', kind: 'text', values: ["'Top.Science'"] },
  { type: 'uuid', kind: 'uuid', values: ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"] },
  { type: 'bytea', kind: 'bytes', values: ["''", "'\\x00ff'"], oracle: byteOracle('v'), random: bytes },
  { type: 'date', kind: 'date', values: ["'2026-02-28'", "'0001-01-01'", "'0001-01-01 BC'", "'4713-01-01 BC'", "'5874897-12-31'", "'infinity'", "'-infinity'"], oracle: `CASE WHEN NOT isfinite(v) THEN to_jsonb(v) ELSE to_jsonb(${yearOracle} || substring(v::text from '-\\d\\d-\\d\\d')) END`, random: fc.integer({ min: -2_000_000, max: 5_000_000 }).map((days) => `'2000-01-01'::date + (${days})`) },
  { type: 'time', kind: 'time', values: ["'00:00:00'", "'24:00:00'", "'12:34:56.789012'"] },
  { type: 'time with time zone', kind: 'time', values: ["'12:00:00+02'", "'12:00:00.5-05:30'", "'12:00:00+05:30:15'"], oracle: "to_jsonb(CASE WHEN v::text ~ '[+-]\\d\\d$' THEN v::text || ':00' ELSE v::text END)" },
  { type: 'timestamp without time zone', kind: 'timestamp', values: ["'2026-01-02 03:04:05.123456'", "'0044-03-15 12:00:00 BC'", "'0001-12-31 23:59:59.5 BC'", "'9999-12-31 23:59:59.999999'", "'10000-01-01'", "'294276-12-31 23:59:59.999999'", "'infinity'", "'-infinity'"], oracle: timestampOracle(''), random: fc.oneof(microseconds('4713-01-01 BC', 9000), microseconds('1900-01-01', 200), microseconds('9990-01-01', 200_000)).map((value) => value.replace("' +", "'::timestamp +")) },
  { type: 'timestamp with time zone', kind: 'timestamptz', values: ["'2026-03-29 01:30:00.1+01'", "'0044-03-15 12:00:00 BC'", "'0001-12-31 23:59:59.5+00 BC'", "'infinity'", "'-infinity'"], oracle: timestampOracle('Z'), random: fc.oneof(microseconds('1900-01-01', 200), microseconds('9990-01-01', 200_000)).map((value) => value.replace("' +", "'::timestamptz +")) },
  { type: 'interval', kind: 'interval', values: ["'0'", "'1 year 2 mons -3 days 04:05:06.7'", "'-1 microsecond'"] },
  { type: 'json', kind: 'json', values: [`'{"b": 1.10,  "a": [12345678901234567890.5, null, "\\u0041\\n"]}'`, `'1e400'`, `'"x"'`, 'null'], oracle: 'v::jsonb', random: fc.json().filter((text) => !text.includes('\\u0000')).map((text) => literal(text.toWellFormed(), 'json')) },
  { type: 'jsonb', kind: 'json', values: [`'{"a": 123456789012345678901234567890.123, "a b": {}}'`, `'[]'`, `'null'`] },
  { type: 'inet', kind: 'ip', values: ["'10.0.0.1'", "'10.0.0.0/8'", "'::1'", "'2001:db8::/32'"], oracle: "to_jsonb(format('%s', v))" },
  { type: 'cidr', kind: 'other', values: ["'10.0.0.0/8'", "'10.0.0.1/32'"] },
  { type: 'macaddr', kind: 'other', values: ["'08:00:2b:01:02:03'"] },
  { type: 'macaddr8', kind: 'other', values: ["'08:00:2b:01:02:03:04:05'"] },
  { type: 'bit(3)', kind: 'other', values: ["'101'"] },
  { type: 'bit varying', kind: 'other', values: ["''", "'10101'"] },
  { type: 'tsvector', kind: 'other', values: ["to_tsvector('english', 'a fat cat''s hat')"], oracle: 'to_jsonb(v::text)' },
  { type: 'tsquery', kind: 'other', values: ["'fat & (rat | cat)'"], oracle: 'to_jsonb(v::text)' },
  { type: 'pg_lsn', kind: 'other', values: ["'16/B374D848'"] },
  { type: 'regclass', kind: 'other', values: ["'pg_class'"], oracle: 'to_jsonb(v::text)' },
  { type: 'jsonpath', kind: 'other', values: ["'$.a[*]'"], oracle: 'to_jsonb(v::text)' },
  { type: 'cube', kind: 'other', values: ["'(1,2),(3,4)'"], oracle: 'to_jsonb(v::text)' },
  { type: 'int2vector', kind: 'array', element: 'int', values: ["''", "'1 2 3'"], oracle: 'to_jsonb(v::int2[])' },
  { type: 'oidvector', kind: 'array', element: 'int', values: ["'1 4294967295'"], oracle: 'to_jsonb(v::oid[]::int8[])' },
  { type: 'mood', kind: 'enum', values: ["'sad'", `'o''k "fine"'`] },
  { type: 'positive', kind: 'decimal', values: ['1.5'] },
  { type: 'words', kind: 'array', element: 'text', values: ["'{a,NULL}'"] },
  { type: 'paired', kind: 'object', values: ["ROW(1, 'x')::inner_pair"] },
  { type: 'inner_pair', kind: 'object', values: ['ROW(NULL, NULL)', "ROW(1, '')"], random: pair },
  { type: 'outer_pair', kind: 'object', values: [`ROW(NULL, ARRAY[ROW(1, 'a,"b\\')::inner_pair, NULL], '{"k": [1, "x"]}', '2026-01-01')`], random: fc.tuple(orNull(pair), orNull(list(pair, 'inner_pair'))).map(([p, ps]) => `ROW(${p}, ${ps}, '{"a": "\\"q\\""}', NULL)::outer_pair`) },
  { type: 'integer[]', kind: 'array', element: 'int', values: ["'{}'", "'{1,NULL,-3}'", "'{{1,2},{3,NULL}}'", "'[0:1]={7,8}'", "'[-1:0][2:3]={{1,2},{3,4}}'", 'array_fill(7, ARRAY[1,1,1,1,1,2])'], random: list(int4, 'int') },
  { type: 'bigint[]', kind: 'array', element: 'bigint', values: ["'{9223372036854775807}'"] },
  { type: 'boolean[]', kind: 'array', element: 'boolean', values: ["'{t,f,NULL}'"] },
  { type: 'text[]', kind: 'array', element: 'text', values: [`'{NULL,"NULL",null,"",a b}'`, "ARRAY[['a,b', '{}'], [E'new\\nline', NULL]]"], random: list(textLiteral, 'text') },
  { type: 'numeric[]', kind: 'array', element: 'decimal', values: ["'{1.10,NaN,-Infinity}'"] },
  { type: 'double precision[]', kind: 'array', element: 'float', values: ["'{0.1,Infinity}'"] },
  { type: 'bytea[]', kind: 'array', element: 'bytes', values: ["ARRAY['\\x00ff'::bytea, NULL]"], oracle: `(SELECT jsonb_agg(CASE WHEN b IS NULL THEN 'null'::jsonb ELSE ${byteOracle('b')} END) FROM unnest(v) b)` },
  { type: 'jsonb[]', kind: 'array', element: 'json', values: [`ARRAY['{"a": "b,c"}', 'null', NULL]::jsonb[]`] },
  { type: 'mood[]', kind: 'array', element: 'enum', values: [`ARRAY['o''k "fine"', 'sad']::mood[]`] },
  { type: 'box[]', kind: 'array', element: 'object', values: ["'{(1,2),(0,0);(3,4),(1,1)}'"], oracle: `(SELECT jsonb_agg(jsonb_build_array(${pointOracle('b[0]')}, ${pointOracle('b[1]')})) FROM unnest(v) b)` },
  { type: 'int4range', kind: 'object', values: ["'empty'", "'[1,5)'", "'(,5)'", "'[3,)'", "'(,)'"], oracle: rangeOracle('v', (b) => `to_jsonb(${b})`), random: fc.tuple(fc.integer({ min: -100, max: 100 }), fc.integer({ min: 0, max: 100 }), fc.constantFrom('[]', '()', '[)', '(]')).map(([from, size, bounds]) => `int4range(${from}, ${from + size}, '${bounds}')`) },
  { type: 'tstzrange', kind: 'object', values: ["'[2026-01-01 00:00:00+00,2026-02-01 12:00:00.5+00)'"], oracle: rangeOracle('v', (b) => `to_jsonb(replace(to_jsonb(${b}) #>> '{}', '+00:00', 'Z'))`) },
  { type: 'text_range', kind: 'object', values: [`text_range('a', 'b,"c')`, `text_range('', 'x')`], oracle: rangeOracle('v', (b) => `to_jsonb(${b})`), random: fc.tuple(textLiteral, textLiteral).map(([a, b]) => `text_range(least(${a} COLLATE "C", ${b}), greatest(${a} COLLATE "C", ${b}), '[]')`) },
  { type: 'int8multirange', kind: 'array', element: 'object', values: ["'{}'", "'{[1,3),[7,)}'"], oracle: `coalesce((SELECT jsonb_agg(${rangeOracle('r', (b) => `to_jsonb(${b})`)} ORDER BY r) FROM unnest(v) r), '[]')` },
  { type: 'datemultirange', kind: 'array', element: 'object', values: ["'{[2026-01-01,2026-01-03),[2026-02-01,2026-02-02)}'"], oracle: `(SELECT jsonb_agg(${rangeOracle('r', (b) => `to_jsonb(${b})`)} ORDER BY r) FROM unnest(v) r)` },
  { type: 'hstore', kind: 'object', values: ["''", `'a=>1, b=>NULL, "c d"=>"\\"q\\""'`, `hstore('__proto__', 'x')`], oracle: 'hstore_to_jsonb(v)', random: hstorePairs },
  { type: 'point', kind: 'object', values: ["'(1.5,-2)'", "'(Infinity,NaN)'"], oracle: pointOracle('v'), same: "point((ours::jsonb ->> 'x')::float8, (ours::jsonb ->> 'y')::float8) ~= v OR ours::jsonb = theirs", random: fc.tuple(coordinate, coordinate).map(([x, y]) => `point('${x}'::float8, '${y}'::float8)`) },
  { type: 'line', kind: 'object', values: ["'{1,2,3}'"], oracle: `jsonb_build_object('a', 1, 'b', 2, 'c', 3)` },
  { type: 'lseg', kind: 'array', element: 'object', values: ["'[(1,2),(3,4)]'"], oracle: `jsonb_build_array(${pointOracle('v[0]')}, ${pointOracle('v[1]')})` },
  { type: 'box', kind: 'array', element: 'object', values: ["'(1,2),(3,4)'"], oracle: `jsonb_build_array(${pointOracle('v[0]')}, ${pointOracle('v[1]')})` },
  { type: 'path', kind: 'object', values: ["'[(1,2),(3,4)]'", "'((1,2),(3,4),(5,6))'"], oracle: `jsonb_build_object('closed', isclosed(v), 'points', (SELECT jsonb_agg(jsonb_build_object('x', m[1]::float8, 'y', m[2]::float8)) FROM regexp_matches(v::text, '\\(([0-9.]+),([0-9.]+)\\)', 'g') m))` },
  { type: 'polygon', kind: 'array', element: 'object', values: ["'((1,2),(3,4),(5,6))'"], oracle: `(SELECT jsonb_agg(jsonb_build_object('x', m[1]::float8, 'y', m[2]::float8)) FROM regexp_matches(v::text, '\\(([0-9.]+),([0-9.]+)\\)', 'g') m)` },
  { type: 'circle', kind: 'object', values: ["'<(1,2),3.5>'"], oracle: `${pointOracle('center(v)')} || jsonb_build_object('radius', radius(v))` },
];

/** Types of extensions that a server may or may not have to offer. */
const offered: readonly (Typed & { readonly extension: string })[] = [
  { extension: 'vector', type: 'vector', kind: 'vector', values: ["'[1,2.5,1e-8]'", "'[-0,3.4028235e38]'"], same: "CASE WHEN ours <> 'null' THEN ARRAY(SELECT jsonb_array_elements_text(ours::jsonb))::real[]::vector = v END", random: fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1, maxLength: 30 }).map((floats) => `'[${floats.join(',')}]'::vector`) },
  { extension: 'vector', type: 'vector(3)', kind: 'vector', values: ["'[1,2,3]'"], oracle: 'to_jsonb(v::real[]::float8[])' },
  { extension: 'vector', type: 'halfvec(2)', kind: 'vector', values: ["'[0.1,65504]'"], oracle: 'to_jsonb(v::vector::real[]::float8[])' },
  { extension: 'vector', type: 'vector(2)[]', kind: 'array', element: 'vector', values: ["ARRAY['[1,2]', '[3,4.5]', NULL]::vector[]"], oracle: "(SELECT jsonb_agg(to_jsonb(x::real[]::float8[])) FROM unnest(v) x)" },
  { extension: 'vector', type: 'sparsevec(9)', kind: 'object', values: ["'{1:0.5,7:-2e-5}/9'", "'{}/9'"], oracle: `jsonb_build_object('dimensions', 9, 'indices', CASE WHEN v::text LIKE '{}%' THEN '[]' ELSE '[1,7]' END::jsonb, 'values', CASE WHEN v::text LIKE '{}%' THEN '[]' ELSE '[0.5,-0.00002]' END::jsonb)` },
  { extension: 'postgis', type: 'geometry(Point,4326)', kind: 'geometry', values: ["'SRID=4326;POINT(8.5 47.25)'"], oracle: 'ST_AsGeoJSON(v, 15)::jsonb' },
  { extension: 'postgis', type: 'geometry', kind: 'geometry', values: ["'POLYGON((0 0,4 0,4 4,0 0))'", "'MULTIPOINT Z ((1 2 3))'", "'SRID=3857;POINT(1 2)'"], oracle: 'ST_AsGeoJSON(v, 15, 2)::jsonb' },
  { extension: 'postgis', type: 'geography', kind: 'geometry', values: ["'POINT(3 4)'"], oracle: 'ST_AsGeoJSON(v, 15)::jsonb' },
  { extension: 'postgis', type: 'geometry[]', kind: 'array', element: 'geometry', values: ["ARRAY['POINT(1 2)', 'LINESTRING(0 0,1 1)']::geometry[]"], oracle: '(SELECT jsonb_agg(ST_AsGeoJSON(x, 15)::jsonb) FROM unnest(v) x)' },
];

/** A value as a tuple of one column. */
function tupleOf(text: string | null): Buffer {
  if (text === null) return Buffer.from([0, 1, 0x6e]);
  const bytes = Buffer.from(text);
  const head = Buffer.from([0, 1, 0x74, 0, 0, 0, 0]);
  head.writeUInt32BE(bytes.length, 3);
  return Buffer.concat([head, bytes]);
}

interface Judge {
  readonly server: PostgresServer;
  readonly database: string;
  readonly control: TestControl;
}

/** Differences between our JSON and the server's, none when all is well. */
async function judge({ server, database, control }: Judge, typed: Typed, values: readonly string[]): Promise<string[]> {
  const rows = values.map((value, i) => `(${i}, (${value})::${typed.type})`).join(', ');
  await server.query(`DROP TABLE IF EXISTS judged; CREATE TABLE judged (i int PRIMARY KEY, v ${typed.type}); INSERT INTO judged VALUES ${rows}`, database);
  const catalog = await Catalog.load(control.query, [{ table: 'public.judged' }], { publication: 'pub' }, never);
  const column = catalog.tables[0]?.schema.columns[1];
  if (column === undefined) throw new Error('the table has two columns');
  expect([column.kind, column.element]).toEqual([typed.kind, typed.element]);
  // Through JSON, as the log keeps it.
  const schema = { id: 1, source: 'test', table: 'public.judged', format: 'postgres/1', columns: [JSON.parse(JSON.stringify(column)) as ColumnSchema] };
  const decoder = postgresFormat.decoder(schema, ['v']);
  const read = await control.ask('SELECT i, v FROM public.judged ORDER BY i');
  const ours = read.map((row) => jsonOf(decoder.decode(tupleOf(row['v'] ?? null))[0] ?? null));
  const asked = read.map((row, n) => `(${row['i']}, ${quoteLiteral(ours[n] ?? '')})`).join(', ');
  const verdicts = await server.query(
    `SELECT ours, theirs::text, NOT coalesce(${typed.same ?? 'ours::jsonb IS NOT DISTINCT FROM theirs'}, ours = 'null' AND v IS NOT DISTINCT FROM NULL) AS differ
     FROM (SELECT ours, v, CASE WHEN v IS NOT DISTINCT FROM NULL THEN 'null' ELSE ${typed.oracle ?? 'to_jsonb(v)'} END AS theirs FROM (VALUES ${asked}) AS said(i, ours) JOIN judged USING (i)) both_sides`,
    database,
  );
  expect(verdicts).toHaveLength(values.length);
  return verdicts.filter((row) => row['differ'] !== false).map((row) => `${typed.type}: ours ${String(row['ours'])}, the server's ${String(row['theirs'])}`);
}

describePostgres([15, 18], (postgres) => {
  let judging: Promise<Judge> | undefined;
  const judgeOf = async (): Promise<Judge> =>
    (judging ??= (async () => {
      const server = await postgres.server();
      const database = await server.createDatabase();
      await server.query(setup, database);
      return { server, database, control: openControl(testConfig(server.url(database))) };
    })());

  test.for(types.map((typed) => [typed.type, typed] as const))('%s', async ([, typed]) => {
    expect(await judge(await judgeOf(), typed, [...typed.values, 'NULL'])).toEqual([]);
  });

  test.for(offered.map((typed) => [typed.extension, typed.type, typed] as const))('%s: %s', async ([extension, , typed], { skip }) => {
    const at = await judgeOf();
    const [available] = await at.control.query('SELECT name FROM pg_available_extensions WHERE name = $1', [extension], never);
    if (available === undefined) skip(`this server has no ${extension}`);
    await at.server.query(`CREATE EXTENSION IF NOT EXISTS ${extension}`, at.database);
    expect(await judge(at, typed, [...typed.values, 'NULL'])).toEqual([]);
    const { random } = typed;
    if (random === undefined) return;
    await fc.assert(fc.asyncProperty(fc.array(random, { minLength: 1, maxLength: 50 }), async (some) => {
      expect(await judge(at, typed, some)).toEqual([]);
    }), { numRuns: 5, endOnFailure: true });
  });

  describe('random values', () => {
    test.for(types.filter((typed) => typed.random !== undefined).map((typed) => [typed.type, typed] as const))('%s', async ([, typed]) => {
      const at = await judgeOf();
      const values = fc.array(typed.random as fc.Arbitrary<string>, { minLength: 1, maxLength: 120 });
      await fc.assert(fc.asyncProperty(values, async (some) => {
        expect(await judge(at, typed, some)).toEqual([]);
      }), { numRuns: 6, endOnFailure: true });
    });
  });
});
