/** No test is passed over without a word: what a machine lacks is named, and fails the run where the run requires it. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { granted, installed } from '../requirement.ts';

const folder = join(import.meta.dirname, '..');

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

test('a program that is not installed is named, and fails the run that requires it', () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
  vi.stubEnv('TAILRACE_REQUIRE_ENGINES', '0');
  expect(installed('no-such-program')).toBe(false);
  expect(granted('wings', false)).toBe(false);
  expect(warn.mock.calls).toEqual([['skipped: this machine does not give the program no-such-program'], ['skipped: this machine does not give wings']]);
  vi.stubEnv('TAILRACE_REQUIRE_ENGINES', '1');
  expect(() => installed('no-such-program')).toThrow('This machine has no no-such-program, and the run requires it');
  expect(installed('sh')).toBe(true);
  expect(warn).toHaveBeenCalledTimes(2);
});

/** Conditions that are no matter of the machine. */
const others = [
  'runIf(postgres.major >= 17)',
  'runIf(postgres.major >= 18)',
  // Of the seeds: few of them need not bring about everything.
  'runIf(count >= SEEDS_DEFAULT)',
  // Says so in a line of its own.
  'skipIf(!isThere && !enginesRequired())',
];

test('every test with a condition asks for it where its lack is named', () => {
  const conditions = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts') && name !== join('docs', 'requirement.test.ts'))
    .flatMap((name) => [...readFileSync(join(folder, name), 'utf8').matchAll(/\.((?:runIf|skipIf)\(.*?\))\((?=['"`])/g)].map(([, condition = '']) => ({ name, condition })));
  expect(conditions.length).toBeGreaterThan(5);
  const asks = (condition: string): boolean => /\b(?:granted|installed|mayMount|mayMakeUnwritable)\(/.test(condition) || others.includes(condition);
  expect(conditions.filter(({ condition }) => !asks(condition))).toEqual([]);
});
