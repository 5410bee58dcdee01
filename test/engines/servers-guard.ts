/**
 * Nothing that a test starts outlives it: a small watchdog process holds the list of our servers and folders, and ends and removes
 * them when this process is gone, however it went. It acts on pids that we started, and on nothing else.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';

// Each message is two lines: all pids, then all folders. The last one counts when the pipe closes, which the kernel does for us
// even after SIGKILL. SIGCONT, because a stopped process takes no SIGQUIT; SIGQUIT is Postgres' immediate shutdown.
const watchdogScript = `
pids=; folders=
while IFS= read -r p && IFS= read -r f; do pids=$p; folders=$f; done
if [ -n "$pids" ]; then
  kill -CONT $pids 2>/dev/null; kill -QUIT $pids 2>/dev/null
  n=0; while [ $n -lt 20 ] && kill -0 $pids 2>/dev/null; do sleep 0.1; n=$((n+1)); done
  kill -KILL $pids 2>/dev/null
fi
if [ -n "$folders" ]; then rm -rf $folders; fi
`;

const pids = new Set<number>();
const folders = new Set<string>();
let watchdog: ChildProcess | undefined;

function tell(): void {
  watchdog ??= startWatchdog();
  watchdog.stdin?.write(`${[...pids].join(' ')}\n${[...folders].join(' ')}\n`);
}

function startWatchdog(): ChildProcess {
  // A session of its own: an interrupt from the keyboard reaches the whole foreground group, and the watchdog must stay.
  const child = spawn('/bin/sh', ['-c', watchdogScript], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  child.unref();
  (child.stdin as Socket).unref();
  return child;
}

/** From here on `child` is ended with this process; it is forgotten as soon as it has ended by itself. */
export function guardProcess(child: ChildProcess): void {
  const { pid } = child;
  if (pid === undefined) return;
  pids.add(pid);
  child.once('exit', () => {
    pids.delete(pid);
    tell();
  });
  tell();
}

/** From here on `folder` is removed with this process, unless `releaseFolder` came first. */
export function guardFolder(folder: string): void {
  if (/[\s*?[\]]/.test(folder)) throw new Error(`a folder for a test server must have a plain name: ${folder}`);
  folders.add(folder);
  tell();
}

export function releaseFolder(folder: string): void {
  folders.delete(folder);
  tell();
}
