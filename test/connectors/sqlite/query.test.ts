import { DatabaseSync } from 'node:sqlite';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ftsQuery, QUERY_TERMS_MAX } from '../../../connectors/targets/sqlite/query.ts';

const columns = new Map([
  ['name', 'name'],
  ['größe', 'größe'],
  ['rank', 'rank_'],
]);

describe('a search as it is typed', () => {
  test.each([
    ['red shoes', '"red" "shoes"'],
    ['"red shoes" blue', '"red shoes" "blue"'],
    ['"red shoes', '"red shoes"'],
    ['sho* "red sh"*', '"sho"* "red sh"*'],
    ['name:shoes', '"name" : "shoes"'],
    ['NAME:"red shoes"', '"name" : "red shoes"'],
    ['name:sho* Größe:xl rank:1', '"name" : "sho"* "größe" : "xl" "rank_" : "1"'],
    ['color:red 12:30 http://x.org', '"color:red" "12:30" "http://x.org"'],
    ['red AND (blue OR -green)', '"red" "AND" "(blue" "OR" "-green)"'],
    ["o'clock", '"o\'clock"'],
    ['name: shoes', '"name:" "shoes"'],
    ['', undefined],
    [' * ** "" ', undefined],
    ['a\0b', '"a" "b"'],
  ])('%j becomes %j', (text, query) => {
    expect(ftsQuery(text, columns)).toBe(query);
  });

  test('has a limit on its terms', () => {
    expect(ftsQuery('red '.repeat(1000), columns)?.split(' ')).toHaveLength(QUERY_TERMS_MAX);
  });

  test('is never a syntax error, whatever it is', () => {
    const db = new DatabaseSync(':memory:');
    db.exec('CREATE VIRTUAL TABLE texts USING fts5("name", "größe", "rank_")');
    const search = db.prepare('SELECT rowid FROM texts WHERE texts MATCH ?');
    const piece = fc.oneof(fc.string({ unit: 'binary' }), fc.constantFrom('"', "'", '*', ':', 'name:', 'AND', 'NEAR(', '(', ')', '{', '}', '^', '+', '-', ' ', '\0', '\ud800'));
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const query = ftsQuery(pieces.join(''), columns);
        if (query !== undefined) expect(search.all(query)).toEqual([]);
      }),
      { numRuns: 2000 },
    );
    db.close();
  });
});
