/**
 * Values between rows and CEL, without losing digits on the way. `docs/expressions.md` shows the table of types to users.
 *
 * Maps of CEL are `Map` objects here, never plain ones: names such as `constructor` and `__proto__` are data.
 */
import { Duration, UnsignedInt } from '@marcbachmann/cel-js/evaluator';
import type { ColumnKind, ColumnSchema } from '../change/schema.ts';
import { Decimal, RawJson, type Value, type ValueObject } from '../change/value.ts';
import { exactNumber, parseExactJson } from './exact-json.ts';

/** The CEL type that columns of a kind have; `dyn` where only the value shows it. */
export function celTypeOf(kind: ColumnKind): string {
  switch (kind) {
    case 'boolean':
      return 'bool';
    case 'int':
    case 'bigint':
      return 'int';
    case 'decimal':
      return 'decimal';
    case 'float':
      return 'double';
    case 'bytes':
      return 'bytes';
    case 'text':
    case 'uuid':
    case 'date':
    case 'time':
    case 'timestamp':
    case 'timestamptz':
    case 'interval':
    case 'enum':
    case 'ip':
      return 'string';
    case 'json':
    case 'geometry':
    case 'vector':
    case 'array':
    case 'object':
    case 'other':
      return 'dyn';
  }
}

/** The kind of a field that an expression of this CEL type computes. */
export function kindOfCelType(type: string): ColumnKind {
  const bare = bareType(type);
  if (bare.startsWith('list')) return 'array';
  if (bare.startsWith('map')) return 'object';
  return computedKinds[bare] ?? 'other';
}

/** The kind of what is in the innermost lists of a list; undefined for other types, and where only the value shows it. */
export function elementOfCelType(type: string): ColumnSchema['element'] {
  let bare = bareType(type);
  if (!bare.startsWith('list')) return undefined;
  while (bare.startsWith('list')) bare = bareType(/^list<(.*)>$/.exec(bare)?.[1] ?? 'dyn');
  const kind = kindOfCelType(bare);
  return kind === 'array' || kind === 'other' ? undefined : kind;
}

/** What a value of a type that is only known while it runs is said to be. */
function bareType(type: string): string {
  return type.replace(/^dyn<(.*)>$/, '$1');
}

const computedKinds: Readonly<Record<string, ColumnKind>> = {
  bool: 'boolean',
  int: 'bigint',
  uint: 'bigint',
  decimal: 'decimal',
  double: 'float',
  string: 'text',
  bytes: 'bytes',
  'google.protobuf.Timestamp': 'timestamptz',
  'google.protobuf.Duration': 'interval',
};

/** A column's value as an expression sees it. Numbers are whole or not as the kind says; within arrays and objects, as they are. */
export function celOf(value: Value, kind: ColumnKind): unknown {
  if (typeof value === 'number') {
    if (kind === 'float') return value;
    if (kind === 'decimal') return new Decimal(String(value));
    return wholeOrDouble(value);
  }
  if (typeof value === 'bigint' && kind === 'decimal') return new Decimal(value.toString());
  return typeof value === 'object' && value !== null ? celOfObject(value) : value;
}

/** What an expression sees of JSON. Throws SyntaxError for what is none. */
export function celOfJson(text: string): unknown {
  return parseExactJson(text, { number: exactNumber, object: (entries) => new Map(entries) });
}

function wholeOrDouble(value: number): bigint | number {
  return Number.isSafeInteger(value) && !Object.is(value, -0) ? BigInt(value) : value;
}

function celOfObject(value: Exclude<Value, null | string | number | bigint | boolean>): unknown {
  if (value instanceof Decimal || value instanceof Uint8Array) return value;
  if (value instanceof RawJson) return celOfJson(value.text);
  if (value instanceof Float32Array) return Array.from(value);
  if (Array.isArray(value)) return value.map((item: Value) => celOf(item, 'array'));
  return new Map(Object.entries(value as ValueObject).map(([name, item]) => [name, celOf(item, 'object')]));
}

/** A date of CEL, which is a JavaScript Date: its text is UTC with milliseconds. */
interface Instant {
  toISOString(): string;
}

/** What an expression yields, as a value of the document. Undefined for what no document holds: types, and things of no known class. */
export function valueOfCel(value: unknown): Value | undefined {
  switch (typeof value) {
    case 'string':
    case 'bigint':
    case 'number':
    case 'boolean':
      return value;
    case 'object':
      return value === null ? null : valueOfCelObject(value);
    default:
      return undefined;
  }
}

function valueOfCelObject(value: object): Value | undefined {
  if (value instanceof Decimal || value instanceof Uint8Array) return value;
  if (value instanceof UnsignedInt) return value.value;
  if (value instanceof Duration) return durationText(value);
  if (Array.isArray(value)) return valuesOf(value);
  if (value instanceof Map) return valueOfEntries([...value.entries()]);
  if ('toISOString' in value) return (value as Instant).toISOString();
  return Object.getPrototypeOf(value) === Object.prototype ? valueOfEntries(Object.entries(value)) : undefined;
}

function valuesOf(items: readonly unknown[]): Value | undefined {
  const values: Value[] = [];
  for (const item of items) {
    const value = valueOfCel(item);
    if (value === undefined) return undefined;
    values.push(value);
  }
  return values;
}

function valueOfEntries(entries: readonly [unknown, unknown][]): Value | undefined {
  const object: [string, Value][] = [];
  for (const [name, item] of entries) {
    const value = valueOfCel(item);
    if (value === undefined) return undefined;
    object.push([String(name), value]);
  }
  return Object.fromEntries(object);
}

/** Seconds with their fraction, as protobuf writes durations: `1.5s`. */
function durationText({ seconds, nanos }: Duration): string {
  const total = seconds * 1_000_000_000n + BigInt(nanos);
  const size = total < 0n ? -total : total;
  const fraction = (size % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '');
  return `${total < 0n ? '-' : ''}${size / 1_000_000_000n}${fraction === '' ? '' : `.${fraction}`}s`;
}
