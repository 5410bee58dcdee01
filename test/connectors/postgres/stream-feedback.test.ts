import { expect, test } from 'vitest';
import { Feedback } from '../../../connectors/sources/postgres/stream/feedback.ts';
import { FlushNudge } from '../../../connectors/sources/postgres/stream/flush-nudge.ts';
import { Liveness } from '../../../connectors/sources/postgres/stream/liveness.ts';
import { Progress } from '../../../connectors/sources/postgres/stream/progress.ts';
import { manualClock } from '../../observe/manual-clock.ts';

function feedback(startLsn: bigint): { readonly clock: ReturnType<typeof manualClock>; readonly sent: string[]; readonly told: Feedback } {
  const clock = manualClock();
  const sent: string[] = [];
  const told = new Feedback(clock, startLsn, (message) => sent.push(`${message.readBigUInt64BE(6)}/${message.readBigUInt64BE(14)}${message[38] === 1 ? '?' : ''}`));
  return { clock, sent, told };
}

test('what is received is told as received, and only what is confirmed as durable', () => {
  const { sent, told } = feedback(100n);
  told.received(300n);
  told.send();
  expect(sent).toEqual(['300/100']);
});

test('a confirmation is told at once when nothing was said for a while, soon otherwise, and once for many', () => {
  const { clock, sent, told } = feedback(100n);
  told.confirm(200n);
  told.confirm(300n);
  told.confirm(400n);
  expect(sent).toEqual(['200/200']);
  clock.advance(49);
  expect(sent).toHaveLength(1);
  clock.advance(1);
  expect(sent).toEqual(['200/200', '400/400']);
  clock.advance(1_000);
  expect(sent).toHaveLength(2);
});

test('a confirmation never goes back', () => {
  const { clock, sent, told } = feedback(100n);
  told.confirm(200n);
  clock.advance(100);
  told.confirm(150n);
  clock.advance(100);
  expect(sent).toEqual(['200/200']);
  expect(told.flushed).toBe(200n);
});

test('while the server waits for an answer, each confirmation is told at once, until it has the one it waits for', () => {
  const { sent, told } = feedback(100n);
  told.received(300n);
  told.reply();
  told.confirm(200n);
  told.confirm(300n);
  told.confirm(400n);
  expect(sent).toEqual(['300/100', '300/200', '300/300']);
});

test('requests for an answer do not come thick and fast', () => {
  const { clock, sent, told } = feedback(100n);
  told.requestReply();
  told.requestReply();
  clock.advance(5);
  told.requestReply();
  expect(sent).toEqual(['100/100?', '100/100?']);
});

test('after the stop nothing is sent by itself', () => {
  const { clock, sent, told } = feedback(100n);
  told.confirm(200n);
  told.confirm(300n);
  told.stop();
  clock.advance(1_000);
  expect(sent).toEqual(['200/200']);
});

function progress(): { readonly clock: ReturnType<typeof manualClock>; readonly told: bigint[]; readonly state: Progress } {
  const clock = manualClock();
  const told: bigint[] = [];
  return { clock, told, state: new Progress(clock, 100n, (lsn) => told.push(lsn)) };
}

test('quiet positions are told every few seconds, the newest of them', () => {
  const { clock, told, state } = progress();
  state.reached(200n, false);
  state.reached(300n, false);
  expect(told).toEqual([]);
  clock.advance(4_999);
  state.tick();
  expect(told).toEqual([]);
  clock.advance(1);
  state.tick();
  state.tick();
  expect(told).toEqual([300n]);
});

test('a position is told at once to whoever waits, also one that was reached before', () => {
  const { told, state } = progress();
  state.hurry();
  state.reached(100n, false);
  expect(told).toEqual([]);
  state.reached(200n, false);
  state.reached(300n, false);
  expect(told).toEqual([200n]);
  state.hurry();
  state.tick();
  expect(told).toEqual([200n, 300n]);
  state.reached(400n, true);
  expect(told).toEqual([200n, 300n, 400n]);
});

test('a position that a commit told already is not told again', () => {
  const { clock, told, state } = progress();
  state.reached(200n, false);
  state.committed(300n);
  clock.advance(10_000);
  state.tick();
  expect(told).toEqual([]);
});

test('a silent server is asked after half its timeout and given up after twice that', () => {
  const liveness = new Liveness(10_000, 0);
  expect(liveness.tick(4_000, true)).toBe('alive');
  expect(liveness.tick(5_000, true)).toBe('ask');
  liveness.heard(6_000);
  for (let ms = 7_000; ms < 11_000; ms += 1_000) expect(liveness.tick(ms, true)).toBe('alive');
  for (let ms = 11_000; ms < 26_000; ms += 1_000) expect(liveness.tick(ms, true)).toBe('ask');
  expect(liveness.tick(26_000, true)).toBe('stalled');
});

test('silence counts neither while nothing is read nor while this process stood still, and never without a timeout', () => {
  const paused = new Liveness(1_000, 0);
  for (let ms = 1_000; ms <= 60_000; ms += 1_000) expect(paused.tick(ms, false)).toBe('alive');
  expect(paused.tick(61_000, true)).toBe('ask');
  const stopped = new Liveness(1_000, 0);
  expect(stopped.tick(600_000, true)).toBe('alive');
  const endless = new Liveness(0, 0);
  for (let ms = 1_000; ms <= 29_000; ms += 1_000) expect(endless.tick(ms, true)).toBe('alive');
  for (let ms = 30_000; ms <= 600_000; ms += 1_000) expect(endless.tick(ms, true)).toBe('ask');
});

function flushNudge(lsns: { flushed: string; inserted: string }): { readonly clock: ReturnType<typeof manualClock>; readonly asked: string[]; readonly nudge: FlushNudge } {
  const clock = manualClock();
  const asked: string[] = [];
  const query = async (sql: string): Promise<Record<string, string>[]> => {
    asked.push(sql.includes('xact_id') ? 'write' : 'look');
    return [lsns];
  };
  return { clock, asked, nudge: new FlushNudge(clock, query, new AbortController().signal) };
}

test('the end of the log is pushed out only when it stays unflushed while somebody waits', async () => {
  const lsns = { flushed: '0/100', inserted: '0/200' };
  const { clock, asked, nudge } = flushNudge(lsns);
  await nudge.nudge();
  expect(asked).toEqual([]);
  for (let i = 0; i < 5; i += 1) {
    clock.advance(20);
    await nudge.nudge();
  }
  expect(asked).toEqual(['look']);
  for (let i = 0; i < 5; i += 1) {
    clock.advance(20);
    await nudge.nudge();
  }
  expect(asked).toEqual(['look', 'look', 'write']);
});

test('a log that is flushed as it goes, a stream that moves, and waits that are long apart are left alone', async () => {
  const lsns = { flushed: '0/100', inserted: '0/200' };
  const flowing = flushNudge(lsns);
  for (let i = 1; i < 60; i += 1) {
    flowing.clock.advance(20);
    lsns.flushed = `0/${(i * 256).toString(16)}`;
    lsns.inserted = `0/${(i * 256 + 256).toString(16)}`;
    await flowing.nudge.nudge();
  }
  expect(flowing.asked).not.toContain('write');
  const moving = flushNudge({ flushed: '0/100', inserted: '0/200' });
  for (let i = 0; i < 60; i += 1) {
    moving.clock.advance(20);
    moving.nudge.moved();
    await moving.nudge.nudge();
  }
  expect(moving.asked).toEqual([]);
  const apart = flushNudge({ flushed: '0/100', inserted: '0/200' });
  for (let i = 0; i < 5; i += 1) {
    apart.clock.advance(1_001);
    await apart.nudge.nudge();
  }
  expect(apart.asked).toEqual([]);
});
