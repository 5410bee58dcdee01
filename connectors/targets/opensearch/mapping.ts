/** From a field's kind and the config to its mapping. docs/targets/opensearch.md has the table. */
import { createHash } from 'node:crypto';
import type { ColumnKind } from '../../../src/change/schema.ts';
import type { FieldPlan, IndexOptions } from '../../../src/connector/target.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { Dialect } from './dialect.ts';
import { fieldProblem } from './names.ts';

/** A field's mapping as the server takes it: `{ type: 'keyword', ignore_above: 8191 }`. */
export type FieldMapping = Readonly<Record<string, unknown>>;

/** Lucene refuses terms beyond 32,766 bytes, and a character makes at most four: longer values are kept and not found by their whole. */
const TERM_CHARS_MAX = 8191;

/** Whole values are for filters, facets and sorting, which need no long ones. */
const WHOLE_TEXT_CHARS_MAX = 1024;

const keyword: FieldMapping = { type: 'keyword', ignore_above: TERM_CHARS_MAX };
const wholeText: FieldMapping = { type: 'keyword', ignore_above: WHOLE_TEXT_CHARS_MAX };
const text: FieldMapping = { type: 'text', fields: { keyword: wholeText } };
/** In the document, found by nothing: any JSON is taken, where every type that is searched refuses some. */
const kept: FieldMapping = { type: 'object', enabled: false };
/** A value out of range or of another form is kept in the document, and found by nothing, instead of costing the document. */
const lenient = { ignore_malformed: true } as const;

const byKind: Readonly<Record<Exclude<ColumnKind, 'json' | 'object' | 'array'>, FieldMapping>> = {
  boolean: { type: 'boolean' },
  int: { type: 'long', ...lenient },
  bigint: { type: 'long', ...lenient },
  // Ranges and sorting go by the nearest double; the exact digits are in the document and under `.keyword`.
  decimal: { type: 'double', ...lenient, fields: { keyword: wholeText } },
  float: { type: 'double', ...lenient },
  text,
  uuid: keyword,
  date: { type: 'date', ...lenient },
  time: keyword,
  timestamp: { type: 'date', ...lenient },
  timestamptz: { type: 'date', ...lenient },
  interval: keyword,
  bytes: { type: 'binary' },
  enum: keyword,
  ip: { type: 'ip', ...lenient },
  geometry: kept,
  vector: kept,
  other: keyword,
};

/** Under this a field that is no text, and that the config names to be searched, is searched as text. */
export const SEARCH_SUBFIELD = 'search';

/** Types that text search works on as they are, or not at all. */
const withoutSubfield: ReadonlySet<unknown> = new Set(['text', 'match_only_text', 'search_as_you_type', 'annotated_text', 'flat_object', 'flattened', 'object', 'nested', undefined]);

/** The mapping of a field, that of its elements for an array, with what the config says of it laid over what follows from its kind. */
export function fieldMapping({ kind, element, searched }: FieldPlan, given: FieldMapping | undefined, dialect: Dialect): FieldMapping {
  // Every field may have many values, in lists in lists, too. Where nobody says what they are, all of them are words, numbers included.
  const valueKind = kind === 'array' ? (element ?? 'text') : kind;
  const derived = valueKind === 'json' || valueKind === 'object' ? (searched === true ? dialect.flatObject : kept) : byKind[valueKind];
  const base = given === undefined ? derived : merged(derived, given);
  if (searched !== true || withoutSubfield.has(base['type'])) return base;
  return { ...base, fields: { ...(base['fields'] as FieldMapping | undefined), [SEARCH_SUBFIELD]: { type: 'text' } } };
}

/** Parameters of one type mean nothing for another: with another `type` only what is given counts. */
function merged(derived: FieldMapping, given: FieldMapping): FieldMapping {
  const isObject = given['properties'] !== undefined && given['type'] === undefined;
  return isObject || (given['type'] !== undefined && given['type'] !== derived['type']) ? given : { ...derived, ...given };
}

/** Mappings of all fields that are known beforehand: those of the plan, and those that only the config names. Throws TGT_MAPPING for one that cannot be. */
export function plannedMappings(fields: readonly FieldPlan[], options: IndexOptions, dialect: Dialect): Map<string, FieldMapping> {
  for (const { name } of fields) {
    const problem = fieldProblem(name);
    if (problem === undefined) continue;
    throw new TailraceError('TGT_MAPPING', { message: `No document can have a field \`${name}\` there: it ${problem}.`, hint: 'Give it another name, or leave it out, with `fields` of the index.', entity: name });
  }
  const given = (options.mapping ?? {}) as Readonly<Record<string, FieldMapping>>;
  const mappings = new Map(fields.map((field) => [field.name, fieldMapping(field, Object.hasOwn(given, field.name) ? given[field.name] : undefined, dialect)]));
  for (const [name, mapping] of Object.entries(given)) if (!mappings.has(name)) mappings.set(name, mapping);
  return mappings;
}

/** What the config says of fields that the mapping does not have. */
export function dynamicOf(options: IndexOptions): 'strict' | 'true' | 'false' {
  const dynamic = options.settings?.['dynamic'];
  return dynamic === true ? 'true' : dynamic === false ? 'false' : 'strict';
}

/** True when the server's mapping of a field has all that is wanted, by the server's own way of writing it. */
export function has(held: unknown, wanted: unknown): boolean {
  if (typeof wanted === 'object' && wanted !== null && !Array.isArray(wanted)) {
    if (typeof held !== 'object' || held === null) return false;
    return Object.entries(wanted).every(([name, value]) => (name === 'type' && value === 'object') || has((held as Readonly<Record<string, unknown>>)[name], value));
  }
  return JSON.stringify(held) === JSON.stringify(wanted) || String(held) === String(wanted);
}

/** Type and digest of a field as the server has it, so that a later change by somebody else is seen: `text#1f2e3d4c`. */
export function signatureOf(held: FieldMapping): string {
  return `${typeOf(held)}#${createHash('sha256').update(canonicalText(held)).digest('hex').slice(0, 8)}`;
}

export function typeOf(held: FieldMapping): string {
  return typeof held['type'] === 'string' ? held['type'] : 'object';
}

/** The same for values that differ in the order of their names only: servers give names back in an order of their own. */
export function canonicalText(value: unknown): string {
  return JSON.stringify(sorted(value));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, one]) => [name, sorted(one)]));
}
