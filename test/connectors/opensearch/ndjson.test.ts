import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BodyWriter } from '../../../connectors/targets/opensearch/ndjson.ts';
import { isNestedTooDeep, NESTING_MAX } from '../../../connectors/targets/opensearch/nesting.ts';
import type { Operation } from '../../../src/connector/target.ts';
import { bulkLines } from './protocol-server.ts';

const limits = { bytesMax: Infinity, countMax: Infinity };
const all = (operations: readonly Operation[]): number[] => operations.map((_, at) => at);
const put = (id: string, version: bigint, document = '{}'): Operation => ({ kind: 'put', id, version, document });
const del = (id: string, version: bigint): Operation => ({ kind: 'delete', id, version });

test('each operation is a line with its exact version, a put\'s document behind it', () => {
  const operations = [put('a', 2n ** 63n - 1n, '{"x":1.10}'), del('b"\n', 2n ** 53n + 1n)];
  const body = new BodyWriter().write(operations, all(operations), 0, limits);
  expect(body.bytes.toString()).toBe('{"index":{"_id":"a","version":9223372036854775807,"version_type":"external"}}\n{"x":1.10}\n{"delete":{"_id":"b\\"\\n","version":9007199254740993,"version_type":"external_gte"}}\n');
  expect(body.hasGuard).toBe(false);
});

test('line breaks between the parts of a document, as a json column may have them, end no line', () => {
  const operations = [put('a', 1n, '{\n  "x": [1,\n 2],\n "y": "a\\nb"\n}'), del('b', 1n)];
  const lines = bulkLines(new BodyWriter().write(operations, all(operations), 0, limits).bytes.toString());
  expect(lines.map(({ id }) => id)).toEqual(['a', 'b']);
  expect(JSON.parse(lines[0]?.document ?? '')).toEqual({ x: [1, 2], y: 'a\nb' });
});

test('a body of deletes only has a guard behind it, which makes no index and changes no document', () => {
  const operations = [del('a', 1n), del('b', 2n)];
  const body = new BodyWriter().write(operations, all(operations), 0, limits);
  expect(body.hasGuard).toBe(true);
  expect(body.bytes.toString()).toBe('{"delete":{"_id":"a","version":1,"version_type":"external_gte"}}\n{"delete":{"_id":"b","version":2,"version_type":"external_gte"}}\n{"update":{"_id":"tailrace:guard"}}\n{"doc":{}}\n');
});

test('bodies hold whole operations within their limits, and one that is larger alone', () => {
  const operations = [put('a', 1n, `"${'x'.repeat(400)}"`), put('b', 1n, `"${'x'.repeat(400)}"`), put('big', 1n, `"${'x'.repeat(5000)}"`), put('c', 1n), put('d', 1n)];
  const writer = new BodyWriter();
  const taken: number[][] = [];
  for (let from = 0; from < operations.length; ) {
    const body = writer.write(operations, all(operations), from, { bytesMax: 1100, countMax: 2 });
    taken.push([...body.positions]);
    from += body.positions.length;
    body.release();
  }
  expect(taken).toEqual([[0, 1], [2], [3, 4]]);
});

test('whatever ids and documents hold arrives as it was, also in buffers that are used again', { timeout: 30_000 }, () => {
  const writer = new BodyWriter();
  const operation = fc.record({ id: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 30 }), version: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), value: fc.jsonValue({ noUnicodeString: false }), isPut: fc.boolean() });
  fc.assert(
    fc.property(fc.array(operation, { minLength: 1, maxLength: 40 }), (given) => {
      const operations = given.map(({ id, version, value, isPut }) => (isPut ? put(id, version, JSON.stringify(value)) : del(id, version)));
      const body = writer.write(operations, all(operations), 0, limits);
      const lines = bulkLines(body.bytes.toString());
      body.release();
      expect(lines.filter(({ action }) => action !== 'update').map(({ id, version, document }) => [id, version, document])).toEqual(operations.map((one) => [one.id, String(one.version), one.kind === 'put' ? one.document : undefined]));
    }),
  );
});

test('a buffer is not used again before it is released', () => {
  const writer = new BodyWriter();
  const first = writer.write([put('first', 1n)], [0], 0, limits);
  const second = writer.write([put('second', 1n)], [0], 0, limits);
  expect(first.bytes.toString()).toContain('first');
  first.release();
  expect(writer.write([put('third', 1n)], [0], 0, limits).bytes.buffer).toBe(first.bytes.buffer);
  expect(second.bytes.toString()).toContain('second');
});

test('nesting beyond the limit is seen, brackets in strings and side by side are not nesting', () => {
  const nested = (levels: number): string => `{"a":${'['.repeat(levels - 1)}${' '.repeat(500)}${']'.repeat(levels - 1)}}`;
  expect(isNestedTooDeep(nested(NESTING_MAX))).toBe(false);
  expect(isNestedTooDeep(nested(NESTING_MAX + 1))).toBe(true);
  expect(isNestedTooDeep(JSON.stringify({ a: `${'['.repeat(1000)}"\\`, b: '{"'.repeat(500) }))).toBe(false);
  expect(isNestedTooDeep(JSON.stringify(Array.from({ length: 1000 }, () => ({ a: [] }))))).toBe(false);
  expect(isNestedTooDeep(`{"x":"\\\\","y":${'{"a":'.repeat(300)}1${'}'.repeat(300)}}`)).toBe(true);
});
