/**
 * Which forms of a relation's rows this session's catalog has described. A change of form away from one of these happened while the
 * session watched, so the catalog's own comparison has told what it does to the rows. A change away from any other form happened
 * before, and nobody has judged it.
 */
import type { ColumnSchema, DeclaredSchema } from '../../../../src/change/schema.ts';
import type { Catalog } from '../catalog/catalog.ts';

export class KnownShapes {
  readonly #forms = new Set<string>();

  /** To be called when the catalog was loaded and whenever it was refreshed. */
  learn(catalog: Catalog): void {
    for (const { table } of catalog.tables) {
      for (const leaf of catalog.leavesOf(table)) this.#forms.add(formOf(leaf.streamed.oid, leaf.shape.schema));
    }
  }

  has(relationOid: number, schema: DeclaredSchema): boolean {
    return this.#forms.has(formOf(relationOid, schema));
  }
}

/** True when `next` has a column that rows written in the form of `previous` do not tell. */
export function tellsMore(previous: DeclaredSchema, next: DeclaredSchema): boolean {
  return next.columns.some((column) => !previous.columns.some((known) => known.name === column.name && known.sourceType === column.sourceType));
}

function formOf(relationOid: number, schema: DeclaredSchema): string {
  return JSON.stringify([relationOid, schema.columns.map((column: ColumnSchema) => [column.name, column.sourceType])]);
}
