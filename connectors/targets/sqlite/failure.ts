/**
 * What SQLite's errors mean for us. Codes: https://sqlite.org/rescode.html; an extended code's low byte is its primary one.
 *
 * A failed commit left nothing behind, so a full disk or a locked file only pauses. A failed fsync or read ends the process: what the
 * kernel holds of the file is not known any more, and the file is read afresh by the next one.
 */
import { systemCodeOf } from '../../../src/errors/system-code.ts';
import { codeOf, TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { ErrorCode } from '../../../src/errors/catalogue.ts';

type Trouble = 'locked' | 'full' | 'forbidden' | 'no_memory' | 'too_big' | 'not_a_database' | 'damaged' | 'disk' | 'constraint';

const troubleOfResult: Readonly<Record<number, Trouble>> = {
  3: 'forbidden', // SQLITE_PERM
  5: 'locked', // SQLITE_BUSY
  6: 'locked', // SQLITE_LOCKED
  7: 'no_memory', // SQLITE_NOMEM
  8: 'forbidden', // SQLITE_READONLY
  10: 'disk', // SQLITE_IOERR
  11: 'damaged', // SQLITE_CORRUPT
  13: 'full', // SQLITE_FULL
  14: 'forbidden', // SQLITE_CANTOPEN
  15: 'locked', // SQLITE_PROTOCOL: too many others were opening the write-ahead log at once
  18: 'too_big', // SQLITE_TOOBIG
  19: 'constraint', // SQLITE_CONSTRAINT
  23: 'forbidden', // SQLITE_AUTH
  26: 'not_a_database', // SQLITE_NOTADB
};

/** The file of shared memory beside the write-ahead log could not be made as long as it must be: SQLite's only word for a full disk there. */
const IOERR_SHMSIZE = 4874;

/** Of the system calls that make the folder. */
const troubleOfSystem: Readonly<Record<string, Trouble>> = {
  EACCES: 'forbidden',
  EPERM: 'forbidden',
  EROFS: 'forbidden',
  ENOTDIR: 'forbidden',
  EEXIST: 'forbidden',
  ENOSPC: 'full',
  EDQUOT: 'full',
  EIO: 'disk',
};

function troubleOf(error: unknown): Trouble | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('errcode' in error && typeof error.errcode === 'number') return error.errcode === IOERR_SHMSIZE ? 'full' : troubleOfResult[error.errcode & 0xff];
  return troubleOfSystem[systemCodeOf(error) ?? ''];
}

/** Another connection holds the lock: worth another try. */
export function isBusy(error: unknown): boolean {
  return troubleOf(error) === 'locked';
}

/** A lock or a full disk: nothing is damaged, and it passes. */
export function isPassing(error: unknown): boolean {
  const trouble = troubleOf(error);
  return trouble === 'locked' || trouble === 'full';
}

/** The text is longer than SQLite stores (`SQLITE_MAX_LENGTH`, a thousand million bytes). */
export function isTooBig(error: unknown): boolean {
  return troubleOf(error) === 'too_big';
}

/** The file is no SQLite file, or is encrypted by another program. */
export function isNotADatabase(error: unknown): boolean {
  return troubleOf(error) === 'not_a_database';
}

/** The catalogued error of anything thrown while working on the file; one that is catalogued already stays as it is. */
export function failureOn(path: string, error: unknown): TailraceError {
  if (codeOf(error) !== undefined) return error as TailraceError;
  const said = error instanceof Error ? error.message : String(error);
  const build = (code: ErrorCode, message: string, more: { hint?: string; did?: string } = {}): TailraceError =>
    new TailraceError(code, { message: `${message}: ${said}.`, entity: path, cause: error, ...more });
  switch (troubleOf(error)) {
    case 'full':
      return build('TGT_BLOCKED', `The disk of ${path} is full`, { hint: 'Free space on that disk; work goes on by itself.' });
    case 'locked':
      return build('TGT_BLOCKED', `Another program keeps ${path} locked`, { hint: 'End the transaction that another program has open on the file; work goes on by itself.' });
    case 'forbidden':
      return build('TGT_BLOCKED', `${path} cannot be opened or written`, { hint: 'Make the file and its folder readable and writable for the user that runs tailrace; work goes on by itself.' });
    case 'no_memory':
      return build('TGT_BLOCKED', `There is no memory for working on ${path}`, { hint: 'Give the process more memory.' });
    case 'damaged':
    case 'not_a_database':
      return build('TGT_CORRUPT', `${path} is damaged`);
    case 'disk':
      return build('DISK_FAILED', `The disk of ${path} failed`);
    case 'constraint':
      return build('INVARIANT', `A rule of tailrace's own was broken: a batch for ${path} has one operation per id`);
    case 'too_big':
    case undefined:
      return build('UNKNOWN', `Something unknown went wrong with ${path}`, { did: 'Writing to this target stopped; the log keeps what follows.' });
  }
}
