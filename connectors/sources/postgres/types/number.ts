/** Numbers from text. Whole numbers stay exact at every size; floats are the double nearest to the text. */
import { Decimal, type Value } from '../../../../src/change/value.ts';
import { Malformed } from './malformed.ts';

const ZERO = 48;
const MINUS = 45;
/** So many digits always fit 53 bits. */
const SAFE_DIGITS = 15;

const wholeNumber = /^-?\d+$/;
const plainDecimal = /^-?\d+(?:\.\d+)?$/;
const floatNumber = /^-?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i;

/** A whole number: `number` within 53 bits, bigint beyond. */
export function wholeOf(text: string): number | bigint {
  if (!wholeNumber.test(text)) throw new Malformed('a whole number');
  const value = Number(text);
  return Number.isSafeInteger(value) ? value : BigInt(text);
}

/** The same straight from bytes, without a string for the numbers that nearly all are. */
export function wholeOfBytes(bytes: Buffer, start: number, end: number): number | bigint {
  let at = start;
  const negative = bytes[at] === MINUS;
  if (negative) at += 1;
  if (at === end || end - at > SAFE_DIGITS) return wholeOf(bytes.toString('latin1', start, end));
  let value = 0;
  for (; at < end; at += 1) {
    const digit = (bytes[at] as number) - ZERO;
    if (digit < 0 || digit > 9) throw new Malformed('a whole number');
    value = value * 10 + digit;
  }
  return negative ? 0 - value : value;
}

/** `numeric` with every digit it has, trailing zeros included: the scale is part of the value. */
export function decimalOf(text: string): Decimal {
  if (!plainDecimal.test(text) && text !== 'NaN' && text !== 'Infinity' && text !== '-Infinity') throw new Malformed('a decimal number');
  return new Decimal(text);
}

/** `float4` and `float8` in the shortest text that names them; `extra_float_digits=1` is pinned, so nothing is rounded. */
export function floatOf(text: string): number {
  if (floatNumber.test(text)) return Number(text);
  if (text === 'NaN') return NaN;
  if (text === 'Infinity') return Infinity;
  if (text === '-Infinity') return -Infinity;
  throw new Malformed('a floating-point number');
}

const moneyText = /^(-?)\$(\d{1,3}(?:,\d{3})*\.\d\d)$/;

/** `money` under the pinned `lc_monetary=C`: `-$1,234.50` is -1234.50. */
export function moneyOf(text: string): Decimal {
  const parts = moneyText.exec(text);
  if (parts === null) throw new Malformed('an amount of money');
  return new Decimal(`${parts[1]}${(parts[2] as string).replaceAll(',', '')}`);
}

/** `int2vector` and `oidvector`: whole numbers with blanks between them. */
export function wholeListOf(text: string): Value {
  return text === '' ? [] : text.split(' ').map(wholeOf);
}
