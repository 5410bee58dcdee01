/**
 * Readers of the alias during ten swaps, while the table is written to. Rows that nobody writes to must be in every answer exactly once; rows that
 * were deleted before must be in none; of rows that are written to none may be there twice.
 */
import { expect, test } from 'vitest';
import { describeOpenSearch, type OpenSearchServer } from './opensearch.ts';
import { complaints, openSearchStage, testMs, watchAlias } from './opensearch-pipeline-scene.ts';
import { describePostgres } from './postgres.ts';

const SWAPS = 10;

/** Rows 1 to this are not written to. */
const STILL = 2_000;
/** From here on: rows that were deleted before readers begin. */
const GONE_FROM = 3_001;
/** From here on: rows that are written to. */
const MOVING_FROM = 4_001;
const ROWS = 6_000;

interface Answer {
  readonly pit_id?: string;
  readonly timed_out: boolean;
  readonly _shards: { readonly failed: number };
  readonly hits: { readonly hits: readonly { readonly _id: string; readonly sort: readonly unknown[] }[] };
}

/** What one look at the whole index found wrong. */
function faultsOf(ids: readonly string[]): string[] {
  const seen = new Set<number>();
  const faults: string[] = [];
  for (const id of ids) {
    const n = Number(id);
    if (seen.has(n)) faults.push(`${id} twice`);
    if (n >= GONE_FROM && n < MOVING_FROM) faults.push(`${id} is there again`);
    seen.add(n);
  }
  for (let n = 1; n <= STILL; n += 1) if (!seen.has(n)) faults.push(`${n} missing`);
  return faults;
}

async function search(node: OpenSearchServer, path: string, body: unknown): Promise<Answer> {
  const answer = (await node.ask('POST', path, body)) as Answer;
  if (answer.timed_out || answer._shards.failed > 0) throw new Error(`an answer in part: ${JSON.stringify(answer).slice(0, 300)}`);
  return answer;
}

const byId = { sort: [{ id: 'asc' }], _source: false };

/** Page by page, as a program does that exports an index. Each page may be of another generation. */
async function walked(node: OpenSearchServer, path: string, body: Readonly<Record<string, unknown>> = {}): Promise<string[]> {
  const ids: string[] = [];
  let after: readonly unknown[] | undefined;
  for (;;) {
    const { hits } = await search(node, path, { ...byId, ...body, size: 500, ...(after === undefined ? {} : { search_after: after }) });
    ids.push(...hits.hits.map(({ _id }) => _id));
    after = hits.hits.at(-1)?.sort;
    if (after === undefined) return ids;
  }
}

type Reader = (node: OpenSearchServer) => Promise<string[]>;

const readers: Readonly<Record<string, Reader>> = {
  'a plain search': async (node) => (await search(node, '/items/_search', { ...byId, size: 10_000 })).hits.hits.map(({ _id }) => _id),
  'pages by search_after': async (node) => walked(node, '/items/_search'),
  'pages of one view (PIT)': async (node) => {
    const { pit_id: id } = (await node.ask('POST', '/items/_search/point_in_time?keep_alive=1m')) as { readonly pit_id: string };
    try {
      return await walked(node, '/_search', { pit: { id, keep_alive: '1m' } });
    } finally {
      await node.ask('DELETE', '/_search/point_in_time', { pit_id: [id] });
    }
  },
};

interface Reading extends AsyncDisposable {
  readonly looks: number;
  readonly faults: readonly string[];
}

/** Reads again and again until it is disposed of; what fails is a fault, too. */
function reading(name: string, node: OpenSearchServer): Reading {
  const stopped = new AbortController();
  const faults: string[] = [];
  let looks = 0;
  const work = (async () => {
    while (!stopped.signal.aborted) {
      const found = await (readers[name] as Reader)(node).then(faultsOf, (error: Error) => [error.message]);
      faults.push(...found.slice(0, 5).map((fault) => `look ${looks}: ${fault}`));
      looks += 1;
    }
  })();
  return {
    get looks() {
      return looks;
    },
    faults,
    [Symbol.asyncDispose]: async () => {
      stopped.abort();
      await work;
    },
  };
}

describePostgres([18], ({ server }) => {
  describeOpenSearch(['3.6.0'], ({ server: openSearch }) => {
    test('whoever reads the alias during ten swaps under write load finds every row once', { timeout: 2 * testMs }, async () => {
      // What a reader has begun with must be there until it is through: generations are kept for 36 seconds here, and for a day by default.
      await using on = await openSearchStage(await server(), await openSearch(), ROWS, { index: 'rollback_hours: 0.01' });
      const { stage, node } = on;
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.database.query('DELETE FROM items WHERE id BETWEEN $1 AND $2', [GONE_FROM, MOVING_FROM - 1]);
      await stage.inStep(daemon);

      const stopped = new AbortController();
      let rounds = 0;
      const load = (async () => {
        for (; !stopped.signal.aborted; rounds += 1) {
          await stage.database.query('UPDATE items SET n = n + 1 WHERE id >= $1 AND id % 40 = $2', [MOVING_FROM, rounds % 40]);
          await stage.database.query("INSERT INTO items SELECT max(id) + 1, 'more' FROM items");
          await stage.database.query('DELETE FROM items WHERE id = (SELECT min(id) FROM items WHERE id >= $1)', [MOVING_FROM]);
        }
      })();
      await using alias = watchAlias(node);
      await using disposing = new AsyncDisposableStack();
      const reads = Object.keys(readers).map((name) => [name, disposing.use(reading(name, node))] as const);
      for (let generation = 2; generation <= SWAPS + 1; generation += 1) {
        expect((await on.cli('resync', 'items')).code).toBe(0);
        await daemon.event('index_serving', { where: (line) => line['generation'] === generation });
      }
      await disposing.disposeAsync();
      stopped.abort();
      await load;
      for (const [name, { faults, looks }] of reads) {
        expect(faults, name).toEqual([]);
        expect(looks, name).toBeGreaterThan(SWAPS);
      }
      expect(rounds).toBeGreaterThan(SWAPS);
      expect({ wrong: alias.wrong, swaps: alias.seen.length - 1 }).toEqual({ wrong: [], swaps: SWAPS });
      await stage.inStep(daemon);
      expect(complaints(daemon)).toEqual([]);
    });
  });
});
