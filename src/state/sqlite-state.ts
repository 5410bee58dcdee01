/** The state store on node:sqlite: one file, one synchronous transaction per change, durable when the call returns. */
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import type { Seq } from '../change/seq.ts';
import type { ErrorCode } from '../errors/catalogue.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import { openSqliteForReading } from '../runtime/sqlite-reading.ts';
import { stateError } from './state-error.ts';
import { JOBS_ENDED_MAX, type DeadLetter, type DeadLetterFilter, type DeadLetterPlace, type DeadLetterRequest, type GenerationPhase, type GenerationReason, type GenerationRecord, type JobPhase, type JobRecord, type LastBegun, type StateStore } from './state-store.ts';

/** Raised whenever the tables below change; a file with a higher number is left untouched. */
const FORMAT_VERSION = 2;

/** How long a statement waits for another connection to the file (a CLI verb that reads it). */
const BUSY_TIMEOUT_MS = 10_000;

const firstTables = `
  CREATE TABLE IF NOT EXISTS binding (only INTEGER PRIMARY KEY CHECK (only = 1), log_id TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS generation (
    name TEXT NOT NULL, number INTEGER NOT NULL, phase TEXT NOT NULL, start_seq INTEGER NOT NULL, fingerprint TEXT NOT NULL,
    PRIMARY KEY (name, number)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS cursor (name TEXT NOT NULL, number INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (name, number)) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS dead_letter (
    name TEXT NOT NULL, number INTEGER NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, code TEXT NOT NULL, reason TEXT NOT NULL, parked_at_ms INTEGER NOT NULL,
    PRIMARY KEY (name, number, id)) WITHOUT ROWID;
`;

/** What a file of format 1 lacks. In it only the newest generation of an index was fed. */
const secondTables = `
  ALTER TABLE generation ADD COLUMN definition TEXT NOT NULL DEFAULT '';
  ALTER TABLE generation ADD COLUMN incarnation TEXT NOT NULL DEFAULT '';
  ALTER TABLE generation ADD COLUMN reason TEXT NOT NULL DEFAULT 'new';
  ALTER TABLE generation ADD COLUMN whole_seq INTEGER;
  ALTER TABLE generation ADD COLUMN held INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE generation ADD COLUMN abandoned INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE generation ADD COLUMN created_at_ms INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE generation ADD COLUMN retired_at_ms INTEGER;
  CREATE TABLE last_begun (name TEXT PRIMARY KEY, number INTEGER NOT NULL, fingerprint TEXT NOT NULL) WITHOUT ROWID;
  INSERT INTO last_begun SELECT name, max(number), fingerprint FROM generation GROUP BY name;
  UPDATE generation SET phase = 'dropping' WHERE EXISTS (
    SELECT 1 FROM generation AS newer WHERE newer.name = generation.name AND newer.number > generation.number AND (newer.phase = 'serving' OR generation.phase = 'building'));
  UPDATE generation SET abandoned = 1 WHERE number < (SELECT last_begun.number FROM last_begun WHERE last_begun.name = generation.name);
  CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, kind TEXT NOT NULL, what TEXT NOT NULL, phase TEXT NOT NULL, outcome TEXT,
    created_at_ms INTEGER NOT NULL, ended_at_ms INTEGER);
`;

const generationColumns = 'name, number, phase, start_seq, fingerprint, definition, incarnation, reason, whole_seq, held, abandoned, created_at_ms, retired_at_ms';
/** The same of a file of format 1 that is only looked at. */
const firstGenerationColumns = "name, number, phase, start_seq, fingerprint, '' AS definition, '' AS incarnation, 'new' AS reason, NULL AS whole_seq, 0 AS held, 0 AS abandoned, 0 AS created_at_ms, NULL AS retired_at_ms";

type Row = Record<string, unknown>;
type SqlValue = string | number | null;

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
  /** Of the file; older than this version's only where it is only looked at. */
  #format = FORMAT_VERSION;

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
    if (readOnly) {
      this.#format = version;
      return;
    }
    this.#database.exec('PRAGMA journal_mode = WAL');
    this.#database.exec('PRAGMA synchronous = FULL');
    if (version < FORMAT_VERSION) this.#database.exec(`BEGIN; ${version < 1 ? firstTables : ''} ${secondTables} PRAGMA user_version = ${FORMAT_VERSION}; COMMIT`);
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
    return this.#all(`SELECT ${this.#format < FORMAT_VERSION ? firstGenerationColumns : generationColumns} FROM generation ORDER BY name, number`).map(recordOf);
  }

  putGenerations(...records: readonly GenerationRecord[]): void {
    this.#transaction(() => {
      for (const record of records) {
        const { index, generation, phase, startSeq, fingerprint, definition, incarnation, reason, wholeSeq, held, abandoned, createdAtMs, retiredAtMs } = record;
        const values = [index, generation, phase, startSeq, fingerprint, definition, incarnation, reason, wholeSeq, held ? 1 : 0, abandoned ? 1 : 0, createdAtMs, retiredAtMs];
        this.#run(`INSERT OR REPLACE INTO generation (${generationColumns}) VALUES (${values.map(() => '?').join(', ')})`, ...values);
        this.#run(
          'INSERT INTO last_begun (name, number, fingerprint) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET number = excluded.number, fingerprint = excluded.fingerprint WHERE excluded.number > last_begun.number',
          index,
          generation,
          fingerprint,
        );
      }
    });
  }

  lastBegun(index: string): LastBegun | null {
    const row = this.#get('SELECT number, fingerprint FROM last_begun WHERE name = ?', index);
    return row === undefined ? null : { generation: Number(row['number']), fingerprint: String(row['fingerprint']) };
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

  someDeadLetters({ after, limit, ...filter }: DeadLetterRequest): DeadLetter[] {
    const { where, values } = lettersLike(filter, after);
    return this.#all(`SELECT * FROM dead_letter ${where} ORDER BY name, number, seq LIMIT ?`, ...values, limit).map(letterOf);
  }

  deadLetterTotal(filter: DeadLetterFilter): number {
    const { where, values } = lettersLike(filter);
    return Number(this.#get(`SELECT count(*) AS n FROM dead_letter ${where}`, ...values)?.['n']);
  }

  deadLetterCount(index: string, generation: number): number {
    return Number(this.#get('SELECT count(*) AS n FROM dead_letter WHERE name = ? AND number = ?', index, generation)?.['n']);
  }

  jobs(): JobRecord[] {
    if (this.#format < FORMAT_VERSION) return [];
    return this.#all('SELECT * FROM job ORDER BY id').map(jobOf);
  }

  addJob(job: Omit<JobRecord, 'id'>): JobRecord {
    let id = 0;
    this.#transaction(() => {
      const { index, kind, what, phase, outcome, createdAtMs, endedAtMs } = job;
      const row = this.#get('INSERT INTO job (name, kind, what, phase, outcome, created_at_ms, ended_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id', index, kind, JSON.stringify(what), phase, outcome, createdAtMs, endedAtMs);
      id = Number(row?.['id']);
      this.#run("DELETE FROM job WHERE phase <> 'running' AND id NOT IN (SELECT id FROM job WHERE phase <> 'running' ORDER BY id DESC LIMIT ?)", JOBS_ENDED_MAX);
    });
    return { ...job, id };
  }

  putJob({ id, phase, outcome, what, endedAtMs }: JobRecord): void {
    this.#run('UPDATE job SET phase = ?, outcome = ?, what = ?, ended_at_ms = ? WHERE id = ?', phase, outcome, JSON.stringify(what), endedAtMs, id);
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

  #get(sql: string, ...values: SqlValue[]): Row | undefined {
    return this.#catalogued(() => this.#statement(sql).get(...values));
  }

  #all(sql: string, ...values: SqlValue[]): Row[] {
    return this.#catalogued(() => this.#statement(sql).all(...values));
  }

  #run(sql: string, ...values: SqlValue[]): void {
    this.#catalogued(() => this.#statement(sql).run(...values));
  }
}

function lettersLike({ index, id, code }: DeadLetterFilter, after?: DeadLetterPlace): { readonly where: string; readonly values: readonly (string | number)[] } {
  const wanted = Object.entries({ name: index, id, code }).filter((entry): entry is [string, string] => entry[1] !== undefined);
  const conditions = [...wanted.map(([column]) => `${column} = ?`), ...(after === undefined ? [] : ['(name, number, seq) > (?, ?, ?)'])];
  const values = [...wanted.map(([, value]) => value), ...(after === undefined ? [] : [after.index, after.generation, after.seq])];
  return { where: conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`, values };
}

function recordOf(row: Row): GenerationRecord {
  return {
    index: String(row['name']),
    generation: Number(row['number']),
    phase: String(row['phase']) as GenerationPhase,
    startSeq: Number(row['start_seq']),
    fingerprint: String(row['fingerprint']),
    definition: String(row['definition']),
    incarnation: String(row['incarnation']),
    reason: String(row['reason']) as GenerationReason,
    wholeSeq: numberOrNull(row['whole_seq']),
    held: row['held'] === 1,
    abandoned: row['abandoned'] === 1,
    createdAtMs: Number(row['created_at_ms']),
    retiredAtMs: numberOrNull(row['retired_at_ms']),
  };
}

function jobOf(row: Row): JobRecord {
  return {
    id: Number(row['id']),
    index: String(row['name']),
    kind: String(row['kind']),
    what: JSON.parse(String(row['what'])) as JobRecord['what'],
    phase: String(row['phase']) as JobPhase,
    outcome: row['outcome'] as string | null,
    createdAtMs: Number(row['created_at_ms']),
    endedAtMs: numberOrNull(row['ended_at_ms']),
  };
}

function numberOrNull(value: unknown): number | null {
  return value === null ? null : Number(value);
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
