/**
 * Tries a condition before anything starts: the server plans it, which tells how many rows it may select, and evaluates it on one row, where a
 * function that would write is refused, because the transaction may only read, and is undone where an older server lets it pass.
 */
import { invariant } from '../../../../src/errors/invariant.ts';
import type { LeafShape, RowSite } from '../catalog/catalog.ts';
import { quoteQualified } from '../connection/identifier.ts';
import { textsOf } from '../tuple-texts.ts';
import { TupleLayout } from '../tuple.ts';
import type { RawConnection } from '../wire/raw-query.ts';
import { checkPredicateText } from './predicate-text.ts';
import type { ReadConnections } from './read-connections.ts';
import { lengthInCharacters, selectionError } from './selection-error.ts';

/** One row may not take longer. */
const TRIAL_WITHIN = "SET LOCAL statement_timeout = '10s'";

/** Where the table's rows are: as they are looked up, and as they lie. */
interface TablePlaces {
  readonly table: string;
  readonly sites: readonly RowSite[];
  readonly leaves: readonly Pick<LeafShape, 'relation' | 'filter'>[];
}

/** How many rows the planner expects. Throws SRC_SELECTION. */
export async function checkPredicate(connections: ReadConnections, { table, sites, leaves }: TablePlaces, predicate: string, signal: AbortSignal): Promise<number> {
  checkPredicateText(table, predicate);
  return connections.use(
    async (connection) => {
      let rows = 0;
      await connection.query(`BEGIN READ ONLY; ${TRIAL_WITHIN}`, null, signal);
      for (const site of sites) rows += await plannedRows(connection, table, site, predicate, signal);
      // One leaf is enough: a fault that only rows of others show is found when they are read.
      for (const leaf of leaves.slice(0, 1)) await tryOnOneRow(connection, table, leaf, predicate, signal);
      await connection.query('ROLLBACK', null, signal);
      return rows;
    },
    signal,
    true,
  );
}

async function plannedRows(connection: RawConnection, table: string, { relation, filter, only }: RowSite, predicate: string, signal: AbortSignal): Promise<number> {
  const from = `${only ? 'ONLY ' : ''}${quoteQualified(relation.namespace, relation.name)}`;
  const plan = await runOne(connection, table, `EXPLAIN (FORMAT JSON) SELECT FROM ${from} WHERE ${filter === null ? '' : `(${filter}) AND `}(`, predicate, signal);
  invariant(plan !== null, 'the server explains in one value');
  const [{ Plan }] = JSON.parse(plan) as [{ Plan: { 'Plan Rows': number } }];
  return Plan['Plan Rows'];
}

/** By its place, so that no other row is looked at. */
async function tryOnOneRow(connection: RawConnection, table: string, { relation, filter }: TablePlaces['leaves'][number], predicate: string, signal: AbortSignal): Promise<void> {
  const from = `ONLY ${quoteQualified(relation.namespace, relation.name)}`;
  const one = `SELECT ctid FROM ${from}${filter === null ? '' : ` WHERE (${filter})`} LIMIT 1`;
  await runOne(connection, table, `SELECT FROM ${from} WHERE ctid = (${one}) AND (`, predicate, signal);
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
