/** Small reports in the shapes that `--json` and the admin surface share: docs/cli.md lists them. */
import type { RowSchema } from '../change/schema.ts';
import type { SearchHit, SearchRequest } from '../connector/target.ts';
import type { DeadLetter } from '../state/state-store.ts';

/** JSON text: documents go in as they stand, so that their numbers keep every digit. */
export function searchReport({ index, text, limit }: SearchRequest, hits: readonly SearchHit[]): string {
  const found = hits.map(({ id, score, document }) => `{"id":${JSON.stringify(id)},"score":${JSON.stringify(score)},"document":${document}}`);
  return `{"index":${JSON.stringify(index)},"text":${JSON.stringify(text)},"limit":${limit},"hits":[${found.join(',')}]}\n`;
}

export interface DeadLetterReport {
  readonly index: string;
  readonly generation: number;
  readonly id: string;
  readonly seq: number;
  readonly code: string;
  readonly reason: string;
  readonly parked_at_ms: number;
}

export function deadLetterReport({ index, generation, id, seq, code, reason, parkedAtMs }: DeadLetter): DeadLetterReport {
  return { index, generation, id, seq, code, reason, parked_at_ms: parkedAtMs };
}

export interface SchemaReport {
  readonly id: number;
  readonly source: string;
  readonly table: string;
  readonly format: string;
  readonly columns: readonly { readonly name: string; readonly kind: string; readonly source_type: string; readonly nullable: boolean; readonly key_ordinal: number }[];
}

export function schemaReport({ id, source, table, format, columns }: RowSchema): SchemaReport {
  return {
    id,
    source,
    table,
    format,
    columns: columns.map(({ name, kind, sourceType, nullable, keyOrdinal }) => ({ name, kind, source_type: sourceType, nullable, key_ordinal: keyOrdinal })),
  };
}
