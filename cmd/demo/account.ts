/** The account that PostgreSQL runs under: it refuses root, so root lends it an account that may do nothing else. */
import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { TailraceError } from '../../src/errors/tailrace-error.ts';

export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const unprivileged = ['nobody', 'postgres', 'daemon'];

/** Undefined when this process is not root: then the server runs as it does. Errors: USAGE when there is no such account. */
export function serverAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of unprivileged) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    // macOS writes the ids of nobody as -2; the system takes them modulo 2^32.
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 };
  }
  throw new TailraceError('USAGE', { message: `PostgreSQL refuses to run as root, and there is none of the accounts ${unprivileged.join(', ')} to run it as.`, hint: 'Run the demo as an ordinary user.' });
}

/** True when the account may enter every folder above `path`, and read and execute `path` itself. */
export function canReach(account: Account | undefined, path: string): boolean {
  if (account === undefined) return true;
  for (let at = path; ; at = dirname(at)) {
    const { mode, uid, gid } = statSync(at);
    const shift = uid === account.uid ? 6 : gid === account.gid ? 3 : 0;
    const needed = at === path ? 0o5 : 0o1;
    if (((mode >> shift) & needed) !== needed) return false;
    if (at === dirname(at)) return true;
  }
}
