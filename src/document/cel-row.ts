/** A row as expressions see it: every column by its name, and all of them as `row`. One object serves all rows of a schema. */
import type { ColumnSchema } from '../change/schema.ts';
import type { Value } from '../change/value.ts';
import { celOf } from './cel-value.ts';

/** The name under which an expression has the whole row: for columns whose name is no identifier, or a word of CEL. */
export const ROW_NAME = 'row';

const notYet = Symbol('not yet converted');

/** Read by CEL as an object with typed fields; a column is converted when an expression first asks for it. */
export class CelRow extends Map<string, unknown> {
  readonly #slots: ReadonlyMap<string, number>;
  readonly #columns: readonly ColumnSchema[];
  readonly #converted: unknown[];
  #values: readonly Value[] = [];

  /** `columns` in the order in which `load` gives their values. */
  constructor(columns: readonly ColumnSchema[]) {
    super();
    this.#columns = columns;
    this.#slots = new Map(columns.map((column, slot) => [column.name, slot]));
    this.#converted = columns.map(() => notYet);
  }

  load(values: readonly Value[]): void {
    this.#values = values;
    this.#converted.fill(notYet);
  }

  override get(name: string): unknown {
    const slot = this.#slots.get(name);
    if (slot === undefined) return undefined;
    const known = this.#converted[slot];
    if (known !== notYet) return known;
    const value = celOf(this.#values[slot] ?? null, (this.#columns[slot] as ColumnSchema).kind);
    this.#converted[slot] = value;
    return value;
  }

  override entries(): MapIterator<[string, unknown]> {
    return new Map(this.#columns.map(({ name }) => [name, this.get(name)])).entries();
  }
}

/** The variables of an expression: the row, and its columns by their bare names. */
export class RowScope extends Map<string, unknown> {
  readonly row: CelRow;

  constructor(row: CelRow) {
    super();
    this.row = row;
  }

  override get(name: string): unknown {
    return name === ROW_NAME ? this.row : this.row.get(name);
  }
}
