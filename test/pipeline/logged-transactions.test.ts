import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { FrameKind } from '../../src/connector/log-store.ts';
import { openLog } from '../../src/log/open.ts';
import { loggedTransactions } from '../../src/pipeline/logged-transactions.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';

test('finds the transactions of a source that the log holds, and no other source\'s of the same number', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tailrace-log-'));
  try {
    const options = { directory, epochFloor: 0, segmentBytes: 2 ** 20, segmentMaxAgeMs: 3_600_000, maxBytes: 2 ** 30, minAgeMs: 0, onFull: 'block', compress: false } as const;
    await using log = await openLog(options, nodeRuntime(silentLogger));
    for (const [source, id] of [['a', 5n], ['b', 6n], ['a', 7n]] as const) {
      const transactions = [{ id, position: Buffer.alloc(8), commitTimeMs: 0, firstEntry: 0, entriesBefore: 0, complete: true }];
      await log.append({ kind: FrameKind.stream, source, snapshot: 0, entries: Buffer.alloc(0), count: 0, transactions, registers: [] }, AbortSignal.timeout(5_000));
    }
    expect(await loggedTransactions(log, 'a', new Set([5n, 6n, 7n, 8n]))).toEqual(new Set([5n, 7n]));
    expect(await loggedTransactions(log, 'a', new Set())).toEqual(new Set());
  } finally {
    await rm(directory, { recursive: true });
  }
});
