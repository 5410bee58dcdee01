/** The admin surface: the unix socket for the command line, and over TCP, when the config asks for it, what monitoring needs. */
import { TailraceError } from '../../errors/tailrace-error.ts';
import { exitCodeOf, ExitCode } from '../../errors/policy.ts';
import type { AdminSettings } from '../../config/engine-settings.ts';
import { systemCodeOf } from '../../errors/system-code.ts';
import type { HttpAddress, HttpHandler, HttpListener, HttpReply, HttpRequest, HttpServe } from '../../runtime/http.ts';
import type { Logger } from '../../runtime/logger.ts';
import { errorRecord } from '../logging/error-record.ts';
import { isLoopback, refusalOf, type Entrance } from './access.ts';
import { json } from './answers.ts';
import { routes, type Route, type RouteDeps } from './routes.ts';

/** The longest path that every system takes for a unix socket (`sun_path` of macOS is 104 bytes with its end mark). */
export const SOCKET_PATH_BYTES_MAX = 103;

/** The pipeline is at work when its admin surface opens. */
const ENDED = 'tailrace ended; what it had begun goes on at the next start.';

export interface AdminDeps extends RouteDeps {
  readonly serve: HttpServe;
  readonly logger: Logger;
}

export interface AdminServer extends AsyncDisposable {
  readonly socketPath: string;
  /** `http://127.0.0.1:7373`, or null when it does not listen on TCP. */
  readonly url: string | null;
}

/** Errors: ADMIN_IN_USE when something listens on the port; CFG_INVALID when it cannot listen there, or must not. */
export async function startAdmin(settings: AdminSettings, socketPath: string, deps: AdminDeps): Promise<AdminServer> {
  await using opened = new AsyncDisposableStack();
  const socket = await listenOnSocket(socketPath, deps);
  opened.use(socket);
  const tcp = settings.http === undefined ? undefined : await listenOnTcp(settings.http, deps);
  if (tcp !== undefined) opened.use(tcp);
  const url = tcp === undefined ? null : urlOf(tcp.address);
  deps.logger.info('admin_listening', { socket: socketPath, url });
  const listeners = opened.move();
  return { socketPath, url, [Symbol.asyncDispose]: async () => listeners.disposeAsync() };
}

const socketHint = 'Name a shorter path, or one in a folder that tailrace may write to: `admin: { socket: /run/tailrace/admin.sock }`.';

/** Throws CFG_INVALID for a path that no socket can have: to be asked before anything is started. */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > SOCKET_PATH_BYTES_MAX) throw new TailraceError('CFG_INVALID', { message: `The path of the admin socket, ${path}, has ${bytes} bytes; a socket's path may have ${SOCKET_PATH_BYTES_MAX}.`, hint: socketHint });
}

async function listenOnSocket(path: string, deps: AdminDeps): Promise<HttpListener> {
  checkSocketPath(path);
  try {
    return await deps.serve({ kind: 'socket', path }, handlerOf({ kind: 'socket' }, deps), troubleOf(deps));
  } catch (cause) {
    throw new TailraceError('CFG_INVALID', { message: `The admin socket ${path} cannot be opened: ${reasonOf(cause)}.`, did: ENDED, hint: socketHint, cause });
  }
}

async function listenOnTcp({ host, port, token }: NonNullable<AdminSettings['http']>, deps: AdminDeps): Promise<HttpListener> {
  if (!isLoopback(host) && token === undefined) {
    throw new TailraceError('CFG_INVALID', {
      message: `\`admin.http.host\` is ${host}, which other machines may reach, and there is no \`admin.http.token\`.`,
      hint: 'Set `admin: { http: { token: !env TAILRACE_TOKEN } }`, or listen on 127.0.0.1.',
    });
  }
  try {
    return await deps.serve({ kind: 'tcp', host, port }, handlerOf({ kind: 'tcp', host, token }, deps), troubleOf(deps));
  } catch (cause) {
    throw new TailraceError(codeFor(cause), { message: `tailrace cannot listen on ${host}:${port}: ${reasonOf(cause)}.`, did: ENDED, hint: 'Name a free one with `admin: { http: { port: PORT } }`; 0 takes any.', cause });
  }
}

function urlOf(address: HttpAddress): string | null {
  if (address.kind !== 'tcp') return null;
  return `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

/** A port that is taken may be free in a moment; one that is not ours to have is a matter of the config. */
function codeFor(cause: unknown): 'ADMIN_IN_USE' | 'CFG_INVALID' {
  return systemCodeOf(cause) === 'EADDRINUSE' ? 'ADMIN_IN_USE' : 'CFG_INVALID';
}

function reasonOf(cause: unknown): string {
  const code = systemCodeOf(cause);
  if (code === 'EADDRINUSE') return 'something listens there already';
  if (code === 'EACCES' || code === 'EPERM') return 'this account may not';
  return cause instanceof Error ? cause.message : String(cause);
}

function troubleOf({ logger }: AdminDeps): (error: unknown) => void {
  return (error) => logger.warn('admin_trouble', { error });
}

function handlerOf(entrance: Entrance, deps: AdminDeps): HttpHandler {
  return async (request) => {
    try {
      return await answer(request, entrance, deps);
    } catch (error) {
      const isUsage = exitCodeOf(error) === ExitCode.usage;
      if (!isUsage && !request.signal.aborted) deps.logger.warn('admin_request_failed', { path: request.path, error });
      return json({ error: errorRecord(error, { scrubber: deps.scrubber, stack: false }) }, isUsage ? 400 : 500);
    }
  };
}

async function answer(request: HttpRequest, entrance: Entrance, deps: AdminDeps): Promise<HttpReply> {
  const route: Route | undefined = Object.hasOwn(routes, request.path) ? routes[request.path] : undefined;
  // Who may not ask is not told what there is.
  const refusal = refusalOf(request, route?.need ?? 'state', entrance);
  if (refusal !== undefined) return refused(refusal.status, refusal.message);
  if (route === undefined) return refused(404, `There is nothing at ${request.path}.`);
  if (request.method !== route.method) return { ...refused(405, `${request.path} takes ${route.method}.`), headers: { allow: route.method } };
  return route.answer(request, deps);
}

function refused(status: number, message: string): HttpReply {
  const reply = json({ error: { code: 'USAGE', message, did: 'Nothing was changed.', hint: 'See docs/cli.md.', causes: [] } }, status);
  return status === 401 ? { ...reply, headers: { 'www-authenticate': 'Bearer' } } : reply;
}
