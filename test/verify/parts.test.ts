/** The parts of a comparison by themselves: what is the same, which ids were seen, and the judgement on one document. */
import { describe, expect, test } from 'vitest';
import { versionOf } from '../../src/change/seq.ts';
import { BUCKETS_MAX, BucketSums } from '../../src/verify/bucket-sums.ts';
import { Differences, type Difference, DIFFERENCES_KEPT_MAX } from '../../src/verify/difference.ts';
import { TextHash } from '../../src/verify/text-hash.ts';
import { Pace } from '../../src/verify/pace.ts';
import { compareDocuments } from '../../src/verify/same-document.ts';
import { SeenIds } from '../../src/verify/seen-ids.ts';
import { verdictOn, type Evidence } from '../../src/verify/verdict.ts';

describe('two documents', () => {
  test.each([
    ['{"a":1}', '{"a":1}'],
    ['{"a":1,"b":[1,{"x":"é"}]}', ' { "b" : [ 1 , {"x":"\\u00e9"} ], "a" : 1 } '],
    ['{"a":1}', '{"a":1,"b":null}'],
    ['{"a":1,"b":null}', '{"a":1}'],
    ['{"n":12345678901234567890.10}', '{"n": 12345678901234567890.10}'],
  ])('%s and %s say the same', (expected, stored) => {
    expect(compareDocuments(expected, stored)).toEqual({ kind: 'same' });
  });

  test.each([
    ['{"a":1,"b":2}', '{"a":1,"b":3}', 'b'],
    ['{"a":1}', '{"a":"1"}', 'a'],
    ['{"a":1.0}', '{"a":1}', 'a'],
    ['{"a":9007199254740993}', '{"a":9007199254740992}', 'a'],
    ['{"a":1.50}', '{"a":1.5}', 'a'],
    ['{"a":[1,2]}', '{"a":[2,1]}', 'a'],
    ['{"a":{"x":null}}', '{"a":{}}', 'a'],
    ['{"a":1}', '{"a":1,"c":false}', 'c'],
    ['{"a":1,"z":"x"}', '{"a":1}', 'z'],
    ['{"a":""}', '{"a":null}', 'a'],
  ])('%s and %s differ in %s', (expected, stored, field) => {
    expect(compareDocuments(expected, stored)).toEqual({ kind: 'other', field });
  });

  test.each(['', 'no JSON', '[1]', '"a"', 'null', '{"a":1', '{"a":1}}'])('%s is no document', (stored) => {
    expect(compareDocuments('{"a":1}', stored)).toEqual({ kind: 'unreadable' });
  });
});

describe('ids that were seen', () => {
  const ids = Array.from({ length: 20_000 }, (_, i) => `id ${i}`);

  test('are known, and others are not', () => {
    const seen = new SeenIds({ salt: 7, share: 1 });
    for (const id of ids) seen.add(id);
    for (const id of ids) seen.add(id);
    expect([seen.count, ids.every((id) => seen.has(id)), ids.some((id) => seen.has(`${id}!`)), seen.nextPart()]).toEqual([20_000, true, false, false]);
  });

  test('that are more than there is room for come in parts, each of which knows its own', () => {
    const seen = new SeenIds({ salt: 7, share: 1, slotsMax: 4096 });
    const unseen = new Set(ids.map((id) => `${id}!`));
    const found = new Set<string>();
    let parts = 0;
    do {
      parts += 1;
      for (const id of ids) if (seen.isWanted(id)) seen.add(id);
      for (const id of ids) expect(seen.has(id)).toBe(true);
      for (const id of unseen) if (!seen.has(id)) found.add(id);
    } while (seen.nextPart());
    expect(parts).toBeGreaterThanOrEqual(8);
    expect(found).toEqual(unseen);
  });

  test('of a sample are those of rows and of documents alike', () => {
    const seen = new SeenIds({ salt: 99, share: 0.1 });
    const wanted = ids.filter((id) => seen.isWanted(id));
    for (const id of wanted) seen.add(id);
    expect(wanted.length).toBeGreaterThan(1_800);
    expect(wanted.length).toBeLessThan(2_200);
    const others = Array.from({ length: 20_000 }, (_, i) => `other ${i}`);
    expect(others.filter((id) => !seen.has(id))).toEqual(others.filter((id) => seen.isWanted(id)));
  });

  test('collide no more often than 64 bits make them', () => {
    const hash = new TextHash(1);
    const halves = new Set<number>();
    const whole = new Set<string>();
    for (let i = 0; i < 200_000; i += 1) {
      hash.of(`${i}`);
      halves.add(hash.low);
      whole.add(`${hash.high} ${hash.low}`);
    }
    // Of 200,000 halves of 32 bits about 5 collide by chance.
    expect(whole.size).toBe(200_000);
    expect(halves.size).toBeGreaterThan(200_000 - 40);
  });
});

describe('sums of what two sides have', () => {
  const documents = Array.from({ length: 5_000 }, (_, i) => [`k${i}`, `{"id":"k${i}","name":"name ${i % 50}"}`] as const);
  const summed = (stored: readonly (readonly [string, string])[], expected = documents.length): BucketSums => {
    const sums = new BucketSums(12_345, expected);
    for (const [id, json] of documents) sums.addMade(id, json);
    for (const [id, document] of stored.toReversed()) sums.addStored(id, document);
    return sums;
  };

  test.each([0, 5_000, 10 * BUCKETS_MAX])('are equal when both have the same, in any order, with %d expected', (expected) => {
    const sums = summed(documents, expected);
    expect([sums.areEqual, documents.every(([id]) => sums.isEqual(id))]).toEqual([true, true]);
  });

  test.each<[string, (all: readonly (readonly [string, string])[]) => (readonly [string, string])[], readonly string[]]>([
    ['a document that is not there', (all) => all.slice(1), ['k0']],
    ['one that is too much', (all) => [...all, ['more', '{}']], ['more']],
    ['one that is there twice', (all) => [...all, ...all.slice(7, 8)], ['k7']],
    ['a character that is another', (all) => all.map(([id, json]) => [id, id === 'k9' ? json.replace('name 9', 'name 8') : json]), ['k9']],
    ['the texts of two that were exchanged', (all) => [['k1', documents[2]?.[1] ?? ''], ['k2', documents[1]?.[1] ?? ''], ...all.filter(([id]) => id !== 'k1' && id !== 'k2')], ['k1', 'k2']],
  ])('tell of %s, and of few others', (_, change, ids) => {
    for (const expected of [0, 5_000]) {
      const sums = summed(change(documents), expected);
      expect([sums.areEqual, ids.some((id) => sums.isEqual(id))]).toEqual([false, false]);
      expect(documents.filter(([id]) => !sums.isEqual(id)).length).toBeLessThan(expected === 0 ? 40 : 12);
    }
  });

  test('tell the texts of all documents exchanged, even in one bucket', () => {
    for (let i = 0; i + 1 < 1_000; i += 2) {
      const sums = new BucketSums(i, 0);
      const [[a, one], [b, other]] = documents.slice(i, i + 2) as [readonly [string, string], readonly [string, string]];
      sums.addMade(a, one);
      sums.addMade(b, other);
      sums.addStored(a, other);
      sums.addStored(b, one);
      expect(sums.areEqual).toBe(false);
    }
  });

  test('leave a bucket to be looked at that was spoilt, whatever its sum', () => {
    const sums = summed(documents);
    sums.spoil('k3');
    expect([sums.areEqual, sums.isEqual('k3'), documents.filter(([id]) => !sums.isEqual(id)).length < 12]).toEqual([false, false, true]);
  });
});

describe('the verdict on a document', () => {
  const at = (seq: number): bigint => versionOf(1, seq);
  const made = (name: string): Evidence['base'] => ({ kind: 'document', json: `{"name":"${name}"}` });
  const stored = (seq: number, name: string): Evidence['stored'] => ({ id: 'x', version: at(seq), document: `{"name":"${name}"}` });
  const evidence = (more: Partial<Evidence>): Evidence => ({ epoch: 1, startSeq: 10, base: made('base'), baseSeq: 100, changes: [], cursor: 100, durableSeq: 120, stored: stored(50, 'base'), isParked: false, ...more });
  const change = (seq: number, name: string | null): Evidence['changes'][number] => ({ seq, expected: name === null ? { kind: 'none' } : (made(name) ?? { kind: 'none' }) });
  const word = (more: Partial<Evidence>): string => {
    const verdict = verdictOn(evidence(more));
    return verdict.kind === 'different' ? verdict.how : verdict.kind;
  };

  test.each<[string, Partial<Evidence>, string]>([
    ['as the row was', {}, 'equal'],
    ['gone where a row is', { stored: null }, 'missing'],
    ['gone, and parked', { stored: null, isParked: true }, 'parked'],
    ['gone, of a row that makes none', { stored: null, base: { kind: 'failed' } }, 'parked'],
    ['there, of a row that makes none', { base: { kind: 'failed' } }, 'extra'],
    ['there, of no row', { base: { kind: 'none' } }, 'extra'],
    ['other than the row', { stored: stored(50, 'other') }, 'altered'],
    ['newer than the row, without a change that is', { stored: stored(110, 'base') }, 'wrong_version'],
    ['from the future, and other', { stored: stored(130, 'other') }, 'wrong_version'],
    ['from before the generation', { stored: stored(10, 'base') }, 'wrong_version'],
    ['of a change that may have been applied', { changes: [change(110, 'newer')], stored: stored(110, 'newer') }, 'equal'],
    ['as before a change that need not be applied', { changes: [change(110, 'newer')] }, 'equal'],
    ['gone with a delete that may have been applied', { changes: [change(110, null)], stored: null }, 'equal'],
    ['as before a change that must be applied', { changes: [change(90, 'newer')] }, 'stale'],
    ['of that change, and other', { changes: [change(90, 'newer')], stored: stored(90, 'other') }, 'altered'],
    ['right by its text, with the version of no change', { changes: [change(90, 'newer')], stored: stored(89, 'newer') }, 'wrong_version'],
    ['of a change that nobody knows of, of a row that changed while it was read', { base: null }, 'unknown'],
    ['of a row that changed while it was read, by its change', { base: null, changes: [change(95, 'newer')], stored: stored(95, 'newer') }, 'equal'],
    ['gone while another change of a refused one is on its way', { changes: [change(110, 'newer')], stored: null }, 'unknown'],
  ])('%s', (_, more, expected) => {
    expect(word(more)).toBe(expected);
  });
});

test('differences are counted beyond those that are kept, each document once', () => {
  const differences = new Differences();
  const one = (id: string): Difference => ({ kind: 'missing', id, key: null, field: null, storedVersion: null, seq: 1 });
  for (let i = 0; i < DIFFERENCES_KEPT_MAX + 5; i += 1) differences.add(one(`id ${i}`));
  differences.add(one('id 3'));
  expect([differences.count, differences.kept.length]).toEqual([DIFFERENCES_KEPT_MAX + 5, DIFFERENCES_KEPT_MAX]);
  differences.reclassify(({ id, kind }) => (id === 'id 7' ? 'stale' : kind));
  expect(differences.counts).toEqual({ missing: DIFFERENCES_KEPT_MAX + 4, stale: 1 });
});

test('a pace is kept, and what was not used is saved for a second only', async () => {
  let nowMs = 5_000;
  const clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, schedule: () => () => {}, sleep: async (ms: number) => Promise.resolve(void (nowMs += ms)) };
  const pace = new Pace(100, clock);
  const { signal } = new AbortController();
  await pace.take(100, signal);
  expect(nowMs).toBe(5_000);
  await pace.take(100, signal);
  expect(nowMs).toBe(6_000);
  nowMs = 60_000;
  await pace.take(100, signal);
  await pace.take(50, signal);
  expect(nowMs).toBe(60_500);
  await new Pace(null, clock).take(1e9, signal);
  expect(nowMs).toBe(60_500);
});
