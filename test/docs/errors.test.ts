/** docs/errors.md and the error catalogue say the same, in both directions. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { catalogue, type ErrorCode } from '../../src/errors/catalogue.ts';
import { exitCodeOf } from '../../src/errors/policy.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';

const docs = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'errors.md'), 'utf8');
const codes = Object.keys(catalogue) as ErrorCode[];

/** Text below each heading of a code. */
const sections = new Map(
  docs
    .split(/^(?=#{1,2} )/m)
    .map((section) => /^## ([A-Z_]+)\n([^]*)$/.exec(section))
    .filter((match) => match !== null)
    .map(([, code = '', text = '']) => [code, text]),
);

test('there is a section for every code, in the order of the catalogue, and for nothing else', () => {
  expect([...sections.keys()]).toEqual(codes);
});

describe.for(codes)('%s', (code) => {
  const text = sections.get(code) ?? '';

  test('the reaction and the exit status are those of the policy', () => {
    const reaction = catalogue[code].disposition.replace('_', ' ');
    const status = exitCodeOf(new TailraceError(code, { message: 'x' }));
    expect(text).toContain(`Reaction: ${reaction}. Exit status: ${status}.`);
  });

  test('the section says what happened, what tailrace did and what to do', () => {
    const labels = [...text.matchAll(/^\*\*(.+?)\*\* \S/gm)].map(([, label]) => label);
    expect(labels).toEqual(['What happened.', 'What tailrace did.', 'What to do.']);
  });

  test('what the hint tells to type is in the section', () => {
    const typed = [...catalogue[code].hint.matchAll(/`([^`]+)`/g)].map(([, command]) => command);
    expect(typed.filter((command) => !text.includes(`\`${command}\``))).toEqual([]);
  });
});

test('the table of reactions has every disposition', () => {
  const named = [...docs.matchAll(/^\| (\w+(?: \w+)?) \|/gm)].map(([, name]) => name?.replace(' ', '_')).filter((name) => name !== 'reaction');
  expect(new Set(named)).toEqual(new Set(Object.values(catalogue).map(({ disposition }) => disposition)));
});
