/** Goes over the log reading what frames say of themselves and skipping their entries: to find transactions, positions and times. */
import { join } from 'node:path';
import { systemCodeOf } from '../errors/system-code.ts';
import type { DiskFile } from '../runtime/disk.ts';
import { FrameRole } from './format.ts';
import { FrameScanner, HEAD_CHUNK_BYTES } from './frame-scanner.ts';
import { corrupt, diskFailed } from './log-error.ts';
import { marksOf, type LogView } from './log-view.ts';
import type { Segment } from './segment.ts';
import { FrameHeader } from './stored-frame.ts';

/** Which segment comes first. Within a segment the order is always that of the log. */
export type HeaderOrder = 'oldest_segment_first' | 'newest_segment_first';

/**
 * The headers of all durable frames. Heads, metas and the chain are checked (LOG_CORRUPT); entries are not read. Segments that retention
 * removes meanwhile are left out.
 */
export async function* frameHeaders(view: LogView, order: HeaderOrder): AsyncGenerator<FrameHeader, void, void> {
  const segments = [...view.segments];
  if (order === 'newest_segment_first') segments.reverse();
  for (const segment of segments) {
    const file = await openIfKept(view, segment);
    if (file === undefined) continue;
    try {
      yield* headersOf(view, segment, file);
    } finally {
      await file.close();
    }
  }
}

async function* headersOf(view: LogView, segment: Segment, file: DiskFile): AsyncGenerator<FrameHeader, void, void> {
  const start = { offset: 0, prevCrc: segment.prevCrc, seq: segment.firstSeq };
  const scanner = new FrameScanner(file, marksOf(view.identity, segment.ordinal), start, HEAD_CHUNK_BYTES);
  const damaged = (offset: number, reason: string, cause?: unknown): Error =>
    corrupt({ segment: segment.name, offset, firstSeq: scanner.seq ?? segment.firstSeq, lastSeq: segment.nextSeq - 1 }, reason, cause);
  for (;;) {
    const scan = await scanner.nextHead(segment.bytes).catch((error: unknown) => {
      throw diskFailed(`Reading ${segment.name}`, error);
    });
    if (scan.kind === 'end') return;
    if (scan.kind === 'damage') throw damaged(scan.offset, scan.reason);
    if (scan.head.role !== FrameRole.data) continue;
    let header: FrameHeader;
    try {
      header = new FrameHeader(scan.head, scan.meta);
    } catch (error) {
      throw damaged(scan.head.offset, 'the frame cannot be decoded', error);
    }
    yield header;
  }
}

async function openIfKept(view: LogView, segment: Segment): Promise<DiskFile | undefined> {
  try {
    return await view.disk.open(join(view.directory, segment.name), 'read');
  } catch (error) {
    if (systemCodeOf(error) === 'ENOENT' && view.segments.byOrdinal(segment.ordinal) !== segment) return undefined;
    throw diskFailed(`Opening ${segment.name}`, error);
  }
}
