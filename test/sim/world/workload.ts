/** What applications do to a simulated database: transactions of every shape that a source has to carry over. */
import type { SimRandom } from '../kernel/sim-random.ts';
import { applyChange, keyText, type HistoryChange, type TableState } from '../source/history.ts';
import type { SimDatabase, SimTable } from '../source/sim-database.ts';
import { UNDECODABLE, type Cell, type SimColumn } from '../source/sim-row.ts';
import type { TransactionKind, WorkloadPlan } from './plan.ts';

/** A text in a document that the simulated targets refuse. */
export const REFUSED = '\u0007refused';

/** Columns that every table begins with, in this order. The number is what `where` looks at. */
const ID = 0;
const NAME = 1;
const NUMBER = 2;
const BODY = 3;
const NOTE = 4;

export const NUMBER_MAX = 40;

/** Changes of a transaction that is larger than every limit of the engine in the simulator's build. */
const HUGE_CHANGES = [150, 600];

const COLUMNS_MAX = 9;

/** A transaction in the making: it sees what it has done so far. */
class Draft {
  readonly changes: HistoryChange[] = [];
  readonly table: SimTable;
  readonly state: TableState;
  columns: readonly SimColumn[];

  constructor(table: SimTable) {
    this.table = table;
    this.columns = table.columns;
    this.state = new Map([...table.rows].map(([key, { values }]) => [key, values]));
  }

  add(change: HistoryChange): void {
    this.changes.push(change);
    applyChange(this.state, change);
  }
}

export class Workload {
  readonly #database: SimDatabase;
  readonly #plan: WorkloadPlan;
  readonly #random: SimRandom;
  #values = 0;

  constructor(database: SimDatabase, plan: WorkloadPlan, random: SimRandom) {
    this.#database = database;
    this.#plan = plan;
    this.#random = random;
  }

  createTable(name: string): void {
    const { toasted } = this.#plan;
    const text = (column: string, isToasted = false): SimColumn => ({ name: column, kind: 'text', toasted: isToasted, defaultValue: null });
    const table = this.#database.createTable(name, [text('id'), text('name'), { name: 'n', kind: 'int', toasted: false, defaultValue: null }, text('body', toasted), text('note')]);
    const draft = new Draft(table);
    for (let i = 0; i < this.#plan.startRows; i += 1) this.#upsert(draft, this.#key());
    if (draft.changes.length > 0) this.#commit(draft.changes, false);
  }

  /** One transaction of one kind, or of another kind when what it would touch is locked. Returns what it was and its id. */
  step(kind: TransactionKind): { readonly kind: TransactionKind; readonly hiddenId: bigint | null } {
    const tables = this.#random.shuffled([...this.#database.tables.values()]);
    const table = tables[0] as SimTable;
    const hide = this.#random.chance(this.#plan.hideShare);
    if (kind === 'noise') {
      this.#database.writeNoise(this.#random.between(1, 500));
      return { kind, hiddenId: null };
    }
    if (kind === 'rewrite') {
      if (this.#database.isTableLocked(table.name)) return { kind: 'noise', hiddenId: null };
      this.#database.rewrite(table.name);
      return { kind, hiddenId: null };
    }
    const touchesTable = kind === 'truncate' || kind === 'silent' || kind === 'addColumn' || kind === 'addColumnWithDefault';
    if (touchesTable && this.#database.isTableLocked(table.name)) return this.step('noise');
    const draft = new Draft(table);
    this.#fill(draft, kind);
    let { changes } = draft;
    if (kind !== 'huge' && !touchesTable && tables.length > 1 && this.#random.chance(0.3)) {
      const other = new Draft(tables[1] as SimTable);
      this.#fill(other, 'small');
      changes = this.#random.chance(0.5) ? [...changes, ...other.changes] : [...other.changes, ...changes];
    }
    return { kind, hiddenId: this.#commit(changes, hide && kind !== 'addColumn' && kind !== 'addColumnWithDefault') };
  }

  #commit(changes: readonly HistoryChange[], hide: boolean): bigint | null {
    const place = (table: SimTable): number => {
      const free = this.#random.between(0, table.nextPlace);
      return this.#random.chance(0.5) || this.#database.isTaken(table.name, free) ? table.nextPlace : free;
    };
    const { id } = this.#database.commit(changes, { hide, place });
    return this.#database.isHidden(id) ? id : null;
  }

  #fill(draft: Draft, kind: TransactionKind): void {
    switch (kind) {
      case 'small':
        for (let n = this.#random.between(1, 5); n > 0; n -= 1) this.#any(draft);
        break;
      case 'medium':
        for (let n = this.#random.between(10, 60); n > 0; n -= 1) this.#any(draft);
        break;
      case 'huge':
        for (let n = this.#random.pick(HUGE_CHANGES); n > 0; n -= 1) this.#any(draft);
        break;
      case 'hammer':
        this.#hammer(draft);
        break;
      case 'keyChange':
        this.#changeKey(draft, this.#existing(draft), this.#absent(draft));
        break;
      case 'swap':
        this.#swap(draft);
        break;
      case 'reinsert':
        this.#reinsert(draft);
        break;
      case 'truncate':
        this.#any(draft);
        draft.add({ kind: 'truncate', table: draft.table.name, columns: draft.columns });
        for (let n = this.#random.between(0, 3); n > 0; n -= 1) this.#any(draft);
        break;
      case 'addColumn':
      case 'addColumnWithDefault':
        this.#addColumn(draft, kind === 'addColumnWithDefault');
        break;
      case 'silent':
        this.#changeSilently(draft);
        break;
      case 'empty':
      case 'noise':
      case 'rewrite':
        break;
    }
  }

  #any(draft: Draft): void {
    const key = this.#free(draft, this.#key());
    if (key === undefined) return;
    if (draft.state.has(key) && this.#random.chance(0.25)) this.#delete(draft, key, false);
    else this.#upsert(draft, key);
  }

  /** The same row again and again. */
  #hammer(draft: Draft): void {
    const key = this.#free(draft, this.#key());
    if (key === undefined) return;
    for (let n = this.#random.between(3, 25); n > 0; n -= 1) {
      if (draft.state.has(key) && this.#random.chance(0.2)) this.#delete(draft, key, false);
      else this.#upsert(draft, key);
    }
  }

  #reinsert(draft: Draft): void {
    const key = this.#existing(draft);
    if (key === undefined) return;
    this.#delete(draft, key, false);
    this.#upsert(draft, key);
  }

  /** A row goes on under another key. Columns that are kept outside of the row are not sent again. */
  #changeKey(draft: Draft, from: string | undefined, to: string | undefined): void {
    if (from === undefined || to === undefined) return;
    const before = draft.state.get(from) as readonly Cell[];
    const values = draft.columns.map(({ defaultValue }, i) => before[i] ?? defaultValue);
    values[ID] = to;
    if (this.#random.chance(0.5)) values[NAME] = this.#text();
    this.#delete(draft, from, true);
    draft.add({ kind: 'update', table: draft.table.name, columns: draft.columns, values, notSent: this.#notSent(draft, before, values) });
  }

  /** Two rows take each other's key, by way of a third key, as a unique index demands. */
  #swap(draft: Draft): void {
    const first = this.#existing(draft);
    const second = this.#existing(draft);
    const third = this.#absent(draft);
    if (first === undefined || second === undefined || third === undefined || first === second) return;
    this.#changeKey(draft, first, third);
    this.#changeKey(draft, second, first);
    this.#changeKey(draft, third, second);
  }

  #addColumn(draft: Draft, withDefault: boolean): void {
    if (draft.columns.length < COLUMNS_MAX) {
      const column: SimColumn = { name: `extra${draft.columns.length}`, kind: 'text', toasted: false, defaultValue: withDefault ? this.#text() : null };
      draft.columns = [...draft.columns, column];
      if (withDefault) {
        const rows = new Map([...draft.state].map(([key, values]) => [key, draft.columns.map(({ defaultValue }, i) => values[i] ?? defaultValue)]));
        draft.add({ kind: 'reread', table: draft.table.name, columns: draft.columns, reason: 'a column was added with a value', sweep: false, rows });
      }
    }
    this.#any(draft);
  }

  /** Rows come and go that the stream does not tell of: a partition is attached or detached. */
  #changeSilently(draft: Draft): void {
    const rows = new Map(draft.state);
    for (const key of rows.keys()) if (this.#random.chance(0.3)) rows.delete(key);
    for (let n = this.#random.between(0, 4); n > 0; n -= 1) {
      const key = this.#key();
      rows.set(key, this.#newRow(draft, key));
    }
    draft.add({ kind: 'reread', table: draft.table.name, columns: draft.columns, reason: 'a partition changed', sweep: true, rows });
  }

  #upsert(draft: Draft, key: string): void {
    const before = draft.state.get(key);
    const table = draft.table.name;
    if (before === undefined) {
      draft.add({ kind: 'insert', table, columns: draft.columns, values: this.#newRow(draft, key), notSent: new Set() });
      return;
    }
    const values = draft.columns.map(({ defaultValue }, i) => before[i] ?? defaultValue);
    values[NAME] = this.#text();
    if (this.#random.chance(0.5)) values[NUMBER] = this.#random.between(0, NUMBER_MAX);
    if (this.#random.chance(0.3)) values[BODY] = this.#body();
    this.#poison(values);
    draft.add({ kind: 'update', table, columns: draft.columns, values, notSent: this.#notSent(draft, before, values) });
  }

  #delete(draft: Draft, key: string, keyChanged: boolean): void {
    draft.add({ kind: 'delete', table: draft.table.name, columns: draft.columns, key, keyChanged });
  }

  #newRow(draft: Draft, key: string): Cell[] {
    const values: Cell[] = draft.columns.map(({ defaultValue }) => defaultValue);
    values[ID] = key;
    values[NAME] = this.#text();
    values[NUMBER] = this.#random.between(0, NUMBER_MAX);
    values[BODY] = this.#body();
    this.#poison(values);
    return values;
  }

  #poison(values: Cell[]): void {
    values[NOTE] = this.#random.chance(this.#plan.poison) ? UNDECODABLE : this.#random.chance(0.3) ? null : this.#text();
    if (this.#random.chance(this.#plan.poison)) values[NAME] = `${this.#text()}${REFUSED}`;
  }

  #notSent(draft: Draft, before: readonly Cell[], after: readonly Cell[]): Set<number> {
    const notSent = new Set<number>();
    for (const [i, { toasted }] of draft.columns.entries()) if (toasted && before[i] === after[i] && after[i] !== null) notSent.add(i);
    return notSent;
  }

  /** Some keys need care where they become ids. */
  #key(): string {
    const number = this.#random.between(1, this.#plan.keys);
    return number % 7 === 0 ? `k:${number}%` : `k${number}`;
  }

  #free(draft: Draft, key: string): string | undefined {
    return this.#database.isLocked(draft.table.name, key) ? undefined : key;
  }

  #existing(draft: Draft): string | undefined {
    const keys = [...draft.state.keys()];
    return keys.length === 0 ? undefined : this.#free(draft, this.#random.pick(keys));
  }

  #absent(draft: Draft): string | undefined {
    const key = this.#free(draft, this.#key());
    return key === undefined || draft.state.has(keyText(key)) ? undefined : key;
  }

  /** Never the same text twice: whoever has it knows where it comes from. */
  #text(): string {
    this.#values += 1;
    return `v${this.#values}`;
  }

  #body(): string {
    return `${this.#text()} `.padEnd(this.#random.between(10, this.#plan.bodyBytes), 'x');
  }
}
