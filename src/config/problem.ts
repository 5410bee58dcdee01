/** What is wrong with a config, one problem per setting, shown together. */
import { TailraceError } from '../errors/tailrace-error.ts';
import { sentence } from './nearest.ts';

export type Path = readonly (string | number)[];

export interface Problem {
  /** Of the setting, from the top: `['sources', 'shop', 'slot']`. Empty for the file itself. */
  readonly path: Path;
  /** A part of a sentence; never values, which may be secrets. */
  readonly message: string;
  /** The key in the value at `path` that it is about, where that key is not a setting. */
  readonly key?: string | undefined;
  readonly place?: Place | undefined;
}

/** A place in the config file; both count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** Most problems that are shown at once. */
const SHOWN_MAX = 20;

/** The error that shows them. `file` is the config's name, or `The config` for one that was given as an object. */
export function problemsError(code: 'CFG_INVALID' | 'CFG_SECRET_MISSING', file: string, problems: readonly Problem[]): TailraceError {
  const inOrder = problems.toSorted((a, b) => (a.place?.line ?? 0) - (b.place?.line ?? 0) || (a.place?.column ?? 0) - (b.place?.column ?? 0));
  const lines = inOrder.slice(0, SHOWN_MAX).map(describeProblem);
  if (problems.length > SHOWN_MAX) lines.push(`and ${problems.length - SHOWN_MAX} more`);
  const what = code === 'CFG_INVALID' ? 'is not valid' : 'names secrets that are not there';
  return new TailraceError(code, { message: lines.length === 1 ? sentence(`${file} ${what}: ${lines[0]}`) : `${file} ${what}:\n${lines.map((line) => `  ${line}`).join('\n')}`, entity: file });
}

function describeProblem({ path, message, place }: Problem): string {
  const where = path.length === 0 ? message : `${pathText(path)}: ${message}`;
  return place === undefined ? where : `line ${place.line}, column ${place.column}: ${where}`;
}

const plainKey = /^[A-Za-z_*][\w*-]*$/;

/** `sources.shop.slot`, `indices.products.fields["odd name"]`, `key[0]`. */
function pathText(path: Path): string {
  return path.map((part, i) => (typeof part === 'number' ? `[${part}]` : plainKey.test(part) ? `${i === 0 ? '' : '.'}${part}` : `[${JSON.stringify(part)}]`)).join('');
}
