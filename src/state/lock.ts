/**
 * One writer per data directory: an exclusive transaction that is held open on a file of its own. The operating system frees it when the
 * process dies, however it dies, so that nothing stale is ever left behind.
 */
import { DatabaseSync } from 'node:sqlite';
import { TailraceError } from '../errors/tailrace-error.ts';
import { isBusy, stateError } from './state-error.ts';

/** Takes the lock at `path`, making the file if needed. Errors: LOCK_HELD, DISK_FULL, DISK_FAILED, STATE_FORBIDDEN, STATE_CORRUPT. */
export function takeLock(path: string): Disposable {
  try {
    return lockedFile(path);
  } catch (error) {
    if (isBusy(error)) throw new TailraceError('LOCK_HELD', { message: `Another tailrace is at work in this data directory (it holds ${path}).`, cause: error });
    throw stateError(path, error);
  }
}

function lockedFile(path: string): Disposable {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = DELETE');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    // The connection is not kept, the reason goes on.
    database.close();
    throw error;
  }
  return { [Symbol.dispose]: () => database.close() };
}
