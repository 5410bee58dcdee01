/**
 * Values between documents and a user's own module, as plain JSON: strings, numbers, booleans, null, arrays, objects.
 *
 * A number that a JavaScript number does not hold exactly comes as the string of its digits; bytes come as base64.
 */
import { Decimal, RawJson, type Value, type ValueObject } from '../change/value.ts';
import { survivesAsDouble } from './decimal-arithmetic.ts';
import { parseExactJson } from './exact-json.ts';

/** Deepest nesting of what a module may return. */
const DEPTH_MAX = 100;

export function plainOf(value: Value): unknown {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? value : String(value);
    case 'bigint':
      return plainNumber(value.toString());
    case 'object':
      return value === null ? null : plainOfObject(value);
    default:
      return value;
  }
}

function plainNumber(digits: string): number | string {
  return survivesAsDouble(digits) ? Number(digits) : digits;
}

function plainOfObject(value: Exclude<Value, null | string | number | bigint | boolean>): unknown {
  if (value instanceof Decimal) return plainNumber(value.digits);
  if (value instanceof RawJson) return parseExactJson(value.text, { number: plainNumber, object: (entries) => Object.fromEntries(entries) });
  if (value instanceof Float32Array) return Array.from(value, plainOf);
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  if (Array.isArray(value)) return value.map((item: Value) => plainOf(item));
  return Object.fromEntries(Object.entries(value as ValueObject).map(([name, item]) => [name, plainOf(item)]));
}

/** What a document cannot hold. The message names the place, never a value. */
export class NotPlainError extends Error {
  override readonly name = 'NotPlainError';
}

/** A returned value as a value of the document. Throws NotPlainError for functions, maps, cycles and the like; `path` names the place. */
export function valueOfPlain(value: unknown, path: string, depth = 0): Value {
  if (depth > DEPTH_MAX) throw new NotPlainError(`${path} is nested too deeply`);
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'bigint':
    case 'boolean':
      return value;
    case 'object':
      return value === null ? null : valueOfPlainObject(value, path, depth);
    default:
      throw new NotPlainError(`${path} is ${typeof value === 'undefined' ? 'undefined' : `a ${typeof value}`}`);
  }
}

function valueOfPlainObject(value: object, path: string, depth: number): Value {
  if (Array.isArray(value)) return value.map((item: unknown, at) => valueOfPlain(item, `${path}[${at}]`, depth + 1));
  if (value instanceof Uint8Array || value instanceof Float32Array) return value;
  if (hasToJson(value)) return valueOfPlain(value.toJSON(), path, depth + 1);
  if (!isPlainObject(value)) throw new NotPlainError(`${path} is an object of a class`);
  const entries: [string, Value][] = [];
  for (const [name, item] of Object.entries(value)) {
    // As JSON.stringify does, and as `{ a: maybe }` means it.
    if (item !== undefined) entries.push([name, valueOfPlain(item, `${path}.${name}`, depth + 1)]);
  }
  return Object.fromEntries(entries);
}

/** Dates and other objects that say themselves what JSON has for them. */
function hasToJson(value: object): value is { toJSON(): unknown } {
  return 'toJSON' in value && typeof value.toJSON === 'function';
}

export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
