/** Asks the running daemon, over the unix socket that only its account may open. */
import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import type { ErrorCode } from '../../src/errors/catalogue.ts';
import { systemCodeOf } from '../../src/errors/system-code.ts';
import { codeOf, TailraceError } from '../../src/errors/tailrace-error.ts';
import { SOCKET_PATH_BYTES_MAX } from '../../src/observe/admin/server.ts';
import type { ErrorRecord } from '../../src/observe/logging/error-record.ts';

/** A daemon that does not begin to answer within this is stuck, or its machine is. */
const ANSWER_WITHIN_MS = 10_000;

const ERROR_BODY_BYTES_MAX = 64 * 1024;

export interface AdminQuestion {
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly method?: 'GET' | 'POST';
  readonly body?: string | undefined;
}

/** Codes of a connection that finds nobody: the socket is not there, or left by a daemon that is gone. */
const nobodyThere = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTSOCK']);

/** False when no daemon listens there; every other difficulty is thrown. */
export async function daemonAnswers(socketPath: string): Promise<boolean> {
  // No daemon can listen at such a path, and the system has no clear word for it.
  if (Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES_MAX) return false;
  try {
    await askDaemon(socketPath, { path: '/healthz' });
    return true;
  } catch (error) {
    if (error instanceof TailraceError && nobodyThere.has(String(systemCodeOf(error.cause)))) return false;
    throw error;
  }
}

/** The answer's text. Errors: NOT_RUNNING, TIMED_OUT, and whatever the daemon answers. */
export async function askDaemon(socketPath: string, question: AdminQuestion): Promise<string> {
  const response = await open(socketPath, question);
  return (await Array.fromAsync(response.setEncoding('utf8'))).join('');
}

/** The answer's lines as they come, without their newlines. A line that is an error is thrown. */
export async function* askDaemonForLines(socketPath: string, question: AdminQuestion): AsyncGenerator<string> {
  const response = await open(socketPath, question);
  try {
    for await (const line of createInterface({ input: response, crlfDelay: Infinity })) {
      if (line.startsWith('{"error":')) throw errorOf(line);
      yield line;
    }
    if (!response.complete) throw new TailraceError('NOT_RUNNING', { message: 'The daemon ended in the middle of its answer.' });
  } finally {
    response.destroy();
  }
}

async function open(socketPath: string, { path, query = {}, method = 'GET', body }: AdminQuestion): Promise<IncomingMessage> {
  const search = new URLSearchParams(query).toString();
  const sent = httpRequest({ socketPath, path: search === '' ? path : `${path}?${search}`, method, agent: false, timeout: ANSWER_WITHIN_MS });
  sent.once('timeout', () => sent.destroy(new TailraceError('TIMED_OUT', { message: `The daemon at ${socketPath} does not answer.`, hint: 'Look at its log lines; if it hangs, stop it and start it again: nothing is lost.' })));
  // With its length, so that the daemon knows whether there is anything to be read.
  if (body !== undefined) sent.setHeader('content-length', Buffer.byteLength(body));
  sent.end(body);
  try {
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    // What is followed may be silent for as long as it likes.
    sent.setTimeout(0);
    if ((response.statusCode ?? 500) >= 400) throw errorOf(await textOf(response));
    return response;
  } catch (error) {
    throw connectionError(socketPath, error);
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of response.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > ERROR_BODY_BYTES_MAX) break;
  }
  return text;
}

function errorOf(text: string): TailraceError {
  try {
    const { error } = JSON.parse(text) as { error: ErrorRecord };
    const { message, did, hint, entity, causes } = error;
    // A daemon of a later version may know codes that we do not.
    const code: ErrorCode = codeOf(error) ?? 'UNKNOWN';
    return new TailraceError(code, { message, did, hint, entity, cause: causes[0] });
  } catch {
    return new TailraceError('UNKNOWN', { message: 'The daemon gave an answer that this version of the command line cannot read.', hint: 'Use the same version of tailrace for both.', did: 'Nothing was changed.' });
  }
}

function connectionError(socketPath: string, error: unknown): unknown {
  const code = String(systemCodeOf(error));
  if (nobodyThere.has(code) || code === 'ECONNRESET') return new TailraceError('NOT_RUNNING', { message: `No daemon answers at ${socketPath}.`, cause: error });
  if (code === 'EACCES' || code === 'EPERM') {
    return new TailraceError('NOT_RUNNING', { message: `This account may not open the daemon's socket ${socketPath}.`, hint: 'Run this as the account that runs the daemon.', cause: error });
  }
  return error;
}
