/**
 * One writer per data directory: an exclusive transaction that is held open on a file of its own. The operating system frees it when the
 * process dies, however it dies, so that nothing stale is ever left behind.
 */
import { DatabaseSync } from 'node:sqlite';
import { TailraceError } from '../errors/tailrace-error.ts';

const SQLITE_BUSY = 5;

/** Takes the lock at `path`, making the file if needed. Errors: LOCK_HELD. */
export function takeLock(path: string): Disposable {
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = DELETE');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (typeof error === 'object' && error !== null && 'errcode' in error && error.errcode === SQLITE_BUSY) {
      throw new TailraceError('LOCK_HELD', { message: `Another tailrace is at work in this data directory (it holds ${path}).`, cause: error });
    }
    throw error;
  }
  return { [Symbol.dispose]: () => database.close() };
}
