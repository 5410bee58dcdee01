/**
 * What a sealed segment says of itself at its end, so that opening the log reads two small pieces of it and no more.
 *
 * Body: u48 first seq, u48 next seq, u32 data frames, f64 first and f64 last append time, u32 crc of the registers in force behind it (as the
 * next segment's header holds them), u32 index entries, each u48 seq, u32 offset, u32 crc of the frame before; u32 length of the footer frame, u32 "TRLE".
 */
import type { Seq } from '../change/seq.ts';
import { TRAILER_MAGIC } from './format.ts';

/** A frame at which reading may begin. */
export interface IndexEntry {
  readonly seq: Seq;
  readonly offset: number;
  readonly prevCrc: number;
}

export interface SegmentFooter {
  readonly firstSeq: Seq;
  readonly nextSeq: Seq;
  readonly frames: number;
  /** Append times of the first and last data frame; 0 when there is none. */
  readonly firstAppendMs: number;
  readonly lastAppendMs: number;
  readonly registersCrc: number;
  readonly index: readonly IndexEntry[];
}

const FIXED_BYTES = 40;
const ENTRY_BYTES = 14;

/** `headAndMetaBytes`: what the frame has before its body. */
export function encodeFooter(footer: SegmentFooter, headAndMetaBytes: number): Buffer {
  const body = Buffer.allocUnsafe(FIXED_BYTES + footer.index.length * ENTRY_BYTES + 8);
  let at = body.writeUIntBE(footer.firstSeq, 0, 6);
  at = body.writeUIntBE(footer.nextSeq, at, 6);
  at = body.writeUInt32BE(footer.frames, at);
  at = body.writeDoubleBE(footer.firstAppendMs, at);
  at = body.writeDoubleBE(footer.lastAppendMs, at);
  at = body.writeUInt32BE(footer.registersCrc, at);
  at = body.writeUInt32BE(footer.index.length, at);
  for (const entry of footer.index) {
    at = body.writeUIntBE(entry.seq, at, 6);
    at = body.writeUInt32BE(entry.offset, at);
    at = body.writeUInt32BE(entry.prevCrc, at);
  }
  at = body.writeUInt32BE(headAndMetaBytes + body.length, at);
  body.writeUInt32BE(TRAILER_MAGIC, at);
  return body;
}

/** Throws RangeError when the bytes are no footer. */
export function decodeFooter(body: Buffer): SegmentFooter {
  const entries = body.readUInt32BE(36);
  if (body.length !== FIXED_BYTES + entries * ENTRY_BYTES + 8) throw new RangeError('the footer does not end with its frame');
  const index: IndexEntry[] = [];
  for (let at = FIXED_BYTES; index.length < entries; at += ENTRY_BYTES) {
    index.push({ seq: body.readUIntBE(at, 6), offset: body.readUInt32BE(at + 6), prevCrc: body.readUInt32BE(at + 10) });
  }
  return {
    firstSeq: body.readUIntBE(0, 6),
    nextSeq: body.readUIntBE(6, 6),
    frames: body.readUInt32BE(12),
    firstAppendMs: body.readDoubleBE(16),
    lastAppendMs: body.readDoubleBE(24),
    registersCrc: body.readUInt32BE(32),
    index,
  };
}
