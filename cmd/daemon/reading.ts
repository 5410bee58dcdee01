/** What reading verbs see: the running daemon over its socket, or else the data directory. */
import type { TailraceConfig } from '../../src/config/definition.ts';
import type { SearchRequest } from '../../src/connector/target.ts';
import { layoutOf } from '../../src/pipeline/layout.ts';
import type { GenerationStatus } from '../../src/pipeline/status.ts';
import type { PositionReport } from '../../src/pipeline/positions.ts';
import type { LogEntriesRequest } from '../../src/observe/log-entries.ts';
import type { DeadLetterPage } from '../../src/observe/reports.ts';
import type { DeadLetterFilter } from '../../src/state/state-store.ts';
import type { LogStatReport, StatusReport } from '../../src/observe/status-report.ts';
import { askDaemon, askDaemonForLines, daemonAnswers, type AdminQuestion } from './admin-client.ts';

export interface Reading extends AsyncDisposable {
  status(): Promise<StatusReport>;
  positions(): Promise<PositionReport>;
  /** Page by page, one at least; those behind the place `after`, which is the `next` of a page. */
  deadLetters(filter: DeadLetterFilter, after?: string): AsyncIterable<DeadLetterPage>;
  logStat(): Promise<LogStatReport>;
  /** Of one index, or of all. */
  generations(index?: string): Promise<GenerationStatus[]>;
  /** Lines of JSON, each for one or more changes, with their newlines. */
  logEntries(request: LogEntriesRequest, signal: AbortSignal): AsyncIterable<string>;
  /** JSON text: documents in it keep every digit. */
  search(request: SearchRequest): Promise<string>;
}

/** Path of the daemon's socket. */
export function socketPathOf(config: TailraceConfig): string {
  return config.admin.socket ?? layoutOf(config.data_directory).socket;
}

/** Errors: NOT_RUNNING when there is neither a daemon nor anything that one has left. */
export async function openReading(config: TailraceConfig): Promise<Reading> {
  const socketPath = socketPathOf(config);
  if (await daemonAnswers(socketPath)) return new SocketReading(socketPath);
  const { openOfflineReading } = await import('./offline-reading.ts');
  return openOfflineReading(config);
}

class SocketReading implements Reading {
  readonly #socketPath: string;

  constructor(socketPath: string) {
    this.#socketPath = socketPath;
  }

  status(): Promise<StatusReport> {
    return this.#ask({ path: '/v1/status' });
  }

  positions(): Promise<PositionReport> {
    return this.#ask({ path: '/v1/positions' });
  }

  async *deadLetters({ index, id, code }: DeadLetterFilter, after?: string): AsyncGenerator<DeadLetterPage> {
    let next: string | null = after ?? null;
    do {
      const query = Object.fromEntries(Object.entries({ index, id, code, after: next }).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
      const page: DeadLetterPage = await this.#ask({ path: '/v1/dead-letters', query });
      yield page;
      ({ next } = page);
    } while (next !== null);
  }

  async generations(index?: string): Promise<GenerationStatus[]> {
    const { generations } = await this.#ask<{ readonly generations: GenerationStatus[] }>({ path: '/v1/generations', query: index === undefined ? {} : { index } });
    return generations;
  }

  logStat(): Promise<LogStatReport> {
    return this.#ask({ path: '/v1/log/stat' });
  }

  async *logEntries({ first, last, follow, rows }: LogEntriesRequest, signal: AbortSignal): AsyncGenerator<string> {
    const query = { first: String(first), ...(last === undefined ? {} : { last: String(last) }), ...(follow ? { follow: '1' } : {}), ...(rows ? { rows: '1' } : {}) };
    for await (const line of askDaemonForLines(this.#socketPath, { path: '/v1/log/entries', query })) {
      if (signal.aborted) return;
      yield `${line}\n`;
    }
  }

  search({ index, text, limit }: SearchRequest): Promise<string> {
    return askDaemon(this.#socketPath, { path: '/v1/search', query: { index, text, limit: String(limit) } });
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #ask<T>(question: AdminQuestion): Promise<T> {
    return JSON.parse(await askDaemon(this.#socketPath, question)) as T;
  }
}
