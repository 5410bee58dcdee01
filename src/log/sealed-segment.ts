/** A sealed segment is known from its first bytes and its last: the header's head and the footer, checked against each other. */
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Seq } from '../change/seq.ts';
import type { Disk, DiskFile } from '../runtime/disk.ts';
import { FrameRole, HEAD_BYTES, TRAILER_BYTES, TRAILER_MAGIC } from './format.ts';
import { decodeHead, frameBytes, type FrameHead } from './frame-head.ts';
import type { SegmentMarks } from './frame-scanner.ts';
import { corrupt } from './log-error.ts';
import { decodeFooter, type IndexEntry, type SegmentFooter } from './segment-footer.ts';
import type { Segment } from './segment.ts';

/** A footer with an index of this many bytes is had in one read; a longer one takes two. */
const FOOTER_GUESS_BYTES = 4 * 1024;

export interface SealedSegment extends Segment {
  /** Checksum of the registers in the header, and of those that the next header must have. */
  readonly headerRegistersCrc: number;
  readonly registersCrc: number;
}

export interface SegmentFileName {
  readonly name: string;
  readonly firstSeq: Seq;
  readonly ordinal: number;
}

/** Reads what a sealed segment says of itself. `lastSeq`: the seq before the next segment's, for the error message. */
export async function readSealedSegment(disk: Disk, directory: string, file: SegmentFileName, marks: SegmentMarks, lastSeq: Seq): Promise<SealedSegment> {
  const { name, firstSeq, ordinal } = file;
  const damaged = (offset: number, reason: string): Error => corrupt({ segment: name, offset, firstSeq, lastSeq }, reason);
  const handle = await disk.open(join(directory, name), 'read');
  try {
    const bytes = await handle.size();
    const header = await readHeaderHead(handle, marks);
    if (typeof header === 'string') throw damaged(0, header);
    if (header.firstSeq !== firstSeq) throw damaged(0, `its header begins with seq ${header.firstSeq}`);
    const { head, footer } = await readFooter(handle, name, marks, bytes, firstSeq, lastSeq);
    if (footer.firstSeq !== firstSeq || footer.nextSeq !== head.firstSeq) throw damaged(head.offset, 'header and footer do not belong together');
    return {
      name,
      ordinal,
      firstSeq,
      prevCrc: header.prevCrc,
      nextSeq: footer.nextSeq,
      bytes,
      sealed: true,
      endCrc: head.crc,
      frames: footer.frames,
      firstAppendMs: footer.firstAppendMs,
      lastAppendMs: footer.lastAppendMs,
      headerRegistersCrc: header.metaCrc,
      registersCrc: footer.registersCrc,
    };
  } finally {
    await handle.close();
  }
}

/** The head of the segment's header frame, or why there is none. */
export async function readHeaderHead(file: DiskFile, marks: SegmentMarks): Promise<FrameHead | string> {
  const bytes = Buffer.alloc(HEAD_BYTES);
  if ((await file.read(bytes, 0)) < HEAD_BYTES) return 'it ends inside its header';
  const head = decodeHead(bytes, 0);
  if (typeof head === 'string') return head;
  return head.role === FrameRole.header && isMarked(head, marks, 0) ? head : 'its header belongs to another segment';
}

/** The footer of a sealed segment of `size` bytes. Rejects with LOG_CORRUPT when there is none. */
export async function readFooter(
  file: DiskFile,
  name: string,
  marks: SegmentMarks,
  size: number,
  firstSeq: Seq = 0,
  lastSeq: Seq | null = null,
): Promise<{ readonly head: FrameHead; readonly footer: SegmentFooter }> {
  const damaged = (reason: string): Error => corrupt({ segment: name, offset: size, firstSeq, lastSeq }, reason);
  let tail = await readEnd(file, size, FOOTER_GUESS_BYTES);
  if (tail.length < HEAD_BYTES + TRAILER_BYTES || tail.readUInt32BE(tail.length - 4) !== TRAILER_MAGIC) throw damaged('it has no footer, though a later segment follows it');
  const length = tail.readUInt32BE(tail.length - TRAILER_BYTES);
  if (length > size || length < HEAD_BYTES + TRAILER_BYTES) throw damaged('its footer has an impossible length');
  if (length > tail.length) tail = await readEnd(file, size, length);
  if (length > tail.length) throw damaged('the file is shorter than it was');
  const at = tail.length - length;
  const head = decodeHead(tail, at);
  if (typeof head === 'string') throw damaged(`its footer cannot be read: ${head}`);
  const body = tail.subarray(at + HEAD_BYTES + head.metaLength);
  const whole = head.role === FrameRole.footer && isMarked(head, marks, size - length) && frameBytes(head) === length;
  if (!whole || crc32(body) !== head.bodyCrc) throw damaged('its footer does not match its checksum');
  return { head, footer: decodeFooter(body) };
}

function isMarked(head: FrameHead, marks: SegmentMarks, offset: number): boolean {
  return head.logTag === marks.logTag && head.epoch === marks.epoch && head.ordinal === marks.ordinal && head.offset === offset;
}

async function readEnd(file: DiskFile, size: number, bytes: number): Promise<Buffer> {
  const tail = Buffer.alloc(Math.min(size, bytes));
  return tail.subarray(0, await file.read(tail, size - tail.length));
}

/** The last index entry at which nothing behind `after` has begun yet; undefined when reading must begin at the header. */
export function indexEntryBefore(index: readonly IndexEntry[], after: Seq): IndexEntry | undefined {
  return index.findLast((entry) => entry.seq <= after);
}
