import fc from 'fast-check';
import { expect, test } from 'vitest';
import { objectsUnder, textOf } from '../../../connectors/targets/opensearch/raw-json.ts';
import { fetchedDocuments, scannedPage, searchHits } from '../../../connectors/targets/opensearch/stored.ts';

const exact = '{"a" : 12345678901234567890.1234567890, "b":"\\u00e9\\"]}", "c":[1e3,{"_source":{}}]}';

test('members of any JSON objects are found where they stand', { timeout: 30_000 }, () => {
  const object = fc.dictionary(fc.string({ unit: 'binary' }).filter((name) => name !== '__proto__'), fc.jsonValue());
  fc.assert(
    fc.property(fc.array(object), fc.jsonValue(), fc.constantFrom(undefined, 1, '\t'), (objects, other, space) => {
      const text = JSON.stringify({ before: other, 'w"ay': { other, here: objects, behind: other } }, null, space);
      const found = Array.from(objectsUnder(text, 'w"ay', 'here'), (members) => [...members].map(([name, span]) => [name, JSON.parse(textOf(text, span)) as unknown]));
      expect(found).toEqual(objects.map((one) => Object.entries(JSON.parse(JSON.stringify(one)) as object)));
    }),
  );
  for (const text of ['{"a":{"b":1}}', '{"a":{}}', '{"a":[]}', '{"a":{"x":1}}', '{"a":{"x":[1]}}', '']) expect(() => [...objectsUnder(text, 'a', 'x')], text).toThrow(SyntaxError);
});

test('a scanned page gives documents letter by letter, exact versions, and where to go on', () => {
  const page = scannedPage(Buffer.from(`{"pit_id":"x","hits":{"max_score":null,"hits":[{"_index":"i","_id":"a\\"b","_version":9223372036854775807,"_score":null,"_source":${exact},"sort":[3]},{"_index":"i","_id":"é","_version":2,"_source":{},"sort":[4, 9]}]}}`));
  expect(page).toEqual({ documents: [{ id: 'a"b', version: 9223372036854775807n, document: exact }, { id: 'é', version: 2n, document: '{}' }], after: '[4, 9]' });
  expect(scannedPage(Buffer.from('{"hits":{"hits":[{"_id":"a","_version":1,"sort":[1]}]}}')).documents).toEqual([{ id: 'a', version: 1n, document: '' }]);
  expect(scannedPage(Buffer.from('{"hits":{"hits":[]}}'))).toEqual({ documents: [], after: undefined });
});

test('fetched documents stand in the order asked for, an index that is not there is told, and any other failure is none of the document\'s', () => {
  expect(fetchedDocuments(Buffer.from(`{"docs":[{"_id":"a","found":false},{"_id":"b","_version":3,"found":true,"_source":${exact}}]}`))).toEqual([null, { id: 'b', version: 3n, document: exact }]);
  expect(fetchedDocuments(Buffer.from('{"docs":[{"_id":"a","error":{"type":"index_not_found_exception"}}]}'))).toBeUndefined();
  expect(() => fetchedDocuments(Buffer.from('{"docs":[{"_id":"a","error":{"type":"no_shard_available_action_exception"}}]}'))).toThrow(expect.objectContaining({ code: 'TGT_CONN' }));
  expect(() => fetchedDocuments(Buffer.from('{"docs":[{"_id":"a","error":{"type":"security_exception","reason":"action [indices:data/read/mget] is unauthorized"}}]}'))).toThrow(expect.objectContaining({ code: 'TGT_BLOCKED', hint: expect.stringContaining('right') as unknown }));
});

test('hits have their score and their document as it stands', () => {
  expect(searchHits(Buffer.from(`{"hits":{"hits":[{"_id":"a","_score":1.5,"_source":${exact}}]}}`))).toEqual([{ id: 'a', score: 1.5, document: exact }]);
});

test('an answer that was cut off anywhere is refused, never read in part', () => {
  const whole = `{"hits":{"hits":[{"_id":"a","_version":1,"_source":${exact},"sort":[1]}]}}`;
  for (let at = 0; at < whole.length - 3; at += 1) expect(() => scannedPage(Buffer.from(whole.slice(0, at))), whole.slice(0, at)).toThrow(expect.objectContaining({ code: 'TGT_CONN' }));
});
