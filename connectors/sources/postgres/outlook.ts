/** What connecting would find and make, for whoever wants to know before it is done: the statements are those that `slot/` runs. */
import type { SourceOutlook, TableOutlook, TableRequest } from '../../../src/connector/source.ts';
import { describe, typesOf } from './catalog/describe.ts';
import { readDocument, type CatalogReading } from './catalog/document.ts';
import { asPublished, examine } from './catalog/logical-table.ts';
import type { Query } from './connection/query.ts';
import { createStatement, extendStatement } from './slot/publication.ts';
import { createSlotStatement, slotFacts, slotSql } from './slot/slot.ts';
import { estimateOf } from './survey.ts';

interface OutlookDeps {
  readonly query: Query;
  readonly slot: string;
  readonly publication: string;
  /** The setting `create`. */
  readonly create: boolean;
}

/** `isFirst`: nothing of the source is in the log; a publication or a slot that is missing later is an error, and is not made. */
export async function foresee(deps: OutlookDeps, requests: readonly TableRequest[], isFirst: boolean, signal: AbortSignal): Promise<SourceOutlook> {
  const { query, slot, publication, create } = deps;
  const reading = await readDocument(query, requests.map(({ table }) => table), publication, signal);
  const { document } = reading;
  const names = { publication, requests };
  const statements: string[] = [];
  if (create && document.publication !== null) statements.push(extendStatement(names, document) ?? '');
  else if (create && isFirst) statements.push(createStatement(names, document));
  const [row] = await query(slotSql(slot), [], signal);
  if (create && isFirst && slotFacts(row) === null) statements.push(createSlotStatement(slot, document.version));
  return { tables: await tablesOf(query, reading, publication, requests, signal), statements: statements.filter((statement) => statement !== '') };
}

async function tablesOf(query: Query, { document, estimates }: CatalogReading, publication: string, requests: readonly TableRequest[], signal: AbortSignal): Promise<TableOutlook[]> {
  const published = asPublished(document, publication);
  const types = typesOf(document);
  const tables: TableOutlook[] = [];
  for (const request of requests) {
    const described = describe(published, request, requests, types);
    if (described === undefined) continue;
    const leaves = examine(published, request, requests).table?.leaves ?? [];
    const [size] = await query('SELECT pg_catalog.sum(pg_catalog.pg_table_size(oid::pg_catalog.oid))::pg_catalog.text AS bytes FROM pg_catalog.unnest($1::pg_catalog.int8[]) AS leaf(oid)', [leaves.map(({ relation }) => relation.oid)], signal);
    const bytes = size?.['bytes'] ?? null;
    tables.push({ ...described, estimatedRows: estimateOf({ document: published, estimates }, request, requests), estimatedBytes: bytes === null ? null : Number(bytes) });
  }
  return tables;
}
