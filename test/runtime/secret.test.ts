import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { Secret } from '../../src/runtime/secret.ts';

test('a secret shows itself only when asked to', () => {
  const secret = new Secret('hunter2');
  expect(secret.reveal()).toBe('hunter2');
  for (const shown of [String(secret), JSON.stringify({ secret }), inspect({ secret }, { depth: 5 }), `${secret}`]) expect(shown).not.toContain('hunter2');
});
