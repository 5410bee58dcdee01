import { describe, expect, test } from 'vitest';
import { ProgressMeter, progressText } from '../../cmd/terminal/progress.ts';
import { table, type Paint } from '../../cmd/terminal/table.ts';
import { bytes, count, counted, duration, percent, rate } from '../../cmd/terminal/units.ts';

describe('numbers for people', () => {
  test('have their thousands apart and their unit in the right number', () => {
    expect([count(0), count(999), count(1_234_567)]).toEqual(['0', '999', '1,234,567']);
    expect([counted(1, 'change'), counted(2_000, 'change'), counted(1, 'index', 'indices'), counted(0, 'index', 'indices')]).toEqual(['1 change', '2,000 changes', '1 index', '0 indices']);
  });

  test('of bytes keep two or three digits', () => {
    expect([0, 968, 1_024, 1_300_000, 104_857_600, 365_072_220_160, 2 ** 60].map(bytes)).toEqual(['0 B', '968 B', '1.0 KiB', '1.2 MiB', '100 MiB', '340 GiB', '1,024 PiB']);
  });

  test('of seconds are in the two units that matter, and never 60 of one', () => {
    const shown = [0, 0.004, 0.25, 9.96, 12.3, 59.4, 59.6, 200, 3_599, 3_600, 7_500, 86_399, 86_400, 273_600].map(duration);
    expect(shown).toEqual(['0 s', '0.1 s', '0.3 s', '10.0 s', '12 s', '59 s', '1 min', '3 min 20 s', '59 min 59 s', '1 h', '2 h 5 min', '1 d', '1 d', '3 d 4 h']);
  });

  test('of rates show a decimal only where it says something', () => {
    expect([0, 0.42, 9.96, 42.5, 3_400].map(rate)).toEqual(['0', '0.4', '10.0', '43', '3,400']);
  });

  test('of percent are 100 only when it is all', () => {
    expect([percent(0, 10), percent(9_999, 10_000), percent(10, 10), percent(12, 10), percent(1, 0)]).toEqual(['0 %', '99 %', '100 %', '100 %', '0 %']);
  });
});

test('columns of a table are as wide as their widest cell, and colours take no width', () => {
  const paint: Paint = (_, text) => `\u001B[31m${text}\u001B[39m`;
  const lines = table([{ title: 'a' }, { title: 'number', align: 'right' }, { title: 'c' }], [['x', '1', 'end'], [paint('red', 'longer'), '1,234', '']], paint);
  expect(lines).toEqual(['\u001B[31mA       NUMBER  C\u001B[39m', 'x            1  end', '\u001B[31mlonger\u001B[39m   1,234']);
});

describe('progress', () => {
  const item = { label: 'reading shop.public.products', unit: 'rows', total: 4_000 };

  test('has the rate of the last seconds and what is left at that rate', () => {
    const meter = new ProgressMeter();
    expect(meter.measure([{ ...item, done: 0 }], 0)).toMatchObject([{ perSecond: 0, etaSeconds: null }]);
    expect(meter.measure([{ ...item, done: 1_000 }], 1_000)).toMatchObject([{ perSecond: 1_000, etaSeconds: 3, elapsedMs: 1_000 }]);
    meter.measure([{ ...item, done: 1_000 }], 4_000);
    expect(meter.measure([{ ...item, done: 1_000 }], 5_000)).toMatchObject([{ perSecond: 0, etaSeconds: null }]);
  });

  test('has a rate also where it is looked at more seldom than the rate is taken over', () => {
    const meter = new ProgressMeter();
    meter.measure([{ ...item, done: 0 }], 0);
    expect(meter.measure([{ ...item, done: 1_000 }], 5_000)).toMatchObject([{ perSecond: 200, etaSeconds: 15 }]);
    expect(meter.measure([{ ...item, done: 3_000 }], 10_000)).toMatchObject([{ perSecond: 400, etaSeconds: 2.5 }]);
  });

  test('says how much of how much, how fast, how long still', () => {
    const measured = { ...item, perSecond: 12_345, etaSeconds: 3, elapsedMs: 1 };
    expect(progressText({ ...measured, done: 1_680 })).toBe('42 %  1,680 of about 4,000 rows  12,345 rows/s  3.0 s left');
    expect(progressText({ ...measured, done: 1_680, total: null, etaSeconds: null })).toBe('1,680 rows  12,345 rows/s');
    expect(progressText({ ...measured, done: 4_100, etaSeconds: 0 })).toBe('100 %  4,100 of about 4,000 rows  12,345 rows/s  0 s left');
  });

  test('of work that is begun anew begins anew', () => {
    const meter = new ProgressMeter();
    meter.measure([{ ...item, done: 100 }], 0);
    meter.measure([], 1_000);
    expect(meter.measure([{ ...item, done: 0 }], 2_000)).toMatchObject([{ perSecond: 0, elapsedMs: 0 }]);
  });
});
