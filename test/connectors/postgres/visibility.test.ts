import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isVisible, parseSnapshot, VisibilityTracker, widenXid } from '../../../connectors/sources/postgres/visibility.ts';

const XID_RANGE = 2 ** 32;

test('a snapshot shows what had ended when it was taken', () => {
  const snapshot = parseSnapshot('100:110:100,105');
  expect([99, 100, 101, 105, 109, 110, 111].map((xid) => isVisible(snapshot, xid))).toEqual([true, false, true, false, true, false, false]);
  expect(isVisible(parseSnapshot('301788:301788:'), 301788)).toBe(false);
  expect(() => parseSnapshot('nonsense')).toThrow(expect.objectContaining({ code: 'SRC_PROTOCOL' }));
});

test('the upper half of an id is the one nearest to the newest id, across the wraparound in both directions', () => {
  expect(widenXid(5, 3)).toBe(5);
  expect(widenXid(5, XID_RANGE - 10)).toBe(XID_RANGE + 5);
  expect(widenXid(XID_RANGE - 10, XID_RANGE + 5)).toBe(XID_RANGE - 10);
  expect(widenXid(0xffff_fff0, 7 * XID_RANGE + 3)).toBe(6 * XID_RANGE + 0xffff_fff0);
  fc.assert(
    fc.property(fc.integer({ min: 3, max: 2 ** 52 }), fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 }), (newest, distance) => {
      const xid = newest + distance;
      if (xid >= 3) expect(widenXid(xid % XID_RANGE, newest)).toBe(xid);
    }),
  );
});

test('a snapshot counts only when it shows everything that was pushed before the mark', () => {
  const tracker = new VisibilityTracker(parseSnapshot('100:100:'), []);
  tracker.record(100);
  const mark = tracker.mark();
  tracker.record(102);
  expect(tracker.sees('100:100:', mark)).toBe(false);
  expect(tracker.sees('100:103:100,102', mark)).toBe(false);
  expect(tracker.hiddenXid('100:103:100,102', mark)).toBe(100);
  expect(tracker.sees('102:103:102', mark)).toBe(true);
  expect(tracker.sees('102:103:102', tracker.mark())).toBe(false);
  expect(tracker.sees('103:103:', tracker.mark())).toBe(true);
});

test('a transaction that the log held before the session counts as pushed before everything', () => {
  const tracker = new VisibilityTracker(parseSnapshot('100:105:101'), [101, 105]);
  const mark = tracker.mark();
  expect(tracker.sees('101:106:101', mark)).toBe(false);
  expect(tracker.sees('105:106:105', mark)).toBe(false);
  expect(tracker.sees('106:106:', mark)).toBe(true);
});

test('a snapshot that is older than the session\'s first, or than what was forgotten, proves nothing', () => {
  const tracker = new VisibilityTracker(parseSnapshot('100:105:103'), []);
  expect(tracker.sees('100:104:', tracker.mark())).toBe(false);
  tracker.record(106);
  tracker.prune('107:107:', tracker.mark());
  expect(tracker.size).toBe(0);
  expect(tracker.sees('106:107:106', tracker.mark())).toBe(false);
  expect(tracker.sees('107:109:', tracker.mark())).toBe(true);
});

test('forgetting keeps what is not proven', () => {
  const tracker = new VisibilityTracker(parseSnapshot('100:100:'), []);
  for (const xid of [100, 101, 102]) tracker.record(xid);
  const mark = tracker.mark();
  tracker.record(103);
  tracker.prune('101:104:101', mark);
  expect(tracker.size).toBe(2);
  expect(tracker.sees('101:104:101', mark)).toBe(false);
  expect(tracker.sees('104:104:', tracker.mark())).toBe(true);
});

test('for any history of commits, snapshots, marks and forgetting, a snapshot counts exactly when it shows what was pushed', () => {
  type Step = { readonly kind: 'start' | 'push' | 'end' | 'check' | 'prune'; readonly pick: number };
  const anyStep = fc.record<Step>({ kind: fc.constantFrom('start', 'push', 'end', 'check', 'prune'), pick: fc.nat(1000) });
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
      let next = 3;
      const running: number[] = [];
      const pushed: number[] = [];
      const snapshot = (): string => {
        const ended = Math.max(2, ...Array.from({ length: next - 3 }, (_, i) => i + 3).filter((xid) => !running.includes(xid)));
        const xmax = ended + 1;
        const xip = running.filter((xid) => xid < xmax);
        return `${Math.min(xmax, ...xip)}:${xmax}:${xip.toSorted((a, b) => a - b).join(',')}`;
      };
      const tracker = new VisibilityTracker(parseSnapshot(snapshot()), []);
      for (const { kind, pick } of steps) {
        if (kind === 'start') running.push(next++);
        // A transaction is pushed once its commit record is written, which is before others see its end.
        else if (kind === 'push' && running.length > 0) {
          const xid = running[pick % running.length] as number;
          if (!pushed.includes(xid)) {
            pushed.push(xid);
            expect(tracker.record(xid)).toBe(xid);
          }
        } else if (kind === 'end' && running.length > 0) running.splice(pick % running.length, 1);
        else if (kind === 'prune') tracker.prune(snapshot(), tracker.mark());
        else if (kind === 'check') expect(tracker.sees(snapshot(), tracker.mark())).toBe(pushed.every((xid) => !running.includes(xid)));
      }
    }),
  );
});
