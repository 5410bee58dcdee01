/** Stands in for `src/state/lock.ts`: the lock is freed when its process dies. */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { present } from './sim-machine.ts';

export function takeLock(path: string): Disposable {
  const { machine, process } = present();
  if (!machine.takeLock(path, process)) throw new TailraceError('LOCK_HELD', { message: `Another tailrace is at work in this data directory (it holds ${path}).` });
  return { [Symbol.dispose]: () => machine.freeLock(path, process) };
}
