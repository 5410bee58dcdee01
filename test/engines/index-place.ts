/** Where the indices of a test are: what a config says to have them there, and what any reader finds in them, by means that share nothing with tailrace. */
import { DatabaseSync } from 'node:sqlite';
import { withDigits } from './main-job/exact-json.ts';
import type { OpenSearchServer } from './opensearch-client.ts';

/** A document as readers find it. */
export interface Found {
  readonly id: string;
  /** Parsed by `withDigits`. */
  readonly document: unknown;
}

export interface IndexPlace {
  /** The target's settings, as YAML that fits on a line. */
  readonly target: string;
  /** Everything that readers of the index see; a document that they see twice comes twice. */
  documents(index: string): AsyncIterable<Found>;
}

/** A file of the embedded target. */
export function sqlitePlace(path: string): IndexPlace {
  return {
    target: `{ type: sqlite, path: ${path} }`,
    async *documents(index) {
      using file = new DatabaseSync(path, { readOnly: true });
      for (const row of file.prepare(`SELECT id, document FROM "${index}"`).iterate()) yield { id: String(row['id']), document: withDigits(String(row['document'])) };
    },
  };
}

interface Page {
  readonly _scroll_id?: string;
  readonly timed_out?: boolean;
  readonly _shards?: { readonly total: string; readonly successful: string };
  readonly hits?: { readonly hits: readonly { readonly _id: string; readonly _source: unknown }[] };
}

const PAGE_DOCUMENTS = 2_000;

/** A cluster. `url`: another way to it for tailrace, through a proxy. `settings`: of the target, beside type and url, as YAML. */
export function openSearchPlace(node: OpenSearchServer, { url = node.url, settings = 'refresh_interval: 100ms' }: { readonly url?: string; readonly settings?: string } = {}): IndexPlace {
  return {
    target: `{ type: opensearch, url: "${url}"${settings === '' ? '' : `, ${settings}`} }`,
    async *documents(index) {
      const ask = async (path: string, body: unknown): Promise<Page> => {
        const answer = await fetch(`${node.url}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
        const text = await answer.text();
        if (!answer.ok) throw new Error(`POST ${path}: ${answer.status} ${text.slice(0, 500)}`);
        const page = withDigits(text) as Page;
        if (page.timed_out === true || page._shards?.total !== page._shards?.successful) throw new Error(`not all shards answered: ${text.slice(0, 500)}`);
        return page;
      };
      let page = await ask(`/${index}/_search?scroll=1m`, { size: PAGE_DOCUMENTS, sort: ['_doc'] });
      while ((page.hits?.hits.length ?? 0) > 0) {
        for (const { _id: id, _source: document } of page.hits?.hits ?? []) yield { id, document };
        page = await ask('/_search/scroll', { scroll: '1m', scroll_id: page._scroll_id });
      }
      await node.request('DELETE', '/_search/scroll', { scroll_id: page._scroll_id });
    },
  };
}
