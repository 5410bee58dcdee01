/**
 * Whether two documents say the same. Their texts are compared first, which is all there is to do for a document that is right; else what they
 * mean: the order of names and white space mean nothing, and a field that is null says the same as one that is not there. Numbers are compared digit
 * for digit.
 */
import { parseExactJson } from '../document/exact-json.ts';

/** `unreadable`: what the target holds is no JSON object. `field`: the first one that differs, in the order of the expected document. */
export type Sameness = { readonly kind: 'same' } | { readonly kind: 'other'; readonly field: string } | { readonly kind: 'unreadable' };

const SAME: Sameness = { kind: 'same' };

/** A number by its digits. */
class Digits {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export function compareDocuments(expected: string, stored: string): Sameness {
  if (expected === stored) return SAME;
  const wanted = fieldsOf(expected);
  const held = fieldsOf(stored);
  if (held === null || wanted === null) return { kind: 'unreadable' };
  for (const name of new Set([...wanted.keys(), ...held.keys()])) {
    if (canonical(wanted.get(name)) !== canonical(held.get(name))) return { kind: 'other', field: name };
  }
  return SAME;
}

/** Null for what is no JSON object. */
function fieldsOf(text: string): ReadonlyMap<string, unknown> | null {
  try {
    const value = parseExactJson(text, { number: (digits) => new Digits(digits), object: (entries) => new Map(entries) });
    return value instanceof Map ? (value as ReadonlyMap<string, unknown>) : null;
  } catch (error) {
    // Whatever somebody has put there in the place of a document.
    if (error instanceof SyntaxError || error instanceof RangeError) return null;
    throw error;
  }
}

/** Equal for equal values. */
function canonical(value: unknown): string {
  if (value === undefined || value === null) return 'null';
  if (value instanceof Digits) return value.text;
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value instanceof Map) {
    const entries = [...(value as ReadonlyMap<string, unknown>)].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([name, item]) => `${JSON.stringify(name)}:${canonical(item)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}
