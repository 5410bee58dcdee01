import { expect, test } from 'vitest';
import { Cluster } from '../../../connectors/targets/opensearch/cluster.ts';
import { fetchDocuments, searchIndex } from '../../../connectors/targets/opensearch/reading.ts';
import { nodeClock } from '../../../src/runtime/node/clock.ts';
import { protocolServer, type Asked, type ProtocolServer, type Told } from './protocol-server.ts';

const { signal } = new AbortController();

async function withCluster<T>(tell: (asked: Asked) => Told, work: (cluster: Cluster, server: ProtocolServer) => Promise<T>): Promise<T> {
  await using server = await protocolServer(tell);
  const cluster = new Cluster(server.config(), nodeClock);
  try {
    return await work(cluster, server);
  } finally {
    await cluster.close();
  }
}

const docs = (ids: readonly string[], text: string): Told => ({ json: { docs: ids.map((_id) => ({ _id, _version: 3, found: true, _source: { text } })) } });
const idsOf = ({ body }: Asked): string[] => (JSON.parse(body) as { ids: string[] }).ids;

test('documents that are too large for one answer together are asked for in halves, and stand in their order', { timeout: 30_000 }, async () => {
  const ids = Array.from({ length: 5 }, (_, i) => `k${i}`);
  const large = 'x'.repeat(16 << 20);
  await withCluster(
    (asked) => docs(idsOf(asked), large),
    async (cluster, server) => {
      const held = await fetchDocuments('things', ids, cluster, signal);
      expect(held.map((one) => one?.id)).toEqual(ids);
      expect(held.every((one) => one?.document.length === large.length + 11)).toBe(true);
      expect(server.asked.length).toBe(3);
    },
  );
});

test('ids that no server can have, and names that no index can have, are not asked for', async () => {
  await withCluster(
    (asked) => docs(idsOf(asked), 'x'),
    async (cluster, server) => {
      expect((await fetchDocuments('things', ['', 'a', 'x'.repeat(513), '\ud800', 'b'], cluster, signal)).map((one) => one?.id ?? null)).toEqual([null, 'a', null, null, 'b']);
      expect(server.asked.map(({ path }) => path)).toEqual(['/things/_mget']);
      for (const name of ['un heard', '_all', '*', 'a,b', 'things-g0001', 'Things']) {
        expect(await fetchDocuments(name, ['a'], cluster, signal)).toEqual([null]);
        expect(await searchIndex({ index: name, text: 'x', limit: 1 }, cluster, signal)).toEqual([]);
      }
      expect(server.asked).toHaveLength(1);
    },
  );
});

test('an answer with another number of documents is none', async () => {
  await withCluster(
    () => docs(['a'], 'x'),
    async (cluster) => {
      await expect(fetchDocuments('things', ['a', 'b'], cluster, signal)).rejects.toMatchObject({ code: 'TGT_CONN' });
    },
  );
});

test('a search looks into what the index says is searched, and only so far as the server bears', async () => {
  const properties = { name: { type: 'text' }, kind: { type: 'keyword' }, price: { type: 'double', fields: { search: { type: 'text' } } }, extra: { type: 'flat_object' } };
  const index = (searched: readonly string[] | null): Told => ({ json: { 'things-g0001': { aliases: { things: {} }, settings: {}, mappings: { properties, _meta: { tailrace: { format: 1, log_id: 'l', index: 'things', generation: 1, searched } } } } } });
  const queryOf = async (searched: readonly string[] | null, text: string): Promise<{ query: string; fields: string[] }> =>
    withCluster(
      ({ path }) => (path.includes('_search') ? { json: { hits: { hits: [] } } } : index(searched)),
      async (cluster, server) => {
        await searchIndex({ index: 'things', text, limit: 5 }, cluster, signal);
        return (JSON.parse(server.asked.at(-1)?.body ?? '') as { query: { simple_query_string: { query: string; fields: string[] } } }).query.simple_query_string;
      },
    );
  expect((await queryOf(null, 'red')).fields).toEqual(['name', 'kind', 'extra']);
  expect((await queryOf(['price', 'name'], 'red')).fields).toEqual(['price.search', 'name']);
  const { query } = await queryOf(null, `${'word '.repeat(500)}${'x'.repeat(5000)}\0*`);
  expect(query.split(' ')).toHaveLength(32);
  expect((await queryOf(null, 'x'.repeat(5000))).query).toHaveLength(200);
});
