/** What the server says of a condition that a person wrote, with the place in the condition and not in the statement around it. */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { ServerError } from '../connection/server-error.ts';
import { sqlStateOf } from '../connection/sql-state.ts';

/**
 * Classes of SQLSTATEs that are about the server or the connection, not about what was asked: connection exception, insufficient resources, operator
 * intervention, system error, transaction rollback, object not in prerequisite state, internal error.
 */
const notOfStatement: ReadonlySet<string> = new Set(['08', '53', '57', '58', '40', '55', 'XX']);

/** query_canceled: the time that it may take was over. */
const CANCELED = '57014';

/** A text as a statement has it. */
export interface StatedPredicate {
  readonly table: string;
  readonly predicate: string;
  /** Characters of the statement before it; null when the place of a fault in it is of no interest. */
  readonly before: number | null;
}

/** Place as a person counts it, in characters from 1. */
export function selectionRefused(table: string, why: string, place: number | null, cause?: unknown): TailraceError {
  const at = place === null ? '' : `, at character ${place}`;
  return new TailraceError('SRC_SELECTION', { message: `The condition for ${table} is refused${at}: ${why}.`, entity: table, cause });
}

/** SRC_SELECTION when the server refused the statement for what it says; otherwise the error as it is. `isTimed`: the statement had a limit of time. */
export function selectionError(error: unknown, { table, predicate, before }: StatedPredicate, isTimed = false): unknown {
  const state = sqlStateOf(error);
  if (state === undefined || (notOfStatement.has(state.slice(0, 2)) && !(isTimed && state === CANCELED))) return error;
  const { message, position } = (error as { readonly cause: ServerError }).cause;
  const place = before === null ? 0 : Number(position ?? 0) - before;
  return selectionRefused(table, message.replace(/\.$/, ''), place >= 1 && place <= lengthInCharacters(predicate) + 1 ? place : null, error);
}

/** As the server counts. */
export function lengthInCharacters(text: string): number {
  let length = 0;
  for (const _ of text) length += 1;
  return length;
}
