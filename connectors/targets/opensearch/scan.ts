/**
 * Reads every document of an index as it stood at one moment, in pages whose size follows the documents'.
 *
 * Pages go shard by shard. With `search_after` over several shards at once the place in a shard (`_doc`) is no unique place: OpenSearch loses
 * documents at the ends of pages then (measured: 26 of 1000 in three shards), and 2.19 has no `_shard_doc` to tell them apart.
 */
import { TailraceError } from '../../../src/errors/tailrace-error.ts';
import type { StoredDocument } from '../../../src/connector/target.ts';
import { pathOf, type Answer, type Cluster } from './cluster.ts';
import { closeView, openViewPath, type Dialect } from './dialect.ts';
import { failureOf, serverErrorOf } from './failure.ts';
import { scannedPage, type ScannedPage } from './stored.ts';

/** How long the cluster keeps the view between two pages: whoever reads them may be slow. */
const KEEP_ALIVE = '15m';

const FIRST_PAGE_DOCUMENTS = 500;

/** The servers' own limit (index.max_result_window). */
const PAGE_DOCUMENTS_MAX = 10_000;

/** What a page is made to have. */
const PAGE_BYTES_WANTED = 4 * 1024 * 1024;

/** An answer beyond this is given up, and asked for in smaller pages. */
const PAGE_BYTES_MAX = 32 * 1024 * 1024;

export interface ScanRequest {
  readonly physical: string;
  readonly shards: number;
  /** Without documents' texts: ids and versions only. */
  readonly idsOnly: boolean;
}

/** Whatever is applied while it goes on is not seen. Rejects with TGT_CONN when the view is lost; nothing can go on from its middle then. */
export async function* scanPages(request: ScanRequest, cluster: Cluster, dialect: Dialect, signal: AbortSignal): AsyncGenerator<readonly StoredDocument[], void, undefined> {
  const { physical, shards } = request;
  const what = `scanning ${physical}`;
  await cluster.json({ method: 'POST', path: `${pathOf(physical)}/_refresh`, isSlow: true }, { what: `refreshing ${physical}`, physical }, signal);
  const opened = (await cluster.json({ method: 'POST', path: openViewPath(dialect, encodeURIComponent(physical), KEEP_ALIVE) }, what, signal)) as { readonly id?: string; readonly pit_id?: string };
  const view = opened.pit_id ?? opened.id ?? '';
  try {
    const size = new PageSize();
    for (let shard = 0; shard < shards; shard += 1) {
      let after: string | undefined;
      for (;;) {
        const page: ScannedPage = await readPage({ ...request, view, shard, after }, size, cluster, signal);
        if (page.after === undefined) break;
        after = page.after;
        yield page.documents;
      }
    }
  } finally {
    await close(cluster, dialect, view);
  }
}

/** Its own signal: a scan that was called off must still let the view go. That it is gone already, or cannot be reached, is no matter then. */
async function close(cluster: Cluster, dialect: Dialect, view: string): Promise<void> {
  const { path, body } = closeView(dialect, view);
  await cluster.request({ method: 'DELETE', path, body }, new AbortController().signal).catch(() => undefined);
}

class PageSize {
  documents = FIRST_PAGE_DOCUMENTS;

  learn(documents: number, bytes: number): void {
    if (documents === 0) return;
    const fitting = Math.floor((documents * PAGE_BYTES_WANTED) / bytes);
    // Never more than twice as many: the next documents may be larger.
    this.documents = Math.max(1, Math.min(PAGE_DOCUMENTS_MAX, this.documents * 2, fitting));
  }

  shrink(): void {
    this.documents = Math.max(1, Math.floor(this.documents / 8));
  }
}

interface PageRequest extends ScanRequest {
  readonly view: string;
  readonly shard: number;
  readonly after: string | undefined;
}

async function readPage(request: PageRequest, size: PageSize, cluster: Cluster, signal: AbortSignal): Promise<ScannedPage> {
  for (;;) {
    const documents = size.documents;
    const answer = await cluster.request({ method: 'POST', path: '/_search', body: searchBody(request, documents), ...(documents === 1 ? {} : { bytesMax: PAGE_BYTES_MAX }) }, signal);
    if (answer.body === null) {
      size.shrink();
      continue;
    }
    const page = pageOf(answer, request.physical);
    size.learn(page.documents.length, answer.body.length);
    return page;
  }
}

function pageOf(answer: Answer, physical: string): ScannedPage {
  const body = answer.body ?? Buffer.alloc(0);
  if (answer.status < 300) {
    const page = scannedPage(body);
    // With documents of a shard that failed missing, the answer is still a success.
    if (page.after === undefined) assertWhole(body, physical);
    return page;
  }
  const error = serverErrorOf(body);
  if (answer.status === 404) throw new TailraceError('TGT_CONN', { message: `The view of ${physical} that is scanned is lost (${error.type}); the scan has to begin again.` });
  throw failureOf(answer.status, error, `scanning ${physical}`);
}

function assertWhole(body: Buffer, physical: string): void {
  const { _shards: shards, timed_out: timedOut } = JSON.parse(body.toString()) as { readonly _shards?: { readonly failed?: number }; readonly timed_out?: boolean };
  if ((shards?.failed ?? 0) > 0 || timedOut === true) throw new TailraceError('TGT_CONN', { message: `A shard of ${physical} failed while it was scanned.` });
}

function searchBody({ view, shard, shards, after, idsOnly }: PageRequest, documents: number): string {
  const body = {
    size: documents,
    pit: { id: view, keep_alive: KEEP_ALIVE },
    sort: ['_doc'],
    version: true,
    track_total_hits: false,
    _source: !idsOnly,
    // A slice for each shard: with as many slices as shards a slice is a shard.
    ...(shards > 1 ? { slice: { id: shard, max: shards } } : {}),
  };
  const json = JSON.stringify(body);
  return after === undefined ? json : `${json.slice(0, -1)},"search_after":${after}}`;
}
