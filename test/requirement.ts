/**
 * What tests need of their machine beside the servers. What can be installed has to be there when the run requires engines (`.ci/machine` installs
 * it); what a machine grants or does not (a container may not mount) is named when it is lacking, and `.ci/run` lists each test that was skipped.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { accessSync, chmodSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** True when a missing engine or program must fail the run instead of being skipped: `.ci/run` sets it. */
export function enginesRequired(): boolean {
  return process.env['TAILRACE_REQUIRE_ENGINES'] === '1';
}

/** Whether a program is on `PATH`. Without it the tests of the file cannot be loaded where engines are required. */
export function installed(program: string): boolean {
  const isThere = (process.env['PATH'] ?? '').split(delimiter).some((folder) => isExecutable(join(folder, program)));
  if (!isThere && enginesRequired()) throw new Error(`This machine has no ${program}, and the run requires it (TAILRACE_REQUIRE_ENGINES).`);
  return granted(`the program ${program}`, isThere);
}

/** `isGranted`, and when it is false a line that says what is lacking. */
export function granted(what: string, isGranted: boolean): boolean {
  if (!isGranted) console.warn(`skipped: this machine does not give ${what}`);
  return isGranted;
}

/** Whether the account may mount: root, in a system that lets it. */
export function mayMount(): boolean {
  return granted('the right to mount', process.getuid?.() === 0 && spawnSync('unshare', ['-m', 'true']).status === 0);
}

/** Whether `unwritable` can do its work. */
export function mayMakeUnwritable(): boolean {
  return process.getuid?.() === 0 ? mayMount() : true;
}

/** Makes a file or folder one that this account may not write to, root included, until it is disposed. */
export function unwritable(path: string): Disposable {
  if (process.getuid?.() !== 0) {
    const { mode } = statSync(path);
    chmodSync(path, mode & 0o555);
    return { [Symbol.dispose]: () => chmodSync(path, mode) };
  }
  execFileSync('mount', ['--bind', path, path]);
  execFileSync('mount', ['-o', 'remount,bind,ro', path]);
  return { [Symbol.dispose]: () => execFileSync('umount', ['-l', path]) };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    // Not there, or nothing to be run.
    return false;
  }
}
