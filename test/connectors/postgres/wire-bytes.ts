/** Builds the bytes that a server sends, for tests of what reads them. */

/** A column: a value, null, or `UNCHANGED`. */
export type Sent = string | Buffer | null;

/** Stands for a value out of line that did not change: a text that no test sends. */
export const UNCHANGED = 'unchanged';

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

export function cstring(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

/** A message of the protocol: type, length, body. */
export function message(type: string, ...body: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(body);
  return Buffer.concat([Buffer.from(type), uint32(bytes.length + 4), bytes]);
}

export function tuple(columns: readonly Sent[]): Buffer {
  return Buffer.concat([uint16(columns.length), ...columns.map(column)]);
}

function column(sent: Sent): Buffer {
  if (sent === null) return Buffer.from('n');
  if (sent === UNCHANGED) return Buffer.from('u');
  const value = Buffer.from(sent);
  return Buffer.concat([Buffer.from('t'), uint32(value.length), value]);
}

/** A column whose value was left out. */
export function leftOut(length: number): Buffer {
  return Buffer.concat([Buffer.from('x'), uint32(length)]);
}

export function dataRow(columns: readonly (string | Buffer | null)[]): Buffer {
  return Buffer.concat([uint16(columns.length), ...columns.map((value) => (value === null ? uint32(0xffff_ffff) : Buffer.concat([uint32(Buffer.byteLength(value)), Buffer.from(value)])))]);
}

export function insert(oid: number, row: readonly Sent[]): Buffer {
  return Buffer.concat([Buffer.from('I'), uint32(oid), Buffer.from('N'), tuple(row)]);
}

export function update(oid: number, row: readonly Sent[], old?: { readonly mark: 'K' | 'O'; readonly row: readonly Sent[] }): Buffer {
  const before = old === undefined ? [] : [Buffer.from(old.mark), tuple(old.row)];
  return Buffer.concat([Buffer.from('U'), uint32(oid), ...before, Buffer.from('N'), tuple(row)]);
}

export function del(oid: number, mark: 'K' | 'O', row: readonly Sent[]): Buffer {
  return Buffer.concat([Buffer.from('D'), uint32(oid), Buffer.from(mark), tuple(row)]);
}

export function begin(commitLsn: bigint, xid: number, us = 0n): Buffer {
  return Buffer.concat([Buffer.from('B'), uint64(commitLsn), uint64(us), uint32(xid)]);
}

export function commit(commitLsn: bigint, endLsn: bigint): Buffer {
  return Buffer.concat([Buffer.from('C\0'), uint64(commitLsn), uint64(endLsn), uint64(0n)]);
}

export function relation(oid: number, name: string, columns: readonly { readonly name: string; readonly key?: boolean; readonly type?: number }[], identity = 'd'): Buffer {
  const described = columns.map((c) => Buffer.concat([Buffer.from([c.key === true ? 1 : 0]), cstring(c.name), uint32(c.type ?? 25), uint32(0xffff_ffff)]));
  return Buffer.concat([Buffer.from('R'), uint32(oid), cstring('public'), cstring(name), Buffer.from(identity), uint16(columns.length), ...described]);
}

/** A message of the output plugin as the server wraps it while it streams. */
export function xlogData(plugin: Buffer): Buffer {
  return message('d', Buffer.from('w'), uint64(1n), uint64(2n), uint64(3n), plugin);
}

export function keepalive(lsn: bigint, replyRequested: boolean): Buffer {
  return message('d', Buffer.from('k'), uint64(lsn), uint64(0n), Buffer.from([replyRequested ? 1 : 0]));
}

/** Cuts bytes into pieces of the given sizes, over and over. */
export function pieces(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const cut: Buffer[] = [];
  let at = 0;
  for (let i = 0; at < bytes.length; i += 1) {
    const size = Math.max(1, sizes[i % sizes.length] ?? bytes.length);
    // A copy, so that nothing is read beyond the piece.
    cut.push(Buffer.from(bytes.subarray(at, at + size)));
    at += size;
  }
  return cut;
}
