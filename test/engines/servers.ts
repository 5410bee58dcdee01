/**
 * What every real server under test needs: an account that is not root, a folder, a port, a cache, a deadline, and the rule
 * for what happens when the engine is not there.
 */
import { randomInt } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** An engine that this machine does not have. `describe...` helpers skip on it, or fail when the run requires engines. */
export class EngineMissing extends Error {
  override readonly name = 'EngineMissing';
}

/** The account that servers run under. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

const accountsTried = ['postgres', 'nobody'];

/** The account for servers that refuse root, or undefined when this process is not root and runs them itself. */
export function serverAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const lines = readFileSync('/etc/passwd', 'utf8').split('\n');
  for (const name of accountsTried) {
    const [, , uid, gid] = lines.find((line) => line.startsWith(`${name}:`))?.split(':') ?? [];
    if (uid !== undefined && gid !== undefined) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new EngineMissing(`servers refuse root, and none of the accounts ${accountsTried.join(', ')} exists`);
}

/** True when `account` may enter every folder above `path` and read and execute `path` itself. */
export function reachableBy(account: Account | undefined, path: string): boolean {
  if (account === undefined) return true;
  for (let at = path; ; at = dirname(at)) {
    const { mode, uid, gid } = statSync(at);
    const shift = uid === account.uid ? 6 : gid === account.gid ? 3 : 0;
    const needed = at === path ? 0o5 : 0o1;
    if (((mode >> shift) & needed) !== needed) return false;
    if (at === dirname(at)) return true;
  }
}

/** A new folder of its own, in the system's temporary folder unless told otherwise, writable by `account`. Short, because unix socket paths have a limit. */
export function privateFolder(name: string, account: Account | undefined, parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, `tailrace-${name}-`));
  if (account !== undefined) chownSync(folder, account.uid, account.gid);
  return folder;
}

const memoryFolder = '/dev/shm';
const memoryFreeMin = 4 * 2 ** 30;

/**
 * Where files are kept in memory, for servers that sync a lot and are never to survive the machine, only the death of their processes; the
 * temporary folder where there is no such place or little room in it.
 */
export function quickFolder(): string {
  if (!existsSync(memoryFolder)) return tmpdir();
  const { bavail, bsize } = statfsSync(memoryFolder);
  return bavail * bsize < memoryFreeMin ? tmpdir() : memoryFolder;
}

/** A folder that outlives the run and the clone, writable by `account`; `TAILRACE_TEST_CACHE` names another place. */
export function cacheFolder(name: string, account: Account | undefined): string {
  const folder = join(cacheRoot(), name);
  if (!existsSync(folder)) {
    mkdirSync(folder, { recursive: true });
    if (account !== undefined) chownSync(folder, account.uid, account.gid);
  }
  return folder;
}

function cacheRoot(): string {
  const named = process.env['TAILRACE_TEST_CACHE'];
  if (named !== undefined) return named;
  // Root's own cache folder is closed to the account that runs the servers.
  if (process.getuid?.() === 0) return '/var/cache/tailrace-test';
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'tailrace-test');
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'tailrace-test');
}

/** Below the ports that systems hand out by themselves (32768 and up on Linux), so that a stopped server gets its port again. */
const portMin = 20_000;
const portMax = 32_000;
const portAttemptsMax = 200;

/** A port on loopback that nobody listens on. Another process can still take it first: callers try again with another one. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < portAttemptsMax; attempt += 1) {
    const port = randomInt(portMin, portMax);
    if (await canListen(port)) return port;
  }
  throw new Error(`no free port found between ${portMin} and ${portMax}`);
}

async function canListen(port: number): Promise<boolean> {
  const server = createServer();
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') return false;
    throw error;
  } finally {
    server.close();
  }
}

const probeIntervalMs = 10;

/**
 * Waits until `probe` gives something other than undefined or false, and gives it. A probe that throws counts as "not yet"; at
 * the deadline its last error is the cause of what is thrown.
 */
export async function eventually<T>(what: string, deadlineMs: number, probe: () => T | Promise<T>): Promise<Exclude<T, undefined | false>> {
  const start = performance.now();
  let last: unknown;
  for (;;) {
    try {
      const found = await probe();
      if (found !== undefined && found !== false) return found as Exclude<T, undefined | false>;
      last = undefined;
    } catch (error) {
      last = error;
    }
    const waited = performance.now() - start;
    if (waited > deadlineMs) {
      const reason = last instanceof Error ? `: ${last.message}` : '';
      throw new Error(`${what}: not within ${deadlineMs} ms${reason}`, last === undefined ? undefined : { cause: last });
    }
    await pause(probeIntervalMs);
  }
}
