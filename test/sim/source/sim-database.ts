/**
 * A simulated database: tables, transactions, a history in commit order, and readers that may not see yet what is in the history already.
 *
 * A transaction can be committed (in the history, and on its way to whoever streams) before other connections see its rows. Until they do it
 * keeps its locks, so nothing else changes the rows that it changed.
 */
import { invariant } from '../../../src/errors/invariant.ts';
import { keyText, type HistoryChange, type HistoryTransaction } from './history.ts';
import type { Cell, SimColumn } from './sim-row.ts';

/** A row and where it lies: ranges that follow the physical order are made of places. */
export interface StoredRow {
  readonly values: readonly Cell[];
  readonly place: number;
}

export interface SimTable {
  readonly name: string;
  columns: readonly SimColumn[];
  rows: Map<string, StoredRow>;
  /** The first place behind all rows. */
  nextPlace: number;
  /** Raised when the rows move without any change to them: places from before mean nothing then. */
  rewrites: number;
}

/** Committed, but not seen by others: what they see in its stead, and what it locks. */
interface Hidden {
  readonly before: Map<string, Map<string, StoredRow | undefined>>;
  readonly locksTables: ReadonlySet<string>;
}

/** A table as one reader sees it. */
export interface VisibleRows {
  readonly columns: readonly SimColumn[];
  readonly rows: ReadonlyMap<string, StoredRow>;
}

export interface CommitOptions {
  /** Others do not see it until `show` is called. */
  readonly hide: boolean;
  /** Where a row that is new or moved comes to lie. */
  readonly place: (table: SimTable) => number;
}

/** Bytes that a change, and a commit, take in the history. */
const RECORD_BYTES = 40;

export class SimDatabase {
  readonly systemId: string;
  readonly tables = new Map<string, SimTable>();
  readonly history: HistoryTransaction[] = [];
  readonly #hidden = new Map<bigint, Hidden>();
  readonly #nowMs: () => number;
  #end = 1000;
  #nextId = 700n;

  constructor(systemId: string, nowMs: () => number) {
    this.systemId = systemId;
    this.#nowMs = nowMs;
  }

  /** The place behind everything that was written. */
  get end(): number {
    return this.#end;
  }

  get hiddenIds(): ReadonlySet<bigint> {
    return new Set(this.#hidden.keys());
  }

  isHidden(id: bigint): boolean {
    return this.#hidden.has(id);
  }

  table(name: string): SimTable {
    const table = this.tables.get(name);
    invariant(table !== undefined, `the database has a table ${name}`);
    return table;
  }

  createTable(name: string, columns: readonly SimColumn[]): SimTable {
    const table: SimTable = { name, columns, rows: new Map(), nextPlace: 0, rewrites: 0 };
    this.tables.set(name, table);
    return table;
  }

  /** Something that concerns nobody is written: the end moves on. */
  writeNoise(bytes: number): void {
    this.#end += bytes;
  }

  /** True when a transaction that others do not see yet holds the row, or the whole table. */
  isLocked(table: string, key: Cell): boolean {
    for (const hidden of this.#hidden.values()) {
      if (hidden.locksTables.has(table) || hidden.before.get(table)?.has(keyText(key)) === true) return true;
    }
    return false;
  }

  /** True when a transaction that others do not see yet holds anything of the table. */
  isTableLocked(table: string): boolean {
    for (const hidden of this.#hidden.values()) if (hidden.before.has(table)) return true;
    return false;
  }

  /** True when a row lies there, or one lies there still for those who see an older version. */
  isTaken(table: string, place: number): boolean {
    for (const row of this.table(table).rows.values()) if (row.place === place) return true;
    for (const { before } of this.#hidden.values()) for (const row of before.get(table)?.values() ?? []) if (row?.place === place) return true;
    return false;
  }

  /** Commits changes, none of which touches what is locked. */
  commit(changes: readonly HistoryChange[], { hide, place }: CommitOptions): HistoryTransaction {
    const id = this.#nextId;
    this.#nextId += 1n;
    const hidden: Hidden = { before: new Map(), locksTables: new Set(changes.filter((change) => touchesTable(change)).map(({ table }) => table)) };
    for (const change of changes) {
      this.#remember(hidden, change);
      this.#apply(change, place);
      this.#end += RECORD_BYTES;
    }
    const commitAt = this.#end;
    this.#end += RECORD_BYTES;
    const transaction: HistoryTransaction = { id, commitAt, end: this.#end, commitTimeMs: this.#nowMs(), changes };
    this.history.push(transaction);
    if (hide && hidden.before.size > 0) this.#hidden.set(id, hidden);
    return transaction;
  }

  /** Others see the transaction from now on. */
  show(id: bigint): void {
    this.#hidden.delete(id);
  }

  /** The table as a new reader sees it. */
  read(name: string): VisibleRows {
    const table = this.table(name);
    const undone = [...this.#hidden.values()].flatMap(({ before }) => [...(before.get(name) ?? [])]);
    if (undone.length === 0) return { columns: table.columns, rows: table.rows };
    const rows = new Map(table.rows);
    for (const [key, row] of undone) {
      if (row === undefined) rows.delete(key);
      else rows.set(key, row);
    }
    return { columns: table.columns, rows };
  }

  /** All rows move, and the stream says nothing of it. */
  rewrite(name: string): void {
    const table = this.table(name);
    place(table, [...table.rows].toReversed().map(([key, { values }]) => [key, values]));
  }

  #remember(hidden: Hidden, change: HistoryChange): void {
    const { rows } = this.table(change.table);
    let before = hidden.before.get(change.table);
    if (before === undefined) {
      before = new Map();
      hidden.before.set(change.table, before);
    }
    for (const key of touchesTable(change) ? rows.keys() : [keyOfChange(change)]) if (!before.has(key)) before.set(key, rows.get(key));
    if (change.kind !== 'reread') return;
    for (const key of change.rows.keys()) if (!before.has(key)) before.set(key, undefined);
  }

  #apply(change: HistoryChange, placeOf: (table: SimTable) => number): void {
    const table = this.table(change.table);
    switch (change.kind) {
      case 'insert':
      case 'update': {
        table.columns = change.columns;
        const at = placeOf(table);
        table.rows.set(keyOfChange(change), { values: change.values, place: at });
        table.nextPlace = Math.max(table.nextPlace, at + 1);
        break;
      }
      case 'delete':
        table.rows.delete(keyOfChange(change));
        break;
      case 'truncate':
        place(table, []);
        break;
      case 'reread':
        table.columns = change.columns;
        place(table, [...change.rows]);
        break;
    }
  }
}

function touchesTable(change: HistoryChange): boolean {
  return change.kind === 'truncate' || change.kind === 'reread';
}

function keyOfChange(change: HistoryChange): string {
  if (change.kind === 'delete') return keyText(change.key);
  invariant(change.kind === 'insert' || change.kind === 'update', 'only changes of one row have a key');
  return keyText(change.values[0] as Cell);
}

/** Gives the table these rows, in new places. */
function place(table: SimTable, rows: readonly (readonly [string, readonly Cell[]])[]): void {
  table.rewrites += 1;
  table.rows = new Map(rows.map(([key, values], i) => [key, { values, place: i }]));
  table.nextPlace = rows.length;
}
