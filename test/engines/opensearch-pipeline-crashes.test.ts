/** OpenSearch dies (SIGKILL) while it is loaded and while readers get another generation, and the table is written to all the time. */
import { expect, test } from 'vitest';
import { describeOpenSearch, type OpenSearchServer } from './opensearch.ts';
import { complaints, indexIs, openSearchStage, SOON_MS, testMs, watchAlias, writing, type OpenSearchStage } from './opensearch-pipeline-scene.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './servers.ts';
import type { TailraceProcess } from './tailrace.ts';

const ROWS = 12_000;

async function killed(node: OpenSearchServer): Promise<void> {
  node.kill('SIGKILL');
  await node.ended();
}

/** Documents that the index has taken in, whether searches see them or not; 0 while there is none. */
async function taken(node: OpenSearchServer, physical: string): Promise<number> {
  const { body, status } = await node.request('GET', `/${physical}/_stats/indexing?filter_path=_all.primaries.indexing.index_total`);
  return status === 200 ? ((body as { _all?: { primaries?: { indexing?: { index_total?: number } } } })._all?.primaries?.indexing?.index_total ?? 0) : 0;
}

/** How a node dies in the swap. */
type Death = (on: OpenSearchStage, daemon: TailraceProcess) => Promise<void>;

/** The request that moves the alias dies with the node. */
const beforeTheAliasMoves: Death = async ({ proxy, node }) => {
  const died = Promise.withResolvers<void>();
  proxy.rule = ({ method, path }) => {
    if (method !== 'POST' || path !== '/_aliases') return undefined;
    proxy.rule = () => undefined;
    return { kind: 'hold', until: killed(node).then(died.resolve) };
  };
  await died.promise;
};

/** The alias has moved, and nobody was told. */
const beforeTheAnswer: Death = async (on) => {
  const { proxy, node } = on;
  const died = Promise.withResolvers<void>();
  proxy.rule = ({ method, path }) => {
    if (method !== 'POST' || path !== '/_aliases') return undefined;
    proxy.rule = () => undefined;
    const dead = async (): Promise<never> => {
      await eventually('the alias has moved', SOON_MS, async () => (await on.served()).join() === 'items-g0002');
      await killed(node);
      died.resolve();
      throw new Error('the answer is lost');
    };
    return { kind: 'hold the answer', until: dead() };
  };
  await died.promise;
};

const whileItIsBuilt: Death = async ({ node }, daemon) => {
  await daemon.event('generation_begun');
  await eventually('a part is loaded', SOON_MS, async () => (await taken(node, 'items-g0002')) > 2_000);
  await killed(node);
};

const rightBehindTheSwap: Death = async ({ node }, daemon) => {
  await daemon.event('index_serving', { where: ({ generation }) => generation === 2 });
  await killed(node);
};

/** Only that the cluster did not answer; nothing stopped, nothing was parked. */
const allowed = new Set(['target_trouble TGT_CONN', 'index_waiting TGT_CONN', 'generations_waiting TGT_CONN']);

describePostgres([18], ({ server }) => {
  describeOpenSearch(['3.6.0'], ({ server: search }) => {
    test('killed and started again while the first generation is loaded, it has everything in the end, and nothing else', { timeout: 2 * testMs }, async () => {
      await using on = await openSearchStage(await server(), await search(), ROWS, { index: 'batch: { max_operations: 500 }' });
      const { stage, node } = on;
      await using alias = watchAlias(node);
      await using daemon = await stage.daemon();
      await using load = writing(stage);
      for (const part of [1_000, 5_000]) {
        await eventually('a part is loaded', SOON_MS, async () => (await taken(node, 'items-g0001')) > part || daemon.lines.some(({ msg }) => msg === 'index_serving'));
        await killed(node);
        const { rounds } = load;
        await eventually('the table is written to meanwhile', SOON_MS, () => load.rounds > rounds + 2);
        await node.start();
      }
      await daemon.event('index_serving');
      await load[Symbol.asyncDispose]();
      await stage.inStep(daemon);
      expect(complaints(daemon).filter((one) => !allowed.has(one))).toEqual([]);
      expect(complaints(daemon).length).toBeGreaterThan(0);
      expect({ wrong: alias.wrong, seen: alias.seen }).toEqual({ wrong: [], seen: ['items-g0001'] });
      expect(await indexIs(on, 'serving', null)).toMatchObject({ dead_letters: 0 });
    });

    test.for<[string, Death]>([
      ['while the new generation is built', whileItIsBuilt],
      ['before the alias moves', beforeTheAliasMoves],
      ['behind the alias, with nobody told', beforeTheAnswer],
      ['right behind the swap', rightBehindTheSwap],
    ])('killed and started again in a resync, %s, it shows readers one whole generation at every moment', { timeout: testMs }, async ([, death]) => {
      await using on = await openSearchStage(await server(), await search(), 8_000, { index: 'batch: { max_operations: 500 }' });
      const { stage, node } = on;
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.inStep(daemon);
      await using alias = watchAlias(node);
      await using load = writing(stage);
      const died = death(on, daemon);
      expect((await on.cli('resync', 'items')).code).toBe(0);
      await died;
      const { rounds } = load;
      await eventually('the table is written to meanwhile', SOON_MS, () => load.rounds > rounds + 2);
      await node.start();
      await daemon.event('index_serving', { where: ({ generation }) => generation === 2 });
      await load[Symbol.asyncDispose]();
      await stage.inStep(daemon);
      expect(complaints(daemon).filter((one) => !allowed.has(one))).toEqual([]);
      expect(await on.served()).toEqual(['items-g0002']);
      expect(alias.looks).toBeGreaterThan(20);
      expect({ wrong: alias.wrong, seen: alias.seen }).toEqual({ wrong: [], seen: ['items-g0001', 'items-g0002'] });
      expect(await indexIs(on, 'serving', null)).toMatchObject({ dead_letters: 0, generation: 2 });
    });
  });
});
