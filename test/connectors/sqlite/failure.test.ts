import { describe, expect, test } from 'vitest';
import { failureOn, isBusy, isPassing } from '../../../connectors/targets/sqlite/failure.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';

const sqlite = (errcode: number): Error => Object.assign(new Error('said so'), { code: 'ERR_SQLITE_ERROR', errcode });
const system = (code: string): Error => Object.assign(new Error('said so'), { code });

describe('an error of SQLite', () => {
  test.each([
    ['SQLITE_BUSY_SNAPSHOT', sqlite(517), 'TGT_BLOCKED'],
    ['SQLITE_LOCKED', sqlite(6), 'TGT_BLOCKED'],
    ['SQLITE_FULL', sqlite(13), 'TGT_BLOCKED'],
    ['SQLITE_IOERR_SHMSIZE', sqlite(4874), 'TGT_BLOCKED'],
    ['SQLITE_CANTOPEN_ISDIR', sqlite(526), 'TGT_BLOCKED'],
    ['SQLITE_READONLY_DBMOVED', sqlite(1032), 'TGT_BLOCKED'],
    ['SQLITE_NOMEM', sqlite(7), 'TGT_BLOCKED'],
    ['SQLITE_CORRUPT_VTAB', sqlite(267), 'TGT_CORRUPT'],
    ['SQLITE_NOTADB', sqlite(26), 'TGT_CORRUPT'],
    ['SQLITE_IOERR_FSYNC', sqlite(1034), 'DISK_FAILED'],
    ['SQLITE_IOERR_READ', sqlite(266), 'DISK_FAILED'],
    ['SQLITE_CONSTRAINT_UNIQUE', sqlite(2067), 'INVARIANT'],
    ['SQLITE_ERROR', sqlite(1), 'UNKNOWN'],
    ['EACCES', system('EACCES'), 'TGT_BLOCKED'],
    ['ENOSPC', system('ENOSPC'), 'TGT_BLOCKED'],
    ['EIO', system('EIO'), 'DISK_FAILED'],
    ['EMFILE', system('EMFILE'), 'UNKNOWN'],
    ['a bug', new TypeError('said so'), 'UNKNOWN'],
    ['no error', 'said so', 'UNKNOWN'],
  ])('%s is named', (_, error, code) => {
    const failure = failureOn('/data/search.db', error);
    expect(failure).toMatchObject({ code, entity: '/data/search.db', cause: error });
    expect(failure.message).toMatch(/\/data\/search\.db.* said so\.$/);
  });

  test('that has a name of ours keeps it', () => {
    const named = new TailraceError('TGT_SCHEMA', { message: 'Not ours.' });
    expect(failureOn('/data/search.db', named)).toBe(named);
  });

  test('is waited for only when it is a lock', () => {
    expect([sqlite(5), sqlite(261), sqlite(6), sqlite(15)].map(isBusy)).toEqual([true, true, true, true]);
    expect([sqlite(13), sqlite(11), sqlite(10), new Error('x')].map(isBusy)).toEqual([false, false, false, false]);
    expect([sqlite(13), sqlite(5), sqlite(10)].map(isPassing)).toEqual([true, true, false]);
  });
});
