/** Names in the config: what sources, targets and indices may be called, and how a table is named. */

/** Longest name of a source, target or index. Generations add `-g0001` to an index's name, and 63 bytes is PostgreSQL's limit for any name. */
export const NAME_LENGTH_MAX = 48;

const plainName = /^[a-z][a-z0-9_-]*$/;
const generationSuffix = /-g\d{4,}$/;

/** What is wrong with a name of a source, target or index; undefined when nothing is. */
export function nameProblem(name: string): string | undefined {
  if (!plainName.test(name)) return 'a name is lower-case letters, digits, `_` and `-`, and begins with a letter';
  if (name.length > NAME_LENGTH_MAX) return `a name has at most ${NAME_LENGTH_MAX} characters`;
  if (generationSuffix.test(name)) return 'a name that ends like `-g0001` is kept for generations of an index';
  return undefined;
}

/** A table of a source, as `from` names it. */
export interface TableReference {
  readonly source: string;
  /** `schema.table`, quoted nowhere: the full name that sources use. */
  readonly table: string;
}

/**
 * Reads `source.schema.table`. A part that has a dot, a quote or a space in it is written in double quotes, a quote within doubled:
 * `shop.public."order.lines"`. Returns a sentence instead when the text is no such name.
 */
export function parseTableReference(text: string): TableReference | string {
  const parts: string[] = [];
  let at = 0;
  for (;;) {
    const quoted = text[at] === '"';
    const part = quoted ? readQuoted(text, at) : readPlain(text, at);
    if (part === undefined) return quoted ? 'a quoted part is closed by a quote' : 'a part of the name is empty, or has characters that need double quotes';
    parts.push(part.value);
    at = part.end;
    if (at === text.length) break;
    if (text[at] !== '.') return 'parts of the name are separated by dots';
    at += 1;
  }
  const [source, schema, table, ...rest] = parts;
  if (source === undefined || schema === undefined || table === undefined) return 'expected `source.schema.table`';
  if (rest.length > 0) return 'expected `source.schema.table`; a part that has a dot in it is written in double quotes';
  return { source, table: `${schema}.${table}` };
}

/** The name that `parseTableReference` reads. */
export function quoteTableReference(source: string, schema: string, table: string): string {
  return [source, schema, table].map((part) => (/^[^."\s]+$/.test(part) ? part : `"${part.replaceAll('"', '""')}"`)).join('.');
}

const plainPart = /[^."\s]+/y;

function readPlain(text: string, at: number): { value: string; end: number } | undefined {
  plainPart.lastIndex = at;
  const match = plainPart.exec(text);
  return match === null ? undefined : { value: match[0], end: plainPart.lastIndex };
}

function readQuoted(text: string, at: number): { value: string; end: number } | undefined {
  let value = '';
  for (let i = at + 1; i < text.length; i += 1) {
    const character = text[i] as string;
    if (character !== '"') {
      value += character;
      continue;
    }
    if (text[i + 1] !== '"') return value === '' ? undefined : { value, end: i + 1 };
    value += '"';
    i += 1;
  }
  return undefined;
}
