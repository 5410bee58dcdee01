/** Names of indices in a file: an index takes two of SQLite's names, which know no case, and some are taken. */
import { viewNames } from './layout.ts';

/** Why an index cannot be called so, beside `others` that the file has; undefined when it can. A part of a sentence. */
export function nameProblem(index: string, others: readonly string[]): string | undefined {
  if (index === '' || index.includes('\0')) return 'SQLite has no such name';
  if (/^(?:tailrace|sqlite)_/i.test(index)) return 'names that begin with "tailrace_" or "sqlite_" are taken';
  const mine = namesOf(index);
  for (const other of others) {
    const clash = namesOf(other).find((name) => mine.some((own) => own.toLowerCase() === name.toLowerCase()));
    if (clash !== undefined) return `the name "${clash}" is taken by the index "${other}" (in SQLite an index takes its name and its name with "_text" behind it, whatever the case)`;
  }
  return undefined;
}

function namesOf(index: string): string[] {
  return Object.values(viewNames(index));
}
