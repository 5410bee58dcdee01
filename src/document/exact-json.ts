/** JSON read without losing digits: `JSON.parse` makes doubles of all numbers, and 2^53 + 1 is none. */
import { Decimal } from '../change/value.ts';
import { survivesAsDouble } from './decimal-arithmetic.ts';

/** What a reviver is told of a primitive value: its text (ES2025 source text access). */
interface ReviverContext {
  readonly source?: string;
}

const wholeNumber = /^-?\d+$/;

/** A number's text as a whole number (bigint), a double, or a Decimal when a double would not keep it. */
export function exactNumber(source: string): bigint | number | Decimal {
  if (wholeNumber.test(source)) return source === '-0' ? -0 : BigInt(source);
  return survivesAsDouble(source) ? Number(source) : new Decimal(source);
}

/** Parses JSON; `number` makes a value of each number's text, `object` one of each object's entries. Throws SyntaxError. */
export function parseExactJson(text: string, number: (source: string) => unknown, object: (value: Record<string, unknown>) => unknown): unknown {
  const revive = (_name: string, value: unknown, context: ReviverContext): unknown => {
    if (typeof value === 'number') return number(context.source ?? String(value));
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? object(value as Record<string, unknown>) : value;
  };
  return JSON.parse(text, revive as (name: string, value: unknown) => unknown);
}
