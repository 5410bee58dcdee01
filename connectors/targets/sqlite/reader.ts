/** The read-only connection: search, documents by id, preflight. It sees what was last committed and never waits for the writer. */
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { Finding } from '../../../src/connector/finding.ts';
import type { GenerationListing, SearchHit } from '../../../src/connector/target.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { failureOn, isBusy } from './failure.ts';
import { inodeOf, openForReading } from './file.ts';
import { tableNames } from './layout.ts';
import type { Exchanges, Handlers, PackedDocuments, ThreadStart } from './messages.ts';
import { ftsQuery } from './query.ts';
import type { TextPlan } from './text.ts';
import { viewsFound } from './views.ts';

/** File systems on which several processes cannot share memory, which WAL needs (`f_type` of statfs(2)). */
const networkFileSystems: Readonly<Record<number, string>> = { 0x6969: 'NFS', 0xff534d42: 'CIFS', 0xfe534d42: 'SMB', 0x517b: 'SMB' };

interface Promoted {
  readonly number: number;
  readonly plan: TextPlan;
}

export class Reader implements Handlers<'search' | 'fetch' | 'documents' | 'generations' | 'seen' | 'check' | 'close'> {
  readonly #path: string;
  #open: { readonly db: DatabaseSync; readonly inode: number | undefined } | undefined;

  constructor(start: ThreadStart) {
    this.#path = start.path;
  }

  search({ index, text, limit }: Exchanges['search']['request']): SearchHit[] {
    return this.#read(index, [], (db, { number, plan }) => {
      const query = ftsQuery(text, new Map(plan.columns.map(({ field, column }) => [field.toLowerCase(), column])));
      if (query === undefined) return [];
      const tables = tableNames(number);
      const rows = db
        .prepare(`SELECT d.id, -f.rank AS score, d.document FROM ${tables.text} f JOIN ${tables.documents} d ON d.rid = f.rowid WHERE ${tables.text} MATCH ? ORDER BY f.rank LIMIT ?`)
        .all(query, limit);
      return rows.map((row) => ({ id: row['id'] as string, score: row['score'] as number, document: row['document'] as string }));
    });
  }

  fetch({ index, ids }: Exchanges['fetch']['request']): Exchanges['fetch']['reply'] {
    const none = ids.map(() => null);
    return this.#read(index, none, (db, { number }) => {
      const statement = db.prepare(`SELECT document, version FROM ${tableNames(number).documents} WHERE id = ? AND document IS NOT NULL`);
      statement.setReadBigInts(true);
      return ids.map((id) => {
        // Half a surrogate pair would be read as another id.
        const row = id.isWellFormed() ? statement.get(id) : undefined;
        return row === undefined ? null : { id, document: row['document'] as string, version: row['version'] as bigint };
      });
    });
  }

  documents({ uid, ids }: Exchanges['documents']['request']): PackedDocuments {
    const db = this.#file();
    const row = db?.prepare('SELECT number FROM tailrace_generations WHERE uid = ?').get(uid);
    if (db === undefined || row === undefined) throw this.#gone();
    const versions = new BigInt64Array(ids.length);
    db.exec('BEGIN');
    try {
      const statement = db.prepare(`SELECT document, version FROM ${tableNames(row['number'] as number).documents} WHERE id = ? AND document IS NOT NULL`);
      statement.setReadBigInts(true);
      statement.setReturnArrays(true);
      const documents = ids.map((id, i) => {
        // Half a surrogate pair would be read as another id.
        const found = id.isWellFormed() ? (statement.get(id) as unknown as [document: string, version: bigint] | undefined) : undefined;
        if (found === undefined) return null;
        versions[i] = found[1];
        return found[0];
      });
      return { documents, versions };
    } finally {
      // SQLite itself has ended the transaction after some errors.
      if (db.isTransaction) db.exec('ROLLBACK');
    }
  }

  seen({ uid }: Exchanges['seen']['request']): Exchanges['seen']['reply'] {
    const db = this.#file();
    const row = db?.prepare('SELECT number, index_name, promoted FROM tailrace_generations WHERE uid = ?').get(uid);
    if (db === undefined || row === undefined) throw this.#gone();
    const found = viewsFound(db, row['index_name'] as string, row['number'] as number);
    return found === 'this' && row['promoted'] !== 1 ? 'another' : found;
  }

  generations(): GenerationListing[] {
    const db = this.#file();
    const rows = db?.prepare('SELECT number, index_name, generation, promoted, cursor, documents FROM tailrace_generations ORDER BY index_name, generation').all() ?? [];
    return rows.map((row) => ({
      index: row['index_name'] as string,
      generation: row['generation'] as number,
      promoted: row['promoted'] === 1 && viewsFound(db as DatabaseSync, row['index_name'] as string, row['number'] as number) === 'this',
      cursor: row['cursor'] as number | null,
      documents: row['documents'] as number,
    }));
  }

  check(): Finding[] {
    const subject = `file ${this.#path}`;
    const folder = existing(dirname(this.#path));
    try {
      const db = this.#file();
      accessSync(db === undefined ? folder : this.#path, constants.W_OK);
      const indices = db?.prepare('SELECT count(DISTINCT index_name) AS n FROM tailrace_generations').get()?.['n'];
      const ok: Finding = { level: 'ok', subject, message: indices === undefined ? 'Will be made.' : `Holds ${String(indices)} ${indices === 1 ? 'index' : 'indices'}.` };
      const network = networkFileSystems[statfsSync(folder).type];
      if (network === undefined) return [ok];
      return [{ level: 'problem', subject, code: 'TGT_BLOCKED', message: `The file is on a network file system (${network}), where SQLite's write-ahead log does not work.`, fix: 'Name a `path` on a local disk.' }];
    } catch (error) {
      const { code, message, hint } = failureOn(this.#path, error);
      // A lock is waited for; what is not known is no finding.
      if (isBusy(error) || code === 'UNKNOWN') throw error;
      return [{ level: 'problem', subject, code, message, fix: hint }];
    }
  }

  close(): null {
    const open = this.#open;
    this.#open = undefined;
    open?.db.close();
    return null;
  }

  /** Reads the generation of `index` that was promoted, in one snapshot; `nothing` when there is none yet. */
  #read<T>(index: string, nothing: T, read: (db: DatabaseSync, promoted: Promoted) => T): T {
    const db = this.#file();
    if (db === undefined) return nothing;
    db.exec('BEGIN');
    try {
      const row = db.prepare('SELECT number, text_plan FROM tailrace_generations WHERE index_name = ? AND promoted = 1').get(index);
      return row === undefined ? nothing : read(db, { number: row['number'] as number, plan: JSON.parse(row['text_plan'] as string) as TextPlan });
    } finally {
      // SQLite itself has ended the transaction after some errors.
      if (db.isTransaction) db.exec('ROLLBACK');
    }
  }

  #gone(): TailraceError {
    return new TailraceError('TGT_IDENTITY', { message: `${this.#path} no longer holds the generation that is looked at: it was dropped, or the file was replaced.`, hint: 'Put the file back, or restart tailrace to build a new one.', entity: this.#path });
  }

  #file(): DatabaseSync | undefined {
    const inode = inodeOf(this.#path);
    if (this.#open !== undefined && this.#open.inode !== inode) this.close();
    if (this.#open === undefined) {
      const db = openForReading(this.#path);
      if (db === undefined) return undefined;
      this.#open = { db, inode };
    }
    return this.#open.db;
  }
}

/** The folder, or the nearest one above it that is there. */
function existing(folder: string): string {
  let at = folder;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}
