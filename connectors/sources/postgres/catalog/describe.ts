/** What tables look like now, for looks that open no session: nothing is made, and the publication need not be there yet. */
import type { TableDescription, TableRequest } from '../../../../src/connector/source.ts';
import type { Query } from '../connection/query.ts';
import { publishedColumns, readDocument, type CatalogDocument } from './document.ts';
import { asPublished, examine } from './logical-table.ts';
import { relationOfLeaf, shapeOfRelation } from './shape.ts';
import { TypeRegistry } from './type-registry.ts';

/** A table that cannot be read is left out: the preflight has said why. */
export async function describeTables(query: Query, requests: readonly TableRequest[], publication: string, signal: AbortSignal): Promise<TableDescription[]> {
  const { document } = await readDocument(query, requests.map(({ table }) => table), publication, signal);
  const types = typesOf(document);
  // As it is sent, or as it will be when a publication is made or extended.
  return requests.flatMap((request) => describe(document, request, requests, types) ?? describe(asPublished(document, publication), request, requests, types) ?? []);
}

/** The types of a document's columns. */
export function typesOf(document: CatalogDocument): TypeRegistry {
  const types = new TypeRegistry();
  types.add(document.types);
  for (const relation of document.relations) for (const column of relation.columns) types.addFormatted(column.type, column.modifier, column.formatted);
  return types;
}

/** A table as the document's publication sends it; undefined when it cannot be read. */
export function describe(document: CatalogDocument, request: TableRequest, requests: readonly TableRequest[], types: TypeRegistry): TableDescription | undefined {
  const { table } = examine(document, request, requests);
  if (table === null) return undefined;
  const leaf = table.leaves[0] ?? { streamed: table.root, columns: publishedColumns(table.root, table.root.published, document.version) };
  const facts = document.relations.find(({ oid }) => oid === leaf.streamed.oid);
  return { table: request.table, schema: shapeOfRelation(relationOfLeaf(leaf), table, facts, types).schema, estimatedRows: null };
}
