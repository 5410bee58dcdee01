/** From drafts to bytes: what is done once per draft when it is appended, and what is done when its place in the log is known. */
import { constants, crc32, zstdCompressSync } from 'node:zlib';
import { SEQ_MAX, type Seq } from '../change/seq.ts';
import type { FrameDraft } from '../connector/log-store.ts';
import { invariant } from '../errors/invariant.ts';
import { BODY_BYTES_MAX, COMPRESS_FROM_BYTES, FrameFlag, FrameRole, HEAD_BYTES, META_BYTES_MAX, type LogCompression } from './format.ts';
import { encodeHead } from './frame-head.ts';
import { encodeMeta } from './frame-meta.ts';
import type { SegmentMarks } from './frame-scanner.ts';

/**
 * A body up to this size is copied beside its head. That is cheaper than one more piece to hand to the system, and the copy stays when the draft's bytes are
 * their caller's again. Larger frames come under load only, when nobody waits for a single one.
 */
const COPIED_BODY_BYTES_MAX = 64 * 1024;

export interface EncodedDraft {
  readonly draft: FrameDraft;
  readonly meta: Buffer;
  readonly metaCrc: number;
  readonly body: Uint8Array;
  readonly bodyCrc: number;
  readonly flags: number;
  /** Bytes of the whole frame. */
  readonly bytes: number;
}

export function encodeDraft(draft: FrameDraft, compression: LogCompression): EncodedDraft {
  invariant(draft.count > 0 === draft.entries.length > 0, 'a frame has bytes exactly when it has entries');
  const meta = encodeMeta(draft.source, draft.registers, draft.transactions);
  let body = draft.entries;
  let flags = 0;
  if (compression === 'zstd' && body.length >= COMPRESS_FROM_BYTES) {
    const small = zstdCompressSync(body, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
    if (small.length < body.length) {
      body = small;
      flags = FrameFlag.zstd;
    }
  }
  invariant(meta.length <= META_BYTES_MAX && draft.entries.length <= BODY_BYTES_MAX, 'a frame is within the limits of the format');
  return { draft, meta, metaCrc: crc32(meta), body, bodyCrc: crc32(body), flags, bytes: HEAD_BYTES + meta.length + body.length };
}

/** Where a group begins. */
export interface GroupStart {
  readonly marks: SegmentMarks;
  readonly offset: number;
  readonly prevCrc: number;
  readonly seq: Seq;
  readonly appendTimeMs: number;
}

export interface FramePlace {
  readonly offset: number;
  readonly prevCrc: number;
  readonly crc: number;
  readonly end: number;
  readonly firstSeq: Seq;
  readonly lastSeq: Seq;
  /** The body as it is stored, in bytes of the log's own; undefined for a large one. */
  readonly copy: Buffer | undefined;
}

export interface EncodedGroup {
  /** What is written, one behind the other. */
  readonly parts: readonly Uint8Array[];
  readonly bytes: number;
  /** One per draft. */
  readonly places: readonly FramePlace[];
  readonly endCrc: number;
  readonly nextSeq: Seq;
}

/** Frames that go to disk in one write. */
export function encodeGroup(drafts: readonly EncodedDraft[], start: GroupStart): EncodedGroup {
  let packedBytes = 0;
  for (const { bytes, body } of drafts) packedBytes += body.length <= COPIED_BODY_BYTES_MAX ? bytes : bytes - body.length;
  const packed = Buffer.allocUnsafe(packedBytes);
  const parts: Uint8Array[] = [];
  const places: FramePlace[] = [];
  let { offset, prevCrc, seq } = start;
  let at = 0;
  let partStart = 0;
  for (const encoded of drafts) {
    const { draft, meta, body } = encoded;
    const crc = writeHead(packed, at, encoded, start, offset, prevCrc, seq);
    packed.set(meta, at + HEAD_BYTES);
    at += HEAD_BYTES + meta.length;
    let copy: Buffer | undefined;
    if (body.length <= COPIED_BODY_BYTES_MAX) {
      packed.set(body, at);
      copy = packed.subarray(at, at + body.length);
      at += body.length;
    } else {
      parts.push(packed.subarray(partStart, at), body);
      partStart = at;
    }
    const end = offset + encoded.bytes;
    places.push({ offset, prevCrc, crc, end, firstSeq: seq, lastSeq: seq + draft.count - 1, copy });
    offset = end;
    prevCrc = crc;
    seq += draft.count;
  }
  if (at > partStart) parts.push(packed.subarray(partStart, at));
  invariant(seq <= SEQ_MAX, 'the log has not run out of seqs');
  return { parts, bytes: offset - start.offset, places, endCrc: prevCrc, nextSeq: seq };
}

function writeHead(into: Buffer, at: number, encoded: EncodedDraft, start: GroupStart, offset: number, prevCrc: number, seq: Seq): number {
  const { draft, meta, metaCrc, body, bodyCrc, flags } = encoded;
  const { logTag, epoch, ordinal } = start.marks;
  return encodeHead(into, at, {
    prevCrc,
    logTag,
    role: FrameRole.data,
    kind: draft.kind,
    flags,
    epoch,
    appendTimeMs: start.appendTimeMs,
    firstSeq: seq,
    count: draft.count,
    ordinal,
    offset,
    writeStart: start.offset,
    snapshot: draft.snapshot,
    transactionCount: draft.transactions.length,
    registerCount: draft.registers.length,
    metaLength: meta.length,
    metaCrc,
    bodyLength: body.length,
    rawLength: draft.entries.length,
    bodyCrc,
  });
}

/** A header or footer: a frame without changes that is a write of its own. */
export interface FramingDraft {
  readonly role: typeof FrameRole.header | typeof FrameRole.footer;
  readonly meta: Buffer;
  readonly registerCount: number;
  readonly body: Uint8Array;
}

export function encodeFraming({ role, meta, registerCount, body }: FramingDraft, start: GroupStart): { readonly bytes: Buffer; readonly crc: number } {
  invariant(meta.length <= META_BYTES_MAX, 'registers are within the limits of the format');
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + meta.length + body.length);
  const { logTag, epoch, ordinal } = start.marks;
  const crc = encodeHead(bytes, 0, {
    prevCrc: start.prevCrc,
    logTag,
    role,
    kind: 0,
    flags: 0,
    epoch,
    appendTimeMs: start.appendTimeMs,
    firstSeq: start.seq,
    count: 0,
    ordinal,
    offset: start.offset,
    writeStart: start.offset,
    snapshot: 0,
    transactionCount: 0,
    registerCount,
    metaLength: meta.length,
    metaCrc: crc32(meta),
    bodyLength: body.length,
    rawLength: body.length,
    bodyCrc: crc32(body),
  });
  bytes.set(meta, HEAD_BYTES);
  bytes.set(body, HEAD_BYTES + meta.length);
  return { bytes, crc };
}
