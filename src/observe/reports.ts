/** Small reports in the shapes that `--json` and the admin surface share: docs/cli.md lists them. */
import type { RowSchema } from '../change/schema.ts';
import type { SearchHit, SearchRequest } from '../connector/target.ts';
import { TailraceError } from '../errors/tailrace-error.ts';
import type { DeadLetter, DeadLetterPlace, JobRecord } from '../state/state-store.ts';

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

/** A part of the dead letters, which may be many. */
export interface DeadLetterPage {
  /** Of all that were asked for. */
  readonly total: number;
  readonly dead_letters: readonly DeadLetterReport[];
  /** What to ask for to get those behind them (`after`); null when there are none. */
  readonly next: string | null;
}

/** Most dead letters in one answer. */
export const DEAD_LETTERS_MAX = 1_000;

export function deadLetterPage(total: number, letters: readonly DeadLetter[], limit: number): DeadLetterPage {
  const last = letters.at(-1);
  return { total, dead_letters: letters.map(deadLetterReport), next: last === undefined || letters.length < limit ? null : `${last.index}/${last.generation}/${last.seq}` };
}

/** Reads a `next`. Throws USAGE. */
export function deadLetterPlace(next: string): DeadLetterPlace {
  const [, index, generation, seq] = /^(.+)\/(\d{1,9})\/(\d{1,15})$/.exec(next) ?? [];
  if (index === undefined) throw new TailraceError('USAGE', { message: 'The parameter `after` is the `next` of an earlier answer.' });
  return { index, generation: Number(generation), seq: Number(seq) };
}

export interface JobReport {
  readonly id: number;
  readonly index: string;
  readonly kind: string;
  readonly what: JobRecord['what'];
  readonly phase: JobRecord['phase'];
  readonly outcome: string | null;
  readonly created_ms: number;
  readonly ended_ms: number | null;
}

export function jobReport({ id, index, kind, what, phase, outcome, createdAtMs, endedAtMs }: JobRecord): JobReport {
  return { id, index, kind, what, phase, outcome, created_ms: createdAtMs, ended_ms: endedAtMs };
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
