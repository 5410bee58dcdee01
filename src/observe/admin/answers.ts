/** Words of requests and answers that routes share. */
import { TailraceError } from '../../errors/tailrace-error.ts';
import type { HttpReply } from '../../runtime/http.ts';
import { errorRecord } from '../logging/error-record.ts';
import type { Scrubber } from '../logging/scrub.ts';

export function json(value: unknown, status = 200): HttpReply {
  return { status, contentType: 'application/json', body: `${JSON.stringify(value)}\n` };
}

/** Throws USAGE for a parameter that is not there. */
export function required(query: URLSearchParams, name: string): string {
  const value = query.get(name);
  if (value === null || value === '') throw new TailraceError('USAGE', { message: `The request lacks the parameter \`${name}\`.` });
  return value;
}

/** Throws USAGE for what is no whole number. */
export function wholeNumber(query: URLSearchParams, name: string, otherwise: number): number {
  const text = query.get(name);
  if (text === null) return otherwise;
  if (!/^\d{1,15}$/.test(text)) throw new TailraceError('USAGE', { message: `The parameter \`${name}\` is a whole number.` });
  return Number(text);
}

/** An error that comes when the answer has begun is the last line of it. */
export async function* endingWithError(lines: AsyncIterable<string>, scrubber: Scrubber): AsyncGenerator<string> {
  try {
    yield* lines;
  } catch (error) {
    yield `${JSON.stringify({ error: errorRecord(error, { scrubber, stack: false }) })}\n`;
  }
}
