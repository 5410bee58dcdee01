/** Changes of the rows of two tables in a real change log, and the generation of an index that has them: for tests of what is told of a document. */
import { join } from 'node:path';
import { ENTRY_OVERHEAD_BYTES, EntryFlag, writeEntry } from '../../src/change/entry.ts';
import { Op } from '../../src/change/operation.ts';
import type { RowSchema } from '../../src/change/schema.ts';
import { setSnapshot, type Snapshot } from '../../src/capture/snapshot-state.ts';
import { indexSettings, type IndexDefinition } from '../../src/config/index-settings.ts';
import { FrameKind, type LogStore } from '../../src/connector/log-store.ts';
import type { RowFormat } from '../../src/connector/row-format.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { openLog } from '../../src/log/open.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { encodeKey } from '../change/encode-key.ts';
import { never, optionsOf } from '../log/fixtures.ts';

/** Rows are JSON objects; the row `unreadable` cannot be read. */
export const rowFormat: RowFormat = {
  name: 'json/1',
  decoder: (_, columns) => ({
    decode: (row) => {
      const text = Buffer.from(row).toString();
      if (text === 'unreadable') throw new TailraceError('SRC_UNDECODABLE', { message: 'not a row' });
      return columns.map((name) => (JSON.parse(text) as Record<string, string>)[name] ?? null);
    },
  }),
};

const column = (name: string, keyOrdinal: number): RowSchema['columns'][number] => ({ name, kind: 'text', sourceType: 'text', nullable: false, keyOrdinal, decoding: {} });

/** Ids of the schemas of the tables `public.items` and `public.others`. */
export const ITEMS = 1;
export const OTHERS = 2;

const schemas = [
  { id: ITEMS, table: 'public.items' },
  { id: OTHERS, table: 'public.others' },
].map(({ id, table }): RowSchema => ({ id, source: 'shop', table, format: rowFormat.name, columns: [column('id', 1), column('name', 0)] }));

export const definition: IndexDefinition = { ...indexSettings.parse({ from: 'shop.public.items', where: "name != 'hidden'" }), name: 'items', to: 'memory' };

export const runtime = nodeRuntime(silentLogger);

export interface LoggedRow {
  readonly id: string;
  readonly op?: Op;
  /** The row's `name`; null for none. */
  readonly name?: string | null;
  readonly schema?: number;
  readonly keyChanged?: boolean;
}

/** A log with small segments in a folder. */
export async function rowLog(folder: string, segmentBytes = 64 * 1024): Promise<LogStore> {
  return openLog(optionsOf(join(folder, 'log'), { segmentBytes, holds: [['items-g0001', 0]] }), runtime);
}

/** Appends a transaction, or with `snapshot` rows of that snapshot. Every seq has its own number as transaction and commit time. */
export async function append(log: LogStore, rows: readonly LoggedRow[], snapshot = 0): Promise<void> {
  const entries = rows.map(({ id, op = snapshot > 0 ? Op.read : Op.update, name = id, schema = ITEMS, keyChanged = false }) => {
    const key = op === Op.truncate ? Buffer.alloc(0) : encodeKey([Buffer.from(id)]);
    const row = name === null || op === Op.delete || op === Op.truncate ? Buffer.alloc(0) : Buffer.from(name === 'unreadable' ? name : JSON.stringify({ id, name }));
    const entry = Buffer.alloc(ENTRY_OVERHEAD_BYTES + key.length + row.length);
    writeEntry(entry, 0, op, keyChanged ? EntryFlag.keyChanged : 0, schema, key, 0, key.length, row, 0, row.length);
    return entry;
  });
  const seq = log.durableSeq + 1;
  await log.append(
    {
      kind: snapshot > 0 ? FrameKind.snapshot : FrameKind.stream,
      source: 'shop',
      snapshot,
      entries: Buffer.concat(entries),
      count: entries.length,
      transactions: snapshot > 0 ? [] : [{ id: BigInt(seq), position: Buffer.from([seq % 256]), commitTimeMs: seq, firstEntry: 0, entriesBefore: 0, complete: true }],
      registers: schemas.map((schema) => [`schema:${schema.id}`, Buffer.from(JSON.stringify(schema))] as const),
    },
    never,
  );
}

export function snapshot(more: Partial<Snapshot>): Snapshot {
  return { source: 'shop', number: 1, table: 'public.items', for: ['items-g0001'], reason: 'build', selection: { kind: 'all' }, paused: false, failure: null, sweep: true, startSeq: 0, phase: 'done', rows: 1, estimatedRows: null, doneSeq: 1, ...more };
}

/** Tells the log of a snapshot. */
export async function tell(log: LogStore, more: Partial<Snapshot>): Promise<void> {
  await log.append({ kind: FrameKind.control, source: 'shop', snapshot: 0, entries: Buffer.alloc(0), count: 0, transactions: [], registers: [setSnapshot(snapshot(more))] }, never);
}
