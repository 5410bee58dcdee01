import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { FrameKind, type FrameHeader, type LogStore } from '../../src/connector/log-store.ts';
import { openLog } from '../../src/log/open.ts';
import { LoggedTransactions, type TransactionLog } from '../../src/pipeline/logged-transactions.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';

const never = new AbortController().signal;

/** A log of small segments. */
async function logIn(directory: string): Promise<LogStore> {
  return openLog({ directory, segmentBytes: 4 * 1024, segmentMaxAgeMs: 3_600_000, maxBytes: 2 ** 30, minAgeMs: 0, onFull: 'block', compression: 'none' }, nodeRuntime(silentLogger));
}

async function temporaryLog(): Promise<{ log: LogStore } & AsyncDisposable> {
  const directory = await mkdtemp(join(tmpdir(), 'tailrace-log-'));
  const log = await logIn(directory);
  return {
    log,
    [Symbol.asyncDispose]: async () => {
      await log[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
    },
  };
}

/** A frame of one change, of one transaction. */
async function append(log: LogStore, source: string, id: bigint): Promise<void> {
  const transactions = [{ id, position: Buffer.alloc(8), commitTimeMs: 0, firstEntry: 0, entriesBefore: 0, complete: true }];
  await log.append({ kind: FrameKind.stream, source, snapshot: 0, entries: Buffer.alloc(200), count: 1, transactions, registers: [] }, never);
}

/** The log, with the first seqs of the headers that were looked at. */
function watched(log: LogStore): { readonly seen: number[]; readonly log: TransactionLog } {
  const seen: number[] = [];
  const frameHeaders = async function* (order: Parameters<LogStore['frameHeaders']>[0]): AsyncGenerator<FrameHeader> {
    for await (const header of log.frameHeaders(order)) {
      seen.push(header.firstSeq);
      yield header;
    }
  };
  return { seen, log: Object.create(log, { durableSeq: { get: () => log.durableSeq }, frameHeaders: { value: frameHeaders } }) as TransactionLog };
}

describe('the transactions that the log holds', () => {
  test('are those of the source that was asked for, and no other source\'s of the same number', async () => {
    await using temporary = await temporaryLog();
    const { log } = temporary;
    for (const [source, id] of [['a', 5n], ['b', 6n], ['a', 7n]] as const) await append(log, source, id);
    const ofA = new LoggedTransactions(log, 'a');
    expect(await ofA.among(new Set([5n, 6n, 7n, 8n]), never)).toEqual(new Set([5n, 7n]));
    expect(await ofA.among(new Set(), never)).toEqual(new Set());
  });

  test('are looked for in the newest part first, and no further than to the last that is asked for', async () => {
    await using temporary = await temporaryLog();
    for (let id = 1n; id <= 100n; id += 1n) await append(temporary.log, 'a', id);
    expect(temporary.log.stats().segments).toBeGreaterThan(4);
    const { seen, log } = watched(temporary.log);
    expect(await new LoggedTransactions(log, 'a').among(new Set([99n, 100n]), never)).toEqual(new Set([99n, 100n]));
    expect(Math.min(...seen)).toBeGreaterThan(80);
  });

  test('are not looked for again in what an earlier question has passed', async () => {
    await using temporary = await temporaryLog();
    for (let id = 1n; id <= 100n; id += 1n) await append(temporary.log, 'a', id);
    const { seen, log } = watched(temporary.log);
    const ofA = new LoggedTransactions(log, 'a');
    // 7 is in the log and waits for a standby, say; 500 is open.
    expect(await ofA.among(new Set([7n, 500n]), never)).toEqual(new Set([7n]));
    expect(seen).toHaveLength(100);
    seen.length = 0;
    for (let id = 101n; id <= 103n; id += 1n) await append(temporary.log, 'a', id);
    await append(temporary.log, 'a', 500n);
    expect(await ofA.among(new Set([7n, 500n, 501n]), never)).toEqual(new Set([7n, 500n]));
    expect(Math.min(...seen)).toBeGreaterThan(60);
    expect(await ofA.among(new Set([501n]), never)).toEqual(new Set());
  });

  test('are looked for no longer when nobody waits for them, and then from the beginning at the next question', async () => {
    await using temporary = await temporaryLog();
    for (let id = 1n; id <= 100n; id += 1n) await append(temporary.log, 'a', id);
    const { seen, log } = watched(temporary.log);
    const ofA = new LoggedTransactions(log, 'a');
    const stop = new AbortController();
    const reason = new Error('no longer');
    const asked = ofA.among(new Set([1n, 500n]), stop.signal);
    stop.abort(reason);
    await expect(asked).rejects.toBe(reason);
    expect(seen.length).toBeLessThan(3);
    expect(await ofA.among(new Set([1n, 500n]), never)).toEqual(new Set([1n]));
  });
});
