import { describe, expect, test } from 'vitest';
import { StreamPosition } from '../../src/capture/stream-position.ts';
import { TestClock } from '../log/test-clock.ts';

const at = (n: number): Buffer => Buffer.from([n]);
const never = new AbortController().signal;

class Stream {
  readonly clock = new TestClock();
  nudges = 0;
  readonly place = new StreamPosition(at(1), { session: { nudge: () => (this.nudges += 1) }, compare: (a, b) => Buffer.compare(a, b), clock: this.clock });
}

describe('whoever waits for the stream to pass a position', () => {
  test('is told when it has, and not before', async () => {
    const { place } = new Stream();
    const told: number[] = [];
    const waits = [5, 3].map(async (n) => place.passed(at(n), never).then(() => told.push(n)));
    place.moveTo(at(2));
    await Promise.resolve();
    expect(told).toEqual([]);
    place.moveTo(at(4));
    await waits[1];
    expect(told).toEqual([3]);
    place.moveTo(at(5));
    await waits[0];
    expect([told, place.current]).toEqual([[3, 5], at(5)]);
  });

  test('does not wait, nor ask, when it has already', async () => {
    const stream = new Stream();
    await stream.place.passed(at(1), never);
    expect([stream.nudges, stream.clock.waiting]).toEqual([0, 0]);
  });

  test('has it asked where it is, at once and again and again, however many wait, until nobody does', async () => {
    const stream = new Stream();
    const first = stream.place.passed(at(5), never);
    const second = stream.place.passed(at(6), never);
    expect([stream.nudges, stream.clock.waiting]).toEqual([2, 1]);
    stream.clock.advance(100);
    expect([stream.nudges, stream.clock.waiting]).toEqual([7, 1]);
    stream.place.moveTo(at(5));
    await first;
    expect(stream.clock.waiting).toBe(1);
    stream.place.moveTo(at(6));
    await second;
    expect(stream.clock.waiting).toBe(0);
  });

  test('gives up with the reason of its signal, and then asks no more', async () => {
    const stream = new Stream();
    const stop = new AbortController();
    const waits = stream.place.passed(at(5), stop.signal);
    stop.abort(new Error('over'));
    await expect(waits).rejects.toThrow('over');
    stream.clock.advance(100);
    stream.place.moveTo(at(5));
    expect([stream.nudges, stream.clock.waiting]).toEqual([1, 0]);
  });
});
