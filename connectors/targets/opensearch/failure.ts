/**
 * What a cluster's refusals mean. Reasons of item errors quote values of the row, so of those only the error's type and the field's name are
 * taken over; reasons of requests that tailrace makes about an index (mappings, settings, rights, blocks) hold none and are shown.
 */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { ErrorCode } from '../../../src/errors/catalogue.ts';

export interface ServerError {
  readonly type: string;
  readonly reason: string;
  readonly causedBy?: string | undefined;
  /** The index that it is about, by its very name. */
  readonly index?: string | undefined;
}

const noError: ServerError = { type: '', reason: '' };

/** The error in an answer's body; one with an empty type when there is none (a proxy's page, say). */
export function serverErrorOf(body: Buffer | null): ServerError {
  try {
    return serverErrorIn((JSON.parse((body ?? '').toString()) as { readonly error?: unknown } | null)?.error);
  } catch {
    // Not JSON: it comes from something between us and the cluster.
    return noError;
  }
}

/** The error as it stands in an answer: an object, or a bare text. */
export function serverErrorIn(error: unknown): ServerError {
  if (typeof error === 'string') return { type: '', reason: error };
  if (typeof error !== 'object' || error === null) return noError;
  const { type, reason, caused_by: cause, index } = error as Readonly<Record<string, unknown>>;
  const causedBy = typeof cause === 'object' && cause !== null && 'reason' in cause && typeof cause.reason === 'string' ? cause.reason : undefined;
  return { type: typeof type === 'string' ? type : '', reason: typeof reason === 'string' ? reason : '', causedBy, index: typeof index === 'string' ? index : undefined };
}

/** Errors that one document is to blame for, and no other document meets because of it. */
const documentFaults: ReadonlySet<string> = new Set([
  'mapper_parsing_exception',
  'document_parsing_exception',
  'strict_dynamic_mapping_exception',
  'illegal_argument_exception',
  'parse_exception',
  'parsing_exception',
  'json_parse_exception',
  'json_e_o_f_exception',
  'x_content_parse_exception',
  'x_content_e_o_f_exception',
  'not_x_content_exception',
  'number_format_exception',
  'date_time_parse_exception',
  'max_bytes_length_exceeded_exception',
  'action_request_validation_exception',
]);

export function isDocumentFault({ type }: ServerError): boolean {
  return documentFaults.has(type);
}

/** Names of fields as the server's messages have them. */
const fieldPatterns = [/^(?:\[\d+:\d+\] )?failed to parse field \[(.+?)\] of type \[(\w+)\]/, /dynamic introduction of \[(.+?)\] within/, /^Document contains at least one immense term in field="(.+?)"/, /^(?:\[\d+:\d+\] )?object mapping for \[(.+?)\]/, /^mapper \[(.+?)\] cannot be changed/];

/** Why a document was refused, without anything of the document but a field's name. */
export function refusalReason(error: ServerError): string {
  const { type, reason } = error;
  const known = wholeReasons.find((pattern) => pattern.test(reason));
  const match = fieldPatterns.map((pattern) => pattern.exec(reason)).find((found) => found !== null);
  const [, field, fieldType] = match ?? [];
  const about = field === undefined ? (known === undefined ? '' : `: ${known.exec(reason)?.[0] ?? ''}`) : `: field "${field}"${fieldType === undefined ? '' : ` of type ${fieldType}`}`;
  return `The server refused the document (${type === '' ? 'no reason given' : type}${about}).${adviceFor(error, field, fieldType)}`;
}

/** Reasons that have no value of a row in them. */
const wholeReasons = [/^Limit of total fields \[\d+\] has been exceeded/, /^Limit of mapping depth \[\d+\] has been exceeded/, /failed to parse, document is empty/, /^The number of nested documents has exceeded the allowed limit of \[\d+\]/];

function adviceFor({ type }: ServerError, field: string | undefined, fieldType: string | undefined): string {
  if (type === 'strict_dynamic_mapping_exception' && field !== undefined) return ` The mapping does not have the field: declare it in the index's \`mapping\`, or set \`dynamic: false\` in its \`settings\`.`;
  if (fieldType === 'flat_object' || fieldType === 'flattened') return ' The type holds objects only: to keep other JSON without searching it, set the field\'s `mapping` to { type: object, enabled: false }.';
  return '';
}

/** What was asked for, as part of a sentence, and of which index: `writing to products-g0001`. */
export interface Asked {
  readonly what: string;
  /** The index of a generation. */
  readonly physical?: string | undefined;
  /** The index as the config names it. */
  readonly index?: string | undefined;
}

/** A whole answer that is no success and that nobody asked for. */
export function failureOf(status: number, error: ServerError, asked: string | Asked): TailraceError {
  const { what, physical, index: entity }: Asked = typeof asked === 'string' ? { what: asked } : asked;
  const { type, reason } = error;
  const said = reason === '' ? `status ${status}` : `${type === '' ? '' : `${type}: `}${reason}`;
  const failure = (code: ErrorCode, hint?: string): TailraceError => new TailraceError(code, { message: `${capital(what)} failed: ${said}.`, hint, entity });
  if (status === 401) return failure('TGT_AUTH');
  if (isBlock(error) || status === 403) return failure('TGT_BLOCKED', unblocking(error, physical ?? error.index ?? 'INDEX'));
  if (status === 402) return failure('TGT_BLOCKED');
  if (status === 404 && type === 'index_not_found_exception') return failure('TGT_MISSING', entity === undefined ? undefined : rebuilding(entity));
  if (status === 429 || status >= 500) return failure('TGT_CONN');
  return failure('UNKNOWN');
}

/** The way out when what a cursor stands for is gone: the index itself, or what it was. */
export function rebuilding(index: string): string {
  return `Build it again: \`tailrace resync ${index}\`.`;
}

/** True for errors that say that nothing is written to the index at all for now, whatever their status. */
export function isBlock({ type }: ServerError): boolean {
  return type === 'cluster_block_exception' || type === 'index_closed_exception' || type === 'security_exception';
}

function unblocking({ type, reason }: ServerError, index: string): string | undefined {
  if (type !== 'index_closed_exception' && type !== 'cluster_block_exception') return 'Give tailrace\'s user the right that the message names; docs/targets/opensearch.md lists all that it needs.';
  if (type === 'index_closed_exception') return `Open the index: POST /${index}/_open`;
  if (/read-only-allow-delete/.test(reason)) return `Free space on the cluster's disks; the block is then lifted by the server, or by PUT /${index}/_settings {"index.blocks.read_only_allow_delete": null}`;
  if (/FORBIDDEN\/6\//.test(reason)) return 'PUT /_cluster/settings {"persistent": {"cluster.blocks.read_only": null}}';
  if (/FORBIDDEN\/5\//.test(reason)) return `PUT /${index}/_settings {"index.blocks.read_only": null}`;
  if (/FORBIDDEN\/8\//.test(reason)) return `PUT /${index}/_settings {"index.blocks.write": null}`;
  return undefined;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
