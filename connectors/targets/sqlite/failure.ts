/**
 * What SQLite's errors mean for us. Codes: https://sqlite.org/rescode.html; an extended code's low byte is its primary one.
 *
 * A failed commit left nothing behind, so a full disk or a locked file only pauses. A failed fsync or read ends the process: what the
 * kernel holds of the file is not known any more, and the file is read afresh by the next one.
 */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { ErrorCode } from '../../../src/errors/catalogue.ts';

const PERM = 3;
const BUSY = 5;
const LOCKED = 6;
const NOMEM = 7;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const TOOBIG = 18;
const CONSTRAINT = 19;
const AUTH = 23;
const NOTADB = 26;

interface SqliteError extends Error {
  readonly errcode: number;
}

function isSqliteError(error: unknown): error is SqliteError {
  return error instanceof Error && 'errcode' in error && typeof error.errcode === 'number';
}

/** SQLite's primary result code, or undefined when the error is not SQLite's. */
function primaryCode(error: unknown): number | undefined {
  return isSqliteError(error) ? error.errcode & 0xff : undefined;
}

/** Another connection holds the lock: worth another try. */
export function isBusy(error: unknown): boolean {
  const code = primaryCode(error);
  return code === BUSY || code === LOCKED;
}

/** A lock or a full disk: nothing is damaged, and it passes. */
export function isPassing(error: unknown): boolean {
  return isBusy(error) || primaryCode(error) === FULL;
}

/** The text is longer than SQLite stores (`SQLITE_MAX_LENGTH`, a thousand million bytes). */
export function isTooBig(error: unknown): boolean {
  return primaryCode(error) === TOOBIG;
}

/** The file is no SQLite file, or is encrypted by another program. */
export function isNotADatabase(error: unknown): boolean {
  return primaryCode(error) === NOTADB;
}

export function sqliteFailure(error: unknown, path: string): TailraceError {
  const said = error instanceof Error ? error.message : String(error);
  const build = (code: ErrorCode, message: string, more: { hint?: string; did?: string } = {}): TailraceError =>
    new TailraceError(code, { message: `${message} SQLite says: ${said}.`, entity: path, cause: error, ...more });
  switch (primaryCode(error)) {
    case FULL:
      return build('TGT_BLOCKED', `The disk of ${path} is full.`, { hint: 'Free space on that disk; work goes on by itself.' });
    case BUSY:
    case LOCKED:
      return build('TGT_BLOCKED', `Another program keeps ${path} locked.`, { hint: 'End the transaction that another program has open on the file; work goes on by itself.' });
    case PERM:
    case READONLY:
    case CANTOPEN:
    case AUTH:
      return build('TGT_BLOCKED', `${path} cannot be opened for writing.`, { hint: 'Make the file and its folder writable for the user that runs tailrace; work goes on by itself.' });
    case NOMEM:
      return build('TGT_BLOCKED', `There is no memory for writing to ${path}.`, { hint: 'Give the process more memory.' });
    case CORRUPT:
    case NOTADB:
      return build('TGT_CORRUPT', `${path} is damaged.`);
    case IOERR:
      return build('DISK_FAILED', `The disk of ${path} failed.`);
    case CONSTRAINT:
      return build('INVARIANT', `A rule of tailrace's own was broken: a batch for ${path} has one operation per id.`);
    default:
      return build('UNKNOWN', `An error on ${path} that tailrace does not know.`, { did: 'Writing to this target stopped; the log keeps what follows.' });
  }
}
