/** Values that the config file does not hold itself: `!env NAME` and `!file PATH`. They are read once, at start, and are secrets until a setting turns out to want plain text. */
import { systemCodeOf } from '../errors/system-code.ts';
import { Secret } from '../runtime/secret.ts';
import type { Path, Problem } from './problem.ts';

export class Reference {
  readonly kind: 'env' | 'file';
  readonly name: string;

  constructor(kind: 'env' | 'file', name: string) {
    this.kind = kind;
    this.name = name;
  }
}

/** Where references are looked up; handed in, because the engine has neither environment nor files. */
export interface SecretSources {
  readonly environment: (name: string) => string | undefined;
  /** The text of a file; rejects when it cannot be read. */
  readonly readFile: (path: string) => Promise<string>;
}

/** The tree with every reference replaced by a `Secret`; those that cannot be read are problems. */
export async function resolveReferences(tree: unknown, sources: SecretSources): Promise<{ readonly tree: unknown; readonly problems: readonly Problem[] }> {
  const problems: Problem[] = [];
  const resolve = async (value: unknown, path: Path): Promise<unknown> => {
    if (value instanceof Reference) {
      const text = await read(value, sources);
      if (typeof text === 'string') return new Secret(text);
      problems.push({ path, message: text.problem });
      return value;
    }
    if (typeof value !== 'object' || value === null) return value;
    const entries: [string, unknown][] = [];
    for (const [name, item] of Object.entries(value)) entries.push([name, await resolve(item, [...path, Array.isArray(value) ? Number(name) : name])]);
    return Array.isArray(value) ? entries.map(([, item]) => item) : Object.fromEntries(entries);
  };
  return { tree: await resolve(tree, []), problems };
}

async function read({ kind, name }: Reference, sources: SecretSources): Promise<string | { readonly problem: string }> {
  if (kind === 'env') {
    const value = sources.environment(name);
    if (value === undefined) return { problem: `the environment variable ${name} is not set` };
    return value === '' ? { problem: `the environment variable ${name} is empty` } : value;
  }
  let text: string;
  try {
    text = await sources.readFile(name);
  } catch (error) {
    const code = systemCodeOf(error);
    return { problem: `the file ${name} cannot be read${code === undefined ? '' : ` (${code})`}` };
  }
  // Editors and `echo` end files with a newline that is no part of a secret.
  const value = text.replace(/\r?\n$/, '');
  return value === '' ? { problem: `the file ${name} is empty` } : value;
}
