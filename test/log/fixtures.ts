/** Drafts, options and runtimes for the tests of the log. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ENTRY_OVERHEAD_BYTES, EntryCursor, writeEntry } from '../../src/change/entry.ts';
import { Op } from '../../src/change/operation.ts';
import { FrameKind, type Frame, type FrameDraft, type LogReader, type RegisterUpdate } from '../../src/connector/log-store.ts';
import type { LogOptions } from '../../src/log/open.ts';

export const never = new AbortController().signal;

/** A frame of small changes whose keys and rows say `label` and their number. */
export function draftOf(label: string, count: number, more: Partial<FrameDraft> = {}): FrameDraft {
  return {
    kind: count === 0 ? FrameKind.control : FrameKind.stream,
    source: count === 0 ? '' : 'shop',
    snapshot: 0,
    entries: entriesOf(Array.from({ length: count }, (_, i) => `${label}/${i}`)),
    count,
    transactions: count === 0 ? [] : [{ id: BigInt(count), position: Buffer.from(label), commitTimeMs: 1_700_000_000_123.5, firstEntry: 0, entriesBefore: 0, complete: true }],
    registers: [],
    ...more,
  };
}

export function registersOf(updates: Record<string, string | null>): RegisterUpdate[] {
  return Object.entries(updates).map(([name, value]) => [name, value === null ? null : Buffer.from(value)]);
}

export function entriesOf(rows: readonly string[]): Buffer {
  const parts = rows.map((row) => {
    const bytes = Buffer.from(row);
    const entry = Buffer.alloc(ENTRY_OVERHEAD_BYTES + 2 * bytes.length);
    writeEntry(entry, 0, Op.insert, 0, 1, bytes, 0, bytes.length, bytes, 0, bytes.length);
    return entry;
  });
  return Buffer.concat(parts);
}

/** `seq:row` of every change of a frame. */
export function rowsOf(frame: Frame): string[] {
  const rows: string[] = [];
  const cursor = new EntryCursor(frame.entries, frame.firstSeq);
  while (cursor.next()) rows.push(`${cursor.seq}:${cursor.row().toString()}`);
  return rows;
}

/** Everything that a reader can get now. */
export async function drain(reader: LogReader): Promise<Frame[]> {
  const frames: Frame[] = [];
  for (let frame = await reader.poll(); frame !== undefined; frame = await reader.poll()) frames.push(frame);
  return frames;
}

export function optionsOf(directory: string, more: Partial<LogOptions> = {}): LogOptions {
  return {
    directory,
    segmentBytes: 64 * 1024 * 1024,
    segmentMaxAgeMs: 3_600_000,
    maxBytes: 1024 * 1024 * 1024,
    minAgeMs: 0,
    onFull: 'block',
    compression: 'none',
    ...more,
  };
}

export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string;
}

export async function temporaryFolder(): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), 'tailrace-log-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
