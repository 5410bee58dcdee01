import fc from 'fast-check';
import { expect, test } from 'vitest';
import { maskUrl } from '../../src/config/describe.ts';

test('a url is shown without its password', () => {
  expect(maskUrl('postgres://app:pa55@db:5432/shop')).toBe('postgres://app:***@db:5432/shop');
  expect(maskUrl('postgres://app@db/shop')).toBe('postgres://app@db/shop');
  expect(maskUrl('postgres://db/shop?sslmode=require&password=pa55&sslkey')).toBe('postgres://db/shop?sslmode=require&password=***&sslkey');
  expect(maskUrl('mongodb+srv://u:p@a,b,c/db?replicaSet=rs0')).toBe('mongodb+srv://u:***@a,b,c/db?replicaSet=rs0');
  expect(maskUrl('https://:token@host')).toBe('https://:***@host');
  expect(maskUrl('just-a-token')).toBe('***');
  expect(maskUrl('host=db password=pa55')).toBe('***');
});

test('no password comes through, however badly the url is written', () => {
  // Passwords with characters that should have been encoded; lower-case words of the rest cannot be part of them.
  const password = fc.array(fc.constantFrom('P', '@', '/', '?', ':', '#', '&', '=', '%', 'X', '5'), { minLength: 3, maxLength: 12 }).map((characters) => `Q${characters.join('')}Z`);
  fc.assert(
    fc.property(password, fc.constantFrom('db:5432/shop', 'db/shop?sslmode=require', 'a,b/c'), (secret, rest) => {
      const shown = maskUrl(`postgres://app:${secret}@${rest}`);
      expect(shown).toBe(`postgres://app:***@${rest}`);
    }),
  );
});
