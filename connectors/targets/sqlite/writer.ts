/** The one connection that writes: opens generations and binds them, applies, sweeps, promotes, drops. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { DatabaseSync } from 'node:sqlite';
import type { FieldPlan, GenerationPlan } from '../../../src/connector/target.ts';
import { invariant } from '../../../src/errors/invariant.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { inodeOf, openForWriting } from './file.ts';
import { Generation } from './generation.ts';
import { createViewsSql, dropGenerationSql, dropViewsSql, generationSql } from './layout.ts';
import type { Exchanges, GenerationState, Handlers, ThreadStart } from './messages.ts';
import { nameProblem } from './names.ts';
import { inTransaction } from './transaction.ts';
import { planText, tokenizeOption, type TextOptions, type TextPlan } from './text.ts';
import { takenError, viewsFound } from './views.ts';
import { WalBound } from './wal.ts';

interface GenerationRow {
  readonly number: number;
  readonly uid: string;
  readonly index_name: string;
  readonly generation: number;
  readonly log_id: string;
  readonly epoch: number;
  readonly fingerprint: string;
  readonly fields: string;
  readonly text_plan: string;
  readonly promoted: number;
  readonly cursor: number | null;
  readonly documents: number;
}

/** Not `floor`: it is beyond what a number holds exactly, and node:sqlite refuses to read it as one. */
const rowColumns = 'number, uid, index_name, generation, log_id, epoch, fingerprint, fields, text_plan, promoted, cursor, documents';

/** An open file. */
interface Open {
  readonly db: DatabaseSync;
  readonly inode: number | undefined;
  readonly wal: WalBound;
  readonly generations: Map<string, Generation>;
}

export class Writer implements Handlers<'open' | 'apply' | 'sweep' | 'prepare' | 'remove' | 'promote' | 'drop' | 'state' | 'close'> {
  readonly #start: ThreadStart;
  #open: Open | undefined;

  constructor(start: ThreadStart) {
    this.#start = start;
  }

  open({ plan, text }: Exchanges['open']['request']): { uid: string } {
    if (this.#open !== undefined && this.#open.inode !== inodeOf(this.#start.path)) this.close();
    const { db } = this.#file();
    return inTransaction(db, () => {
      refuseName(db, plan.index, this.#start.path);
      const row = db.prepare(`SELECT ${rowColumns} FROM tailrace_generations WHERE index_name = ? AND generation = ?`).get(plan.index, plan.generation) as GenerationRow | undefined;
      if (row === undefined) return { uid: this.#create(db, plan, text) };
      this.#verify(row, plan, text);
      keepFields(db, row, plan.fields);
      return { uid: row.uid };
    });
  }

  apply({ uid, batch }: Exchanges['apply']['request']): Exchanges['apply']['reply'] {
    const { wal } = this.#file();
    wal.ensureRoom();
    const result = this.#generation(uid).apply(batch);
    wal.tidy();
    return result;
  }

  sweep({ uid, version, after }: Exchanges['sweep']['request']): Exchanges['sweep']['reply'] {
    const { wal } = this.#file();
    wal.ensureRoom();
    const result = this.#generation(uid).sweep(version, after);
    wal.tidy();
    return result;
  }

  /** A column of the views for each field; its words are searched in the last column of the full-text index, which was made before it. */
  prepare({ uid, fields }: Exchanges['prepare']['request']): null {
    const { db } = this.#file();
    inTransaction(db, () => {
      const row = this.#row(db, uid);
      const known = new Map((JSON.parse(row.fields) as FieldPlan[]).map((field) => [field.name, field]));
      for (const field of fields) known.set(field.name, field);
      keepFields(db, row, [...known.values()]);
    });
    return null;
  }

  remove({ uid, ids }: Exchanges['remove']['request']): null {
    const { wal } = this.#file();
    wal.ensureRoom();
    this.#generation(uid).remove(ids);
    wal.tidy();
    return null;
  }

  promote({ uid }: Exchanges['promote']['request']): null {
    const { db } = this.#file();
    inTransaction(db, () => {
      const row = this.#row(db, uid);
      const found = viewsFound(db, row.index_name, row.number);
      if (row.promoted === 1 && found === 'this') return;
      if (typeof found === 'object') throw takenError(found, row.index_name, this.#start.path);
      replaceViews(db, row.index_name, row.number, JSON.parse(row.fields) as FieldPlan[]);
      db.prepare('UPDATE tailrace_generations SET promoted = (number = ?2) WHERE index_name = ?1').run(row.index_name, row.number);
    });
    return null;
  }

  /** Its pages are used again for what comes; the file keeps its size. */
  drop({ index, generation }: Exchanges['drop']['request']): null {
    const { path } = this.#start;
    if (this.#open === undefined && !existsSync(path)) return null;
    const { db, wal, generations } = this.#file();
    wal.ensureRoom();
    const dropped = inTransaction(db, () => {
      const row = db.prepare(`SELECT ${rowColumns} FROM tailrace_generations WHERE index_name = ? AND generation = ?`).get(index, generation) as GenerationRow | undefined;
      if (row === undefined) return undefined;
      invariant(row.promoted === 0 || viewsFound(db, index, row.number) !== 'this', `generation ${generation} of ${index} is dropped when readers no longer see it`);
      db.exec(dropGenerationSql(row.number));
      db.prepare('DELETE FROM tailrace_generations WHERE number = ?').run(row.number);
      return row.uid;
    });
    if (dropped !== undefined) generations.delete(dropped);
    wal.tidy();
    return null;
  }

  state({ uid }: Exchanges['state']['request']): GenerationState {
    const { db } = this.#file();
    const { cursor, documents } = this.#row(db, uid);
    const size = db.prepare('SELECT page_count * page_size AS bytes, (SELECT count(*) FROM tailrace_generations) AS generations FROM pragma_page_count, pragma_page_size').get();
    const { bytes, generations } = size as { bytes: number; generations: number };
    return { cursor, documents, bytes: generations === 1 ? bytes : null };
  }

  close(): null {
    const open = this.#open;
    this.#open = undefined;
    open?.db.close();
    return null;
  }

  /** The open file. One that was removed or replaced since is not written to any more: nobody would ever read it. */
  #file(): Open {
    const { path } = this.#start;
    if (this.#open === undefined) {
      const db = openForWriting(path);
      this.#open = { db, inode: inodeOf(path), wal: new WalBound(db, path, this.#start.walLimits), generations: new Map() };
    } else if (this.#open.inode !== inodeOf(path)) {
      throw new TailraceError('TGT_IDENTITY', { message: `${path} was removed or replaced while tailrace had it open.`, hint: 'Put the file back, or restart tailrace to build a new one.', entity: path });
    }
    return this.#open;
  }

  #generation(uid: string): Generation {
    const { db, generations } = this.#file();
    let generation = generations.get(uid);
    if (generation === undefined) {
      const row = this.#row(db, uid);
      generation = new Generation(db, row.number, JSON.parse(row.text_plan) as TextPlan);
      generations.set(uid, generation);
    }
    return generation;
  }

  #row(db: DatabaseSync, uid: string): GenerationRow {
    const row = db.prepare(`SELECT ${rowColumns} FROM tailrace_generations WHERE uid = ?`).get(uid);
    if (row !== undefined) return row as unknown as GenerationRow;
    const { path } = this.#start;
    throw new TailraceError('TGT_IDENTITY', { message: `${path} no longer holds the generation that is worked on: it was dropped, or the file was replaced.`, hint: 'Put the file back, or restart tailrace to build a new one.', entity: path });
  }

  #create(db: DatabaseSync, plan: GenerationPlan, options: TextOptions): string {
    const uid = randomUUID();
    const text = planText(plan.fields, options);
    const { lastInsertRowid } = db
      .prepare('INSERT INTO tailrace_generations (uid, index_name, generation, log_id, epoch, fingerprint, fields, text_plan) VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
      .run(uid, plan.index, plan.generation, plan.binding.logId, plan.binding.epoch, plan.binding.fingerprint, JSON.stringify(plan.fields), JSON.stringify(text));
    db.exec(generationSql(Number(lastInsertRowid), text));
    return uid;
  }

  /** TGT_IDENTITY unless the generation was made from the same log, by the same config. */
  #verify(row: GenerationRow, { index, generation, binding }: GenerationPlan, options: TextOptions): void {
    const what = `Generation ${generation} of the index "${index}" in ${this.#start.path}`;
    const refuse = (how: string): never => {
      throw new TailraceError('TGT_IDENTITY', { message: `${what} ${how}.`, entity: index });
    };
    if (row.log_id !== binding.logId) refuse(`was made from the change log ${row.log_id}, and this one is ${binding.logId}`);
    if (row.epoch !== binding.epoch) refuse(`was made from epoch ${row.epoch} of its change log, which is now at epoch ${binding.epoch}: the log was lost or made anew since`);
    if (row.fingerprint !== binding.fingerprint) refuse(`was made by another configuration (fingerprint ${row.fingerprint}, now ${binding.fingerprint})`);
    const { tokenize } = JSON.parse(row.text_plan) as TextPlan;
    const wanted = tokenizeOption(options);
    if (tokenize !== wanted) refuse(`was made with the text setting "${tokenize}", and the configuration now says "${wanted}"`);
  }
}

/** The config was checked; the file may hold indices that it does not name. */
function refuseName(db: DatabaseSync, index: string, path: string): void {
  const rows = db.prepare('SELECT DISTINCT index_name FROM tailrace_generations WHERE index_name <> ?').all(index) as unknown as Pick<GenerationRow, 'index_name'>[];
  const problem = nameProblem(index, rows.map((row) => row.index_name));
  if (problem === undefined) return;
  throw new TailraceError('CFG_INVALID', { message: `An index in ${path} cannot be called "${index}": ${problem}.`, did: 'tailrace ended; what it had begun goes on at the next start.', hint: 'Give the index another name.', entity: index });
}

function keepFields(db: DatabaseSync, row: GenerationRow, fields: readonly FieldPlan[]): void {
  const text = JSON.stringify(fields);
  if (text === row.fields) return;
  db.prepare('UPDATE tailrace_generations SET fields = ? WHERE number = ?').run(text, row.number);
  // What somebody has put in their place is left alone; whoever looks at what readers see says so.
  if (row.promoted === 1 && typeof viewsFound(db, row.index_name, row.number) === 'string') replaceViews(db, row.index_name, row.number, fields);
}

function replaceViews(db: DatabaseSync, index: string, number: number, fields: readonly FieldPlan[]): void {
  db.exec(dropViewsSql(index) + createViewsSql(index, number, fields));
}
