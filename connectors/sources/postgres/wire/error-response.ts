/** The fields of an ErrorResponse or NoticeResponse. Source: PostgreSQL documentation, "Error and Notice Message Fields". */
import type { ServerError } from '../connection/server-error.ts';

/** Reads a message's body in `bytes` from `start` to `end`: a byte that names the field and its text, until a zero byte. */
export function readErrorResponse(bytes: Buffer, start: number, end: number): ServerError {
  const fields = new Map<string, string>();
  let at = start;
  while (at < end && bytes[at] !== 0) {
    const zero = bytes.indexOf(0, at + 1);
    const textEnd = zero < 0 || zero > end ? end : zero;
    fields.set(String.fromCharCode(bytes[at] as number), bytes.toString('utf8', at + 1, textEnd));
    at = textEnd + 1;
  }
  return { message: fields.get('M') ?? 'unknown error', code: fields.get('C'), detail: fields.get('D'), hint: fields.get('H'), position: fields.get('P') };
}
