/** Which settings decide what documents look like. Change one of them and the index is built again; all others may change at any time. */
import { createHash } from 'node:crypto';
import type { IndexDefinition } from './index-settings.ts';

/** Counts up when tailrace itself comes to make other documents of the same settings. */
const DOCUMENT_FORMAT = 1;

/**
 * SHA-256, hex, over everything in the config that decides what documents of an index look like and which rows have one: table, key,
 * fields, filter, transform module, text fields, mapping. Where they are written and how fast is not part of it.
 */
export function documentFingerprint(definition: IndexDefinition, transformHash: string | undefined): string {
  const decisive = {
    format: DOCUMENT_FORMAT,
    from: [definition.from.source, definition.from.table],
    key: definition.key ?? null,
    where: definition.where ?? null,
    fields: (definition.fields ?? [{ kind: 'all' }]).map(fieldIdentity),
    transform: transformHash ?? null,
    text_fields: definition.text_fields === undefined ? null : definition.text_fields.toSorted(),
    ...(definition.mapping === undefined ? {} : { mapping: inOrder(definition.mapping) }),
  };
  return createHash('sha256').update(JSON.stringify(decisive)).digest('hex');
}

/** The same value with the names of all objects in one order: the order of a config means nothing. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, inner]) => [name, inOrder(inner)]));
}

type Rule = NonNullable<IndexDefinition['fields']>[number];

/** The rule as a tuple, which does not depend on the order of its properties. */
function fieldIdentity(rule: Rule): readonly string[] {
  switch (rule.kind) {
    case 'all':
      return [rule.kind];
    case 'omit':
      return [rule.kind, rule.name];
    case 'column':
      return [rule.kind, rule.name, rule.column];
    case 'expression':
      return [rule.kind, rule.name, rule.expression];
  }
}
