/** Routes about reading rows again, and about long work that somebody asked for. */
import { TailraceError } from '../../errors/tailrace-error.ts';
import type { ResyncRequest, WantedRows } from '../../pipeline/resync.ts';
import type { HttpRequest } from '../../runtime/http.ts';
import { jobReport } from '../reports.ts';
import { json, required } from './answers.ts';
import type { Route } from './routes.ts';

/** Most bytes of keys, or of a condition, in one request. */
export const RESYNC_BYTES_MAX = 16 * 1024 * 1024;

export const resyncRoutes: Readonly<Record<string, Route>> = {
  '/v1/jobs': { method: 'GET', need: 'state', answer: (_, { subject }) => json({ jobs: subject.jobs().map(jobReport) }) },
  '/v1/resync': {
    method: 'POST',
    need: 'command',
    answer: async (request, { subject: { resyncs } }) => {
      const { query, signal } = request;
      const asked = await requestOf(request);
      if (query.get('dry_run') === '1') return json({ plans: await resyncs.plan(asked, signal) });
      return json({ jobs: (await resyncs.begin(asked, signal)).map(jobReport) }, 202);
    },
  },
  '/v1/resync/cancel': { method: 'POST', need: 'command', answer: ({ query }, { subject: { resyncs } }) => json({ jobs: resyncs.cancel(required(query, 'index')).map(jobReport) }, 202) },
  '/v1/resync/pause': { method: 'POST', need: 'command', answer: async ({ query, signal }, { subject: { resyncs } }) => json({ snapshots: await resyncs.steer(required(query, 'index'), true, signal) }) },
  '/v1/resync/resume': { method: 'POST', need: 'command', answer: async ({ query, signal }, { subject: { resyncs } }) => json({ snapshots: await resyncs.steer(required(query, 'index'), false, signal) }) },
};

/** Which rows is said in the body: a person's keys or conditions are no part of a path. */
async function requestOf({ query, text }: HttpRequest): Promise<ResyncRequest> {
  const held = query.get('swap') === '0';
  const body = await text(RESYNC_BYTES_MAX);
  if (body === null) throw new TailraceError('USAGE', { message: `The keys, or the condition, have more than ${RESYNC_BYTES_MAX} bytes.`, did: 'Nothing was changed.', hint: 'Ask for a part of them, and for the rest when that is done; or for all rows.' });
  const wanted = body === '' ? null : wantedRows(body);
  if (!query.has('table')) return { index: required(query, 'index'), held, wanted };
  if (query.has('index') || wanted !== null) throw new TailraceError('USAGE', { message: 'A request for a table is about all of its rows, and names no index.' });
  return { table: required(query, 'table'), held, wanted: null };
}

/** `{"keys": ["57", "58"]}`, each the JSON text of a key; or `{"where": "price > 3"}`. */
function wantedRows(body: string): WantedRows {
  const malformed = new TailraceError('USAGE', { message: 'The body of the request is `{"keys": [...]}`, each the JSON text of a key, or `{"where": "..."}`.' });
  let read: unknown;
  try {
    read = JSON.parse(body);
  } catch {
    throw malformed;
  }
  if (typeof read !== 'object' || read === null) throw malformed;
  const { keys, where } = read as { readonly keys?: unknown; readonly where?: unknown };
  if (typeof where === 'string' && keys === undefined) return { kind: 'where', predicate: where };
  if (Array.isArray(keys) && where === undefined && keys.length > 0 && keys.every((key) => typeof key === 'string')) return { kind: 'keys', keys };
  throw malformed;
}
