/** Text from the server's bytes, without losing what is not UTF-8. */
import { isUtf8 } from 'node:buffer';

/**
 * The bytes as a string, or null when they are not UTF-8, which a SQL_ASCII database lets in. U+FFFD in the result is the cheap sign
 * that something may have been replaced; only then are the bytes looked at again, since U+FFFD may be what the row holds.
 */
export function utf8Of(bytes: Buffer, start: number, end: number): string | null {
  const text = bytes.toString('utf8', start, end);
  if (text.includes('\ufffd') && !isUtf8(bytes.subarray(start, end))) return null;
  return text;
}

/** How a value that is not UTF-8 appears in documents, whatever its type: `\x` and its bytes in hex, as Postgres prints a bytea. */
export function hexForm(bytes: Buffer, start: number, end: number): string {
  return `\\x${bytes.toString('hex', start, end)}`;
}
