/**
 * What lies in the file, as SQL.
 *
 *     tailrace_generations     one row per generation: what it is bound to, its cursor, whether readers see it
 *     tailrace_N_documents     documents and remembered deletes (`document` is NULL) of generation number N
 *     tailrace_N_text          the full-text index over them (FTS5 with external content: words are stored once, in the documents)
 *     tailrace_N_content       the view that the full-text index reads words from
 *     <index>, <index>_text    views for readers, on the generation that was promoted
 *
 * Readers of other programs bring their own SQLite: nothing here needs one newer than 3.37 (2021).
 */
import type { FieldPlan } from '../../../src/connector/target.ts';
import { quotedName, textLiteral, untakenName } from './quote.ts';
import { fieldExpression, textColumnNames, textExpressions, type TextPlan } from './text.ts';

/** In the file's header: this SQLite file is ours ("trls"). */
export const APPLICATION_ID = 0x7472_6c73;
/** The layout below. A file with a higher number is left alone. */
export const SCHEMA_VERSION = 1;

/** Views have at most 2000 columns; `id`, `version`, `document`, `rank` and the match column are ours. */
const FIELD_COLUMNS_MAX = 1990;

export const fileSql = `
CREATE TABLE tailrace_generations (
  number INTEGER PRIMARY KEY,
  uid TEXT NOT NULL UNIQUE,
  index_name TEXT NOT NULL,
  generation INTEGER NOT NULL,
  log_id TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  fingerprint TEXT NOT NULL,
  fields TEXT NOT NULL,
  text_plan TEXT NOT NULL,
  promoted INTEGER NOT NULL DEFAULT 0,
  cursor INTEGER,
  floor INTEGER NOT NULL DEFAULT 0,
  documents INTEGER NOT NULL DEFAULT 0,
  UNIQUE (index_name, generation)
) STRICT;`;

export interface TableNames {
  readonly documents: string;
  readonly text: string;
  readonly content: string;
}

export function tableNames(number: number): TableNames {
  return { documents: `tailrace_${number}_documents`, text: `tailrace_${number}_text`, content: `tailrace_${number}_content` };
}

export function generationSql(number: number, plan: TextPlan): string {
  const { documents, text, content } = tableNames(number);
  const columns = textColumnNames(plan).map(quotedName);
  const expressions = textExpressions(plan, 'document').map((expression, i) => `${expression} AS ${columns[i]}`);
  return `
CREATE TABLE ${documents} (rid INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, version INTEGER NOT NULL, document TEXT) STRICT;
CREATE INDEX tailrace_${number}_deleted ON ${documents} (version) WHERE document IS NULL;
CREATE VIEW ${content} AS SELECT rid, ${expressions.join(', ')} FROM ${documents} WHERE document IS NOT NULL;
CREATE VIRTUAL TABLE ${text} USING fts5(${columns.join(', ')}, content=${textLiteral(content)}, content_rowid='rid', tokenize=${textLiteral(plan.tokenize)});`;
}

export function dropGenerationSql(number: number): string {
  const { documents, text, content } = tableNames(number);
  return `DROP TABLE ${text}; DROP VIEW ${content}; DROP TABLE ${documents};`;
}

/** The names that an index takes in the file, as SQLite compares them. */
export function viewNames(index: string): { readonly documents: string; readonly text: string } {
  return { documents: index, text: `${index}_text` };
}

export function dropViewsSql(index: string): string {
  const names = viewNames(index);
  return `DROP VIEW IF EXISTS ${quotedName(names.documents)}; DROP VIEW IF EXISTS ${quotedName(names.text)};`;
}

/**
 * `<index>` has `id`, `version`, `document` and a column per field. `<index>_text` has the same and is asked like an FTS5 table:
 * `WHERE products_text MATCH 'red shoes' ORDER BY rank`. A field whose name is taken has `_` behind it.
 */
export function createViewsSql(index: string, number: number, fields: readonly FieldPlan[]): string {
  const tables = tableNames(number);
  const names = viewNames(index);
  const own = ['d.id', 'd.version', 'd.document'];
  const documents = [...own, ...fieldColumns(fields, ['id', 'version', 'document'])];
  const text = [...own, ...fieldColumns(fields, ['id', 'version', 'document', 'rank', names.text]), 'f.rank AS rank', `f.${tables.text} AS ${quotedName(names.text)}`];
  return `
CREATE VIEW ${quotedName(names.documents)} AS SELECT ${documents.join(', ')} FROM ${tables.documents} d WHERE d.document IS NOT NULL;
CREATE VIEW ${quotedName(names.text)} AS SELECT ${text.join(', ')} FROM ${tables.text} f JOIN ${tables.documents} d ON d.rid = f.rowid;`;
}

function fieldColumns(fields: readonly FieldPlan[], reserved: readonly string[]): string[] {
  const taken = new Set(reserved.map((name) => name.toLowerCase()));
  return fields
    .filter(({ name }) => name.length > 0 && !name.includes('\0') && name.isWellFormed())
    .slice(0, FIELD_COLUMNS_MAX)
    .map(({ name }) => `${fieldExpression(name, 'd.document')} AS ${quotedName(untakenName(name, taken))}`);
}

/** The statements that a batch is made of. `look` says 0 of an older version, 1 of the same, 2 of a newer. Versions, rids and cursors are integers; `?2` of a text statement is the document's JSON. */
export function batchStatements(number: number, plan: TextPlan): Readonly<Record<'look' | 'insert' | 'update' | 'sameText' | 'addText' | 'removeText' | 'forget', string>> {
  const { documents, text, content } = tableNames(number);
  const columns = textColumnNames(plan).map(quotedName);
  const expressions = textExpressions(plan, '?2');
  return {
    look: `SELECT rid, (version >= ?2) + (version > ?2), document IS NOT NULL FROM ${documents} WHERE id = ?1`,
    insert: `INSERT INTO ${documents} (id, version, document) VALUES (?1, ?2, ?3)`,
    update: `UPDATE ${documents} SET version = ?2, document = ?3 WHERE rid = ?1`,
    sameText: `SELECT ${expressions.map((expression, i) => `${columns[i]} IS ${expression}`).join(' AND ')} FROM ${content} WHERE rid = ?1`,
    // VALUES, not SELECT: an INSERT ... SELECT opens a statement journal, and FTS5 flushes to disk for each of those.
    addText: `INSERT INTO ${text} (rowid, ${columns.join(', ')}) VALUES (?1, ${expressions.join(', ')})`,
    removeText: `DELETE FROM ${text} WHERE rowid = ?1`,
    forget: `DELETE FROM ${documents} WHERE document IS NULL AND version < ?1`,
  };
}
