/** A transaction that writes: all of it takes effect, or nothing. */
import type { DatabaseSync } from 'node:sqlite';

export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    db.exec('COMMIT');
    return result;
  } finally {
    // SQLite itself has ended the transaction after some errors, a full disk among them.
    if (db.isTransaction) db.exec('ROLLBACK');
  }
}
