import { expect, test } from 'vitest';
import type { Catalog } from '../../../connectors/sources/postgres/catalog/catalog.ts';
import { Relations } from '../../../connectors/sources/postgres/stream/relations.ts';
import { Transactions } from '../../../connectors/sources/postgres/stream/transactions.ts';
import { encodePosition } from '../../../connectors/sources/postgres/position.ts';
import { parseSnapshot, VisibilityTracker } from '../../../connectors/sources/postgres/visibility.ts';
import { recordingSink } from './recording-sink.ts';
import { begin, commit, insert, relation } from './wire-bytes.ts';

const OURS = 10;
const THEIRS = 20;
const protocol = expect.objectContaining({ code: 'SRC_PROTOCOL' });

/** A catalog of one table with the key `id`. */
const catalog = {
  tables: [],
  tableOf: (oid: number) => (oid === OURS ? 'public.t' : undefined),
  truncated: () => ({ whole: [], part: [] }),
  shapeOf: async () => ({ schema: { table: 'public.t', format: 'postgres/1', columns: [] }, keyIndexes: [0] }),
} as unknown as Catalog;

async function stream(startLsn: bigint): Promise<{ readonly calls: string[]; readonly visibility: VisibilityTracker; readonly feed: (...messages: Buffer[]) => Promise<void> }> {
  const { calls, sink } = recordingSink();
  const signal = new AbortController().signal;
  const visibility = new VisibilityTracker(parseSnapshot('4294967290:4294967290:'), []);
  const relations = new Relations({ catalog, sink, signal, refreshCatalog: async () => {}, hasParent: async () => false });
  const transactions = new Transactions({ sink, relations, catalog, visibility, startLsn, positionAt: (lsn) => encodePosition(lsn, 3), onQuiet: (lsn) => calls.push(`quiet ${lsn}`), onCommitted: () => {} });
  const feed = async (...messages: Buffer[]): Promise<void> => {
    for (const message of messages) await transactions.message(message, 0, message.length);
  };
  return { calls, visibility, feed };
}

const describeOurs = relation(OURS, 't', [{ name: 'id', key: true }]);
const describeTheirs = relation(THEIRS, 'u', [{ name: 'id', key: true }]);

test('a transaction is begun at its first change of a table of ours, under its 64-bit id', async () => {
  const { calls, visibility, feed } = await stream(100n);
  await feed(begin(200n, 5), describeTheirs, insert(THEIRS, ['1']), describeOurs);
  expect(calls).toEqual([]);
  await feed(insert(OURS, ['1']), insert(OURS, ['2']), commit(200n, 248n));
  expect(calls).toEqual([`begin ${2 ** 32 + 5} 0/C8`, 'insert 0 [1] [1]', 'insert 0 [2] [2]', 'commit 0/F8']);
  expect(visibility.size).toBe(1);
});

test('a transaction with nothing for us only tells how far the stream is', async () => {
  const { calls, visibility, feed } = await stream(100n);
  await feed(begin(200n, 5), describeTheirs, insert(THEIRS, ['1']), commit(200n, 248n));
  expect(calls).toEqual(['quiet 248']);
  expect(visibility.size).toBe(0);
});

test('transactions from before the start are passed over, the one that begins there is not', async () => {
  const { calls, feed } = await stream(200n);
  await feed(begin(100n, 5), describeOurs, insert(OURS, ['1']), commit(100n, 200n), begin(200n, 6), insert(OURS, ['2']), commit(200n, 248n));
  expect(calls).toEqual([`begin ${2 ** 32 + 6} 0/C8`, 'insert 0 [2] [2]', 'commit 0/F8']);
});

test('a stream out of order is refused', async () => {
  const cases: Buffer[][] = [
    [begin(200n, 5), begin(300n, 6)],
    [commit(200n, 248n)],
    [begin(200n, 5), commit(300n, 348n)],
    [begin(200n, 5), commit(200n, 248n), begin(220n, 6)],
    [describeOurs, insert(OURS, ['1'])],
    [begin(200n, 5), insert(OURS, ['1'])],
    [begin(200n, 5), Buffer.from('S')],
    [Buffer.from('b')],
    // A message of an application, which nobody asked for.
    [begin(200n, 5), Buffer.from('M\0')],
  ];
  for (const messages of cases) {
    const { feed } = await stream(100n);
    await expect(feed(...messages)).rejects.toEqual(protocol);
  }
});

test('origins are no changes', async () => {
  const { calls, feed } = await stream(100n);
  await feed(begin(200n, 5), Buffer.from('Oxxxx'), commit(200n, 248n));
  expect(calls).toEqual(['quiet 248']);
});
