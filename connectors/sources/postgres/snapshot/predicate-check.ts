/**
 * Tries a condition before anything starts: the server plans it, which tells how many rows it may select, and evaluates it on one row, where a
 * function that would write is refused, because the transaction may only read, and is undone where an older server lets it pass.
 */
import { invariant } from '../../../../src/errors/invariant.ts';
import type { RowSite } from '../catalog/catalog.ts';
import { quoteIdentifier, quoteQualified } from '../connection/identifier.ts';
import { textsOf } from '../tuple-texts.ts';
import { TupleLayout } from '../tuple.ts';
import type { RawConnection } from '../wire/raw-query.ts';
import { checkPredicateText } from './predicate-text.ts';
import type { ReadConnections } from './read-connections.ts';
import { lengthInCharacters, selectionError } from './selection-error.ts';

/** One row may not take longer. */
const TRIAL_WITHIN = "SET LOCAL statement_timeout = '10s'";

/** How many rows the planner expects. Throws SRC_SELECTION. `sites`: where the table's rows are. */
export async function checkPredicate(connections: ReadConnections, table: string, sites: readonly RowSite[], predicate: string, signal: AbortSignal): Promise<number> {
  checkPredicateText(table, predicate);
  let rows = 0;
  for (const site of sites) rows += await connections.use(async (connection) => tryOn(connection, table, site, predicate, signal), signal, true);
  return rows;
}

async function tryOn(connection: RawConnection, table: string, site: RowSite, predicate: string, signal: AbortSignal): Promise<number> {
  const { relation, filter, only } = site;
  const from = `${only ? 'ONLY ' : ''}${quoteQualified(relation.namespace, relation.name)}`;
  const given = filter === null ? '' : `(${filter}) AND `;
  await connection.query(`BEGIN READ ONLY; ${TRIAL_WITHIN}`, null, signal);
  const plan = await runOne(connection, table, `EXPLAIN (FORMAT JSON) SELECT FROM ${from} WHERE ${given}(`, predicate, signal);
  const one = `SELECT * FROM ${from}${filter === null ? '' : ` WHERE (${filter})`} LIMIT 1`;
  await runOne(connection, table, `SELECT FROM (${one}) AS ${quoteIdentifier(relation.name)} WHERE (`, predicate, signal);
  await connection.query('ROLLBACK', null, signal);
  invariant(plan !== null, 'the server explains in one value');
  const [{ Plan }] = JSON.parse(plan) as [{ Plan: { 'Plan Rows': number } }];
  return Plan['Plan Rows'];
}

/** The first value of the statement's first row; null when there is none. */
async function runOne(connection: RawConnection, table: string, before: string, predicate: string, signal: AbortSignal): Promise<string | null> {
  const layout = new TupleLayout();
  let value: string | null = null;
  try {
    await connection.statement(`${before}${predicate})`, (bytes, start, end) => void (value ??= textsOf(bytes, start, end, layout)[0] ?? null), signal);
  } catch (error) {
    throw selectionError(error, { table, predicate, before: lengthInCharacters(before) }, true);
  }
  return value;
}
