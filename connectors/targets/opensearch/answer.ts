/**
 * Reads the answer to a write request by position. The usual one, in which everything was applied, is a fixed text that is compared and not
 * parsed; any other is parsed whole.
 */
import type { ItemResult, Operation } from '../../../src/connector/target.ts';
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import { failureOf, isBlock, isDocumentFault, refusalReason, serverErrorIn, type Asked, type ServerError } from './failure.ts';
import type { BulkBody } from './ndjson.ts';

/** Keeps one status per item, and of errors what tells them apart. */
export const ANSWER_FILTER = 'filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason';

const applied: ItemResult = { outcome: 'applied' };
const stale: ItemResult = { outcome: 'stale' };

export interface ItemsRead {
  /** One for each of the body's operations, in its order. */
  readonly results: readonly ItemResult[];
  /** Items that the cluster had no room for. */
  readonly rejected: number;
  /** It had none because the request asked for too much memory. */
  readonly isShortOfMemory: boolean;
}

/** The alias, or the index, that the body was written to is not there (any more): nothing of it was applied. */
export const GONE = 'gone';

/** Rejects (throws) when the batch as a whole is to fail: TGT_BLOCKED, TGT_CONN for an answer that does not fit the request, UNKNOWN. */
export function readAnswer(answer: Buffer, operations: readonly Operation[], body: BulkBody, asked: Asked): ItemsRead | typeof GONE {
  if (!body.hasGuard && isAllApplied(answer, operations, body.positions)) return { results: body.positions.map(() => applied), rejected: 0, isShortOfMemory: false };
  const items = itemsOf(answer, operations, body, asked);
  if (items.some(({ error }) => error.type === 'index_not_found_exception')) return GONE;
  const results: ItemResult[] = [];
  let rejected = 0;
  let isShortOfMemory = false;
  for (let i = 0; i < body.positions.length; i += 1) {
    const { status, error } = items[i] as Item;
    const result = resultOf(status, error, asked);
    if (result.outcome === 'retry' && status === 429) {
      rejected += 1;
      isShortOfMemory ||= error.type === 'circuit_breaking_exception';
    }
    results.push(result);
  }
  return { results, rejected, isShortOfMemory };
}

const HEAD = Buffer.from('{"errors":false,');
const ITEMS = Buffer.from('"items":[');
const PUT_ITEM = Buffer.from('{"index":{"status":20x}}');
const DELETE_ITEM = Buffer.from('{"delete":{"status":xxx}}');
const ZERO = 0x30;

/** True when the answer says, item by item in the order of the request and for nothing else, that each was applied. */
function isAllApplied(answer: Buffer, operations: readonly Operation[], positions: readonly number[]): boolean {
  if (!startsWith(answer, 0, HEAD) || !startsWith(answer, HEAD.length, ITEMS)) return false;
  let at = HEAD.length + ITEMS.length;
  for (let i = 0; i < positions.length; i += 1) {
    if (i > 0) {
      if (answer[at] !== 0x2c) return false;
      at += 1;
    }
    const isPut = (operations[positions[i] as number] as Operation).kind === 'put';
    const form = isPut ? PUT_ITEM : DELETE_ITEM;
    // The first letter of the name, the last two of the form and all digits: between them nothing else can stand.
    if (answer[at + 2] !== form[2] || answer[at + form.length - 1] !== 0x7d || answer[at + form.length - 2] !== 0x7d) return false;
    const digits = at + form.length - 5;
    const status = ((answer[digits] ?? 0) - ZERO) * 100 + ((answer[digits + 1] ?? 0) - ZERO) * 10 + ((answer[digits + 2] ?? 0) - ZERO);
    if (status !== 200 && status !== 201 && (isPut || status !== 404)) return false;
    at += form.length;
  }
  return answer[at] === 0x5d && answer[at + 1] === 0x7d && answer.length === at + 2;
}

function startsWith(answer: Buffer, at: number, text: Buffer): boolean {
  return answer.length >= at + text.length && answer.compare(text, 0, text.length, at, at + text.length) === 0;
}

interface Item {
  readonly status: number;
  readonly error: ServerError;
}

/** One for each line of the body. An answer that has others is none to this request: nothing may be concluded from it. */
function itemsOf(answer: Buffer, operations: readonly Operation[], body: BulkBody, { what }: Asked): Item[] {
  const misfit = (why: string): TailraceError => new TailraceError('TGT_CONN', { message: `${what} failed: the answer does not fit the request (${why}).` });
  let items: unknown;
  try {
    items = (JSON.parse(answer.toString()) as { readonly items?: unknown } | null)?.items;
  } catch {
    // Cut off, or a proxy's page.
    throw misfit('it is no JSON');
  }
  const lines = body.positions.length + (body.hasGuard ? 1 : 0);
  if (!Array.isArray(items) || items.length !== lines) throw misfit(`${Array.isArray(items) ? items.length : 'no'} results for ${lines} lines`);
  return (items as unknown[]).map((item, i) => {
    const position = body.positions[i];
    const action = position === undefined ? 'update' : (operations[position] as Operation).kind === 'put' ? 'index' : 'delete';
    const held = (item as Readonly<Record<string, { readonly status?: unknown; readonly error?: unknown } | undefined>> | null)?.[action];
    if (typeof held?.status !== 'number') throw misfit(`result ${i} is of another line`);
    return { status: held.status, error: serverErrorIn(held.error) };
  });
}

/** To be sent again, because the cluster has no room for it, or no shard to write it to. */
export function putOff(status: number, { type }: ServerError): Extract<ItemResult, { readonly outcome: 'retry' }> {
  return { outcome: 'retry', reason: type === '' ? `status ${status}` : type };
}

function resultOf(status: number, error: ServerError, asked: Asked): ItemResult {
  if (status < 300 || (status === 404 && error.type === '')) return applied;
  if (error.type === 'version_conflict_engine_exception') return stale;
  // Before the status: a full disk blocks with 429, a closed index with 400.
  if (isBlock(error) || status === 403) throw failureOf(status, error, asked);
  if (status === 429 || status === 503) return putOff(status, error);
  if (status === 400 && isDocumentFault(error)) return { outcome: 'poison', code: 'TGT_REJECTED', reason: refusalReason(error) };
  // What else there is concerns the server, or is not known. Its reason may quote the row.
  throw failureOf(status, { type: error.type, reason: '' }, asked);
}
