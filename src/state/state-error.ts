/**
 * What SQLite's errors mean for the files of the data directory. Codes: https://sqlite.org/rescode.html; an extended code's low byte is its
 * primary one. A full disk passes and left nothing behind; a failed read or sync ends the process, which reads the file afresh.
 */
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';

const SQLITE_PERM = 3;
const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
const SQLITE_NOTADB = 26;

/** The file of shared memory beside the write-ahead log could not be made as long as it must be: SQLite's only word for a full disk there. */
const SQLITE_IOERR_SHMSIZE = 4874;

/** Another connection holds the lock. */
export function isBusy(error: unknown): boolean {
  return resultOf(error) === SQLITE_BUSY;
}

/** The catalogued error of anything that was thrown over the file `path`; what means nothing of the kind stays as it is. */
export function stateError(path: string, error: unknown): unknown {
  const result = resultOf(error);
  if (codeOf(error) !== undefined || result === undefined) return error;
  const said = (error as Error).message;
  switch (result) {
    case SQLITE_FULL:
      return new TailraceError('DISK_FULL', { message: `The disk of ${path} is full.`, did: 'Nothing was written; what needs it waits, or the process ends when it is at its very start.', entity: path, cause: error });
    case SQLITE_IOERR:
      return new TailraceError('DISK_FAILED', { message: `The disk of ${path} failed: ${said}.`, entity: path, cause: error });
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
      return new TailraceError('STATE_FORBIDDEN', { message: `${path} cannot be opened or written: ${said}.`, entity: path, cause: error });
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return new TailraceError('STATE_CORRUPT', { message: `${path} is damaged: ${said}.`, entity: path, cause: error });
    default:
      return error;
  }
}

function resultOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode === SQLITE_IOERR_SHMSIZE ? SQLITE_FULL : error.errcode & 0xff;
}
