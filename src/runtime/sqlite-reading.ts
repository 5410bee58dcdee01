/**
 * Opens a SQLite file for looking only, also where nothing may be written. To read a file in WAL mode SQLite wants to make two files beside it; where
 * it cannot, and no write-ahead log is there, the file is all there is, and is read as one that does not change (https://sqlite.org/wal.html#readonly).
 */
import { pathToFileURL } from 'node:url';

const SQLITE_READONLY = 8;
const SQLITE_CANTOPEN = 14;

interface Database {
  prepare(sql: string): { get(): unknown };
  close(): void;
}

/**
 * `open` opens the file for reading only; `bytesOf` gives the size of a file, 0 for none. What is wrong with the file itself its first statement throws,
 * as with any other.
 */
export function openSqliteForReading<D extends Database>(path: string, bytesOf: (path: string) => number, open: (location: string | URL) => D): D {
  const database = open(path);
  try {
    // The first look at the file is the first that can fail.
    database.prepare('PRAGMA schema_version').get();
    return database;
  } catch (error) {
    // What a write-ahead log holds must not be left out of the answer.
    if (!isForbidden(error) || bytesOf(`${path}-wal`) > 0) return database;
    database.close();
  }
  const unchanging = pathToFileURL(path);
  unchanging.searchParams.set('immutable', '1');
  return open(unchanging);
}

function isForbidden(error: unknown): boolean {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return false;
  const result = error.errcode & 0xff;
  return result === SQLITE_READONLY || result === SQLITE_CANTOPEN;
}
