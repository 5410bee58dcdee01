/**
 * One generation's tables, and how a batch is written to them: look every id up, drop what is not newer, write the rest in the order of
 * the tables' rowids, and store the cursor, all in one transaction.
 *
 * The order matters: FTS5 collects words in memory only while rowids grow; written in the order of the batch, updates are half as fast.
 */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { invariant } from '../../../src/errors/invariant.ts';
import { isTooBig } from './failure.ts';
import { batchStatements, tableNames, type TableNames } from './layout.ts';
import { Outcome, type BatchResult, type PackedBatch, type Poison } from './messages.ts';
import type { TextPlan } from './text.ts';
import { inTransaction } from './transaction.ts';

const SWEEP_DOCUMENTS = 1000;

/** Columns of a generation's row that a batch reads and writes. */
interface Progress {
  cursor: number | null;
  /** Everything below this version is gone: it was cleared or swept. */
  floor: bigint;
  documents: number;
}

/** A document that a batch will write. `rid` 0: its id is not there yet. */
interface Write {
  readonly at: number;
  readonly rid: number;
  /** A document is there, not only the memory of one. */
  readonly live: boolean;
}

export class Generation {
  readonly #db: DatabaseSync;
  readonly #number: number;
  readonly #tables: TableNames;
  readonly #look: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #sameText: StatementSync;
  readonly #addText: StatementSync;
  readonly #removeText: StatementSync;
  readonly #forget: StatementSync;
  readonly #readProgress: StatementSync;
  readonly #writeProgress: StatementSync;
  readonly #valid: StatementSync;

  constructor(db: DatabaseSync, number: number, text: TextPlan) {
    this.#db = db;
    this.#number = number;
    this.#tables = tableNames(number);
    const sql = batchStatements(number, text);
    this.#look = asArrays(db.prepare(sql.look));
    this.#insert = db.prepare(sql.insert);
    this.#update = db.prepare(sql.update);
    this.#sameText = asArrays(db.prepare(sql.sameText));
    this.#addText = db.prepare(sql.addText);
    this.#removeText = db.prepare(sql.removeText);
    this.#forget = db.prepare(sql.forget);
    this.#readProgress = db.prepare('SELECT cursor, floor, documents FROM tailrace_generations WHERE number = ?');
    this.#readProgress.setReadBigInts(true);
    this.#writeProgress = db.prepare('UPDATE tailrace_generations SET cursor = ?2, floor = ?3, documents = ?4 WHERE number = ?1');
    this.#valid = asArrays(db.prepare('SELECT json_valid(?)'));
  }

  apply(batch: PackedBatch): BatchResult {
    try {
      return inTransaction(this.#db, () => this.#write(batch, false));
    } catch (error) {
      // Perhaps one document's fault: done again with a savepoint around each, which is slow, and which finds the one.
      if (!this.#blames(batch, error)) throw error;
      return inTransaction(this.#db, () => this.#write(batch, true));
    }
  }

  /**
   * Removes up to a thousand rows behind rowid `after` that are older than `version`; nothing older is taken in from then on.
   * `removed` counts documents, not remembered deletes.
   */
  sweep(version: bigint, after: number): { removed: number; next: number | null } {
    return inTransaction(this.#db, () => {
      const progress = this.#progress();
      if (version > progress.floor) progress.floor = version;
      const { documents } = this.#tables;
      const rows = asArrays(this.#db.prepare(`SELECT rid, document IS NOT NULL FROM ${documents} WHERE version < ?1 AND rid > ?2 ORDER BY rid LIMIT ${SWEEP_DOCUMENTS}`)).all(version, after);
      const remove = this.#db.prepare(`DELETE FROM ${documents} WHERE rid = ?`);
      let removed = 0;
      let last = after;
      for (const row of rows as unknown as [number, number][]) {
        last = row[0];
        if (row[1] === 1) {
          this.#forgetWords(last);
          removed += 1;
        }
        remove.run(last);
      }
      progress.documents -= removed;
      this.#keep(progress);
      return { removed, next: rows.length === SWEEP_DOCUMENTS ? last : null };
    });
  }

  /** Removes documents whatever their version, and forgets it. */
  remove(ids: readonly string[]): void {
    inTransaction(this.#db, () => {
      const progress = this.#progress();
      const remove = this.#db.prepare(`DELETE FROM ${this.#tables.documents} WHERE rid = ?`);
      for (const id of ids) {
        const row = id.isWellFormed() ? (this.#look.get(id, 0n) as unknown as [rid: number, order: number, live: number] | undefined) : undefined;
        if (row === undefined) continue;
        const [rid, , live] = row;
        if (live === 1) this.#forgetWords(rid);
        remove.run(rid);
        progress.documents -= live;
      }
      this.#keep(progress);
    });
  }

  #write(batch: PackedBatch, carefully: boolean): BatchResult {
    const progress = this.#progress();
    if (batch.clearBelow !== undefined && batch.clearBelow > progress.floor) this.#clear(batch.clearBelow, progress);
    const poison: Poison[] = [];
    const outcomes = new Uint8Array(batch.ids.length);
    const { known, fresh } = this.#sort(batch, progress.floor, outcomes, poison);
    known.sort((a, b) => a.rid - b.rid);
    for (const write of known) this.#store(batch, write, progress, outcomes, poison, carefully);
    for (const write of fresh) this.#store(batch, write, progress, outcomes, poison, carefully);
    if (batch.forgetBelow !== undefined) this.#forget.run(batch.forgetBelow);
    // Refused documents are parked by the caller, who must meet them again if it ends before that is durable.
    if (poison.length === 0) progress.cursor = Math.max(progress.cursor ?? 0, batch.cursor);
    this.#keep(progress);
    return { outcomes, poison };
  }

  /** Tells what is to be written from what is stale. */
  #sort(batch: PackedBatch, floor: bigint, outcomes: Uint8Array, poison: Poison[]): { known: Write[]; fresh: Write[] } {
    const known: Write[] = [];
    const fresh: Write[] = [];
    for (let at = 0; at < batch.ids.length; at += 1) {
      const id = batch.ids[at] as string;
      const version = batch.versions[at] as bigint;
      if (!id.isWellFormed()) {
        outcomes[at] = Outcome.poison;
        poison.push({ at, code: 'TGT_REJECTED', reason: 'The id is no well-formed Unicode text (it has half of a surrogate pair).' });
      } else if (version < floor) {
        outcomes[at] = Outcome.stale;
      } else {
        const row = this.#look.get(id, version) as unknown as [rid: number, order: number, live: number] | undefined;
        if (row === undefined) fresh.push({ at, rid: 0, live: false });
        else if (row[1] === 0 || (row[1] === 1 && row[2] === 1 && batch.documents[at] === null)) known.push({ at, rid: row[0], live: row[2] === 1 });
        else outcomes[at] = Outcome.stale;
      }
    }
    return { known, fresh };
  }

  #store(batch: PackedBatch, write: Write, progress: Progress, outcomes: Uint8Array, poison: Poison[], carefully: boolean): void {
    if (!carefully) {
      progress.documents += this.#replace(batch, write);
      return;
    }
    const reason = this.#unstorable(batch.documents[write.at] as string | null);
    if (reason !== undefined) {
      outcomes[write.at] = Outcome.poison;
      poison.push({ at: write.at, code: 'TGT_REJECTED', reason });
      return;
    }
    this.#db.exec('SAVEPOINT one');
    try {
      progress.documents += this.#replace(batch, write);
    } catch (error) {
      // Only what is known to be the document's own fault is parked.
      if (!isTooBig(error)) throw error;
      this.#db.exec('ROLLBACK TO one');
      outcomes[write.at] = Outcome.poison;
      poison.push({ at: write.at, code: 'TGT_REJECTED', reason: tooBig });
    }
    this.#db.exec('RELEASE one');
  }

  /** Writes one operation; returns by how much the number of documents grew. */
  #replace(batch: PackedBatch, { at, rid, live }: Write): number {
    const version = batch.versions[at] as bigint;
    const document = batch.documents[at] as string | null;
    if (rid === 0) {
      const { lastInsertRowid } = this.#insert.run(batch.ids[at] as string, version, document);
      if (document === null) return 0;
      this.#addText.run(lastInsertRowid, document);
      return 1;
    }
    let sameText = false;
    try {
      sameText = live && document !== null && (this.#sameText.get(rid, document) as unknown as [number])[0] === 1;
      // FTS5 reads the words that it forgets from the stored document, so it comes first.
      if (live && !sameText) this.#removeText.run(rid);
    } catch (error) {
      if (!live || !this.#isUnreadable(rid)) throw error;
      return this.#replaceUnreadable(batch, { at, rid, live });
    }
    this.#update.run(rid, version, document);
    if (document !== null && !sameText) this.#addText.run(rid, document);
    return (document === null ? 0 : 1) - (live ? 1 : 0);
  }

  /** Somebody has put what is no JSON in the place of a document: its words stay in the full-text index, under a rowid that no document has. */
  #replaceUnreadable(batch: PackedBatch, { at, rid }: Write): number {
    this.#db.prepare(`DELETE FROM ${this.#tables.documents} WHERE rid = ?`).run(rid);
    return this.#replace(batch, { at, rid: 0, live: false }) - 1;
  }

  #isUnreadable(rid: number): boolean {
    return this.#db.prepare(`SELECT 1 FROM ${this.#tables.documents} WHERE rid = ? AND json_valid(document) = 0`).get(rid) !== undefined;
  }

  /** For a document whose row is about to go. */
  #forgetWords(rid: number): void {
    try {
      this.#removeText.run(rid);
    } catch (error) {
      // FTS5 cannot read the words that it is to forget. Without the row nothing leads to them.
      if (!this.#isUnreadable(rid)) throw error;
    }
  }

  #blames(batch: PackedBatch, error: unknown): boolean {
    return isTooBig(error) || batch.documents.some((document) => this.#unstorable(document) !== undefined);
  }

  /** Why SQLite will not take this document, or undefined. */
  #unstorable(document: string | null): string | undefined {
    if (document === null) return undefined;
    try {
      const [valid] = this.#valid.get(document) as unknown as [number];
      return valid === 1 ? undefined : 'The document is not JSON that SQLite reads (it is malformed, or nested deeper than 1000 levels).';
    } catch (error) {
      // SQLite says this of the text itself, before looking into it.
      if (isTooBig(error)) return tooBig;
      throw error;
    }
  }

  #clear(version: bigint, progress: Progress): void {
    const { documents, text } = this.#tables;
    const survivor = this.#db.prepare(`SELECT 1 FROM ${documents} WHERE version >= ? AND document IS NOT NULL LIMIT 1`).get(version);
    if (survivor === undefined) {
      this.#db.exec(`INSERT INTO ${text} (${text}) VALUES ('delete-all')`);
      progress.documents = 0;
    } else {
      const rids = asArrays(this.#db.prepare(`SELECT rid FROM ${documents} WHERE version < ? AND document IS NOT NULL ORDER BY rid`)).iterate(version);
      for (const [rid] of rids as unknown as Iterable<[number]>) {
        this.#forgetWords(rid);
        progress.documents -= 1;
      }
    }
    // Remembered deletes go as well: the floor remembers all of them.
    this.#db.prepare(`DELETE FROM ${documents} WHERE version < ?`).run(version);
    progress.floor = version;
  }

  #progress(): Progress {
    const row = this.#readProgress.get(this.#number);
    invariant(row !== undefined, 'a generation has its row for as long as its file is open');
    const { cursor, floor, documents } = row as { cursor: bigint | null; floor: bigint; documents: bigint };
    return { cursor: cursor === null ? null : Number(cursor), floor, documents: Number(documents) };
  }

  #keep({ cursor, floor, documents }: Progress): void {
    this.#writeProgress.run(this.#number, cursor, floor, documents);
  }
}

const tooBig = 'The document is longer than the thousand million bytes that SQLite stores.';

function asArrays(statement: StatementSync): StatementSync {
  statement.setReturnArrays(true);
  return statement;
}
