import { expect, test, vi, type Mock } from 'vitest';
import { FrameFeed } from '../../src/apply/frame-feed.ts';
import type { Frame, LogReader } from '../../src/connector/log-store.ts';
import { nodeClock } from '../../src/runtime/node/clock.ts';

const never = new AbortController().signal;
const frame = { firstSeq: 7 } as Frame;

/** A log that has nothing until `give`; it counts how often it is asked, and how often its one promise is listened to. */
function quietLog(): { readonly reader: LogReader; readonly give: PromiseWithResolvers<Frame>; readonly asked: { times: number }; readonly listened: Mock } {
  const give = Promise.withResolvers<Frame>();
  const asked = { times: 0 };
  const next = (): Promise<Frame> => {
    asked.times += 1;
    return give.promise;
  };
  return { reader: { next, poll: async () => undefined } as unknown as LogReader, give, asked, listened: vi.spyOn(give.promise, 'then') };
}

test('a wait that ran out is taken up again, so that no frame is lost, and leaves nothing behind however often that is', async () => {
  const { reader, give, asked, listened } = quietLog();
  const feed = new FrameFeed(reader, nodeClock, never);
  for (let i = 0; i < 50; i += 1) expect(await feed.nextWithin(0)).toBeUndefined();
  expect([asked.times, listened.mock.calls.length]).toEqual([1, 1]);
  const waiting = feed.nextWithin(60_000);
  give.resolve(frame);
  expect(await waiting).toBe(frame);
});

test('a frame that came between two waits is there at the next, by whichever way it is asked for', async () => {
  for (const ask of ['poll', 'next', 'nextWithin'] as const) {
    const { reader, give } = quietLog();
    const feed = new FrameFeed(reader, nodeClock, never);
    await feed.nextWithin(0);
    give.resolve(frame);
    expect(await feed[ask](0)).toBe(frame);
  }
});

test('what ends the log ends the wait, and nothing is left unhandled', async () => {
  const { reader, give } = quietLog();
  const feed = new FrameFeed(reader, nodeClock, never);
  const waiting = feed.nextWithin(60_000);
  give.reject(new Error('the log is closed'));
  await expect(waiting).rejects.toThrow('the log is closed');
});
