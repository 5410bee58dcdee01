/** The contract of `src/connector/log-store.ts` as tests: every log store passes them. They speak to the store through its interface only. */
import { describe, expect, test } from 'vitest';
import { ENTRY_OVERHEAD_BYTES, EntryCursor, writeEntry } from '../../src/change/entry.ts';
import { Op } from '../../src/change/operation.ts';
import { FrameKind, type Frame, type FrameDraft, type LogReader, type LogStore, type RegisterUpdate } from '../../src/connector/log-store.ts';
import { codeOf } from '../../src/errors/tailrace-error.ts';

/** One log and the ways to it. */
export interface LogStoreFixture extends AsyncDisposable {
  /** Opens the log; what was opened before is closed, or lost in a crash. */
  open(): Promise<LogStore>;
  /** The process ends at once, with all that the store had under way, and the power with it; without it no crash is tried. */
  readonly crash?: (() => void) | undefined;
  /** Whether the store removes what no hold needs after a few hundred small frames. */
  readonly removes: boolean;
}

const never = new AbortController().signal;
const FRAMES = 300;
const CRASHES = 25;

/** A frame of rows that say `label` and their number. */
export function draft(label: string, count: number, registers: readonly RegisterUpdate[] = []): FrameDraft {
  const parts = Array.from({ length: count }, (_, i) => {
    const bytes = Buffer.from(`${label}/${i}`);
    const entry = Buffer.alloc(ENTRY_OVERHEAD_BYTES + 2 * bytes.length);
    writeEntry(entry, 0, Op.insert, 0, 1, bytes, 0, bytes.length, bytes, 0, bytes.length);
    return entry;
  });
  const transactions = count === 0 ? [] : [{ id: BigInt(count), position: Buffer.from(label), commitTimeMs: 1_700_000_000_123, firstEntry: 0, entriesBefore: 2, complete: true }];
  return { kind: count === 0 ? FrameKind.control : FrameKind.stream, source: 'shop', snapshot: 0, entries: Buffer.concat(parts), count, transactions, registers };
}

const set = (name: string, value: string | null): RegisterUpdate => [name, value === null ? null : Buffer.from(value)];

/** Everything that a reader gets from behind `after`, without what it has. */
async function read(log: LogStore, after = log.firstSeq - 1): Promise<string[]> {
  await using reader = log.reader(after);
  return (await drain(reader)).flatMap((frame) => rowsOf(frame)).filter((row) => Number(row.split(':')[0]) > after);
}

async function drain(reader: LogReader): Promise<Frame[]> {
  const frames: Frame[] = [];
  for (let frame = await reader.poll(); frame !== undefined; frame = await reader.poll()) frames.push(frame);
  return frames;
}

/** `seq:row` of every change. */
function rowsOf(frame: Frame): string[] {
  const rows: string[] = [];
  const cursor = new EntryCursor(frame.entries, frame.firstSeq);
  while (cursor.next()) rows.push(`${cursor.seq}:${cursor.row().toString()}`);
  return rows;
}

function expected(drafts: readonly (readonly [label: string, count: number])[]): string[] {
  return drafts.flatMap(([label, count]) => Array.from({ length: count }, (_, i) => `${label}/${i}`)).map((row, i) => `${i + 1}:${row}`);
}

const textsOf = (registers: ReadonlyMap<string, Uint8Array>): Record<string, string> => Object.fromEntries([...registers].map(([name, value]) => [name, Buffer.from(value).toString()]));

/** Registers the tests. Each has a log of its own from `factory`. */
export function logStoreContract(name: string, factory: () => Promise<LogStoreFixture>): void {
  describe(`${name} keeps the log store contract:`, () => {
    testAppending(factory);
    testReading(factory);
    testEnding(factory);
  });
}

function testAppending(factory: () => Promise<LogStoreFixture>): void {
  test('changes are numbered from 1 without a gap, in the order of the calls, however many are on their way', async () => {
    await using fixture = await factory();
    await using log = await fixture.open();
    expect([log.firstSeq, log.durableSeq]).toEqual([1, 0]);
    const counts = Array.from({ length: FRAMES }, (_, i) => i % 4);
    const appended = await Promise.all(counts.map(async (count, i) => log.append(draft(`f${i}`, count), never)));
    let seq = 0;
    for (const [i, { firstSeq, lastSeq }] of appended.entries()) {
      expect([firstSeq, lastSeq]).toEqual([seq + 1, seq + (counts[i] as number)]);
      seq = lastSeq;
    }
    expect(log.durableSeq).toBe(seq);
  });

  test("a draft's bytes are its caller's again when the append has settled", async () => {
    await using fixture = await factory();
    await using log = await fixture.open();
    const { entries, ...rest } = draft('mine', 3);
    await log.append({ ...rest, entries }, never);
    entries.fill(0xee);
    expect(await read(log)).toEqual(expected([['mine', 3]]));
  });

  test('registers are what the frames set, the last word counts, and what was removed is gone', async () => {
    await using fixture = await factory();
    {
      await using log = await fixture.open();
      await log.append(draft('a', 2, [set('x', '1'), set('y', '1')]), never);
      await log.append(draft('', 0, [set('x', '2'), set('z', '')]), never);
      await log.append(draft('b', 1, [set('y', null)]), never);
      expect(textsOf(log.registers)).toEqual({ x: '2', z: '' });
    }
    await using again = await fixture.open();
    expect(textsOf(again.registers)).toEqual({ x: '2', z: '' });
  });

  test('an append that is given up before it has begun is not in the log', async () => {
    await using fixture = await factory();
    await using log = await fixture.open();
    const reason = new Error('given up');
    await expect(log.append(draft('no', 1), AbortSignal.abort(reason))).rejects.toBe(reason);
    await log.append(draft('yes', 1), never);
    expect(await read(log)).toEqual(expected([['yes', 1]]));
  });
}

function testReading(factory: () => Promise<LogStoreFixture>): void {
  test('a reader gets every frame as it was appended', async () => {
    await using fixture = await factory();
    await using log = await fixture.open();
    const drafts = [draft('a', 2, [set('x', '1')]), draft('', 0, [set('y', null)]), { ...draft('s', 3), kind: FrameKind.snapshot, snapshot: 7, transactions: [] }];
    for (const one of drafts) await log.append(one, never);
    await using reader = log.reader(0);
    const frames = await drain(reader);
    for (const [i, { kind, source, snapshot, entries, count, transactions, registers }] of drafts.entries()) {
      const frame = frames[i] as Frame;
      expect([frame.kind, frame.source, frame.snapshot, frame.count, frame.epoch]).toEqual([kind, source, snapshot, count, log.epoch]);
      expect(Buffer.compare(frame.entries, entries)).toBe(0);
      expect(frame.transactions.map(({ position, ...rest }) => [Buffer.from(position).toString(), rest])).toEqual(transactions.map(({ position, ...rest }) => [Buffer.from(position).toString(), rest]));
      expect(frame.registers.map(([name, value]) => [name, value && Buffer.from(value).toString()])).toEqual(registers.map(([name, value]) => [name, value && Buffer.from(value).toString()]));
    }
  });

  test('a reader begins behind any seq', async () => {
    await using fixture = await factory();
    await using log = await fixture.open();
    const drafts: [string, number][] = Array.from({ length: 40 }, (_, i) => [`f${i}`, 1 + (i % 5)]);
    for (const [label, count] of drafts) await log.append(draft(label, count), never);
    const all = expected(drafts);
    for (let after = 0; after <= all.length; after += 7) expect(await read(log, after)).toEqual(all.slice(after));
  });

  test('a reader at the head waits for what comes, and can be told to wait no longer', async () => {
    await using fixture = await factory();
    await using log = await fixture.open();
    await using reader = log.reader(0);
    expect(await reader.poll()).toBeUndefined();
    const stop = new AbortController();
    const reason = new Error('no longer');
    const waiting = reader.next(stop.signal);
    stop.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    const next = reader.next(never);
    await log.append(draft('late', 2), never);
    expect(rowsOf(await next)).toEqual(['1:late/0', '2:late/1']);
  });

  test('readers never see more than is durable', async () => {
    await using fixture = await factory();
    await using log = await fixture.open();
    await using reader = log.reader(0);
    const appending = Promise.all(Array.from({ length: 50 }, async (_, i) => log.append(draft(`f${i}`, 2), never)));
    let seen = 0;
    while (seen < 100) {
      const frame = await reader.next(never);
      expect(frame.lastSeq).toBeLessThanOrEqual(log.durableSeq);
      seen = frame.lastSeq;
    }
    await appending;
    expect(log.durableSeq).toBe(100);
  });

  test('the header of every durable frame is there, with its transactions and registers', async () => {
    await using fixture = await factory();
    await using log = await fixture.open();
    const drafts = Array.from({ length: FRAMES }, (_, i) => draft(`frame number ${i}`, 2, [set('at', String(i))]));
    for (const one of drafts) await log.append(one, never);
    const oldest = await Array.fromAsync(log.frameHeaders('oldest_segment_first'));
    expect(oldest.map(({ firstSeq, lastSeq }) => [firstSeq, lastSeq])).toEqual(drafts.map((_, i) => [2 * i + 1, 2 * i + 2]));
    expect(oldest.map(({ transactions }) => Buffer.from(transactions[0]?.position ?? []).toString())).toEqual(drafts.map((_, i) => `frame number ${i}`));
    expect(oldest.map(({ registers }) => textsOf(new Map(registers as [string, Uint8Array][])))).toEqual(drafts.map((_, i) => ({ at: String(i) })));
    const newest = await Array.fromAsync(log.frameHeaders('newest_segment_first'));
    expect(newest.map(({ firstSeq }) => firstSeq).toSorted((a, b) => a - b)).toEqual(oldest.map(({ firstSeq }) => firstSeq));
  });

  test('what a hold needs stays; what nothing needs may go, and who asks for it is told so', async () => {
    await using fixture = await factory();
    await using log = await fixture.open();
    log.hold('slow', 0);
    log.hold('fast', 0);
    for (let i = 0; i < FRAMES; i += 1) await log.append(draft(`frame number ${i}`, 2, [set('at', String(i))]), never);
    log.hold('fast', log.durableSeq);
    expect(log.firstSeq).toBe(1);
    expect(await read(log)).toHaveLength(FRAMES * 2);
    log.hold('slow', 200);
    log.release('fast');
    if (!fixture.removes) return;
    await expect.poll(() => log.firstSeq).toBeGreaterThan(1);
    expect(log.firstSeq).toBeLessThanOrEqual(201);
    expect(await read(log, 200)).toHaveLength(FRAMES * 2 - 200);
    expect(log.stats().holds).toEqual([{ name: 'slow', seq: 200 }]);
    await using reader = log.reader(0);
    expect(codeOf(await reader.poll().catch((error: unknown) => error))).toBe('LOG_GAP');
  });
}

function testEnding(factory: () => Promise<LogStoreFixture>): void {
  test('opened again it is the same log, and goes on where it was', async () => {
    await using fixture = await factory();
    const before = await (async () => {
      await using log = await fixture.open();
      await log.append(draft('a', 3), never);
      return { logId: log.logId, epoch: log.epoch };
    })();
    await using log = await fixture.open();
    expect({ logId: log.logId, epoch: log.epoch }).toEqual(before);
    expect(await log.append(draft('b', 2), never)).toEqual({ firstSeq: 4, lastSeq: 5 });
    expect(await read(log)).toEqual(expected([['a', 3], ['b', 2]]));
  });

  test('a log that is closed takes nothing more', async () => {
    await using fixture = await factory();
    const log = await fixture.open();
    await log[Symbol.asyncDispose]();
    await expect(log.append(draft('a', 1), never)).rejects.toThrow();
  });

  test(`after each of ${CRASHES} crashes the log is a prefix of what was appended, cut at a frame, with all that was said to be durable`, async (context) => {
    await using fixture = await factory();
    if (fixture.crash === undefined) return context.skip('nothing makes this store crash');
    let kept: [string, number][] = [];
    for (let crash = 0; crash < CRASHES; crash += 1) {
      const log = await fixture.open();
      log.hold('everything', 0);
      const rows = await read(log, 0);
      const all = expected(kept);
      expect(rows).toEqual(all.slice(0, rows.length));
      kept = prefixOf(kept, rows.length);
      const durable = await crashAppending(log, fixture.crash, kept, crash);
      await using after = await fixture.open();
      expect(after.durableSeq).toBeGreaterThanOrEqual(durable);
      expect(textsOf(after.registers)['last'] ?? '').toBe(prefixOf(kept, after.durableSeq).at(-1)?.[0] ?? '');
    }
    expect(kept.length).toBeGreaterThan(CRASHES);
  });
}

/** The frames up to a seq; fails when that is no end of a frame. */
function prefixOf(frames: readonly [string, number][], seq: number): [string, number][] {
  let at = 0;
  const prefix = frames.filter(([, count]) => (at += count) <= seq);
  expect(prefix.reduce((sum, [, count]) => sum + count, 0)).toBe(seq);
  return prefix;
}

/** Appends, and crashes when some of it is durable. Adds what was appended to `frames`; resolves to the last seq that was said to be durable. */
async function crashAppending(log: LogStore, crash: () => void, frames: [string, number][], round: number): Promise<number> {
  let durable = log.durableSeq;
  const enough = Promise.withResolvers<void>();
  for (let i = 0; i < 12; i += 1) {
    const label = `r${round}f${i}`;
    frames.push([label, 1 + (i % 3)]);
    log.append(draft(label, 1 + (i % 3), [set('last', label)]), never).then(
      ({ lastSeq }) => {
        durable = lastSeq;
        if (i >= round % 6) enough.resolve();
      },
      // The crash ends it.
      () => {},
    );
    // Some go to the disk together, others after each other.
    if ((i + round) % 4 === 0) await Promise.resolve();
  }
  await enough.promise;
  for (let turn = 0; turn < round % 5; turn += 1) await Promise.resolve();
  const told = durable;
  crash();
  return told;
}
