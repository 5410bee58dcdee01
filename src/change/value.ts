/**
 * Typed values: what a row decoder yields and what documents are made of.
 *
 * Nothing is rounded on the way: whole numbers beyond 2^53 are bigint, decimals keep their digits, JSON keeps its text,
 * and values that JSON has no word for (NaN, infinities) are `Decimal` or `number` and become JSON strings, never null.
 */

/** An exact decimal number in plain or exponent notation, or `NaN`, `Infinity`, `-Infinity`. */
export class Decimal {
  readonly digits: string;
  constructor(digits: string) {
    this.digits = digits;
  }
  toString(): string {
    return this.digits;
  }
}

/** JSON text that goes into the document as it stands. The holder vouches that it is valid JSON. */
export class RawJson {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

export type Value = null | boolean | number | bigint | string | Decimal | RawJson | Uint8Array | Float32Array | readonly Value[] | ValueObject;

export interface ValueObject {
  readonly [name: string]: Value;
}

const jsonNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/;

/** JSON text of a value. Numbers keep every digit; bytes become base64; what JSON cannot say becomes a string. */
export function jsonOf(value: Value): string {
  if (value === null) return 'null';
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.isWellFormed() ? value : value.toWellFormed());
    case 'number':
      return Number.isFinite(value) ? (Object.is(value, -0) ? '-0.0' : String(value)) : `"${value}"`;
    case 'bigint':
      return value.toString();
    case 'boolean':
      return value ? 'true' : 'false';
    case 'object':
      return jsonOfObject(value);
  }
}

function jsonOfObject(value: Exclude<Value, null | string | number | bigint | boolean>): string {
  if (value instanceof RawJson) return value.text;
  if (value instanceof Decimal) return jsonNumber.test(value.digits) ? value.digits : JSON.stringify(value.digits);
  if (Array.isArray(value)) return `[${value.map((item: Value) => jsonOf(item)).join(',')}]`;
  if (value instanceof Float32Array) return `[${Array.from(value, (x) => jsonOf(x)).join(',')}]`;
  if (value instanceof Uint8Array) return `"${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')}"`;
  const parts: string[] = [];
  for (const [name, item] of Object.entries(value as ValueObject)) parts.push(`${JSON.stringify(name)}:${jsonOf(item)}`);
  return `{${parts.join(',')}}`;
}
