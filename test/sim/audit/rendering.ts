/** How the documents of each shape of index look: an independent rendering, to compare the engine's with. */
import type { IndexShape } from '../world/plan.ts';
import { NUMBER_FROM } from '../world/plan.ts';
import { UNDECODABLE, type Cell } from '../source/sim-row.ts';
import { REFUSED } from '../world/workload.ts';

export type Rendered =
  /** Fields that are null are left out: a document that lacks a field says the same. */
  | { readonly kind: 'document'; readonly fields: Readonly<Record<string, Cell>> }
  | { readonly kind: 'filtered' }
  /** Parked: the row cannot be decoded, or the target refuses the document. */
  | { readonly kind: 'poison' };

const COLUMNS: Readonly<Record<IndexShape, ((name: string) => string | undefined)>> = {
  all: (name) => name,
  where: (name) => name,
  listed: (name) => (['id', 'name', 'n'].includes(name) ? name : undefined),
  renamed: (name) => ({ id: 'id', name: 'title', body: 'body' })[name],
};

export function render(shape: IndexShape, columns: readonly string[], values: readonly Cell[]): Rendered {
  const fields: Record<string, Cell> = {};
  let isRefused = false;
  for (const [i, column] of columns.entries()) {
    const value = values[i] ?? null;
    const name = COLUMNS[shape](column);
    if (name === undefined) continue;
    if (value === UNDECODABLE) return { kind: 'poison' };
    if (typeof value === 'string' && value.includes(REFUSED)) isRefused = true;
    if (value !== null) fields[name] = value;
  }
  if (shape === 'where' && Number(values[columns.indexOf('n')]) < NUMBER_FROM) return { kind: 'filtered' };
  return isRefused ? { kind: 'poison' } : { kind: 'document', fields };
}

/** The fields of a document of the target, in the form that `render` gives. */
export function fieldsOf(document: string): Record<string, Cell> {
  const fields = JSON.parse(document) as Record<string, Cell>;
  for (const [name, value] of Object.entries(fields)) if (value === null) delete fields[name];
  return fields;
}

export function sameFields(a: Readonly<Record<string, Cell>>, b: Readonly<Record<string, Cell>>): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}
