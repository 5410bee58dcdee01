/** pgvector's types: `[1,2.5]` for vector and halfvec, `{1:0.5,7:2}/9` for sparsevec. */
import type { ValueObject } from '../../../../src/change/value.ts';
import { Malformed } from './malformed.ts';

const COMMA = 44;
const MINUS = 45;
const DOT = 46;
const ZERO = 48;
const BRACKET_OPEN = 91;
const BRACKET_CLOSE = 93;

/** Up to so many digits, and dividing by a power of ten up to 10^22, a double is exact and the quotient correctly rounded. */
const EXACT_DIGITS = 15;
const powersOfTen = Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));

const floatText = /^-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;
const sparseText = /^\{((?:\d+:[^,:{}]+(?:,\d+:[^,:{}]+)*)?)\}\/(\d+)$/;

/** 32-bit floats; pgvector allows no NaN and no infinity. `dimensions` is the declared number, null for any. */
export function vectorOf(bytes: Buffer, start: number, end: number, dimensions: number | null): Float32Array {
  if (bytes[start] !== BRACKET_OPEN || bytes[end - 1] !== BRACKET_CLOSE || end - start < 3) throw new Malformed('a vector');
  let count = 1;
  for (let at = start; at < end; at += 1) if (bytes[at] === COMMA) count += 1;
  if (dimensions !== null && count !== dimensions) throw new Malformed(`a vector of ${dimensions} dimensions, not ${count},`);
  const values = new Float32Array(count);
  let from = start + 1;
  for (let i = 0; i < count; i += 1) {
    let to = from;
    while (bytes[to] !== COMMA && to < end - 1) to += 1;
    values[i] = componentOf(bytes, from, to);
    from = to + 1;
  }
  return values;
}

/** Plain decimal notation is read digit by digit, exactly; exponents and long fractions go through the language's own parser. */
function componentOf(bytes: Buffer, from: number, to: number): number {
  let at = from;
  const negative = bytes[at] === MINUS;
  if (negative) at += 1;
  let mantissa = 0;
  let digits = 0;
  let fraction = -1;
  for (; at < to; at += 1) {
    const digit = (bytes[at] as number) - ZERO;
    if (digit >= 0 && digit <= 9) {
      mantissa = mantissa * 10 + digit;
      digits += 1;
      if (fraction >= 0) fraction += 1;
    } else if (bytes[at] === DOT && fraction < 0) fraction = 0;
    else return patientComponent(bytes, from, to);
  }
  if (digits === 0 || digits > EXACT_DIGITS) return patientComponent(bytes, from, to);
  const magnitude = fraction > 0 ? mantissa / (powersOfTen[fraction] as number) : mantissa;
  return negative ? -magnitude : magnitude;
}

function patientComponent(bytes: Buffer, from: number, to: number): number {
  const text = bytes.toString('latin1', from, to);
  if (!floatText.test(text)) throw new Malformed('a vector');
  return Number(text);
}

/** `{dimensions, indices, values}`; indices count from 1, as pgvector prints them. */
export function sparseVectorOf(text: string): ValueObject {
  const parts = sparseText.exec(text);
  if (parts === null) throw new Malformed('a sparse vector');
  const indices: number[] = [];
  const values: number[] = [];
  const items = parts[1] === '' ? [] : (parts[1] as string).split(',');
  for (const item of items) {
    const colon = item.indexOf(':');
    const value = item.slice(colon + 1);
    if (!floatText.test(value)) throw new Malformed('a sparse vector');
    indices.push(Number(item.slice(0, colon)));
    values.push(Number(value));
  }
  return { dimensions: Number(parts[2]), indices, values };
}
