/** What a simulated database remembers of itself: the truth that the auditors compare everything with. */
import type { Cell, SimColumn } from './sim-row.ts';

/** One change, with all that is true of it, whatever of that the stream tells. Column places are those of `columns`. */
export type HistoryChange =
  | {
      readonly kind: 'insert' | 'update';
      readonly table: string;
      readonly columns: readonly SimColumn[];
      readonly values: readonly Cell[];
      /** Columns that the stream does not send. */
      readonly notSent: ReadonlySet<number>;
    }
  | {
      readonly kind: 'delete';
      readonly table: string;
      readonly columns: readonly SimColumn[];
      readonly key: Cell;
      /** The row goes on under another key: the next change is its insert. */
      readonly keyChanged: boolean;
    }
  | { readonly kind: 'truncate'; readonly table: string; readonly columns: readonly SimColumn[] }
  /** The table's rows are others now, and the stream says so only by this. `rows` is what the table holds after it. */
  | {
      readonly kind: 'reread';
      readonly table: string;
      readonly columns: readonly SimColumn[];
      readonly reason: string;
      readonly sweep: boolean;
      readonly rows: ReadonlyMap<string, readonly Cell[]>;
    };

export interface HistoryTransaction {
  readonly id: bigint;
  /** Place of its commit record, and the place behind it. */
  readonly commitAt: number;
  readonly end: number;
  readonly commitTimeMs: number;
  readonly changes: readonly HistoryChange[];
}

/** A key as the maps of rows have it. */
export function keyText(key: Cell): string {
  return String(key);
}

/** Rows by key: a table at one moment of its history. */
export type TableState = Map<string, readonly Cell[]>;

/** Applies one change to the state of its table. */
export function applyChange(state: TableState, change: HistoryChange): void {
  switch (change.kind) {
    case 'insert':
    case 'update':
      state.set(keyText(change.values[0] as Cell), change.values);
      break;
    case 'delete':
      state.delete(keyText(change.key));
      break;
    case 'truncate':
      state.clear();
      break;
    case 'reread':
      state.clear();
      for (const [key, values] of change.rows) state.set(key, values);
      break;
  }
}

/** Changes that become entries of the log. */
export function isLogged(change: HistoryChange): boolean {
  return change.kind !== 'reread';
}
