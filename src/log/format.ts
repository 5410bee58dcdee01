/**
 * SPEC of the change log's files, format version 1. `docs/log-format.md` says the same with examples. All numbers are big-endian.
 *
 * Folder     IDENTITY                                        JSON, see identity.ts
 *            <firstSeq, 20 digits>-<ordinal, 10 digits>.seg  one per segment; ordinals run from 1 without a gap, so two segments
 *                                                            that begin at the same seq (one held no changes) differ in name
 * Segment    header frame, data frames, and a footer frame once it is sealed. Only the last segment is not sealed.
 * Frame      head (88 bytes), meta, body
 *
 * Head        0 u32  magic "TRLF"
 *             4 u32  crc32 of bytes 8..88 of the head: the frame's crc. It covers the crcs of meta and body, so it stands for the frame
 *             8 u32  crc of the frame before, across segments; for the log's first frame crc32 of the log id: the chain
 *            12 u32  crc32 of the log id
 *            16 u8   format version     17 u8 role: 1 header, 2 data, 3 footer     18 u8 kind (FrameKind)     19 u8 flags: 1 body is zstd
 *            20 u16  epoch              22 u16 zero
 *            24 f64  wall clock at append, ms since 1970
 *            32 u48  seq of the first entry; of the next entry to come when the frame has none     38 u16 zero
 *            40 u32  count of entries
 *            44 u32  ordinal of the segment
 *            48 u32  offset of this frame in the segment
 *            52 u32  offset at which the write that this frame belongs to began
 *            56 u32  snapshot number, or 0
 *            60 u32  count of transactions     64 u32 count of register updates
 *            68 u32  length of meta            72 u32 crc32 of meta
 *            76 u32  length of body as stored  80 u32 length of body uncompressed     84 u32 crc32 of body as stored
 * Meta       u16 length, source name; the register updates: u16 length, name, u32 length or ffffffff for "removed", value;
 *            the transactions: u64 id, f64 commit time ms, u32 first entry, u48 entries before, u8 complete, u16 length, position
 * Body       data: entries back to back (src/change/entry.ts); header: log id; footer: see segment-footer.ts
 *
 * Header     firstSeq is the segment's; registers are all that are in force, sorted by name, so that a segment can be read alone.
 * Footer     its body ends with u32 length of the whole frame, u32 "TRLE": a sealed segment is read from its end.
 *
 * Rules that recovery rests on:
 *  - one write is in flight at a time, and the next begins only after `datasync` of the one before resolved. A frame whose write began at
 *    offset W therefore proves that everything before W was durable: damage before W is corruption, damage at or after the beginning
 *    of the last write is a torn tail;
 *  - a segment is created (header written and synced, folder synced) only after the footer of the one before is durable;
 *  - segments are removed oldest first, and the folder is synced after each;
 *  - IDENTITY is written after the first segment is durable: where it is, there is a segment.
 */

export const FORMAT_VERSION = 1;

export const FRAME_MAGIC = 0x54524c46;
export const TRAILER_MAGIC = 0x54524c45;
export const HEAD_BYTES = 88;
export const TRAILER_BYTES = 8;

/** Limits that a reader trusts before it allocates. */
export const META_BYTES_MAX = 64 * 1024 * 1024;
export const BODY_BYTES_MAX = 512 * 1024 * 1024;

/** Frames below this size are stored as they are even when compression is on. */
export const COMPRESS_FROM_BYTES = 8 * 1024;

/** Between two entries of a segment's sparse index lie at least this many bytes. */
export const INDEX_STEP_BYTES = 1024 * 1024;

export const FrameRole = { header: 1, data: 2, footer: 3 } as const;
export type FrameRole = (typeof FrameRole)[keyof typeof FrameRole];

/** How bodies are stored: as they are, or those from `COMPRESS_FROM_BYTES` on as zstd at level 1, where that is shorter. */
export type LogCompression = 'none' | 'zstd';

export const FrameFlag = { zstd: 1 } as const;
