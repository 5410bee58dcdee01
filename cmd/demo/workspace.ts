/**
 * The demo's own folder, removed at the end however the end comes: a small shell waits beside this process, and cleans up when this process is
 * gone without having done so (SIGKILL, a crash, a closed terminal).
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, realpathSync, rmdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { canReach, type Account } from './account.ts';

// Each line is the pid of the server, or `done`. The pipe closes with this process, whatever ends it.
const cleaner = `
pid=
while IFS= read -r line; do
  [ "$line" = done ] && exit 0
  pid=$line
done
if [ -n "$pid" ]; then
  kill -INT "$pid" 2>/dev/null
  n=0; while [ $n -lt 50 ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; n=$((n+1)); done
  kill -KILL "$pid" 2>/dev/null
fi
rm -rf -- "$1"
`;

export interface Workspace extends AsyncDisposable {
  readonly folder: string;
  /** From here on the process is ended with this one at the latest. */
  guard(pid: number): void;
}

/** A new folder that `account` can reach. */
export function openWorkspace(account: Account | undefined): Workspace {
  const folder = makeFolder(account);
  // A session of its own: Ctrl-C in the terminal goes to the whole group, and this one must stay.
  const shell: ChildProcess = spawn('/bin/sh', ['-c', cleaner, 'tailrace-demo-cleaner', folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true, cwd: '/' });
  shell.unref();
  const tell = (line: string): void => void shell.stdin?.write(`${line}\n`);
  return {
    folder,
    guard: (pid) => tell(String(pid)),
    [Symbol.asyncDispose]: async () => {
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
      tell('done');
      shell.stdin?.end();
    },
  };
}

function makeFolder(account: Account | undefined): string {
  for (const parent of new Set([tmpdir(), '/tmp', '/var/tmp'])) {
    let folder: string;
    try {
      // Resolved, because PostgreSQL shows paths resolved, and macOS' temporary folder is a link.
      folder = realpathSync(mkdtempSync(join(parent, 'tailrace-demo-')));
    } catch {
      // Not there, or not ours to write to: the next one may be.
      continue;
    }
    // Others may pass through to what is theirs within, and see nothing else.
    if (account !== undefined) chmodSync(folder, 0o755);
    if (canReach(account, folder)) {
      if (account !== undefined) chmodSync(folder, 0o711);
      return folder;
    }
    rmdirSync(folder);
  }
  throw new TailraceError('USAGE', { message: 'There is no temporary folder that the demo can use.', hint: 'Name one with TMPDIR.' });
}
