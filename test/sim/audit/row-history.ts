/** What each row of a database was, and when: looked up for every row that was completed later than it was changed. */
import { keyText, type HistoryChange } from '../source/history.ts';
import type { SimDatabase } from '../source/sim-database.ts';
import type { Cell } from '../source/sim-row.ts';

export class RowHistory {
  readonly #database: SimDatabase;
  /** Changes of one row, by table and key, each with the place of its transaction in the history. */
  readonly #rows = new Map<string, { readonly at: number; readonly change: HistoryChange }[]>();
  /** Changes of a whole table. */
  readonly #tables = new Map<string, { readonly at: number; readonly change: HistoryChange }[]>();
  #indexed = 0;

  constructor(database: SimDatabase) {
    this.#database = database;
  }

  /** True when the row had the value in the column at the transaction at place `since` of the history, or later. */
  had(table: string, key: string, column: string, value: Cell, since: number): boolean {
    return this.#since(table, key, since).some((change) => {
      if (change.kind === 'delete' || change.kind === 'truncate') return false;
      const values = change.kind === 'reread' ? change.rows.get(key) : change.values;
      const place = change.columns.findIndex(({ name }) => name === column);
      return values !== undefined && (values[place] ?? null) === value;
    });
  }

  /** True when the row went away with the transaction at place `since` of the history, or later. */
  wentAway(table: string, key: string, since: number): boolean {
    return this.#since(table, key, since).some((change) => change.kind === 'delete' || change.kind === 'truncate' || (change.kind === 'reread' && !change.rows.has(key)));
  }

  #since(table: string, key: string, since: number): HistoryChange[] {
    this.#index();
    const changes = [...(this.#rows.get(`${table} ${key}`) ?? []), ...(this.#tables.get(table) ?? [])];
    return changes.filter(({ at }) => at >= since).map(({ change }) => change);
  }

  #index(): void {
    const { history } = this.#database;
    for (; this.#indexed < history.length; this.#indexed += 1) {
      for (const change of history[this.#indexed]?.changes ?? []) {
        if (change.kind === 'truncate' || change.kind === 'reread') put(this.#tables, change.table, { at: this.#indexed, change });
        else put(this.#rows, `${change.table} ${keyText(change.kind === 'delete' ? change.key : (change.values[0] as Cell))}`, { at: this.#indexed, change });
      }
    }
  }
}

function put<T>(map: Map<string, T[]>, key: string, value: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
