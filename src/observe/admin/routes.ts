/** What the admin surface answers: one entry for each path, with who may ask for it. */
import type { RowSchema } from '../../change/schema.ts';
import type { TailraceConfig } from '../../config/definition.ts';
import type { SearchHit, SearchRequest } from '../../connector/target.ts';
import type { PositionReport } from '../../pipeline/positions.ts';
import type { Resyncs } from '../../pipeline/resync.ts';
import type { GenerationStatus, PipelineStatus } from '../../pipeline/status.ts';
import type { RetryReport } from '../../pipeline/retry-letters.ts';
import type { Verifications } from '../../pipeline/verifications.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { HttpReply, HttpRequest } from '../../runtime/http.ts';
import type { DeadLetter, DeadLetterFilter, DeadLetterRequest, GenerationRecord, JobRecord } from '../../state/state-store.ts';
import type { LogStore } from '../../connector/log-store.ts';
import { logEntries, type LogEntriesDeps } from '../log-entries.ts';
import type { Scrubber } from '../logging/scrub.ts';
import { DEAD_LETTERS_MAX, deadLetterPage, deadLetterPlace, schemaReport, searchReport } from '../reports.ts';
import { logStatReport, statusReport } from '../status-report.ts';
import type { Need } from './access.ts';
import { endingWithError, json, required, wholeNumber } from './answers.ts';
import { generationRoutes } from './generation-routes.ts';
import { resyncRoutes } from './resync-routes.ts';
import { verifyRoutes } from './verify-routes.ts';

/** What is looked at: the running pipeline. */
export interface AdminSubject {
  readonly log: LogStore;
  status(): PipelineStatus;
  search(request: SearchRequest, signal: AbortSignal): Promise<SearchHit[]>;
  deadLetters(request: DeadLetterRequest): { readonly total: number; readonly letters: readonly DeadLetter[] };
  dropDeadLetters(filter: DeadLetterFilter): number;
  retryDeadLetters(filter: DeadLetterFilter & { readonly index: string }, signal: AbortSignal): Promise<RetryReport>;
  positions(): PositionReport;
  schemas(): RowSchema[];
  generations(index?: string): GenerationStatus[];
  jobs(): JobRecord[];
  readonly resyncs: Pick<Resyncs, 'begin' | 'plan' | 'cancel' | 'steer'>;
  readonly verifications: Pick<Verifications, 'begin'>;
  promote(index: string, generation: number): GenerationRecord;
  drop(index: string, generation: number): GenerationRecord;
  dropLeft(index: string, generation: number, at: string, signal: AbortSignal): Promise<void>;
}

export interface RouteDeps {
  readonly subject: AdminSubject;
  readonly entries: Pick<LogEntriesDeps, 'formats' | 'formatPosition'>;
  readonly scrubber: Scrubber;
  /** By which the pipeline runs. */
  readonly config: TailraceConfig;
  /** The text of `/metrics` and its content type. */
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>;
  /** Calls back once after so many milliseconds, unless the function that it returns is called first. */
  readonly after: Clock['schedule'];
  /** Begins a graceful stop; called once for each request to stop. */
  readonly requestStop: () => void;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  readonly need: Need;
  readonly answer: (request: HttpRequest, deps: RouteDeps) => Promise<HttpReply> | HttpReply;
}

const SEARCH_HITS_DEFAULT = 10;
const SEARCH_HITS_MAX = 1_000;

const get = (need: Need, answer: Route['answer']): Route => ({ method: 'GET', need, answer });

export const routes: Readonly<Record<string, Route>> = {
  '/healthz': get('health', () => json({ alive: true })),
  '/readyz': get('health', (_, { subject }) => {
    const { ready } = subject.status();
    return json({ ready }, ready ? 200 : 503);
  }),
  '/metrics': get('state', async (_, { metrics }) => {
    const { contentType, text } = await metrics();
    return { status: 200, contentType, body: text };
  }),
  '/v1/status': get('state', (_, { subject, scrubber }) => json(statusReport(subject.status(), scrubber))),
  // Secrets in it make JSON of themselves that says nothing.
  '/v1/config': get('rows', (_, { config }) => json(config)),
  '/v1/positions': get('state', (_, { subject }) => json(subject.positions())),
  '/v1/schemas': get('state', (_, { subject }) => json({ schemas: subject.schemas().map(schemaReport) })),
  '/v1/log/stat': get('state', (_, { subject }) => json(logStatReport(subject.log.stats()))),
  '/v1/log/entries': get('rows', (request, { subject, entries, scrubber }) => {
    const { query, signal } = request;
    const last = query.has('last') ? wholeNumber(query, 'last', 0) : undefined;
    const wanted = { first: wholeNumber(query, 'first', 1), last, follow: query.get('follow') === '1', rows: query.get('rows') === '1' };
    return { status: 200, contentType: 'application/x-ndjson', body: endingWithError(logEntries(wanted, { log: subject.log, ...entries }, signal), scrubber) };
  }),
  '/v1/search': get('rows', async ({ query, signal }, { subject }) => {
    const request = { index: required(query, 'index'), text: required(query, 'text'), limit: Math.min(SEARCH_HITS_MAX, Math.max(1, wholeNumber(query, 'limit', SEARCH_HITS_DEFAULT))) };
    return { status: 200, contentType: 'application/json', body: searchReport(request, await subject.search(request, signal)) };
  }),
  '/v1/dead-letters': get('rows', ({ query }, { subject }) => {
    const limit = Math.min(DEAD_LETTERS_MAX, Math.max(1, wholeNumber(query, 'limit', DEAD_LETTERS_MAX)));
    const after = query.get('after');
    const { total, letters } = subject.deadLetters({ ...deadLetterFilter(query), after: after === null ? undefined : deadLetterPlace(after), limit });
    return json(deadLetterPage(total, letters, limit));
  }),
  '/v1/dead-letters/drop': {
    method: 'POST',
    need: 'command',
    answer: ({ query }, { subject }) => json({ dropped: subject.dropDeadLetters({ ...deadLetterFilter(query), index: required(query, 'index') }) }),
  },
  ...generationRoutes,
  ...resyncRoutes,
  ...verifyRoutes,
  '/v1/dead-letters/retry': {
    method: 'POST',
    need: 'command',
    answer: async ({ query, signal }, { subject }) => json(await subject.retryDeadLetters({ ...deadLetterFilter(query), index: required(query, 'index') }, signal), 202),
  },
  '/v1/stop': {
    method: 'POST',
    need: 'command',
    answer: (_, { requestStop }) => {
      requestStop();
      return json({ stopping: true }, 202);
    },
  },
};

function deadLetterFilter(query: URLSearchParams): DeadLetterFilter {
  return { index: query.get('index') ?? undefined, id: query.get('id') ?? undefined, code: query.get('code') ?? undefined };
}
