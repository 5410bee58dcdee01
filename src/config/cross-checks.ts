/** The sources and targets that indices name, and what indices of one table must agree on. Looks at the tree as it was given, so that its problems are shown together with those of single settings. */
import { Secret } from '../runtime/secret.ts';
import { parseTableReference } from './names.ts';
import { suggestion } from './nearest.ts';
import type { Path, Problem } from './problem.ts';

export function crossProblems(tree: unknown): readonly Problem[] {
  const problems: Problem[] = [...forbiddenNames(tree, [])];
  const sources = Object.keys(objectAt(tree, 'sources'));
  const targets = Object.keys(objectAt(tree, 'targets'));
  for (const [name, index] of Object.entries(objectAt(tree, 'indices'))) {
    problems.push(...indexProblems(['indices', name], index, sources, targets));
  }
  problems.push(...keyProblems(objectAt(tree, 'indices')));
  return problems;
}

/** What tells the rows of a table apart is one thing for the whole log, whichever index reads it. */
function keyProblems(indices: Readonly<Record<string, unknown>>): Problem[] {
  const first = new Map<string, { readonly name: string; readonly key: string }>();
  const problems: Problem[] = [];
  for (const [name, index] of Object.entries(indices)) {
    const { from, key } = typeof index === 'object' && index !== null ? (index as Record<string, unknown>) : {};
    const reference = typeof from === 'string' ? parseTableReference(from) : undefined;
    if (typeof reference !== 'object') continue;
    const table = JSON.stringify([reference.source, reference.table]);
    const mine = JSON.stringify(key ?? null);
    const other = first.get(table);
    if (other === undefined) first.set(table, { name, key: mine });
    else if (other.key !== mine) {
      problems.push({ path: ['indices', name, 'key'], message: `differs from that of the index \`${other.name}\`, which is made from the same table: give both the same \`key\`, in the same order` });
    }
  }
  return problems;
}

function objectAt(value: unknown, name: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return {};
  const inner = (value as Record<string, unknown>)[name];
  return typeof inner === 'object' && inner !== null && !Array.isArray(inner) ? (inner as Record<string, unknown>) : {};
}

/** A name that the validation would drop without a word. */
function* forbiddenNames(value: unknown, path: Path): Generator<Problem> {
  if (typeof value !== 'object' || value === null || value instanceof Secret) return;
  for (const [name, inner] of Object.entries(value)) {
    if (name === '__proto__') yield { path, message: '`__proto__` cannot be a name here' };
    yield* forbiddenNames(inner, [...path, name]);
  }
}

function indexProblems(path: Path, index: unknown, sources: readonly string[], targets: readonly string[]): Problem[] {
  const problems: Problem[] = [];
  const { from, to } = typeof index === 'object' && index !== null ? (index as Record<string, unknown>) : {};
  const reference = typeof from === 'string' ? parseTableReference(from) : undefined;
  if (typeof reference === 'object' && !sources.includes(reference.source)) {
    problems.push({ path: [...path, 'from'], message: unknownName('source', reference.source, sources) });
  }
  const offered = targets.length === 0 ? [EMBEDDED_TARGET] : targets;
  if (typeof to === 'string' && !offered.includes(to)) problems.push({ path: [...path, 'to'], message: unknownName('target', to, offered) });
  if (to === undefined && targets.length > 1) problems.push({ path: [...path, 'to'], message: `is required, because there are several targets: ${targets.join(', ')}` });
  return problems;
}

/** Without the name itself, which may have come from the environment. */
function unknownName(what: string, name: string, known: readonly string[]): string {
  const near = suggestion(name, known);
  return `there is no such ${what}${near === '' && known.length > 0 ? `; there is ${known.map((other) => `\`${other}\``).join(', ')}` : near}`;
}

/** Name of the target that a config without any has: a file in the data directory. */
export const EMBEDDED_TARGET = 'embedded';
