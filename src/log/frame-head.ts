/** The fixed head of a frame as bytes: written once, checked before anything behind it is believed. Layout: format.ts. */
import { crc32 } from 'node:zlib';
import type { Seq } from '../change/seq.ts';
import { BODY_BYTES_MAX, FORMAT_VERSION, FRAME_MAGIC, FrameRole, HEAD_BYTES, META_BYTES_MAX } from './format.ts';

export interface FrameHead {
  /** The frame's place in the hash chain; 0 until `encodeHead` returned it. */
  readonly crc: number;
  readonly prevCrc: number;
  readonly logTag: number;
  readonly role: FrameRole;
  readonly kind: number;
  readonly flags: number;
  readonly epoch: number;
  readonly appendTimeMs: number;
  readonly firstSeq: Seq;
  readonly count: number;
  readonly ordinal: number;
  readonly offset: number;
  readonly writeStart: number;
  readonly snapshot: number;
  readonly transactionCount: number;
  readonly registerCount: number;
  readonly metaLength: number;
  readonly metaCrc: number;
  readonly bodyLength: number;
  readonly rawLength: number;
  readonly bodyCrc: number;
}

/** Bytes of the whole frame. */
export function frameBytes(head: FrameHead): number {
  return HEAD_BYTES + head.metaLength + head.bodyLength;
}

/** Writes the head at `at` and returns its crc. */
export function encodeHead(into: Buffer, at: number, head: Omit<FrameHead, 'crc'>): number {
  into.writeUInt32BE(FRAME_MAGIC, at);
  into.writeUInt32BE(head.prevCrc, at + 8);
  into.writeUInt32BE(head.logTag, at + 12);
  into[at + 16] = FORMAT_VERSION;
  into[at + 17] = head.role;
  into[at + 18] = head.kind;
  into[at + 19] = head.flags;
  into.writeUInt16BE(head.epoch, at + 20);
  into.writeUInt16BE(0, at + 22);
  into.writeDoubleBE(head.appendTimeMs, at + 24);
  into.writeUIntBE(head.firstSeq, at + 32, 6);
  into.writeUInt16BE(0, at + 38);
  into.writeUInt32BE(head.count, at + 40);
  into.writeUInt32BE(head.ordinal, at + 44);
  into.writeUInt32BE(head.offset, at + 48);
  into.writeUInt32BE(head.writeStart, at + 52);
  into.writeUInt32BE(head.snapshot, at + 56);
  into.writeUInt32BE(head.transactionCount, at + 60);
  into.writeUInt32BE(head.registerCount, at + 64);
  into.writeUInt32BE(head.metaLength, at + 68);
  into.writeUInt32BE(head.metaCrc, at + 72);
  into.writeUInt32BE(head.bodyLength, at + 76);
  into.writeUInt32BE(head.rawLength, at + 80);
  into.writeUInt32BE(head.bodyCrc, at + 84);
  const crc = crc32(into.subarray(at + 8, at + HEAD_BYTES));
  into.writeUInt32BE(crc, at + 4);
  return crc;
}

/** The head at `at`, or a sentence part that says why there is none. `bytes` holds at least `HEAD_BYTES` from `at`. */
export function decodeHead(bytes: Buffer, at: number): FrameHead | string {
  if (bytes.readUInt32BE(at) !== FRAME_MAGIC) return 'no frame begins here';
  const crc = bytes.readUInt32BE(at + 4);
  if (crc32(bytes.subarray(at + 8, at + HEAD_BYTES)) !== crc) return "the frame's head does not match its checksum";
  if (bytes[at + 16] !== FORMAT_VERSION) return `the frame has format version ${bytes[at + 16]}`;
  const role = bytes[at + 17];
  if (role !== FrameRole.header && role !== FrameRole.data && role !== FrameRole.footer) return `the frame has the unknown role ${role}`;
  const metaLength = bytes.readUInt32BE(at + 68);
  const bodyLength = bytes.readUInt32BE(at + 76);
  const rawLength = bytes.readUInt32BE(at + 80);
  if (metaLength > META_BYTES_MAX || bodyLength > BODY_BYTES_MAX || rawLength > BODY_BYTES_MAX) return 'the frame is longer than any frame may be';
  return {
    crc,
    prevCrc: bytes.readUInt32BE(at + 8),
    logTag: bytes.readUInt32BE(at + 12),
    role,
    kind: bytes[at + 18] as number,
    flags: bytes[at + 19] as number,
    epoch: bytes.readUInt16BE(at + 20),
    appendTimeMs: bytes.readDoubleBE(at + 24),
    firstSeq: bytes.readUIntBE(at + 32, 6),
    count: bytes.readUInt32BE(at + 40),
    ordinal: bytes.readUInt32BE(at + 44),
    offset: bytes.readUInt32BE(at + 48),
    writeStart: bytes.readUInt32BE(at + 52),
    snapshot: bytes.readUInt32BE(at + 56),
    transactionCount: bytes.readUInt32BE(at + 60),
    registerCount: bytes.readUInt32BE(at + 64),
    metaLength,
    metaCrc: bytes.readUInt32BE(at + 72),
    bodyLength,
    rawLength,
    bodyCrc: bytes.readUInt32BE(at + 84),
  };
}
