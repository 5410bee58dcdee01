/**
 * What an error of the server, of pg or of the socket means for us: one catalogued code each, by SQLSTATE where there is one, because
 * the server's texts may be in any language. Texts decide only where one SQLSTATE stands for several things; they then name our own slot or
 * publication, or are pg's, which are English.
 */
import { TailraceError, codeOf, isAbort } from '../../../../src/errors/tailrace-error.ts';
import type { ErrorCode } from '../../../../src/errors/catalogue.ts';

/** The fields of an ErrorResponse that are of use here; pg's `DatabaseError` has them too. */
export interface ServerError {
  readonly message: string;
  readonly code?: string | undefined;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  /** Place in the query's text, in characters from 1, as digits. */
  readonly position?: string | undefined;
}

/** What was being done: it tells errors apart that share a SQLSTATE. */
export type Doing = 'connecting' | 'connecting for replication' | 'identifying the server' | 'creating the slot' | 'streaming' | 'asking the server';

export interface ErrorContext {
  readonly source: string;
  readonly doing: Doing;
  readonly user: string;
  readonly publication: string;
  readonly slot: string;
}

interface Meaning {
  readonly code: ErrorCode;
  readonly hint?: string | undefined;
}

/** SQLSTATEs that mean the same whatever was being done. Classes of two characters stand for all their members. */
const bySqlState: Readonly<Record<string, (error: ServerError, context: ErrorContext) => Meaning>> = {
  '08': (error) => (/startup parameter/i.test(error.message) ? { code: 'SRC_POOLER' } : { code: 'SRC_CONN' }),
  '28': (error) => (/no encryption|SSL off/i.test(error.message) ? { code: 'SRC_TLS', hint: 'Set `tls: { mode: verify-full }`: the server takes encrypted connections only.' } : { code: 'SRC_AUTH' }),
  '3D000': () => ({ code: 'SRC_AUTH', hint: 'Correct the name of the database in the source url.' }),
  '42501': (_error, context) => ({ code: 'SRC_GRANT', hint: grantHint(context) }),
  '53300': (error) => (/max_wal_senders/.test(error.message) ? { code: 'SRC_CONN', hint: 'Wait, or let the server take more: ALTER SYSTEM SET max_wal_senders = 20; and restart it.' } : { code: 'SRC_CONN' }),
  // configuration_limit_exceeded: every slot is taken
  '53400': () => ({ code: 'SRC_SETTING', hint: 'Drop a slot that nobody needs, or ALTER SYSTEM SET max_replication_slots = 20; and restart the server.' }),
  '53': () => ({ code: 'SRC_CONN' }),
  '55006': () => ({ code: 'SRC_SLOT_IN_USE' }),
  '57': () => ({ code: 'SRC_CONN' }),
  // A statement that locks out or deadlocks with ours: nothing was done, so it is tried again.
  '40': () => ({ code: 'SRC_CONN' }),
  '55P03': () => ({ code: 'SRC_CONN' }),
  // The server's own disk or memory: it may recover.
  '58030': () => ({ code: 'SRC_CONN' }),
};

/** Errors of the socket, by Node's code. */
const bySystemCode: Readonly<Record<string, ErrorCode>> = {
  ECONNREFUSED: 'SRC_CONN',
  ECONNRESET: 'SRC_CONN',
  ECONNABORTED: 'SRC_CONN',
  ENOTFOUND: 'SRC_CONN',
  EAI_AGAIN: 'SRC_CONN',
  ETIMEDOUT: 'SRC_CONN',
  EHOSTUNREACH: 'SRC_CONN',
  EHOSTDOWN: 'SRC_CONN',
  ENETUNREACH: 'SRC_CONN',
  ENETDOWN: 'SRC_CONN',
  EPIPE: 'SRC_CONN',
  ENOENT: 'SRC_CONN', // a socket file that is not there
  EADDRNOTAVAIL: 'SRC_CONN',
  EMFILE: 'SRC_CONN',
  ERR_STREAM_DESTROYED: 'SRC_CONN',
  ERR_STREAM_WRITE_AFTER_END: 'SRC_CONN',
};

/** Certificates that were refused, and what TLS itself says. */
const tlsCode = /CERT|^ERR_TLS|^ERR_SSL|^ERR_OSSL|SELF_SIGNED|UNABLE_TO|HOSTNAME_MISMATCH|INVALID_CA|^EPROTO$/;

/** pg's own errors have texts only. */
const byText: readonly (readonly [RegExp, Meaning])[] = [
  [/does not support SSL/i, { code: 'SRC_TLS', hint: 'Let the server encrypt (its setting `ssl`); or, where nobody can listen on the way, set `tls: { mode: disable }` or `sslmode=disable` in the url.' }],
  [/establishing an SSL/i, { code: 'SRC_TLS' }],
  [/^SASL|[Pp]assword must be/, { code: 'SRC_AUTH' }],
  [/^Connection terminated|^timeout expired|^Client (was closed|has encountered)/, { code: 'SRC_CONN' }],
];

/** The catalogued error for anything that was thrown; catalogued ones and aborts pass unchanged. */
export function sourceError(thrown: unknown, context: ErrorContext): Error {
  if (thrown instanceof Error && (codeOf(thrown) !== undefined || isAbort(thrown))) return thrown;
  const error = asServerError(thrown);
  const meaning = meaningOf(error, context) ?? { code: 'UNKNOWN' as const };
  const detail = error.detail === undefined ? '' : ` (${error.detail})`;
  return new TailraceError(meaning.code, { message: `Source ${context.source}, ${context.doing}: ${withoutPeriod(error.message)}${detail}.`, hint: meaning.hint, entity: context.source, cause: thrown });
}

function asServerError(thrown: unknown): ServerError {
  if (typeof thrown !== 'object' || thrown === null) return { message: String(thrown) };
  // Connecting to a name with several addresses fails with all their errors at once; the first speaks for them.
  if ('errors' in thrown && Array.isArray(thrown.errors) && thrown.errors.length > 0) return asServerError(thrown.errors[0]);
  const { message, code, detail, hint } = thrown as Partial<ServerError>;
  return { message: message ?? 'unknown error', code: typeof code === 'string' ? code : undefined, detail, hint };
}

function meaningOf(error: ServerError, context: ErrorContext): Meaning | undefined {
  const { code } = error;
  // No class of SQLSTATEs begins with E; `EPIPE` is the system's.
  if (code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !code.startsWith('E')) {
    return byActivity(error, context) ?? bySqlState[code]?.(error, context) ?? bySqlState[code.slice(0, 2)]?.(error, context);
  }
  if (code !== undefined) {
    const known = bySystemCode[code];
    if (known !== undefined) return { code: known };
    if (tlsCode.test(code)) return { code: 'SRC_TLS' };
  }
  return byText.find(([text]) => text.test(error.message))?.[1];
}

/** SQLSTATEs that mean something of their own during one activity. */
function byActivity(error: ServerError, context: ErrorContext): Meaning | undefined {
  const { code, message } = error;
  switch (context.doing) {
    case 'connecting':
    case 'connecting for replication':
      // undefined_object: a setting that every supported version knows
      return code === '42704' ? { code: 'SRC_VERSION' } : undefined;
    case 'identifying the server':
      // syntax_error: the command reached something that takes only SQL
      return code === '42601' || code === '0A000' ? { code: 'SRC_POOLER' } : undefined;
    case 'creating the slot':
      if (code === '55P03') return { code: 'SRC_SLOT_BLOCKED' };
      return code === '55000' && message.includes('wal_level') ? walLevelMeaning : undefined;
    case 'streaming':
      return streamingError(error, context);
    case 'asking the server':
      return undefined;
  }
}

const walLevelMeaning: Meaning = { code: 'SRC_SETTING', hint: 'ALTER SYSTEM SET wal_level = logical; and restart the server.' };

/** What the server says when the log that we need is not there, or cannot be decoded any more. */
function streamingError(error: ServerError, context: ErrorContext): Meaning | undefined {
  switch (error.code) {
    case '42704': // undefined_object: slot or publication
      if (error.message.includes(`"${context.slot}"`) && !error.message.includes('publication')) return { code: 'SRC_HISTORY_LOST' };
      return { code: 'SRC_UNPUBLISHED' };
    case '55000': // object_not_in_prerequisite_state: slot invalidated, or the level of the log lowered
      return error.message.includes('wal_level') ? walLevelMeaning : { code: 'SRC_HISTORY_LOST' };
    case '58P01': // undefined_file: a segment of the log was removed
    case 'XX001': // data_corrupted
      return { code: 'SRC_HISTORY_LOST' };
    case 'XX000': // internal_error: records that do not follow each other
      return /prev-link|WAL|record/i.test(error.message) ? { code: 'SRC_HISTORY_LOST' } : undefined;
    default:
      return undefined;
  }
}

export interface Notice {
  readonly message?: string | undefined;
  readonly code?: string | undefined;
  /** The server's own function that said it: the text is in the server's language. */
  readonly routine?: string | undefined;
}

/** Says that a standby of `synchronized_standby_slots` is away: the stream waits for it, and nothing is lost. */
const STANDBY_AWAY_ROUTINE = 'StandbySlotsHaveCaughtup';

/**
 * From PostgreSQL 18 on, changes from while the publication did not exist are left out with a warning; before, they are an error. They are
 * lost to the stream, so the warning ends it. What else has its SQLSTATE and is not known to be harmless ends it, too.
 */
export function fatalWarning(notice: Notice, context: Omit<ErrorContext, 'doing'>): TailraceError | null {
  if (notice.code !== '55000' || notice.routine === STANDBY_AWAY_ROUTINE) return null;
  return new TailraceError('SRC_UNPUBLISHED', { message: `Source ${context.source}, streaming: ${withoutPeriod(notice.message ?? 'changes were left out')}.`, entity: context.source });
}

function grantHint(context: ErrorContext): string | undefined {
  return context.doing === 'connecting for replication' ? `ALTER ROLE "${context.user.replaceAll('"', '""')}" REPLICATION;` : undefined;
}

function withoutPeriod(message: string): string {
  return message.replace(/\.$/, '');
}
