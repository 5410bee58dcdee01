/** Exact arithmetic on `Decimal`: a whole number and a count of digits behind the point, as PostgreSQL's `numeric` calculates. */
import { Decimal } from '../change/value.ts';

/** Largest exponent and longest fraction that is expanded: PostgreSQL's `numeric` holds 131072 digits before and 16383 behind the point. */
const EXPONENT_MAX = 150_000;

/** Most digits that two factors have together: products of products stay affordable. */
const DIGITS_MAX = 300_000;

interface Parts {
  /** All digits as one whole number, with the sign. */
  readonly unscaled: bigint;
  /** How many of the digits are behind the point; never negative. */
  readonly scale: number;
}

const decimalText = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,9}))?$/;

/** Thrown where a result would not be exact or is no number. Its message holds no values. */
export class DecimalError extends Error {
  override readonly name = 'DecimalError';
}

function partsOf({ digits }: Decimal): Parts | undefined {
  const match = decimalText.exec(digits);
  if (match === null) return undefined;
  const [, sign, whole = '', fraction = '', exponentText = '0'] = match;
  if (whole === '' && fraction === '') return undefined;
  const exponent = Number(exponentText);
  if (Math.abs(exponent) > EXPONENT_MAX) throw new DecimalError('a decimal number has too many digits');
  const unscaled = BigInt(`${sign === '-' ? '-' : ''}${whole}${fraction}`);
  const scale = fraction.length - exponent;
  return scale >= 0 ? { unscaled, scale } : { unscaled: unscaled * 10n ** BigInt(-scale), scale: 0 };
}

/** Reads a number. Throws DecimalError for text that is none; `NaN` and infinities pass. */
export function decimalFrom(text: string): Decimal {
  const value = new Decimal(text);
  if (partsOf(value) === undefined && !['NaN', 'Infinity', '-Infinity'].includes(text)) throw new DecimalError('the text is no decimal number');
  return value;
}

function finite(value: Decimal): Parts {
  const parts = partsOf(value);
  if (parts === undefined) throw new DecimalError('NaN and infinities have no arithmetic');
  return parts;
}

function decimalOf({ unscaled, scale }: Parts): Decimal {
  if (scale === 0) return new Decimal(unscaled.toString());
  const negative = unscaled < 0n;
  const digits = (negative ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const point = digits.length - scale;
  return new Decimal(`${negative ? '-' : ''}${digits.slice(0, point)}.${digits.slice(point)}`);
}

/** Both numbers with the same count of digits behind the point. */
function aligned(a: Parts, b: Parts): [bigint, bigint, number] {
  const scale = Math.max(a.scale, b.scale);
  return [a.unscaled * 10n ** BigInt(scale - a.scale), b.unscaled * 10n ** BigInt(scale - b.scale), scale];
}

export function add(a: Decimal, b: Decimal): Decimal {
  const [left, right, scale] = aligned(finite(a), finite(b));
  return decimalOf({ unscaled: left + right, scale });
}

export function subtract(a: Decimal, b: Decimal): Decimal {
  const [left, right, scale] = aligned(finite(a), finite(b));
  return decimalOf({ unscaled: left - right, scale });
}

export function multiply(a: Decimal, b: Decimal): Decimal {
  if (a.digits.length + b.digits.length > DIGITS_MAX) throw new DecimalError('a product has too many digits');
  const left = finite(a);
  const right = finite(b);
  return decimalOf({ unscaled: left.unscaled * right.unscaled, scale: left.scale + right.scale });
}

export function negate(a: Decimal): Decimal {
  const { unscaled, scale } = finite(a);
  return decimalOf({ unscaled: -unscaled, scale });
}

/** < 0, 0 or > 0; NaN when one of them is `NaN`, which is neither less, equal nor greater. Infinities lie beyond every number. */
export function compare(a: Decimal, b: Decimal): number {
  const left = partsOf(a);
  const right = partsOf(b);
  if (left === undefined || right === undefined) {
    const x = left === undefined ? Number(a.digits) : 0;
    const y = right === undefined ? Number(b.digits) : 0;
    return x === y ? 0 : x - y;
  }
  const [x, y] = aligned(left, right);
  return x < y ? -1 : x > y ? 1 : 0;
}

/** Rounded to `places` digits behind the point, halves away from zero. */
export function round(value: Decimal, places: number): Decimal {
  if (!Number.isInteger(places) || places < 0 || places > EXPONENT_MAX) throw new DecimalError('the count of digits to round to is out of range');
  const { unscaled, scale } = finite(value);
  if (scale <= places) return decimalOf({ unscaled: unscaled * 10n ** BigInt(places - scale), scale: places });
  const divisor = 10n ** BigInt(scale - places);
  const half = divisor / 2n;
  return decimalOf({ unscaled: (unscaled + (unscaled < 0n ? -half : half)) / divisor, scale: places });
}

/** The whole number that is left when everything behind the point is cut off. */
export function truncate(value: Decimal): bigint {
  const { unscaled, scale } = finite(value);
  return unscaled / 10n ** BigInt(scale);
}

const hasNonZeroDigit = /^[^eE]*[1-9]/;

function isExactAsDouble(digits: string): boolean {
  const double = Number(digits);
  if (!Number.isFinite(double)) return false;
  if (double === 0) return !hasNonZeroDigit.test(digits);
  return compare(new Decimal(digits), new Decimal(String(double))) === 0;
}

const shortNumber = /^-?\d{1,15}$|^-?(?=[\d.]{1,16}$)\d+\.\d+$/;

/** True when a double of these digits prints the same number again: nothing is lost by making it one. 15 digits always survive. */
export function survivesAsDouble(digits: string): boolean {
  return shortNumber.test(digits) || isExactAsDouble(digits);
}
