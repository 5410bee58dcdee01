/** Conditions of the simulated source: a column, an operator and a JSON value, as in `n >= 20`. */
import type { Selection } from '../../../src/connector/source.ts';
import { decodeKey } from '../../../src/change/key.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { Cell, SimColumn } from './sim-row.ts';

export type RowTest = (values: readonly Cell[]) => boolean;

const KEY_PARTS = 1;

/** A condition on this column is found faulty only when it meets a row. */
export const FAILING = 'fails';

/** Throws SRC_SELECTION for a condition that is none, or that names a column which is not there. */
export function testOf(predicate: string, columns: readonly SimColumn[]): RowTest {
  const [, name, operator, literal] = /^(\w+) (<|>=|=) (\S.*)$/.exec(predicate) ?? [];
  if (name === undefined || literal === undefined) throw refused(`${JSON.stringify(predicate)} is no condition, at 1`);
  if (name === FAILING) {
    return () => {
      throw refused('a condition fails on a row');
    };
  }
  const place = columns.findIndex((column) => column.name === name);
  if (place === -1) throw refused(`there is no column ${name}, at 1`);
  const value = valueOf(literal);
  return (values) => {
    const own = values[place] ?? columns[place]?.defaultValue ?? null;
    if (own === null) return false;
    return operator === '=' ? own === value : operator === '<' ? own < value : own >= value;
  };
}

function valueOf(literal: string): string | number {
  try {
    return JSON.parse(literal) as string | number;
  } catch {
    // It is no JSON: what a database calls a syntax error.
    throw refused(`${literal} is no value`);
  }
}

/** Throws SRC_SELECTION for a selection that cannot be asked for. */
export function checkSelection(selection: Selection, columns: readonly SimColumn[]): void {
  if (selection.kind === 'where') testOf(selection.predicate, columns);
  if (selection.kind === 'keys') for (const key of selection.keys) if (decodeKey(key).length !== KEY_PARTS) throw refused('a key has one part');
}

function refused(why: string): TailraceError {
  return new TailraceError('SRC_SELECTION', { message: `The rows cannot be selected: ${why}.` });
}
