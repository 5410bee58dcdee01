/** Runs a schema over a config and says what is wrong in words, with the nearest known name for one that is unknown. */
import { z } from 'zod';
import { Secret } from '../runtime/secret.ts';
import { crossProblems } from './cross-checks.ts';
import { jsonSchemaOf, namesAt, type JsonSchema } from './json-schema.ts';
import { suggestion } from './nearest.ts';
import type { Path, Place, Problem } from './problem.ts';

type Issue = z.core.$ZodIssue;

export type PlaceOf = (path: Path, key?: string) => Place;

export type Outcome = { readonly problems: readonly Problem[]; readonly settings?: undefined } | { readonly settings: unknown; readonly problems?: undefined };

/** Validates; a `Secret` at a setting that takes plain text becomes that text. `place` finds settings in the file. */
export function problemsIn(schema: z.ZodType, tree: unknown, place?: PlaceOf): Outcome {
  let current = tree;
  for (;;) {
    const result = schema.safeParse(current);
    const issues = result.success ? [] : result.error.issues;
    const revealed = revealSecrets(current, issues);
    if (revealed !== undefined) {
      current = revealed;
      continue;
    }
    const cross = crossProblems(current);
    if (result.success && cross.length === 0) return { settings: result.data };
    const known = jsonSchemaOf(schema);
    const problems = [...issues.flatMap((issue) => problemsOf(issue, current, known)), ...cross];
    return { problems: place === undefined ? problems : problems.map((problem) => ({ ...problem, place: place(problem.path, problem.key) })) };
  }
}

/** The tree with plain text in place of the secrets that issues complain of; undefined when they complain of none. */
function revealSecrets(tree: unknown, issues: readonly Issue[]): unknown {
  let result = tree;
  let count = 0;
  for (const { path, expected } of leaves(issues, [])) {
    const value = valueAt(result, path);
    if (!(value instanceof Secret)) continue;
    result = withValueAt(result, path, plainOf(value.reveal(), expected));
    count += 1;
  }
  return count === 0 ? undefined : result;
}

interface Leaf {
  readonly path: Path;
  readonly expected: string | undefined;
}

/** Every place that issues name, alternatives of unions included. */
function* leaves(issues: readonly Issue[], prefix: Path): Generator<Leaf> {
  for (const issue of issues) {
    const path = [...prefix, ...(issue.path as Path)];
    if (issue.code === 'invalid_union') for (const alternative of issue.errors) yield* leaves(alternative, path);
    yield { path, expected: issue.code === 'invalid_type' ? issue.expected : undefined };
  }
}

function plainOf(text: string, expected: string | undefined): unknown {
  if (expected === 'number' || expected === 'int') return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text);
  if (expected === 'boolean' && (text === 'true' || text === 'false')) return text === 'true';
  return text;
}

function valueAt(tree: unknown, path: Path): unknown {
  let value = tree;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

function withValueAt(tree: unknown, [first, ...rest]: Path, value: unknown): unknown {
  if (first === undefined) return value;
  if (Array.isArray(tree)) return tree.map((item: unknown, i) => (i === first ? withValueAt(item, rest, value) : item));
  const entries = Object.entries(tree as object).map(([name, item]: [string, unknown]) => [name, name === first ? withValueAt(item, rest, value) : item] as const);
  return Object.fromEntries(entries);
}

function problemsOf(issue: Issue, tree: unknown, known: JsonSchema): Problem[] {
  const path = issue.path as Path;
  const value = valueAt(tree, path);
  switch (issue.code) {
    case 'unrecognized_keys': {
      const names = namesAt(known, path, tree);
      // `crossProblems` tells of `__proto__`, which not every schema notices.
      return issue.keys.filter((key) => key !== '__proto__').map((key) => ({ path, key, message: `${shownKey(key)} is not known here${suggestion(key, names)}` }));
    }
    case 'invalid_type':
      return [{ path, message: value === undefined ? 'is required' : `expected ${expectedText(issue.expected)}, found ${typeText(value)}` }];
    case 'invalid_value': {
      const choices = issue.values.map(String);
      return [{ path, message: `expected ${choices.map((choice) => `\`${choice}\``).join(' or ')}${typeof value === 'string' ? suggestion(value, choices) : ''}` }];
    }
    case 'invalid_key':
      return [{ path: path.slice(0, -1), key: String(path.at(-1)), message: `\`${String(path.at(-1))}\`: ${issue.issues.map(({ message }) => message).join(', ')}` }];
    case 'invalid_union':
      return unionProblems(issue, path, value, tree, known);
    default:
      return [{ path, message: lowerFirst(issue.message) }];
  }
}

/** What no setting could be called is not repeated: the file may be none of ours, and the key a line of it. */
function shownKey(key: string): string {
  return /^[\w.$-]{1,48}$/.test(key) ? `\`${key}\`` : 'a key that is no name';
}

/** The alternative that came closest: the one whose problems lie deepest, then the one with the fewest. */
function unionProblems(issue: z.core.$ZodIssueInvalidUnion, path: Path, value: unknown, tree: unknown, known: JsonSchema): Problem[] {
  if (issue.errors.length === 0) {
    const choices = namesOfOptions(issue);
    if (value === undefined) return [{ path, message: `is required: ${choices.map((choice) => `\`${choice}\``).join(' or ')}` }];
    return [{ path, message: `expected ${choices.map((choice) => `\`${choice}\``).join(' or ')}${typeof value === 'string' ? suggestion(value, choices) : ''}` }];
  }
  const placed = issue.errors.map((alternative) => alternative.map((inner) => ({ ...inner, path: [...path, ...inner.path] })));
  const own = placed.filter((alternative) => alternative.every((inner) => inner.code !== 'invalid_type' || inner.path.length > path.length));
  if (own.length === 0) return [{ path, message: `expected ${[...new Set(placed.flat().flatMap((inner) => alternativeText(inner)))].join(' or ')}, found ${typeText(value)}` }];
  const [closest = []] = own.toSorted((a, b) => a.length - b.length);
  return closest.flatMap((inner) => problemsOf(inner as Issue, tree, known));
}

function namesOfOptions(issue: z.core.$ZodIssueInvalidUnion): readonly string[] {
  return 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : [];
}

function alternativeText(issue: Issue): readonly string[] {
  if (issue.code === 'invalid_type') return [expectedText(issue.expected)];
  return issue.code === 'invalid_value' ? issue.values.map((value) => `\`${String(value)}\``) : [];
}

const expectedWords: Readonly<Record<string, string>> = { string: 'text', int: 'a whole number', number: 'a number', boolean: '`true` or `false`', object: 'settings', record: 'settings', array: 'a list' };

function expectedText(expected: string): string {
  return expectedWords[expected] ?? expected;
}

function typeText(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return expectedText(typeof value);
}

function lowerFirst(message: string): string {
  return message.charAt(0).toLowerCase() + message.slice(1);
}
