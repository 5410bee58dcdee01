/**
 * The database file: made or recognised before anything is written to it, and never taken for ours when it is not.
 *
 * WAL with `synchronous = FULL`: a commit that returned is on disk. That costs one fdatasync per batch, and it is what allows the log to
 * remove what lies behind the cursor as soon as a batch is confirmed: a cursor in the file never goes back, not even by a power cut.
 */
import { accessSync, closeSync, constants, existsSync, fsyncSync, mkdirSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { systemCodeOf } from '../../../src/errors/system-code.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { openSqliteForReading } from '../../../src/runtime/sqlite-reading.ts';
import { isNotADatabase } from './failure.ts';
import { APPLICATION_ID, fileSql, SCHEMA_VERSION } from './layout.ts';
import { inTransaction } from './transaction.ts';

/** How long SQLite itself waits for a lock before it hands control back; who wants to wait longer asks again. */
const LOCK_SLICE_MS = 100;

/** The cache is 16 MiB: with more, updates of a hundred thousand documents are no faster. The write-ahead log is copied into the file every 4000 pages (16 MiB): a fifth more updates per second than every 1000. */
export const writerPragmas = 'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 4000;';

/** Opens the file for writing, making it and its folder when they are not there. */
export function openForWriting(path: string): DatabaseSync {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  refuseFolder(path);
  // SQLite would open a file that it may not write all the same, and never notice that it may write again.
  if (existsSync(path)) accessSync(path, constants.W_OK);
  else makePrivate(path);
  const db = new DatabaseSync(path, { timeout: LOCK_SLICE_MS });
  try {
    const found = recognise(db, path);
    // Changing to WAL writes to the file, so it comes after the file was recognised.
    db.exec(writerPragmas);
    if (found === 'empty') make(db, path);
    return db;
  } catch (error) {
    // Whatever was wrong with the file: the connection is not kept, the reason goes on.
    db.close();
    throw error;
  }
}

/** Opens the file for reading only; undefined when there is none, or nothing in it yet. */
export function openForReading(path: string): DatabaseSync | undefined {
  if (!existsSync(path)) return undefined;
  refuseFolder(path);
  const bytesOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;
  const db = openSqliteForReading(path, bytesOf, (location) => new DatabaseSync(location, { timeout: LOCK_SLICE_MS, readOnly: true }));
  try {
    if (recognise(db, path) === 'ours') return db;
  } catch (error) {
    // As above: the reason goes on.
    db.close();
    throw error;
  }
  db.close();
  return undefined;
}

/** The inode behind a path: a file that was moved away or replaced while it is open is noticed by it. */
export function inodeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.ino;
}

/** SQLite would make the file with the permissions of the umask. It gives the files beside it (`-wal`, `-shm`) those of the file, whatever they become later. */
function makePrivate(path: string): void {
  try {
    // Exclusive: to close a file that somebody in this process has open would free the locks that he holds on it.
    closeSync(openSync(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR, 0o600));
  } catch (error) {
    // Another process was quicker.
    if (systemCodeOf(error) !== 'EEXIST') throw error;
  }
}

function recognise(db: DatabaseSync, path: string): 'ours' | 'empty' {
  const application = pragma(db, path, 'application_id');
  const version = pragma(db, path, 'user_version');
  if (application === APPLICATION_ID) {
    if (version > SCHEMA_VERSION) {
      throw new TailraceError('STATE_TOO_NEW', {
        message: `${path} was written by a newer tailrace: its layout is ${version}, this one knows up to ${SCHEMA_VERSION}.`,
        did: 'The file was left untouched.',
        entity: path,
      });
    }
    return 'ours';
  }
  const [objects] = Object.values(db.prepare('SELECT count(*) FROM sqlite_schema').get() ?? {});
  if (application === 0 && version === 0 && objects === 0) return 'empty';
  throw notOurs(path, 'is a database of another program');
}

function pragma(db: DatabaseSync, path: string, name: 'application_id' | 'user_version'): number {
  try {
    const [value] = Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {});
    return Number(value);
  } catch (error) {
    // The header is read here for the first time: this is where a file of another kind shows.
    if (isNotADatabase(error)) throw notOurs(path, 'is no SQLite database');
    throw error;
  }
}

function refuseFolder(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) throw notOurs(path, 'is a folder');
}

function notOurs(path: string, what: string): TailraceError {
  return new TailraceError('TGT_SCHEMA', { message: `${path} ${what}.`, entity: path });
}

function make(db: DatabaseSync, path: string): void {
  inTransaction(db, () => {
    // Another process may have been quicker.
    if (recognise(db, path) === 'empty') db.exec(`${fileSql} PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION};`);
  });
  const folder = openSync(dirname(path), 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
