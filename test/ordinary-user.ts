/** Permissions bind everybody but root: tests of them run as an ordinary user, also where the tests run as root. */
import { chownSync } from 'node:fs';

/** Debian's and most others' `nobody`. */
const NOBODY = 65_534;

const isRoot = process.getuid?.() === 0;

/** Runs `work` without root's rights; what it touches has to belong to the user: see `give`. Not for tests that run in threads. */
export async function asOrdinaryUser<T>(work: () => T | Promise<T>): Promise<T> {
  if (!isRoot || process.seteuid === undefined) return work();
  process.seteuid(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid(0);
  }
}

/** Makes a file or folder the ordinary user's own. */
export function giveToOrdinaryUser(path: string): void {
  if (isRoot) chownSync(path, NOBODY, NOBODY);
}
