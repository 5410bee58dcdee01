/**
 * Which words of a document are searched, and under which column of the full-text index.
 *
 * A field that is known beforehand and holds text has a column of its own, nested text included, so that `name:word` finds in it alone.
 * Text of all other fields, those that only documents show too, goes into one last column. Numbers, times, uuids, bytes and vectors are no text.
 * Where the config names the fields to search, these are searched, whatever they hold, and nothing else is.
 *
 * The words are taken from the stored JSON by SQL expressions. The same expressions make the view that the full-text index reads a
 * document's old words from when it forgets them, so they are kept with the generation and never change for it.
 */
import type { ColumnKind } from '../../../src/change/schema.ts';
import type { FieldPlan } from '../../../src/connector/target.ts';
import { textLiteral, untakenName } from './quote.ts';

/** How words are told apart; see https://sqlite.org/fts5.html#tokenizers. */
export interface TextOptions {
  readonly tokenizer: 'unicode61' | 'porter' | 'trigram';
  readonly removeDiacritics: boolean;
}

interface TextField {
  readonly field: string;
  /** The field holds arrays or objects: all text inside is taken. */
  readonly nested: boolean;
  /** The config names the field: whatever it holds is searched. */
  readonly named?: true;
}

interface TextColumn extends TextField {
  readonly column: string;
}

/** Kept as JSON with the generation. */
export interface TextPlan {
  /** FTS5's `tokenize` option. */
  readonly tokenize: string;
  readonly columns: readonly TextColumn[];
  /** The last column: text of every field that is not in `apart`; or, where the config names the fields to search, of `others`. */
  readonly rest: string;
  /** Fields whose text is in a column of its own, or that hold none. */
  readonly apart: readonly string[];
  /** Fields to search that have no column of their own. Undefined where the config names none. */
  readonly others?: readonly TextField[] | undefined;
}

/** Fields beyond this many have no column of their own: each costs every document a few bytes and every write a little time. */
const TEXT_COLUMNS_MAX = 64;

const textKinds: Readonly<Record<ColumnKind, 'flat' | 'nested' | 'none'>> = {
  text: 'flat',
  enum: 'flat',
  other: 'flat',
  json: 'nested',
  array: 'nested',
  object: 'nested',
  boolean: 'none',
  int: 'none',
  bigint: 'none',
  decimal: 'none',
  float: 'none',
  uuid: 'none',
  date: 'none',
  time: 'none',
  timestamp: 'none',
  timestamptz: 'none',
  interval: 'none',
  bytes: 'none',
  ip: 'none',
  geometry: 'none',
  vector: 'none',
};

export function planText(fields: readonly FieldPlan[], options: TextOptions): TextPlan {
  if (fields.some(({ searched }) => searched !== undefined)) return planNamed(fields.filter(({ searched }) => searched === true).map(({ name }) => name), options);
  const taken = new Set(['rank', 'rowid', 'rid']);
  const columns: TextColumn[] = [];
  const apart: string[] = [];
  for (const { name, kind, isLikely } of fields) {
    // Whether it is text is seen in the documents.
    if (isLikely === true) continue;
    const text = textKinds[kind];
    if (text === 'none') {
      apart.push(name);
      continue;
    }
    if (columns.length === TEXT_COLUMNS_MAX || !isPlainName(name)) continue;
    apart.push(name);
    columns.push({ column: untakenName(name, taken), field: name, nested: text === 'nested' });
  }
  return { tokenize: tokenizeOption(options), columns, rest: untakenName('_text', taken), apart };
}

/** Of the fields that the config names, and of nothing else. Their kinds are no guide: what a transform returns is known by its documents only. */
function planNamed(names: readonly string[], options: TextOptions): TextPlan {
  const taken = new Set(['rank', 'rowid', 'rid']);
  const columns: TextColumn[] = [];
  const others: TextField[] = [];
  for (const field of names) {
    const plan: TextField = { field, nested: true, named: true };
    if (columns.length === TEXT_COLUMNS_MAX || !isPlainName(field)) others.push(plan);
    else columns.push({ column: untakenName(field, taken), ...plan });
  }
  return { tokenize: tokenizeOption(options), columns, rest: untakenName('_text', taken), apart: names, others };
}

export function tokenizeOption({ tokenizer, removeDiacritics }: TextOptions): string {
  if (tokenizer === 'trigram') return `trigram remove_diacritics ${removeDiacritics ? 1 : 0}`;
  const unicode = `unicode61 remove_diacritics ${removeDiacritics ? 2 : 0}`;
  return tokenizer === 'porter' ? `porter ${unicode}` : unicode;
}

/** Names of the full-text index's columns, in order. */
export function textColumnNames(plan: TextPlan): string[] {
  return [...plan.columns.map(({ column }) => column), plan.rest];
}

/** An SQL expression for each of `textColumnNames`, over the document that the SQL expression `document` stands for. */
export function textExpressions(plan: TextPlan, document: string): string[] {
  return [...plan.columns.map((column) => columnExpression(column, document)), plan.others === undefined ? restExpression(plan, document) : othersExpression(plan.others, document)];
}

function columnExpression({ field, nested, named }: TextField, document: string): string {
  if (named === true) return namedExpression(field, document);
  const path = textLiteral(pathOf(field));
  return nested ? wordsInside(`${document}, ${path}`) : `json_extract(${document}, ${path})`;
}

/** A field that the config names, by what each document has in it: a text, all text inside, or a number or truth as JSON writes it. */
function namedExpression(field: string, document: string): string {
  if (!isPlainName(field)) return oddExpression(field, document);
  const path = textLiteral(pathOf(field));
  // Of two paths json_extract makes an array, in which values stand as the document has them: [12.50,12.50].
  const twice = `json_extract(${document}, ${path}, ${path})`;
  const value = `json_extract(${document}, ${path})`;
  const inside = wordsInside(`${document}, ${path}`);
  return `CASE coalesce(json_type(${document}, ${path}), 'null') WHEN 'text' THEN ${value} WHEN 'null' THEN NULL WHEN 'object' THEN ${inside} WHEN 'array' THEN ${inside} ELSE substr(${twice}, 2, (length(${twice}) - 3) / 2) END`;
}

/** Older versions of SQLite give names as JSON escapes them, newer ones as they are meant: each finds one of the two. */
function oddExpression(field: string, document: string): string {
  const names = [field, JSON.stringify(field).slice(1, -1)].map(textLiteral).join(', ');
  const text = `CASE WHEN entry.type IN ('object', 'array') THEN ${wordsInside('entry.value')} ELSE entry.value END`;
  return `(SELECT ${text} FROM json_each(${document}) AS entry WHERE entry.key IN (${names}) LIMIT 1)`;
}

function othersExpression(others: readonly TextField[], document: string): string {
  // Nothing, said so that a document which is no JSON is refused here as it is by the others.
  if (others.length === 0) return `nullif(json_type(${document}), json_type(${document}))`;
  return `nullif(trim(${others.map((field) => `coalesce(${columnExpression(field, document)}, '')`).join(` || ' ' || `)}), '')`;
}

function restExpression(plan: TextPlan, document: string): string {
  if (plan.apart.length === 0) return wordsInside(document);
  // A merge patch of nulls removes fields, whatever their names; most documents have nothing left then.
  const removal = `{${plan.apart.map((name) => `${JSON.stringify(name)}:null`).join(',')}}`;
  const rest = `json_patch(${document}, ${textLiteral(removal)})`;
  return `CASE ${rest} WHEN '{}' THEN NULL ELSE ${wordsInside(rest)} END`;
}

function wordsInside(jsonArguments: string): string {
  return `(SELECT group_concat(atom, ' ') FROM json_tree(${jsonArguments}) WHERE type = 'text')`;
}

/** An SQL expression for a top-level field: its SQL value for a scalar, JSON text for an array or object, NULL when it is not there. */
export function fieldExpression(name: string, document: string): string {
  if (isPlainName(name)) return `json_extract(${document}, ${textLiteral(pathOf(name))})`;
  return `(SELECT value FROM json_each(${document}) WHERE key = ${textLiteral(name)} LIMIT 1)`;
}

/** True for a name that JSON text and an SQLite JSON path both write as it stands; versions of SQLite differ in how they read the others. */
function isPlainName(name: string): boolean {
  return name.length > 0 && JSON.stringify(name) === `"${name}"`;
}

function pathOf(plainName: string): string {
  return `$."${plainName}"`;
}
