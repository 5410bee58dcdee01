/** The state store on node:sqlite: one file, one synchronous transaction per change, durable when the call returns. */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Seq } from '../change/seq.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import { openSqliteForReading } from '../runtime/sqlite-reading.ts';
import { stateError } from './state-error.ts';
import type { DeadLetter, DeadLetterRequest, GenerationPhase, GenerationRecord, StateStore } from './state-store.ts';

/** Raised whenever the tables below change; a file with a higher number is left untouched. */
const FORMAT_VERSION = 1;

/** How long a statement waits for another connection to the file (a CLI verb that reads it). */
const BUSY_TIMEOUT_MS = 10_000;

const tables = `
  CREATE TABLE IF NOT EXISTS binding (only INTEGER PRIMARY KEY CHECK (only = 1), log_id TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS generation (
    name TEXT NOT NULL, number INTEGER NOT NULL, phase TEXT NOT NULL, start_seq INTEGER NOT NULL, fingerprint TEXT NOT NULL,
    PRIMARY KEY (name, number)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS cursor (name TEXT NOT NULL, number INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (name, number)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS dead_letter (
    name TEXT NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, parked_at_ms INTEGER NOT NULL,
    PRIMARY KEY (name, number, id)) WITHOUT ROWID;
`;

type Row = Record<string, unknown>;

export interface SqliteStateOptions {
  readonly path: string;
  /** For verbs that look while a daemon may run: the file must be there, nothing is written. `bytesOf`: size of a file, 0 for none. */
  readonly readOnly?: { readonly bytesOf: (path: string) => number };
}

/** Errors, of every later call too: STATE_TOO_NEW, STATE_FORBIDDEN, STATE_CORRUPT, DISK_FULL, DISK_FAILED. */
export function openSqliteState(options: SqliteStateOptions): StateStore {
  try {
    return new SqliteState(options);
  } catch (thrown) {
    const error = stateError(options.path, thrown);
    if (codeOf(error) !== undefined) throw error;
    throw new TailraceError('STATE_CORRUPT', { message: `The state file ${options.path} cannot be read: ${(thrown as Error).message}.`, cause: thrown });
  }
}

class SqliteState implements StateStore {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor({ path, readOnly }: SqliteStateOptions) {
    this.#path = path;
    this.#database = readOnly === undefined ? new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS }) : openSqliteForReading(path, readOnly.bytesOf, (location) => new DatabaseSync(location, { readOnly: true, timeout: BUSY_TIMEOUT_MS }));
    try {
      this.#prepareFile(path, readOnly !== undefined);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  #prepareFile(path: string, readOnly: boolean): void {
    const version = Number((this.#database.prepare('PRAGMA user_version').get() as Row)['user_version']);
    if (version > FORMAT_VERSION) {
      throw new TailraceError('STATE_TOO_NEW', { message: `The state file ${path} has format ${version}; this version of tailrace knows ${FORMAT_VERSION}.` });
    }
    if (readOnly) return;
    this.#database.exec('PRAGMA journal_mode = WAL');
    this.#database.exec('PRAGMA synchronous = FULL');
    if (version < FORMAT_VERSION) this.#database.exec(`BEGIN; ${tables} PRAGMA user_version = ${FORMAT_VERSION}; COMMIT`);
    // SQLite opens a file all the same that it may not write, and lets a transaction begin on it: that is told now, and not when the first cursor is stored.
    this.#database.exec('DELETE FROM binding WHERE false');
  }

  get logId(): string | null {
    const row = this.#get('SELECT log_id FROM binding');
    return row === undefined ? null : String(row['log_id']);
  }

  bindLog(logId: string): void {
    this.#run('INSERT INTO binding (only, log_id) VALUES (1, ?)', logId);
  }

  generations(): GenerationRecord[] {
    return this.#all('SELECT name, number, phase, start_seq, fingerprint FROM generation ORDER BY name, number').map((row) => ({
      index: String(row['name']),
      generation: Number(row['number']),
      phase: String(row['phase']) as GenerationPhase,
      startSeq: Number(row['start_seq']),
      fingerprint: String(row['fingerprint']),
    }));
  }

  putGeneration(record: GenerationRecord): void {
    this.#run(
      'INSERT INTO generation (name, number, phase, start_seq, fingerprint) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET phase = excluded.phase, start_seq = excluded.start_seq, fingerprint = excluded.fingerprint',
      record.index,
      record.generation,
      record.phase,
      record.startSeq,
      record.fingerprint,
    );
  }

  forgetGeneration(index: string, generation: number): void {
    this.#transaction(() => {
      for (const table of ['dead_letter', 'cursor', 'generation']) this.#run(`DELETE FROM ${table} WHERE name = ? AND number = ?`, index, generation);
    });
  }

  cursor(index: string, generation: number): Seq | null {
    const row = this.#get('SELECT seq FROM cursor WHERE name = ? AND number = ?', index, generation);
    return row === undefined ? null : Number(row['seq']);
  }

  putCursor(index: string, generation: number, seq: Seq | null): void {
    if (seq === null) this.#run('DELETE FROM cursor WHERE name = ? AND number = ?', index, generation);
    else this.#run('INSERT INTO cursor (name, number, seq) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq', index, generation, seq);
  }

  park(letters: readonly DeadLetter[]): void {
    this.#transaction(() => {
      for (const letter of letters) {
        this.#run(
          'INSERT INTO dead_letter (name, number, id, seq, code, reason, parked_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?) ' +
            'ON CONFLICT DO UPDATE SET seq = excluded.seq, code = excluded.code, reason = excluded.reason, parked_at_ms = excluded.parked_at_ms WHERE excluded.seq >= dead_letter.seq',
          letter.index,
          letter.generation,
          letter.id,
          letter.seq,
          letter.code,
          letter.reason,
          letter.parkedAtMs,
        );
      }
    });
  }

  unpark(index: string, generation: number, ids: readonly string[], seq: Seq): void {
    this.#transaction(() => {
      for (const id of ids) this.#run('DELETE FROM dead_letter WHERE name = ? AND number = ? AND id = ? AND seq <= ?', index, generation, id, seq);
    });
  }

  deadLetters(index?: string): DeadLetter[] {
    const rows =
      index === undefined
        ? this.#all('SELECT * FROM dead_letter ORDER BY name, number, seq')
        : this.#all('SELECT * FROM dead_letter WHERE name = ? ORDER BY number, seq', index);
    return rows.map(letterOf);
  }

  someDeadLetters({ index, after, limit }: DeadLetterRequest): DeadLetter[] {
    const wanted = [...(index === undefined ? [] : ['name = ?']), ...(after === undefined ? [] : ['(name, number, seq) > (?, ?, ?)'])];
    const values = [...(index === undefined ? [] : [index]), ...(after === undefined ? [] : [after.index, after.generation, after.seq]), limit];
    return this.#all(`SELECT * FROM dead_letter ${wanted.length === 0 ? '' : `WHERE ${wanted.join(' AND ')}`} ORDER BY name, number, seq LIMIT ?`, ...values).map(letterOf);
  }

  deadLetterTotal(index?: string): number {
    const row = index === undefined ? this.#get('SELECT count(*) AS n FROM dead_letter') : this.#get('SELECT count(*) AS n FROM dead_letter WHERE name = ?', index);
    return Number(row?.['n']);
  }

  deadLetterCount(index: string, generation: number): number {
    return Number(this.#get('SELECT count(*) AS n FROM dead_letter WHERE name = ? AND number = ?', index, generation)?.['n']);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #transaction(work: () => void): void {
    this.#catalogued(() => {
      this.#database.exec('BEGIN IMMEDIATE');
      try {
        work();
        this.#database.exec('COMMIT');
      } finally {
        // SQLite itself has ended the transaction after some errors, a full disk among them.
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      }
    });
  }

  #catalogued<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw stateError(this.#path, error);
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #get(sql: string, ...values: (string | number)[]): Row | undefined {
    return this.#catalogued(() => this.#statement(sql).get(...values));
  }

  #all(sql: string, ...values: (string | number)[]): Row[] {
    return this.#catalogued(() => this.#statement(sql).all(...values));
  }

  #run(sql: string, ...values: (string | number)[]): void {
    this.#catalogued(() => this.#statement(sql).run(...values));
  }
}

function letterOf(row: Row): DeadLetter {
  return {
    index: String(row['name']),
    generation: Number(row['number']),
    id: String(row['id']),
    seq: Number(row['seq']),
    code: String(row['code']) as ErrorCode,
    reason: String(row['reason']),
    parkedAtMs: Number(row['parked_at_ms']),
  };
}
