/** The settings of an index, and the definition that they become. */
import { z } from 'zod';
import { parseTableReference, type TableReference } from './names.ts';

/** A field of the document, in the order in which fields are written. */
export type FieldRule =
  /** Every column that no other rule names, in the table's order. */
  | { readonly kind: 'all' }
  | { readonly kind: 'column'; readonly name: string; readonly column: string }
  | { readonly kind: 'expression'; readonly name: string; readonly expression: string }
  /** A column that `all` leaves out. */
  | { readonly kind: 'omit'; readonly name: string };

const columnName = z.string().min(1);

function allDifferent(names: readonly string[]): boolean {
  return new Set(names).size === names.length;
}

const fieldSetting = z.union([
  z.boolean().describe('`true`: the column of that name; `false`: leave the column out.'),
  columnName.describe('The column that the field is made from.'),
  z.strictObject({ expression: z.string().min(1).describe('CEL expression over the columns of the row (docs/expressions.md).') }).describe('A computed field.'),
]);

const fieldsSetting = z
  .union([
    z.array(columnName).min(1).refine(allDifferent, { error: 'a column is listed twice' }).describe('Columns to take, by name.'),
    z.record(z.string().min(1), fieldSetting).refine((fields) => fields['*'] === undefined || fields['*'] === true, { path: ['*'], error: 'expected `true`' }).describe('Fields by name; `"*": true` stands for every column that no other entry names.'),
  ])
  .transform((setting) => fieldRules(setting));

function fieldRules(setting: readonly string[] | Record<string, z.output<typeof fieldSetting>>): readonly FieldRule[] {
  if (Array.isArray(setting)) return setting.map((name: string): FieldRule => ({ kind: 'column', name, column: name }));
  const rules = Object.entries(setting).map(([name, value]): FieldRule => {
    if (name === '*') return { kind: 'all' };
    if (value === false) return { kind: 'omit', name };
    if (value === true) return { kind: 'column', name, column: name };
    return typeof value === 'string' ? { kind: 'column', name, column: value } : { kind: 'expression', name, expression: value.expression };
  });
  return rules.every((rule) => rule.kind === 'omit') ? [{ kind: 'all' }, ...rules] : rules;
}

const batchSettings = z.strictObject({
  max_operations: z.int().min(1).max(100_000).default(1000).describe('Most documents that go to the target in one request.'),
  max_bytes: z.int().min(1024).max(256 * 1024 * 1024).default(5 * 1024 * 1024).describe('Most bytes of documents that go to the target in one request; a larger document goes alone.'),
  max_in_flight: z.int().min(1).max(64).default(4).describe('Most requests that are under way at once, where the target allows more than one.'),
});

const verifySettings = z.strictObject({
  before_swap: z.union([z.boolean(), z.literal('sample')]).default('sample').describe('Whether a new generation is compared with its table before readers get it: `true`: all of it; `sample`: all of it up to a million rows, and of a larger one a sample of a million; `false`: not at all. What differs is repaired; a generation in which something remains is held.'),
  rate: z.int().min(1).max(100_000_000).optional().describe('Rows per second at which the index is compared with its table, again and again. By default it is compared when `tailrace verify` asks for it.'),
  repair: z.boolean().default(false).describe('With `rate`: what differs is repaired, beside being told.'),
});

const tableSetting = z
  .string()
  .min(1)
  .transform((text, context): TableReference => {
    const reference = parseTableReference(text);
    if (typeof reference !== 'string') return reference;
    context.addIssue({ code: 'custom', message: reference });
    return z.NEVER;
  });

export const indexSettings = z.strictObject({
  from: tableSetting.describe('The table that documents are made from: `source.schema.table`. A part with a dot in it is written in double quotes.'),
  to: z.string().min(1).optional().describe('The target that holds the index. May be left out when there is only one target.'),
  key: z.array(columnName).min(1).refine(allDifferent, { error: 'a column is listed twice' }).optional().describe('Columns that identify a row and make the document id. By default the primary key of the table. Indices of one table have the same.'),
  where: z.string().min(1).optional().describe('CEL expression (docs/expressions.md): only rows for which it is true are in the index. A row for which it becomes false leaves the index.'),
  fields: fieldsSetting.optional().describe('Fields of the document: a list of columns, or settings: `name: column`, `name: true` for the column of that name, `name: false` to leave a column out, `name: { expression: CEL }` to compute, `"*": true` for every column that no other entry names. Documents have them in this order. By default every column.'),
  transform: z.string().min(1).optional().describe('TypeScript or JavaScript module, relative to the config file, that exports `transform(document, context)`: it returns the document to store, or null to leave the row out.'),
  text_fields: z.array(z.string().min(1)).min(1).optional().describe('Fields that full-text search looks into. By default every field of text.'),
  on_error: z.enum(['dead_letter', 'stop']).default('dead_letter').describe('What happens with a row that makes no document, or one that the target refuses for good: park it and go on, or stop the index.'),
  max_dead_letters: z.int().min(0).max(1_000_000).default(1000).describe('Most parked documents; with more the index stops, because then the cause is hardly in the rows. They are counted when a batch is done: all of its documents that failed are parked, however many those are.'),
  max_document_bytes: z.int().min(1).max(512 * 1024 * 1024).default(16 * 1024 * 1024).describe('Largest document, in bytes of JSON.'),
  rollback_hours: z.number().min(0).max(24 * 366).default(24).describe('How long a generation that another one has taken the place of is kept and fed, so that `tailrace generations promote` can go back to it. 0 drops it as soon as readers see the other one.'),
  mapping: z.record(z.string().min(1), z.unknown()).optional().describe('How the target keeps fields, by field, in the words of the target, whose page says which. A change builds the index again.'),
  settings: z.record(z.string().min(1), z.unknown()).optional().describe('How the target keeps the index as a whole, in the words of the target, whose page says which.'),
  verify: verifySettings.prefault({}).describe('When the index is compared with its table, beside `tailrace verify`.'),
  batch: batchSettings.prefault({}).describe('How documents are sent.'),
});

export type IndexSettings = z.output<typeof indexSettings>;

/** One index: its name, its target and its settings, defaults filled in. Settings keep the names that they have in the config. */
export interface IndexDefinition extends Omit<IndexSettings, 'to'> {
  readonly name: string;
  readonly to: string;
}
