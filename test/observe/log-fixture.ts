/** Rows in a real change log, in a row format of one column: for tests of what is shown of a log. */
import { positionRegister } from '../../src/capture/resume-point.ts';
import { ENTRY_OVERHEAD_BYTES, writeEntry } from '../../src/change/entry.ts';
import { encodeKey } from '../change/encode-key.ts';
import { Op } from '../../src/change/operation.ts';
import type { RowSchema } from '../../src/change/schema.ts';
import { FrameKind, type LogStore } from '../../src/connector/log-store.ts';
import type { RowFormat } from '../../src/connector/row-format.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';

/** A row is the text of its one column; the row `unreadable` cannot be read. */
export const testFormat: RowFormat = {
  name: 'test/1',
  decoder: () => ({
    decode: (row) => {
      const text = Buffer.from(row).toString();
      if (text === 'unreadable') throw new TailraceError('SRC_UNDECODABLE', { message: 'not a row' });
      return [text];
    },
  }),
};

const schema: RowSchema = {
  id: 1,
  source: 'shop',
  table: 'public.products',
  format: 'test/1',
  columns: [{ name: 'name', kind: 'text', sourceType: 'text', nullable: false, keyOrdinal: 0, decoding: {} }],
};

export interface TestRow {
  readonly id: string;
  /** Null for a deleted row. */
  readonly row: string | null;
}

/** Appends the rows as one transaction with id 77. */
export async function appendRows(log: LogStore, rows: readonly TestRow[]): Promise<void> {
  const entries = rows.map(({ id, row }) => {
    const key = encodeKey([Buffer.from(id)]);
    const bytes = Buffer.from(row ?? '');
    const entry = Buffer.alloc(ENTRY_OVERHEAD_BYTES + key.length + bytes.length);
    writeEntry(entry, 0, row === null ? Op.delete : Op.insert, 0, schema.id, key, 0, key.length, bytes, 0, bytes.length);
    return entry;
  });
  await log.append(
    {
      kind: FrameKind.stream,
      source: 'shop',
      snapshot: 0,
      entries: Buffer.concat(entries),
      count: entries.length,
      transactions: [{ id: 77n, position: Buffer.from([10]), commitTimeMs: 1_000, firstEntry: 0, entriesBefore: 0, complete: true }],
      registers: [
        ['schema:1', Buffer.from(JSON.stringify(schema))],
        [positionRegister('shop'), Buffer.from('{"position":"0a"}')],
      ],
    },
    new AbortController().signal,
  );
}
