/**
 * Looks for frames behind damage. A head that matches its checksum and names this log, this segment and the very offset it lies at is proof
 * that the writer got so far; bytes of a row never look like that by chance, not even a copy of another segment.
 */
import type { DiskFile } from '../runtime/disk.ts';
import { FRAME_MAGIC, HEAD_BYTES } from './format.ts';
import { decodeHead, type FrameHead } from './frame-head.ts';
import { SCAN_CHUNK_BYTES, type SegmentMarks } from './frame-scanner.ts';

const magic = Buffer.alloc(4);
magic.writeUInt32BE(FRAME_MAGIC);

/** The first frame head of the segment at or behind `from` that `accept` wants, or undefined. */
export async function findFrame(file: DiskFile, marks: SegmentMarks, from: number, size: number, accept: (head: FrameHead) => boolean): Promise<FrameHead | undefined> {
  for (let chunkAt = from; chunkAt + HEAD_BYTES <= size; ) {
    const chunk = Buffer.allocUnsafeSlow(Math.min(SCAN_CHUNK_BYTES, size - chunkAt));
    const read = await file.read(chunk, chunkAt);
    if (read < HEAD_BYTES) return undefined;
    const bytes = chunk.subarray(0, read);
    for (let at = bytes.indexOf(magic); at !== -1 && at + HEAD_BYTES <= read; at = bytes.indexOf(magic, at + 1)) {
      const head = decodeHead(bytes, at);
      if (typeof head !== 'string' && liesAt(head, marks, chunkAt + at) && accept(head)) return head;
    }
    chunkAt += read - HEAD_BYTES + 1;
  }
  return undefined;
}

function liesAt(head: FrameHead, marks: SegmentMarks, offset: number): boolean {
  return head.offset === offset && head.ordinal === marks.ordinal && head.logTag === marks.logTag && head.epoch === marks.epoch;
}

/**
 * The first frame that proves that damage at `offset` is no torn tail: it was written after everything up to there was durable.
 */
export function findProofOfDamage(file: DiskFile, marks: SegmentMarks, offset: number, size: number): Promise<FrameHead | undefined> {
  return findFrame(file, marks, offset + 1, size, (head) => head.writeStart > offset);
}
