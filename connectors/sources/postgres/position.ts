/**
 * Positions of a Postgres source: a place in the write-ahead log (LSN) and the timeline it was read on.
 *
 * 12 bytes: u64 LSN | u32 timeline, big-endian; then, where it is known, u64 from where on the server kept its log for the slot. Order is that
 * of the LSN alone. A position is always one at which the server's decoder stands between two records: the end of a commit record, or what a
 * keepalive told.
 */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';

const POSITION_BYTES = 12;
const POSITION_WITH_KEPT_BYTES = 20;

export interface Position {
  readonly lsn: bigint;
  readonly timeline: number;
  /** What the server's files said of the slot's `restart_lsn` by then (`slot/kept-log.ts`); null when nothing is known. */
  readonly keptFrom: bigint | null;
}

export function encodePosition(lsn: bigint, timeline: number, keptFrom: bigint | null = null): Buffer {
  const bytes = Buffer.allocUnsafe(keptFrom === null ? POSITION_BYTES : POSITION_WITH_KEPT_BYTES);
  if (keptFrom !== null) bytes.writeBigUInt64BE(keptFrom, POSITION_BYTES);
  bytes.writeBigUInt64BE(lsn, 0);
  bytes.writeUInt32BE(timeline, 8);
  return bytes;
}

export function decodePosition(bytes: Uint8Array): Position {
  if (bytes.length !== POSITION_BYTES && bytes.length !== POSITION_WITH_KEPT_BYTES) {
    throw new TailraceError('STATE_CORRUPT', { message: `A position of a Postgres source has ${POSITION_BYTES} or ${POSITION_WITH_KEPT_BYTES} bytes, not ${bytes.length}.` });
  }
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const keptFrom = bytes.length === POSITION_BYTES ? null : view.readBigUInt64BE(POSITION_BYTES);
  return { lsn: view.readBigUInt64BE(0), timeline: view.readUInt32BE(8), keptFrom };
}

export function comparePositions(a: Uint8Array, b: Uint8Array): number {
  const { lsn: left } = decodePosition(a);
  const { lsn: right } = decodePosition(b);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Bytes of write-ahead log between two positions; 0 when `to` is not behind `from`. */
export function bytesBetween(from: Uint8Array, to: Uint8Array): number {
  const distance = decodePosition(to).lsn - decodePosition(from).lsn;
  return distance > 0n ? Number(distance) : 0;
}

/** As PostgreSQL writes it: `0/16B3748`. */
export function formatLsn(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffff_ffffn).toString(16).toUpperCase()}`;
}

export function parseLsn(text: string): bigint {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (match === null) throw new TailraceError('SRC_PROTOCOL', { message: `The server gave ${JSON.stringify(text)} as an LSN.` });
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}

/** How a server's log is cut, from its read-only settings `wal_block_size` and `wal_segment_size`. */
export interface WalGeometry {
  readonly blockBytes: number;
  readonly segmentBytes: number;
}

/** Headers at the beginning of a page and of a segment's first page (`SizeOfXLogShortPHD`, `SizeOfXLogLongPHD`). */
const PAGE_HEADER_BYTES = 24n;
const SEGMENT_HEADER_BYTES = 40n;

/**
 * The end of the last record, of which `pg_current_wal_insert_lsn()` tells where the next one would begin.
 *
 * Both are the same place but for a record that ends exactly at a page's end: the next record would begin behind the next page's
 * header, 24 bytes on (40 on the first page of a segment), while the record's end, which is all that a decoder ever reaches before the
 * next record is written, is the page boundary. No record ends at such a place: behind a header comes at least 8 bytes of one.
 */
export function recordEnd(insertLsn: bigint, geometry: WalGeometry): bigint {
  if (insertLsn % BigInt(geometry.segmentBytes) === SEGMENT_HEADER_BYTES) return insertLsn - SEGMENT_HEADER_BYTES;
  if (insertLsn % BigInt(geometry.blockBytes) === PAGE_HEADER_BYTES) return insertLsn - PAGE_HEADER_BYTES;
  return insertLsn;
}
