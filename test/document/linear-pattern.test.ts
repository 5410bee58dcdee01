import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compilePattern, PatternError } from '../../src/document/linear-pattern.ts';

const character = fc.constantFrom('a', 'b', 'c', ' ', '\n', '-', '1');
const atom = fc.oneof(
  fc.constantFrom('a', 'b', 'c', '.', '\\d', '\\w', '\\s', '\\W', '[ab]', '[^a]', '[a-c1]', '[^\\d]', '[-a]', '[\\]b]', '\\n', '\\x61', 'x'),
  fc.constantFrom('^', '$', '\\b', '\\B'),
);
const pattern = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4 },
    atom,
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => a + b),
    fc.tuple(tie('node'), tie('node')).map(([a, b]) => `(?:${a}|${b})`),
    tie('node').map((a) => `(${a})`),
    fc.tuple(tie('node'), fc.constantFrom('*', '+', '?', '{2}', '{1,}', '{0,2}', '*?', '+?')).map(([a, q]) => `(?:${a})${q}`),
  ),
})).node;

describe('a linear pattern', () => {
  test('finds what JavaScript finds, for any pattern and text', () => {
    fc.assert(
      fc.property(pattern, fc.array(character, { maxLength: 12 }), (source, characters) => {
        const text = characters.join('');
        expect(compilePattern(source).matches(text)).toBe(new RegExp(source, 'u').test(text));
      }),
      { numRuns: 3000 },
    );
  });

  test('repeats of nothing are nothing, however many', () => {
    expect(compilePattern('a(){1000}{1000}{1000}{1000}b').matches('ab')).toBe(true);
    expect(compilePattern('(?:(){1000}){1000,}b').matches('b')).toBe(true);
  });

  test('finds what JavaScript finds with flags', () => {
    fc.assert(
      fc.property(pattern, fc.array(fc.constantFrom('a', 'B', 'A', '\n', 'c', '1'), { maxLength: 8 }), fc.constantFrom('i', 's', 'm', 'im', 'ims'), (source, characters, flags) => {
        const text = characters.join('');
        expect(compilePattern(`(?${flags})${source}`).matches(text)).toBe(new RegExp(source, `${flags}u`).test(text));
      }),
      { numRuns: 2000 },
    );
  });

  test('takes patterns and texts beyond ASCII by characters, not by halves', () => {
    expect(compilePattern('^.$').matches('😀')).toBe(true);
    expect(compilePattern('^[😀-😂]{2}$').matches('😁😂')).toBe(true);
    expect(compilePattern('(?i)^ÄÖ').matches('äö')).toBe(true);
    expect(compilePattern('(?i)s').matches('ß')).toBe(false);
    expect(compilePattern('^\\p{Greek}+$').matches('αβγ')).toBe(true);
    expect(compilePattern('^\\pL\\PL$').matches('ä1')).toBe(true);
    expect(compilePattern('\\p{^Lu}').matches('A')).toBe(false);
    expect(compilePattern('^\\x{1F600}$').matches('😀')).toBe(true);
  });

  test('groups, named or with flags of their own, only group', () => {
    expect(compilePattern('(?P<year>\\d{4})-(?<month>\\d\\d)').matches('on 2024-05-01')).toBe(true);
    expect(compilePattern('a(?i:b)c').matches('aBc')).toBe(true);
    expect(compilePattern('a(?i:b)c').matches('aBC')).toBe(false);
    expect(compilePattern('(?i)a(?-i)b').matches('Ab')).toBe(true);
    expect(compilePattern('(?i)a(?-i)b').matches('AB')).toBe(false);
    expect(compilePattern('\\Aab\\z').matches('ab\n')).toBe(false);
  });

  test('takes time in proportion to the text where backtracking takes for ever', () => {
    const text = 'a'.repeat(200_000);
    for (const source of ['(a+)+$b', '(a*)*b', '(a|aa)+$c', 'a*a*a*a*b', '^(\\w+\\s?)*$!']) expect(compilePattern(source).matches(text)).toBe(false);
  });

  test('refuses what is not RE2, without repeating it', () => {
    const wrong = ['(', ')', 'a)', '[a', '\\1', '(?=a)', '(?<!a)', '*a', 'a{2,1}', 'a{1001}', '(a{1000}){1000}', '[b-a]', '\\p{Nonsense}', '\\q', '[[:alpha:]]', '\\x{110000}', '\\xg', '\\', '('.repeat(200) + ')'.repeat(200)];
    for (const source of wrong) {
      let message = '';
      expect(() => {
        try {
          compilePattern(source);
        } catch (error) {
          message = (error as Error).message;
          throw error;
        }
      }, source).toThrow(PatternError);
      expect(message).not.toContain('Nonsense');
    }
  });
});
