/**
 * Keys as a person writes them, made into keys of a table: a JSON value each, which is the value of a key of one column, a list of the key's values
 * in their order, or an object of them by their columns. Values are written as they stand in a document's id.
 */
import { keyOfParts, KEY_BYTES_MAX } from '../change/key.ts';
import { keyColumns, type ColumnSchema, type DeclaredSchema } from '../change/schema.ts';
import { sentence, suggestion } from '../config/nearest.ts';
import { parseExactJson } from '../document/exact-json.ts';
import { TailraceError } from '../errors/tailrace-error.ts';

type KeyTable = Pick<DeclaredSchema, 'table' | 'columns'>;

const WHOLE_NUMBER = /^-?\d+$/;

/** A number as it is written: `1.10` stays that. */
class Digits {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** Throws SRC_SELECTION, by the key's place and the column's name. */
export function keysFrom(texts: readonly string[], schema: KeyTable): Uint8Array[] {
  const columns = keyColumns(schema);
  const names = columns.map(({ name }) => name);
  if (columns.length === 0) throw refused(schema, `Rows of ${schema.table} cannot be asked for by key: they are told apart by all of their columns`, 'Ask by a condition: `--where`.');
  return texts.map((text, i) => {
    const subject = texts.length === 1 ? `The key for ${schema.table}` : `Key ${i + 1} of ${texts.length} for ${schema.table}`;
    const values = valuesOf(read(text, subject, schema), names, subject, schema);
    const key = keyOfParts(values.map((value, n) => partOf(value, columns[n] as ColumnSchema, subject, schema)));
    if (key.length > KEY_BYTES_MAX) throw refused(schema, `${subject} has ${key.length} bytes; a row with more than ${KEY_BYTES_MAX} cannot be asked for by key`, 'Ask by a condition: `--where`.');
    return key;
  });
}

function read(text: string, subject: string, schema: KeyTable): unknown {
  try {
    return parseExactJson(text, { number: (digits) => new Digits(digits), object: (entries) => new Map(entries) });
  } catch (cause) {
    // What is no JSON, or nested beyond all measure.
    throw refused(schema, `${subject} is no JSON`, 'Text is written in double quotes: `--key \'"A-17"\'`.', cause);
  }
}

function valuesOf(json: unknown, columns: readonly string[], subject: string, schema: KeyTable): readonly unknown[] {
  const own = `the table's key is (${columns.join(', ')})`;
  if (json instanceof Map) {
    const named = json as ReadonlyMap<string, unknown>;
    const unknown = [...named.keys()].find((name) => !columns.includes(name));
    if (unknown !== undefined) {
      const isColumn = schema.columns.some(({ name }) => name === unknown);
      throw refused(schema, isColumn ? `${subject} names the column ${unknown}, which is no part of the key: ${own}` : `${subject} names the column ${unknown}, which the table does not have: ${own}${suggestion(unknown, columns)}`);
    }
    const missing = columns.filter((name) => !named.has(name));
    if (missing.length > 0) throw refused(schema, `${subject} lacks ${missing.join(', ')}: ${own}`);
    return columns.map((name) => named.get(name));
  }
  const values: readonly unknown[] = Array.isArray(json) ? json : [json];
  if (values.length !== columns.length) throw refused(schema, `${subject} has ${values.length} ${values.length === 1 ? 'value' : 'values'}; ${own}`);
  return values;
}

function partOf(value: unknown, { name: column, kind, nullable }: ColumnSchema, subject: string, schema: KeyTable): Uint8Array | null {
  if (value === null && nullable) return null;
  if (value === null) throw refused(schema, `${subject} has null for ${column}, which is never null`);
  const text = value instanceof Digits ? value.text : value;
  if (typeof text === 'string') {
    // No row has such a key, and saying that it was looked up would hide a slip of the hand.
    if ((kind === 'int' || kind === 'bigint') && !WHOLE_NUMBER.test(text)) throw refused(schema, `${subject} has ${JSON.stringify(text)} for ${column}, which is a whole number`);
    return Buffer.from(text);
  }
  const what = typeof value === 'boolean' ? String(value) : Array.isArray(value) ? 'a list' : 'an object';
  throw refused(schema, `${subject} has ${what} for ${column}; a value is text or a number, as it stands in the id of a document`);
}

function refused({ table }: KeyTable, what: string, hint = 'Correct the key, and ask again; `tailrace trace INDEX ID` shows how the key of a row is written.', cause?: unknown): TailraceError {
  return new TailraceError('SRC_SELECTION', { message: sentence(what), did: 'Nothing was changed.', hint, entity: table, cause });
}
