/** Row values of composite types: `(1,"a ""quoted"" text",)`. */
import type { Value, ValueObject } from '../../../../src/change/value.ts';
import { Malformed } from './malformed.ts';
import { quotedItems } from './quoted-list.ts';

interface CompositeField {
  readonly name: string;
  readonly read: (text: string) => Value;
}

/**
 * An object by field name. The type must have as many attributes as the text has: an ALTER TYPE in between is not guessed at.
 * The object has no prototype, so that a field named `__proto__` is a field like any other.
 */
export function compositeOf(text: string, fields: readonly CompositeField[]): ValueObject {
  if (!text.startsWith('(') || !text.endsWith(')')) throw new Malformed('a row value');
  const value = Object.create(null) as Record<string, Value>;
  if (fields.length === 0 && text === '()') return value;
  const items = quotedItems(text, 1, text.length - 1, 'a row value');
  if (items.length !== fields.length) throw new Malformed(`a row value of ${fields.length} fields`);
  for (let i = 0; i < fields.length; i += 1) {
    const field = fields[i] as CompositeField;
    const item = items[i] as string | null;
    value[field.name] = item === null ? null : field.read(item);
  }
  return value;
}
