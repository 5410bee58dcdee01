import fc from 'fast-check';
import { expect, test } from 'vitest';
import { GONE, readAnswer } from '../../../connectors/targets/opensearch/answer.ts';
import { refusalReason } from '../../../connectors/targets/opensearch/failure.ts';
import type { BulkBody } from '../../../connectors/targets/opensearch/ndjson.ts';
import type { ItemResult, Operation } from '../../../src/connector/target.ts';

const asked = { what: 'writing to things-g0001' };
const operation = (isPut: boolean): Operation => (isPut ? { kind: 'put', id: 'a', version: 1n, document: '{}' } : { kind: 'delete', id: 'a', version: 1n });
const bodyOf = (operations: readonly Operation[]): BulkBody => ({ positions: operations.map((_, at) => at), hasGuard: false, bytes: Buffer.alloc(0), release: () => {} });

function read(text: string, operations: readonly Operation[]): readonly ItemResult[] | string {
  try {
    const result = readAnswer(Buffer.from(text), operations, bodyOf(operations), asked);
    return result === GONE ? GONE : result.results;
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const item = fc.record({ isPut: fc.boolean(), status: fc.constantFrom(200, 201, 404, 409, 429) });

test('the answer that is only compared comes to what the parsed one comes to, for every answer', () => {
  fc.assert(
    fc.property(fc.array(item, { minLength: 1, maxLength: 20 }), fc.integer({ min: -1, max: 1 }), fc.boolean(), (items, more, swapped) => {
      const operations = items.map(({ isPut }) => operation(isPut));
      const shown = more === 1 ? [...items, { isPut: true, status: 201 }] : more === -1 ? items.slice(0, -1) : items;
      const results = shown.map(({ isPut, status }) => ({ [isPut !== swapped ? 'index' : 'delete']: { status } }));
      const compact = JSON.stringify({ errors: false, items: results });
      // The same with a space is no text that is known, so it is parsed.
      expect(read(compact, operations)).toEqual(read(`${compact.slice(0, -1)} }`, operations));
    }),
  );
});

test('an answer that was cut off anywhere is never taken for one in which all was applied', () => {
  const operations = [operation(true), operation(false), operation(true)];
  const whole = '{"errors":false,"items":[{"index":{"status":201}},{"delete":{"status":404}},{"index":{"status":200}}]}';
  expect(read(whole, operations)).toEqual([{ outcome: 'applied' }, { outcome: 'applied' }, { outcome: 'applied' }]);
  for (let at = 0; at < whole.length; at += 1) expect(read(whole.slice(0, at), operations)).toBe('TGT_CONN');
});

test.each<[string, string, string]>([
  ['mapper_parsing_exception', 'failed to parse field [price] of type [long] in document with id \'secret\'. Preview of field\'s value: \'secret\'', 'mapper_parsing_exception: field "price" of type long'],
  ['document_parsing_exception', '[1:7] failed to parse field [a.b] of type [date] in document with id \'secret\'. Preview of field\'s value: \'secret\'', 'document_parsing_exception: field "a.b" of type date'],
  ['strict_dynamic_mapping_exception', '[1:9] mapping set to strict, dynamic introduction of [extra] within [_doc] is not allowed', 'strict_dynamic_mapping_exception: field "extra"'],
  ['illegal_argument_exception', 'Document contains at least one immense term in field="j._value" (whose UTF8 encoding is longer than the max length 32766), prefix: \'[secret]\'', 'illegal_argument_exception: field "j._value"'],
  ['illegal_argument_exception', 'Limit of total fields [1000] has been exceeded', 'illegal_argument_exception: Limit of total fields [1000] has been exceeded'],
  ['mapper_parsing_exception', 'failed to parse secret', 'mapper_parsing_exception)'],
  ['illegal_argument_exception', 'For input string: "secret"', 'illegal_argument_exception)'],
])('a refusal (%s) is told without values of the row', (type, reason, expected) => {
  const told = refusalReason({ type, reason, causedBy: 'For input string: "secret"' });
  expect(told).toContain(expected);
  expect(told).not.toContain('secret');
});
