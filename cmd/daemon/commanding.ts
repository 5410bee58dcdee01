/** Commands that only a running daemon can carry out. */
import type { TailraceConfig } from '../../src/config/definition.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { askDaemon, daemonAnswers } from './admin-client.ts';
import { socketPathOf } from './reading.ts';

/** Errors: NOT_RUNNING when no daemon runs, TIMED_OUT, and whatever the daemon answers. */
export async function commandDaemon<T>(config: TailraceConfig, path: string, query: Readonly<Record<string, string>>, body?: unknown): Promise<T> {
  const socketPath = socketPathOf(config);
  if (!(await daemonAnswers(socketPath))) throw new TailraceError('NOT_RUNNING', { message: 'No daemon runs that could do it.' });
  return JSON.parse(await askDaemon(socketPath, { path, method: 'POST', query, body: body === undefined ? undefined : JSON.stringify(body) })) as T;
}
