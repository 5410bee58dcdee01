/**
 * Every code of the catalogue is named where something may throw it, and in a test of its cause: neither list is forgotten when a code is added. This
 * reads texts and runs nothing; that a test provokes what it names is for the test itself to hold.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/errors/catalogue.ts';

const repository = join(import.meta.dirname, '..', '..');

/** Text of every TypeScript file below these folders. */
function texts(...folders: readonly string[]): { readonly path: string; readonly text: string }[] {
  return folders.flatMap((folder) =>
    readdirSync(join(repository, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => ({ path: join(folder, name), text: readFileSync(join(repository, folder, name), 'utf8') })),
  );
}

/** Listing a code or choosing by one is not throwing it. */
const production = texts('src', 'connectors', 'cmd').filter(({ path }) => !path.startsWith(join('src', 'errors')) || path.endsWith('invariant.ts'));

/** Tests that only look at how a code is shown or decided about prove nothing of its cause. */
const showing = [join('test', 'docs'), join('test', 'errors'), join('test', 'sim'), join('test', 'cmd', 'screens'), join('test', 'observe')];
const tests = texts('test').filter(({ path }) => path.endsWith('.test.ts') && !showing.some((folder) => path.startsWith(folder)));

/** The code as a literal: in quotes, and not as a part of a longer one. */
function names(code: string): (file: { readonly text: string }) => boolean {
  const literal = new RegExp(`['"\`]${code}\\b`);
  return ({ text }) => literal.test(text);
}

describe.for(Object.keys(catalogue))('%s', (code) => {
  test('is thrown somewhere', () => {
    // What nobody foresaw has no code of its own when it is thrown.
    expect(production.some(names(code))).toBe(true);
  });

  test('is named by a test of its cause', () => {
    expect(tests.filter(names(code)).map(({ path }) => path)).not.toEqual([]);
  });
});
