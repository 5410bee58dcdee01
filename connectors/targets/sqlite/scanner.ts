/**
 * A read-only connection for one scan: all pages are read in one transaction, so they show one moment, whatever is written meanwhile.
 *
 * While it is open the write-ahead log cannot begin anew, and grows with what is written; at its hard limit writing pauses until the scan ends
 * (see `wal.ts`). So pages are to be taken one after the other, without waiting for anything that is yet to be written.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { StoredDocument } from '../../../src/connector/target.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { openForReading } from './file.ts';
import { tableNames } from './layout.ts';
import type { Exchanges, Handlers, ThreadStart } from './messages.ts';

/** A page ends with the document that reaches either. */
const PAGE_DOCUMENTS = 1000;
const PAGE_CHARACTERS = 4 * 1024 * 1024;

/** Ids are short. */
const PAGE_IDS = 10_000;

interface Open {
  readonly db: DatabaseSync;
  readonly page: StatementSync;
  readonly idPage: StatementSync;
  after: bigint;
}

export class Scanner implements Handlers<'scan' | 'ids' | 'close'> {
  readonly #path: string;
  #open: Open | undefined;

  constructor(start: ThreadStart) {
    this.#path = start.path;
  }

  scan({ uid }: Exchanges['scan']['request']): StoredDocument[] {
    this.#open ??= this.#begin(uid);
    const { page, after } = this.#open;
    const documents: StoredDocument[] = [];
    let characters = 0;
    for (const row of page.iterate(after) as unknown as Iterable<{ rid: bigint; id: string; version: bigint; document: string }>) {
      documents.push({ id: row.id, version: row.version, document: row.document });
      this.#open.after = row.rid;
      characters += row.document.length;
      if (documents.length === PAGE_DOCUMENTS || characters >= PAGE_CHARACTERS) break;
    }
    return documents;
  }

  ids({ uid }: Exchanges['ids']['request']): string[] {
    this.#open ??= this.#begin(uid);
    const rows = this.#open.idPage.all(this.#open.after) as unknown as [rid: bigint, id: string][];
    this.#open.after = rows.at(-1)?.[0] ?? this.#open.after;
    return rows.map(([, id]) => id);
  }

  close(): null {
    const open = this.#open;
    this.#open = undefined;
    open?.db.close();
    return null;
  }

  #begin(uid: string): Open {
    const db = openForReading(this.#path);
    if (db === undefined) throw this.#gone();
    try {
      db.exec('BEGIN');
      const row = db.prepare('SELECT number FROM tailrace_generations WHERE uid = ?').get(uid);
      if (row === undefined) throw this.#gone();
      const { documents } = tableNames(row['number'] as number);
      const page = db.prepare(`SELECT rid, id, version, document FROM ${documents} WHERE rid > ? AND document IS NOT NULL ORDER BY rid LIMIT ${PAGE_DOCUMENTS}`);
      const idPage = db.prepare(`SELECT rid, id FROM ${documents} WHERE rid > ? AND document IS NOT NULL ORDER BY rid LIMIT ${PAGE_IDS}`);
      for (const statement of [page, idPage]) statement.setReadBigInts(true);
      idPage.setReturnArrays(true);
      return { db, page, idPage, after: 0n };
    } catch (error) {
      // Asked again after a lock, it begins anew: the connection is not kept, the reason goes on.
      db.close();
      throw error;
    }
  }

  #gone(): TailraceError {
    return new TailraceError('TGT_IDENTITY', { message: `${this.#path} no longer holds the generation that is looked through: it was dropped, or the file was replaced.`, entity: this.#path });
  }
}
