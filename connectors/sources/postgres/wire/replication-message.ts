/**
 * The messages inside CopyData while a server streams its log, and the one that goes back.
 * Source: PostgreSQL documentation, "Streaming Replication Protocol", START_REPLICATION.
 */

/** First byte of a CopyData body. */
export const ReplicationTag = { xlogData: 0x77, keepalive: 0x6b } as const;

/** `w` | u64 start of the data | u64 end of the log on the server | i64 its clock; the output plugin's message follows. */
export const XLOG_DATA_HEADER_BYTES = 25;

/** `k` | u64 up to where the server has decoded | i64 its clock | u8 whether it wants a reply. */
export const KEEPALIVE_BYTES = 18;

const STATUS_BODY_BYTES = 34;
const COPY_DATA = 0x64;
const STATUS = 0x72;

/** Microseconds from 1970 to 2000, where PostgreSQL's clock begins. */
const POSTGRES_EPOCH_US = 946_684_800_000_000;

/** A timestamp as PostgreSQL sends it, microseconds since 2000 in an i64, in milliseconds since 1970. */
export function timestampMs(bytes: Buffer, at: number): number {
  const us = bytes.readInt32BE(at) * 2 ** 32 + bytes.readUInt32BE(at + 4);
  return Math.floor((us + POSTGRES_EPOCH_US) / 1000);
}

interface StandbyStatus {
  /** Log received, and log that is durable here: the server forgets what is before `flushed`. */
  readonly received: bigint;
  readonly flushed: bigint;
  readonly nowMs: number;
  readonly replyRequested: boolean;
}

/** A standby status update as a whole CopyData message, header included. `flushed` is exact: the end of a commit record, never one more. */
export function standbyStatus(status: StandbyStatus): Buffer {
  const message = Buffer.allocUnsafe(5 + STATUS_BODY_BYTES);
  message[0] = COPY_DATA;
  message.writeUInt32BE(4 + STATUS_BODY_BYTES, 1);
  message[5] = STATUS;
  message.writeBigUInt64BE(status.received, 6);
  message.writeBigUInt64BE(status.flushed, 14);
  message.writeBigUInt64BE(status.flushed, 22);
  message.writeBigInt64BE(BigInt(Math.round(status.nowMs)) * 1000n - BigInt(POSTGRES_EPOCH_US), 30);
  message[38] = status.replyRequested ? 1 : 0;
  return message;
}
