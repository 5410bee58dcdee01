/** An error as log lines, the admin surface and `--json` show it: what happened, what tailrace did, what mends it, and what lay behind it. */
import { catalogue, type ErrorCode } from '../../errors/catalogue.ts';
import { hintFor } from '../../errors/named-source.ts';
import { codeOf } from '../../errors/tailrace-error.ts';
import type { Scrubber } from './scrub.ts';

export interface ErrorCause {
  /** Of the driver or the operating system: `ECONNREFUSED`, `28P01`. */
  readonly code?: string;
  readonly message: string;
}

export interface ErrorRecord {
  readonly code: ErrorCode;
  readonly message: string;
  readonly did: string;
  readonly hint: string;
  /** What it happened to: `shop`, `shop.public.products`. */
  readonly entity?: string;
  /** The nearest first. */
  readonly causes: readonly ErrorCause[];
  /** With `--debug` only. */
  readonly stack?: string;
}

const CAUSES_MAX = 5;

export interface ErrorRecordOptions {
  readonly scrubber: Scrubber;
  readonly stack: boolean;
  /** Whose error it is. */
  readonly source?: string | undefined;
}

/** The record of anything thrown; what has no code of ours is UNKNOWN. */
export function errorRecord(error: unknown, { scrubber, stack, source }: ErrorRecordOptions): ErrorRecord {
  const code = codeOf(error) ?? 'UNKNOWN';
  const { did, hint } = catalogue[code];
  const entity = textOf(error, 'entity');
  const trace = textOf(error, 'stack');
  return {
    code,
    message: scrubber.text(messageOf(error)),
    did: scrubber.text(textOf(error, 'did') ?? did),
    hint: scrubber.text(hintFor(textOf(error, 'hint') ?? hint, source)),
    ...(entity === undefined ? {} : { entity: scrubber.text(entity) }),
    causes: causesOf(error).map((cause) => scrubber.value(cause) as ErrorCause),
    ...(stack && trace !== undefined ? { stack: scrubber.text(trace) } : {}),
  };
}

function causesOf(error: unknown): ErrorCause[] {
  const causes: ErrorCause[] = [];
  let at = nextCause(error);
  while (at !== undefined && causes.length < CAUSES_MAX) {
    const code = textOf(at, 'code');
    causes.push({ ...(code === undefined ? {} : { code }), message: messageOf(at) });
    at = nextCause(at);
  }
  return causes;
}

function nextCause(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'cause' in error ? error.cause : undefined;
}

/** One sentence: Node leaves the message of the error that gathers failed connection attempts empty, and says it in each attempt's. */
function messageOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return String(error);
  const message = textOf(error, 'message');
  if (message !== undefined && message !== '') return message;
  if ('errors' in error && Array.isArray(error.errors) && error.errors.length > 0) return error.errors.map(messageOf).join('; ');
  return textOf(error, 'code') ?? textOf(error, 'name') ?? 'an error without a message';
}

function textOf(error: unknown, name: string): string | undefined {
  if (typeof error !== 'object' || error === null || !(name in error)) return undefined;
  const value = (error as Record<string, unknown>)[name];
  return typeof value === 'string' ? value : undefined;
}
