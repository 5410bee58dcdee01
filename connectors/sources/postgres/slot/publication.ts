/**
 * The publication: made at the first start, widened when a table is added, otherwise only looked at.
 *
 * The server decides by the catalog of each change's own moment whether the change is published. So a transaction that is open while a
 * publication is made or widened may have written rows that will never be sent; it must have ended before a snapshot can bring them. A
 * slot's creation waits for that by itself. With a slot that is older than the change of the publication we have to wait; that we have
 * not done so yet is noted in the publication's comment, in the same transaction.
 */
import type { TableRequest } from '../../../../src/connector/source.ts';
import { codeOf, TailraceError } from '../../../../src/errors/tailrace-error.ts';
import type { Clock } from '../../../../src/runtime/clock.ts';
import { fullName, GENERATED_COLUMNS_VERSION, readDocument, type CatalogDocument, type RelationFacts } from '../catalog/document.ts';
import { asPublished, examine } from '../catalog/logical-table.ts';
import type { ControlConnection } from '../connection/control-connection.ts';
import { quoteIdentifier, quoteLiteral, quoteQualified } from '../connection/identifier.ts';
import type { Query } from '../connection/query.ts';
import { openTransactions, slotBlocked } from './slot.ts';

/** In the comment of a publication that we made, and so may remove. */
const MADE_MARK = 'made by tailrace';
/** In the comment while transactions from before its last change may be open. */
const UNSETTLED_MARK = ' (tailrace: waiting for transactions from before the last change of this publication)';

/** How long transactions may take to end, and how often we look. */
const SETTLE_WITHIN_MS = 20_000;
const LOOK_EVERY_MS = 100;

export interface PublicationDeps {
  readonly source: string;
  readonly control: ControlConnection;
  readonly query: Query;
  readonly clock: Clock;
  readonly publication: string;
  readonly requests: readonly TableRequest[];
  /** Whether missing things may be made: the setting `create`. */
  readonly create: boolean;
}

/**
 * Makes sure that the publication sends the tables. `first`: there is no history to be kept yet, so the publication itself may be made.
 * `slotExists`: transactions that are open must be waited for afterwards, by `settlePublication`.
 * Throws SRC_PUBLICATION or SRC_UNPUBLISHED with the statement, and what is wrong with the tables before anything is changed.
 */
export async function ensurePublication(deps: PublicationDeps, first: boolean, slotExists: boolean, signal: AbortSignal): Promise<void> {
  const names = deps.requests.map((request) => request.table);
  const { document } = await readDocument(deps.query, names, deps.publication, signal);
  const name = quoteIdentifier(deps.publication);
  if (document.publication === null) {
    const statement = createStatement(deps, document);
    if (!first) {
      const hint = `${statement} It counts only for changes that are made afterwards, so then \`tailrace run --rebuild SOURCE\`.`;
      throw new TailraceError('SRC_UNPUBLISHED', { message: `Source ${deps.source}: the publication ${deps.publication} is gone.`, hint, entity: deps.source });
    }
    refuseUnfit(deps, document);
    if (!deps.create) throw missing(deps, `there is no publication ${deps.publication}`, statement);
    await change(deps, statement, MADE_MARK + (slotExists ? UNSETTLED_MARK : ''), signal);
    return;
  }
  const { insert, update, delete: deletes, truncate } = document.publication;
  if (!(insert && update && deletes && truncate)) {
    throw missing(deps, `the publication ${deps.publication} does not send every kind of change`, `ALTER PUBLICATION ${name} SET (publish = 'insert, update, delete, truncate');`);
  }
  const unsent = deps.requests.flatMap((request) => unsentRoot(document, request));
  const statement = extendStatement(deps, document);
  if (statement === null) return;
  refuseUnfit(deps, document);
  if (!deps.create) throw missing(deps, `the publication ${deps.publication} does not send ${unsent.map(fullName).join(', ')}`, statement);
  const comment = await commentOf(deps, signal);
  const marked = slotExists && !comment.endsWith(UNSETTLED_MARK) ? comment + UNSETTLED_MARK : comment;
  await change(deps, statement, marked, signal);
}

/** True when transactions from before the publication's last change have not been waited for. */
export async function isUnsettled(deps: PublicationDeps, signal: AbortSignal): Promise<boolean> {
  return (await commentOf(deps, signal)).endsWith(UNSETTLED_MARK);
}

/** Waits until every transaction that is open in this database now has ended; throws SRC_SLOT_BLOCKED naming them when that takes too long. */
export async function awaitOpenTransactions(deps: PublicationDeps, signal: AbortSignal): Promise<void> {
  const { query, clock } = deps;
  const giveUpMs = clock.monotonicMs() + SETTLE_WITHIN_MS;
  let waitedFor = (await openTransactions(query, signal)).filter((transaction) => transaction.here);
  while (waitedFor.length > 0) {
    if (clock.monotonicMs() >= giveUpMs) throw slotBlocked(`Source ${deps.source}: tables were added to the publication ${deps.publication}, which counts only when every transaction from before has ended`, waitedFor);
    await clock.sleep(LOOK_EVERY_MS, signal);
    const open = new Set((await openTransactions(query, signal)).map((transaction) => transaction.xid));
    waitedFor = waitedFor.filter((transaction) => open.has(transaction.xid));
  }
}

/** Transactions from before the publication's last change have ended. */
export async function settlePublication(deps: PublicationDeps, signal: AbortSignal): Promise<void> {
  const comment = await commentOf(deps, signal);
  if (comment.endsWith(UNSETTLED_MARK)) await deps.control.write([commentStatement(deps, comment.slice(0, -UNSETTLED_MARK.length))], signal);
}

/** Removes the publication if we made it. */
export async function dropPublication(deps: Pick<PublicationDeps, 'control' | 'query' | 'publication'>, signal: AbortSignal): Promise<void> {
  if ((await commentOf(deps, signal)).startsWith(MADE_MARK)) await deps.control.write([`DROP PUBLICATION ${quoteIdentifier(deps.publication)}`], signal);
}

/** Adding a table without a replica identity to a publication would make its updates fail, at the source, for everybody. */
function refuseUnfit(deps: PublicationDeps, document: CatalogDocument): void {
  const published = asPublished(document, deps.publication);
  for (const request of deps.requests) {
    const [problem] = examine(published, request, deps.requests).problems;
    if (problem !== undefined) throw problem;
  }
}

/** The statement that makes the publication for the tables; also what `check` shows. */
export function createStatement(deps: Pick<PublicationDeps, 'publication' | 'requests'>, document: CatalogDocument): string {
  const tables = deps.requests.flatMap((request) => rootOf(document, request)).map((root) => quoteQualified(root.namespace, root.name));
  const generated = document.version >= GENERATED_COLUMNS_VERSION ? ', publish_generated_columns = stored' : '';
  return `CREATE PUBLICATION ${quoteIdentifier(deps.publication)} FOR TABLE ${tables.join(', ')} WITH (publish_via_partition_root = true${generated});`;
}

/** The statement that adds the tables of which nothing is sent, or not all; null when there are none. */
export function extendStatement(deps: Pick<PublicationDeps, 'publication' | 'requests'>, document: CatalogDocument): string | null {
  const unsent = deps.requests.flatMap((request) => unsentRoot(document, request));
  if (unsent.length === 0) return null;
  return `ALTER PUBLICATION ${quoteIdentifier(deps.publication)} ADD TABLE ${unsent.map((root) => quoteQualified(root.namespace, root.name)).join(', ')};`;
}

function rootOf(document: CatalogDocument, request: TableRequest): RelationFacts[] {
  return document.relations.filter((relation) => fullName(relation) === request.table && relation.roots.includes(relation.oid));
}

/** The table of a request if nothing of it is sent, or not all of it. */
function unsentRoot(document: CatalogDocument, request: TableRequest): RelationFacts[] {
  return rootOf(document, request).filter((root) => {
    if (root.published !== null || root.published_as !== null) return false;
    const stored = document.relations.filter((relation) => relation.roots.includes(root.oid) && relation.partition && relation.kind !== 'p');
    return stored.length === 0 || stored.some((relation) => relation.published === null && relation.published_as === null);
  });
}

async function change(deps: PublicationDeps, statement: string, comment: string, signal: AbortSignal): Promise<void> {
  try {
    await deps.control.write([statement, ...(comment === '' ? [] : [commentStatement(deps, comment)])], signal);
  } catch (error) {
    if (codeOf(error) !== 'SRC_GRANT') throw error;
    throw missing(deps, 'the user may not make or change the publication', `As the owner of the tables: ${statement}`, error);
  }
}

function commentStatement(deps: Pick<PublicationDeps, 'publication'>, comment: string): string {
  return `COMMENT ON PUBLICATION ${quoteIdentifier(deps.publication)} IS ${comment === '' ? 'NULL' : quoteLiteral(comment)}`;
}

async function commentOf(deps: Pick<PublicationDeps, 'query' | 'publication'>, signal: AbortSignal): Promise<string> {
  const [row] = await deps.query(`SELECT pg_catalog.obj_description(oid, 'pg_publication') AS comment FROM pg_catalog.pg_publication WHERE pubname = $1`, [deps.publication], signal);
  return row?.['comment'] ?? '';
}

function missing(deps: PublicationDeps, what: string, hint: string, cause?: unknown): TailraceError {
  return new TailraceError('SRC_PUBLICATION', { message: `Source ${deps.source}: ${what}.`, hint, entity: deps.source, cause });
}
