/**
 * Who may ask for what. The unix socket belongs to the account that runs tailrace, and may do everything. Over TCP there are no commands, rows
 * only for who brings the token, and no answer for a page in somebody's browser that has pointed a name of its own at our address.
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { HttpRequest } from '../../runtime/http.ts';
import type { Secret } from '../../runtime/secret.ts';

/**
 * - `health`: says yes or no, to anybody;
 * - `state`: counts, names, positions, errors;
 * - `rows`: shows contents of rows or documents;
 * - `command`: changes something.
 */
export type Need = 'health' | 'state' | 'rows' | 'command';

export type Entrance =
  | { readonly kind: 'socket' }
  | { readonly kind: 'tcp'; readonly host: string; readonly token: Secret | undefined };

export interface Refusal {
  readonly status: 401 | 403;
  readonly message: string;
}

/** Why the request is not answered, or undefined when it may be. */
export function refusalOf(request: HttpRequest, need: Need, entrance: Entrance): Refusal | undefined {
  if (entrance.kind === 'socket') return undefined;
  const { host, token } = entrance;
  if (isLoopback(host) && !isLoopback(hostOf(request.header('host') ?? ''))) {
    return { status: 403, message: 'The Host header names another host than the loopback address that tailrace listens on.' };
  }
  if (need === 'health') return undefined;
  if (need === 'command') return { status: 403, message: 'Commands are taken over the unix socket only.' };
  if (token === undefined) {
    return need === 'rows' ? { status: 403, message: 'Rows are shown over the unix socket, or over TCP when `admin.http.token` is set.' } : undefined;
  }
  return carries(request, token) ? undefined : { status: 401, message: 'The request needs the header `Authorization: Bearer TOKEN`.' };
}

/** True for addresses and names that only this machine itself reaches. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

/** The host of a Host header, without port and brackets. */
function hostOf(header: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(header);
  return (bracketed?.[1] ?? header.replace(/:\d+$/, '')).toLowerCase();
}

/** Compares digests, so that the time it takes says nothing of the token, its length included. */
function carries(request: HttpRequest, token: Secret): boolean {
  const given = /^bearer +(.+)$/i.exec(request.header('authorization') ?? '')?.[1] ?? '';
  return timingSafeEqual(digest(given), digest(token.reveal()));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
