/**
 * The one error class. Its code is looked up in the catalogue, which says how tailrace reacts and what mends it.
 *
 * Errors are recognised by `code`, never by `instanceof`: the package may be present twice in one process.
 */
import { catalogue, type ErrorCode } from './catalogue.ts';

export interface ErrorDetails {
  /** One sentence on what happened, with the names involved; never row values, never secrets. */
  readonly message: string;
  /** The statement or command that mends it, when it is more exact than the catalogue's. */
  readonly hint?: string | undefined;
  /** One sentence on what tailrace did about it, when it is more exact than the catalogue's. */
  readonly did?: string | undefined;
  /** What it happened to: `shop`, `shop.public.products`, `products`. */
  readonly entity?: string | undefined;
  readonly cause?: unknown;
}

export class TailraceError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly did: string;
  readonly entity: string | undefined;

  constructor(code: ErrorCode, details: ErrorDetails) {
    super(details.message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'TailraceError';
    this.code = code;
    this.hint = details.hint ?? catalogue[code].hint;
    this.did = details.did ?? catalogue[code].did;
    this.entity = details.entity;
  }
}

/** The catalogue's code of anything thrown, or undefined when it is none of ours. */
export function codeOf(error: unknown): ErrorCode | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  const { code } = error;
  return typeof code === 'string' && Object.hasOwn(catalogue, code) ? (code as ErrorCode) : undefined;
}

/** True for the error that an aborted signal raises: the normal end of work that was told to stop, never logged as an error. */
export function isAbort(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'name' in error && (error.name === 'AbortError' || ('code' in error && error.code === 'ABORT_ERR'));
}
