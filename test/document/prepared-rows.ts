/** Rows whose values are known beforehand: a row's bytes are a number into a list, and its decoder looks the values up. */
import { RawJson, type Value } from '../../src/change/value.ts';
import type { ColumnKind, ColumnSchema, RowSchema } from '../../src/change/schema.ts';
import type { IndexDefinition } from '../../src/config/index-settings.ts';
import type { RowFormat } from '../../src/connector/row-format.ts';

export function column(name: string, kind: ColumnKind, nullable = true): ColumnSchema {
  return { name, kind, nullable, sourceType: kind, keyOrdinal: name === 'id' ? 1 : 0, decoding: {} };
}

export function schemaOf(columns: readonly ColumnSchema[], id = 1): RowSchema {
  return { id, source: 'shop', table: 'public.products', format: 'prepared/1', columns };
}

export class PreparedRows implements RowFormat {
  readonly name = 'prepared/1';
  /** Names of the columns that decoders were asked for. */
  readonly asked: string[][] = [];
  readonly #rows: Readonly<Record<string, Value>>[] = [];

  row(values: Readonly<Record<string, Value>>): Uint8Array {
    return Uint8Array.of(this.#rows.push(values) - 1);
  }

  decoder(_schema: RowSchema, names: readonly string[]): { decode(row: Uint8Array): Value[] } {
    this.asked.push([...names]);
    return { decode: (row) => names.map((name) => this.#rows[row[0] as number]?.[name] ?? null) };
  }
}

export function definitionOf(more: Partial<IndexDefinition> = {}): IndexDefinition {
  return {
    name: 'products',
    from: { source: 'shop', table: 'public.products' },
    to: 'search',
    on_error: 'dead_letter',
    max_dead_letters: 1000,
    max_document_bytes: 1 << 24,
    rollback_hours: 24,
    verify: { before_swap: false, repair: false },
    batch: { max_operations: 1000, max_bytes: 1 << 22, max_in_flight: 4 },
    ...more,
  };
}

export function json(value: unknown): RawJson {
  return new RawJson(JSON.stringify(value));
}
