/** The variable part of a frame that is no change: source name, register updates, transaction table. Layout: format.ts. */
import type { FrameTransaction, RegisterUpdate } from '../connector/log-store.ts';

const REMOVED = 0xffff_ffff;
const TRANSACTION_BYTES = 29;

export interface FrameMeta {
  readonly source: string;
  readonly registers: readonly RegisterUpdate[];
  /** Where the transaction table begins; it is decoded only when somebody asks. */
  readonly transactionsAt: number;
}

export function encodeMeta(source: string, registers: readonly RegisterUpdate[], transactions: readonly FrameTransaction[]): Buffer {
  const sourceLength = Buffer.byteLength(source);
  let size = 2 + sourceLength;
  for (const [name, value] of registers) size += 6 + Buffer.byteLength(name) + (value?.length ?? 0);
  for (const transaction of transactions) size += TRANSACTION_BYTES + transaction.position.length;
  const meta = Buffer.allocUnsafe(size);
  let at = meta.writeUInt16BE(sourceLength, 0);
  at += meta.write(source, at);
  for (const [name, value] of registers) at = writeRegister(meta, at, name, value);
  for (const transaction of transactions) at = writeTransaction(meta, at, transaction);
  return meta;
}

/** The meta of a segment's header frame: every register in force. The order is fixed so that equal registers have equal checksums. */
export function encodeRegisters(registers: ReadonlyMap<string, Uint8Array>): Buffer {
  return encodeMeta('', [...registers].toSorted(([a], [b]) => (a < b ? -1 : 1)), []);
}

function writeRegister(meta: Buffer, start: number, name: string, value: Uint8Array | null): number {
  const nameLength = meta.write(name, start + 2);
  let at = meta.writeUInt16BE(nameLength, start) + nameLength;
  at = meta.writeUInt32BE(value === null ? REMOVED : value.length, at);
  if (value === null) return at;
  meta.set(value, at);
  return at + value.length;
}

function writeTransaction(meta: Buffer, start: number, transaction: FrameTransaction): number {
  let at = meta.writeBigUInt64BE(transaction.id, start);
  at = meta.writeDoubleBE(transaction.commitTimeMs, at);
  at = meta.writeUInt32BE(transaction.firstEntry, at);
  at = meta.writeUIntBE(transaction.entriesBefore, at, 6);
  at = meta.writeUInt8(transaction.complete ? 1 : 0, at);
  at = meta.writeUInt16BE(transaction.position.length, at);
  meta.set(transaction.position, at);
  return at + transaction.position.length;
}

/** Throws RangeError when the bytes are no meta. Register values are copies: they outlive the frame. */
export function decodeMeta(meta: Buffer, registerCount: number): FrameMeta {
  let at = 2 + meta.readUInt16BE(0);
  const source = meta.toString('utf8', 2, within(meta, at));
  const registers: RegisterUpdate[] = [];
  for (let i = 0; i < registerCount; i += 1) {
    const nameEnd = at + 2 + meta.readUInt16BE(at);
    const name = meta.toString('utf8', at + 2, within(meta, nameEnd));
    const valueLength = meta.readUInt32BE(nameEnd);
    at = nameEnd + 4;
    if (valueLength === REMOVED) {
      registers.push([name, null]);
      continue;
    }
    registers.push([name, new Uint8Array(meta.subarray(at, within(meta, at + valueLength)))]);
    at += valueLength;
  }
  return { source, registers, transactionsAt: at };
}

/** Throws RangeError when the bytes are no transaction table that ends with the meta. Positions are views. */
export function decodeTransactions(meta: Buffer, transactionsAt: number, count: number): FrameTransaction[] {
  const transactions: FrameTransaction[] = [];
  let at = transactionsAt;
  for (let i = 0; i < count; i += 1) {
    const positionAt = at + TRANSACTION_BYTES;
    const end = positionAt + meta.readUInt16BE(at + 27);
    transactions.push({
      id: meta.readBigUInt64BE(at),
      commitTimeMs: meta.readDoubleBE(at + 8),
      firstEntry: meta.readUInt32BE(at + 16),
      entriesBefore: meta.readUIntBE(at + 20, 6),
      complete: meta[at + 26] === 1,
      position: meta.subarray(positionAt, within(meta, end)),
    });
    at = end;
  }
  if (at !== meta.length) throw new RangeError('the transaction table does not end with the frame');
  return transactions;
}

function within(meta: Buffer, end: number): number {
  if (end > meta.length) throw new RangeError('a length points behind the end of the frame');
  return end;
}

/** Folds register updates into what is in force. */
export function foldRegisters(inForce: Map<string, Uint8Array>, updates: readonly RegisterUpdate[]): void {
  for (const [name, value] of updates) {
    if (value === null) inForce.delete(name);
    else inForce.set(name, new Uint8Array(value));
  }
}
