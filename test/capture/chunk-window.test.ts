import { describe, expect, test } from 'vitest';
import { ChunkWindows, WINDOW_KEYS_MAX, windowKey } from '../../src/capture/chunk-window.ts';

const at = (n: number): Buffer => Buffer.from([n]);
const windows = (): ChunkWindows => new ChunkWindows((a, b) => Buffer.compare(a, b), at(0));

function key(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n);
  return bytes;
}

describe('a chunk\'s window', () => {
  test('notes the keys that change in its own table while it is open', () => {
    const all = windows();
    const window = all.open('public.a');
    all.note('public.a', key(1), 4);
    all.note('public.b', key(2), 4);
    expect([window.changed(windowKey(key(1))), window.changed(windowKey(key(2)))]).toEqual([true, false]);
  });

  test('takes only as much of a reused key buffer as belongs to the key', () => {
    const all = windows();
    const window = all.open('t');
    all.note('t', Buffer.concat([key(1), key(9)]), 4);
    expect(window.changed(windowKey(key(1)))).toBe(true);
  });

  test('is told once, at the first position at or after its high', () => {
    const all = windows();
    const window = all.open('t');
    let reached = 0;
    all.streamPassed(at(3));
    all.awaitHigh(window, at(5), () => (reached += 1));
    all.streamPassed(at(4));
    expect(reached).toBe(0);
    all.streamPassed(at(5));
    all.streamPassed(at(6));
    expect([reached, all.none]).toEqual([1, true]);
  });

  test('is told at once when the stream has passed its high already', () => {
    const all = windows();
    const window = all.open('t');
    all.streamPassed(at(5));
    let reached = 0;
    all.awaitHigh(window, at(5), () => (reached += 1));
    expect([reached, all.none]).toEqual([1, true]);
  });

  test('that cannot hold what changed, or whose table was emptied, lets nothing through', () => {
    const all = windows();
    const full = all.open('t');
    for (let n = 0; n <= WINDOW_KEYS_MAX; n += 1) full.note(windowKey(key(n)));
    const emptied = all.open('t');
    all.spoil('t');
    for (const window of [full, emptied]) expect([window.overflowed, window.changed('never noted')]).toEqual([true, true]);
  });

  test('knows the keys whose rows were completed beside it until it is closed, passed by or not, and lets them through', () => {
    const all = windows();
    const window = all.open('t');
    all.noteCompleted('t', key(1));
    all.noteCompleted('other', key(9));
    all.awaitHigh(window, at(5), () => {});
    all.streamPassed(at(5));
    all.note('t', key(7), 4);
    all.noteCompleted('t', key(2));
    all.close(window);
    all.noteCompleted('t', key(3));
    expect([window.completed, window.keys, window.changed(windowKey(key(1)))]).toEqual([new Set([windowKey(key(1)), windowKey(key(2))]), new Set(), false]);
  });

  test('that cannot hold what was completed beside it says so', () => {
    const window = windows().open('t');
    for (let n = 0; n <= WINDOW_KEYS_MAX; n += 1) window.noteCompleted(windowKey(key(n)));
    expect([window.completed, window.overflowed]).toEqual([null, false]);
  });

  test('notes nothing more once it is closed', () => {
    const all = windows();
    all.close(all.open('t'));
    expect(all.none).toBe(true);
  });
});
