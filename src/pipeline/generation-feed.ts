/**
 * By which definition a generation is fed: the one that it was begun with, whatever the config says now. How fast, and what happens with rows that
 * make no document, is as the config has it.
 */
import type { IndexDefinition } from '../config/index-settings.ts';
import type { RowFormat } from '../connector/row-format.ts';
import { createDocumentBuilder } from '../document/builder.ts';
import type { DocumentTransform } from '../document/transform.ts';
import { codeOf, TailraceError } from '../errors/tailrace-error.ts';
import type { GenerationRecord } from '../state/state-store.ts';

export interface FeedDeps {
  /** Of the index, as the config has it. */
  readonly definition: IndexDefinition;
  readonly transform: DocumentTransform | undefined;
  /** Of a source by its name; undefined when the config has no such source. */
  readonly format: (source: string) => RowFormat | undefined;
  /** What tells the rows of a table apart, by the indices that the config has; undefined when none of them is made from it. */
  readonly keyOf: (source: string, table: string) => readonly string[] | 'default' | undefined;
}

export interface Feed {
  readonly definition: IndexDefinition;
  /** What the config says now of how the target keeps the index, where the generation is one that the config wants: some of it can be changed in place. */
  readonly settings: IndexDefinition['settings'];
  readonly format: RowFormat;
  readonly transform: DocumentTransform | undefined;
}

/** GEN_NOT_FED, in place of a feed, for a generation whose documents can be made no more. */
export function feedOf(record: GenerationRecord, deps: FeedDeps): Feed | TailraceError {
  const { definition: now, keyOf } = deps;
  const begun = record.definition === '' ? now : (JSON.parse(record.definition) as IndexDefinition);
  const { batch, on_error, max_dead_letters, max_document_bytes, rollback_hours } = now;
  const definition: IndexDefinition = { ...begun, name: now.name, batch, on_error, max_dead_letters, max_document_bytes, rollback_hours };
  const { source, table } = definition.from;
  const format = deps.format(source);
  if (format === undefined) return notFed(record, `its source ${source} is not in the config any more`);
  const key = keyOf(source, table);
  if (key !== undefined && JSON.stringify(key) !== JSON.stringify(definition.key ?? 'default')) return notFed(record, `the rows of ${table} have another key now`);
  if (definition.transform !== undefined && definition.transform !== now.transform) return notFed(record, `its module ${definition.transform} is not in the config any more`);
  const transform = definition.transform === undefined ? undefined : deps.transform;
  if (fingerprintOf(definition, format, transform) !== record.fingerprint) return notFed(record, record.definition === '' ? 'it was begun by an earlier version of tailrace' : 'its module, or tailrace itself, makes other documents now');
  const settings = fingerprintOf(now, deps.format(now.from.source) ?? format, deps.transform) === record.fingerprint ? now.settings : definition.settings;
  return { definition, settings, format, transform };
}

/** Null for a definition that cannot be right any more. */
function fingerprintOf(definition: IndexDefinition, format: RowFormat, transform: DocumentTransform | undefined): string | null {
  try {
    return createDocumentBuilder(definition, { format, transform }).fingerprint;
  } catch (error) {
    // An expression that an earlier version took.
    if (codeOf(error) === 'CFG_TRANSFORM') return null;
    throw error;
  }
}

function notFed({ index, generation }: GenerationRecord, why: string): TailraceError {
  return new TailraceError('GEN_NOT_FED', { message: `Generation ${generation} of index ${index} is fed no more: ${why}.`, entity: index });
}
