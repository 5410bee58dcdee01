import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Decimal } from '../../src/change/value.ts';
import { add, compare, decimalFrom, DecimalError, multiply, negate, round, subtract, survivesAsDouble, truncate } from '../../src/document/decimal-arithmetic.ts';

/** A number as digits and, for reference, as a whole number of 10^-40. */
const SCALE = 40;
const number = fc.tuple(fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }), fc.integer({ min: 0, max: 20 })).map(([unscaled, scale]) => {
  const negative = unscaled < 0n;
  const digits = (negative ? -unscaled : unscaled).toString().padStart(scale + 1, '0');
  const text = `${negative ? '-' : ''}${digits.slice(0, digits.length - scale)}${scale === 0 ? '' : `.${digits.slice(digits.length - scale)}`}`;
  return { text, exact: unscaled * 10n ** BigInt(SCALE - scale) };
});

/** The same, read back from digits by independent code. */
function exactOf({ digits }: Decimal): bigint {
  const [whole = '', fraction = ''] = digits.replace('-', '').split('.');
  const size = BigInt(whole + fraction.padEnd(SCALE, '0'));
  return digits.startsWith('-') ? -size : size;
}

describe('exact arithmetic', () => {
  test('adds, subtracts, negates and compares as whole numbers do', () => {
    fc.assert(
      fc.property(number, number, (a, b) => {
        const [x, y] = [new Decimal(a.text), new Decimal(b.text)];
        expect(exactOf(add(x, y))).toBe(a.exact + b.exact);
        expect(exactOf(subtract(x, y))).toBe(a.exact - b.exact);
        expect(exactOf(negate(x))).toBe(-a.exact);
        expect(Math.sign(compare(x, y))).toBe(a.exact < b.exact ? -1 : a.exact > b.exact ? 1 : 0);
        expect(exactOf(multiply(x, y))).toBe((a.exact * b.exact) / 10n ** BigInt(SCALE));
      }),
    );
  });

  test('rounds halves away from zero and never moves further than half a place', () => {
    expect(['2.345', '-2.345', '2.344', '0.5', '-0.5', '1e-3', '12'].map((digits) => round(new Decimal(digits), 2).digits)).toEqual(['2.35', '-2.35', '2.34', '0.50', '-0.50', '0.00', '12.00']);
    fc.assert(
      fc.property(number, fc.integer({ min: 0, max: 10 }), (a, places) => {
        const difference = exactOf(round(new Decimal(a.text), places)) - a.exact;
        const half = 10n ** BigInt(SCALE - places) / 2n;
        expect(difference <= half && difference >= -half).toBe(true);
      }),
    );
  });

  test('reads exponents and keeps digits that doubles lose', () => {
    expect(add(new Decimal('1e3'), new Decimal('2.5E-2')).digits).toBe('1000.025');
    expect(add(new Decimal('9007199254740993'), new Decimal('0.1')).digits).toBe('9007199254740993.1');
    expect(truncate(new Decimal('-12.9'))).toBe(-12n);
  });

  test('orders infinities beyond every number, NaN nowhere, and refuses to calculate with them', () => {
    const [one, nan, more, less] = ['1', 'NaN', 'Infinity', '-Infinity'].map((digits) => new Decimal(digits)) as [Decimal, Decimal, Decimal, Decimal];
    expect(compare(more, one)).toBeGreaterThan(0);
    expect(compare(less, one)).toBeLessThan(0);
    expect(compare(more, more)).toBe(0);
    expect(compare(less, more)).toBeLessThan(0);
    expect(compare(nan, nan)).toBeNaN();
    expect(compare(one, nan)).toBeNaN();
    expect(() => add(one, nan)).toThrow(DecimalError);
    expect(() => multiply(more, one)).toThrow(DecimalError);
  });

  test('refuses text that is no number, and numbers that would not end', () => {
    for (const text of ['', '.', 'x', '1e', '1_000', ' 1']) expect(() => decimalFrom(text)).toThrow(DecimalError);
    for (const text of ['1', '-.5', '5.', 'NaN', '1e10']) expect(decimalFrom(text).digits).toBe(text);
    expect(() => add(new Decimal('1e999999'), new Decimal('1'))).toThrow(DecimalError);
    const long = new Decimal('9'.repeat(200_000));
    expect(() => multiply(long, long)).toThrow(DecimalError);
  });

  test('knows which numbers a double keeps', () => {
    const kept = ['0', '0.0', '1.50', '0.1', '123456789.123456', '1e21', '-2.5', '9007199254740992', '5e-324'];
    const lost = ['9007199254740993', '0.1234567890123456789', '1e400', '1e-400', '1e-999999', 'NaN', '100000000000000000000000.1'];
    expect(kept.filter((digits) => !survivesAsDouble(digits))).toEqual([]);
    expect(lost.filter(survivesAsDouble)).toEqual([]);
    fc.assert(fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => survivesAsDouble(String(value))));
  });
});
