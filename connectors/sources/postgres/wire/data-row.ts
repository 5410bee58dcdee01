/** A query's DataRow, rewritten as a tuple: the same columns with another header each. */
import { TailraceError } from '../../../../src/errors/tailrace-error.ts';
import { ColumnKindByte } from '../tuple.ts';
import type { GrowingBytes } from './growing-bytes.ts';

/** Below this a loop over the bytes is quicker than a call that copies them. */
const LOOP_COPY_BYTES = 48;

/** Appends the tuple of a whole DataRow body, `bytes` from `start` to `end`, to `out`. Throws SRC_PROTOCOL when it is none. */
export function appendTupleOfDataRow(bytes: Buffer, start: number, end: number, out: GrowingBytes): void {
  if (start + 2 > end) throw malformed();
  const count = ((bytes[start] as number) << 8) | (bytes[start + 1] as number);
  // A value grows by its kind byte, a null shrinks.
  out.reserve(end - start + count);
  const into = out.bytes;
  let to = out.length;
  into[to] = bytes[start] as number;
  into[to + 1] = bytes[start + 1] as number;
  to += 2;
  let at = start + 2;
  for (let i = 0; i < count; i += 1) {
    if (at + 4 > end) throw malformed();
    const length = ((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number);
    if (length === -1) {
      into[to] = ColumnKindByte.null;
      to += 1;
      at += 4;
      continue;
    }
    const valueEnd = at + 4 + length;
    if (length < 0 || valueEnd > end) throw malformed();
    into[to] = ColumnKindByte.text;
    to += 1;
    // The length and the value lie in both forms one behind the other.
    if (length < LOOP_COPY_BYTES) for (; at < valueEnd; at += 1, to += 1) into[to] = bytes[at] as number;
    else {
      into.set(bytes.subarray(at, valueEnd), to);
      to += length + 4;
      at = valueEnd;
    }
  }
  if (at !== end) throw malformed();
  out.length = to;
}

function malformed(): TailraceError {
  return new TailraceError('SRC_PROTOCOL', { message: 'The server sent a row of a query whose columns do not fill it.' });
}
