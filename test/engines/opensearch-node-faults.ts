/** What befalls a node and the indices on it, and who else writes to them: crashes, restored snapshots, a daemon that was thought dead. */
import { expect, test } from 'vitest';
import type { Batch } from '../../src/connector/target.ts';
import { batchOf, del, index, outcomes, planOf, put, scanned, signal, versions } from '../contract/target-fixture.ts';
import { history, TargetModel } from '../contract/target-history.ts';
import { connect } from './opensearch-connect.ts';
import { expectExactly, faultScene, load, physical } from './opensearch-fault-scene.ts';
import type { OpenSearchServer, OpenSearchSuite } from './opensearch.ts';
import { eventually } from './servers.ts';

const restartTimeoutMs = 300_000;

async function indices(node: OpenSearchServer): Promise<string[]> {
  return ((await node.ask('GET', '/_cat/indices?format=json&h=index&s=index')) as { readonly index: string }[]).map((one) => one.index);
}

export function testCrashes({ server }: OpenSearchSuite): void {
  test('a node that is killed in the middle of a load and started again has lost nothing that it confirmed, and the load comes to its end by itself', { timeout: restartTimeoutMs }, async () => {
    await using scene = await faultScene(await server(), {}, planOf(index, { isBuilding: true }));
    const { node, generation } = scene;
    const ids = Array.from({ length: 400 }, (_, i) => `key ${i}`);
    const batches = history({ seed: 21, ids, changesMax: 400, clears: true, forgetAfter: 0 }).take(60).toArray();
    const model = new TargetModel({ capabilities: { atomicCursor: false } });
    let applied = 0;
    const counted = function* (): Iterable<Batch> {
      for (const batch of batches) {
        yield batch;
        applied += 1;
      }
    };
    const loading = load(generation, counted(), model);
    await eventually('a part is loaded', 60_000, () => applied > 8);
    node.kill('SIGKILL');
    await node.ended();
    const appliedBefore = applied;
    await node.start();
    const { failures } = await loading;
    expect(failures.length).toBeGreaterThan(0);
    expect(new Set(failures)).toEqual(new Set(['TGT_CONN']));
    expect(appliedBefore).toBeLessThan(batches.length);
    await expectExactly(generation, ids, model);
  });

  test('deletes that a restart made the server forget stay deletes once a replay has come to its end', { timeout: restartTimeoutMs }, async () => {
    await using scene = await faultScene(await server());
    const { node, generation, target } = scene;
    const replayed = [batchOf(1, put('a', 1n), put('b', 1n)), batchOf(9, put('a', 9n)), batchOf(10, del('a', 10n), del('never', 10n))];
    const model = new TargetModel({ capabilities: { atomicCursor: false } });
    await load(generation, replayed, model);
    const { incarnation } = generation;
    node.kill('SIGKILL');
    await node.ended();
    await node.start();
    await using again = await connect(node.url);
    await using reopened = await again.open(planOf(index), signal);
    // A restart is no other past.
    expect(reopened.incarnation).toBe(incarnation);
    const early = await outcomes(reopened, replayed[1] as Batch);
    await load(reopened, replayed, model);
    expect(await versions(target, index, ['a', 'b', 'never'])).toEqual([null, 1n, null]);
    await expectExactly(reopened, ['a', 'b', 'never'], model);
    // The reason why the replay must go to its end: by itself the server takes what is older than a delete from before the restart.
    expect(['applied', 'stale']).toContain(early[0]);
  });

  test('a node that is killed during swaps shows readers one generation when it is back, and the swap can be done again', { timeout: restartTimeoutMs }, async () => {
    await using scene = await faultScene(await server());
    const { node, generation, target } = scene;
    const ids = Array.from({ length: 100 }, (_, i) => `k${i}`);
    await using second = await target.open(planOf(index, { generation: 2, isBuilding: true }), signal);
    for (const [one, version] of [[generation, 1n], [second, 2n]] as const) await outcomes(one, batchOf(1, ...ids.map((id) => put(id, version, { text: 'amber' }))));
    let swaps = 0;
    const swapping = (async () => {
      for (;;) {
        await (swaps % 2 === 0 ? second : generation).promote(signal);
        swaps += 1;
      }
    })().catch((error: unknown) => error);
    await eventually('swaps are under way', 60_000, () => swaps > 2);
    node.kill('SIGKILL');
    await node.ended();
    expect(await swapping).toMatchObject({ code: 'TGT_CONN' });
    await node.start();
    const promoted = async () => (await target.generations(signal)).filter((one) => one.promoted).map((one) => one.generation);
    expect(await promoted()).toHaveLength(1);
    const [version] = new Set(await versions(target, index, ids));
    expect([1n, 2n]).toContain(version);
    await second.promote(signal);
    expect(await promoted()).toEqual([2]);
    expect(new Set(await versions(target, index, ids))).toEqual(new Set([2n]));
    expect((await target.search({ index, text: 'amber', limit: 200 }, signal)).map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  });

  test('a node that hangs is waited for, and the batch goes through when it wakes', async () => {
    await using scene = await faultScene(await server(), { request_timeout_ms: 1_000 });
    const { node, generation } = scene;
    const model = new TargetModel({ capabilities: { atomicCursor: false } });
    node.kill('SIGSTOP');
    let woke = false;
    try {
      await expect(generation.apply(batchOf(1, put('a', 1n)), signal)).rejects.toMatchObject({ code: 'TGT_CONN' });
      const loading = load(generation, [batchOf(1, put('a', 1n)), batchOf(2, put('b', 2n), del('a', 2n))], model);
      node.kill('SIGCONT');
      woke = true;
      await loading;
    } finally {
      if (!woke) node.kill('SIGCONT');
    }
    await expectExactly(generation, ['a', 'b'], model);
  });
}

export function testZombies({ server }: OpenSearchSuite): void {
  test('who opened a generation earlier writes nothing any more once another has opened it, by no way that there is', async () => {
    await using scene = await faultScene(await server());
    const { node, generation: zombie } = scene;
    await outcomes(zombie, batchOf(1, put('a', 1n), put('b', 1n)));
    await using other = await connect(node.url);
    await using owner = await other.open(planOf(index), signal);
    await outcomes(owner, batchOf(5, del('a', 5n), put('b', 5n)));
    const fenced = { code: 'TGT_FENCED' };
    for (const batch of [batchOf(2, put('a', 2n)), batchOf(9, put('new', 9n)), batchOf(9, del('b', 9n)), batchOf(9, del('b', 9n), put('a', 9n)), { operations: [put('a', 9n)], clearBelow: 9n, cursor: 9 }, { operations: [], clearBelow: 9n, cursor: 9 }]) {
      await expect(zombie.apply(batch, signal)).rejects.toMatchObject(fenced);
    }
    await expect(zombie.sweep(9n, signal)).rejects.toMatchObject(fenced);
    await expect(zombie.remove(['b'], signal)).rejects.toMatchObject(fenced);
    await expect(zombie.promote(signal)).rejects.toMatchObject(fenced);
    expect((await scanned(owner)).map(({ id, version }) => `${id} ${version}`)).toEqual(['b 5']);
    expect(await indices(node)).toEqual([physical]);
    expect(await outcomes(owner, batchOf(6, put('a', 6n)))).toEqual(['applied']);
  });

  test.each([['puts', [put('a', 9n), put('new', 9n)]], ['deletes', [del('a', 9n), del('b', 9n)]]] as const)('a request (%s) that was on its way while another opened the generation arrives and does nothing', async (_, operations) => {
    await using scene = await faultScene(await server());
    const { node, generation: zombie, proxy } = scene;
    await outcomes(zombie, batchOf(1, put('a', 1n), put('b', 1n)));
    const arrives = Promise.withResolvers<void>();
    proxy.rule = ({ isWrite }) => (isWrite ? { kind: 'hold', until: arrives.promise } : undefined);
    const { writes } = proxy;
    const late = zombie.apply(batchOf(9, ...operations), signal).catch((error: unknown) => error);
    await eventually('the request is on its way', 10_000, () => proxy.writes > writes);
    await using other = await connect(node.url);
    await using owner = await other.open(planOf(index), signal);
    await outcomes(owner, batchOf(2, put('b', 2n)));
    arrives.resolve();
    expect(await late).toMatchObject({ code: 'TGT_FENCED' });
    expect((await scanned(owner)).map(({ id, version }) => `${id} ${version}`)).toEqual(['a 1', 'b 2']);
    expect(await indices(node)).toEqual([physical]);
  });

  test('an empty index that a server made because something deleted through a write alias that was gone is taken away by the next opening', async () => {
    await using scene = await faultScene(await server());
    const { node, target } = scene;
    const aliases = Object.keys((Object.values((await node.ask('GET', `/${physical}/_alias`)) as object)[0] as { readonly aliases: object }).aliases);
    const gone = aliases.find((name) => name.startsWith(`${physical}-w`)) ?? '';
    await using second = await target.open(planOf(index), signal);
    await node.request('POST', '/_bulk', `{"delete":{"_index":"${gone}","_id":"a","version":9,"version_type":"external"}}\n`);
    expect(await indices(node)).toEqual([physical, gone]);
    await using third = await target.open(planOf(index), signal);
    expect(await indices(node)).toEqual([physical]);
    expect(await outcomes(third, batchOf(1, put('a', 1n)))).toEqual(['applied']);
    await expect(second.apply(batchOf(1, put('a', 2n)), signal)).rejects.toMatchObject({ code: 'TGT_FENCED' });
  });

  test('of many that open a generation at once one remains, and what it writes is all that there is', async () => {
    await using scene = await faultScene(await server());
    const openers = await Promise.all(Array.from({ length: 4 }, () => connect(scene.node.url)));
    await using disposing = new AsyncDisposableStack();
    for (const opener of openers) disposing.use(opener);
    const opened = await Promise.all(openers.map((opener) => opener.open(planOf(index), signal)));
    const wrote = await Promise.all(opened.map(async (one, i) => one.apply(batchOf(1, put(`from ${i}`, 1n)), signal).then(() => i, (error: unknown) => error)));
    const writers = wrote.filter((one) => typeof one === 'number');
    expect(writers).toHaveLength(1);
    for (const one of wrote) if (typeof one !== 'number') expect(one).toMatchObject({ code: 'TGT_FENCED' });
    await using last = await scene.target.open(planOf(index), signal);
    expect((await scanned(last)).map(({ id }) => id)).toEqual([`from ${writers[0]}`]);
  });
}

export function testSnapshots({ server }: OpenSearchSuite): void {
  test('an index that was put back from a snapshot has another incarnation, also in the place of the old one and under an open generation, which writes to it no more', async () => {
    await using scene = await faultScene(await server());
    const { node, generation, target } = scene;
    await node.ask('PUT', '/_snapshot/backup', { type: 'fs', settings: { location: `${node.repositoryFolder}/${Date.now()}` } });
    await outcomes(generation, batchOf(1, put('a', 1n), put('b', 1n)));
    await node.ask('PUT', '/_snapshot/backup/first?wait_for_completion=true', { indices: physical, include_global_state: false });
    await outcomes(generation, batchOf(5, put('a', 5n), del('b', 5n), put('c', 5n)));
    const restore = async (): Promise<void> => void (await node.ask('POST', '/_snapshot/backup/first/_restore?wait_for_completion=true', { indices: physical, include_global_state: false }));
    const seen = [generation.incarnation];

    await node.ask('DELETE', `/${physical}`);
    await restore();
    await expect(generation.sweep(1n, signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    await expect(generation.promote(signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    await expect(scanned(generation)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([1n, 1n, null]);
    await using second = await target.open(planOf(index), signal);
    expect(seen).not.toContain(second.incarnation);
    seen.push(second.incarnation);
    await outcomes(second, batchOf(5, put('a', 5n), del('b', 5n), put('c', 5n)));
    expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([5n, null, 5n]);

    // Over the closed index: its name and its uuid may stay, its past does not.
    await node.ask('POST', `/${physical}/_close`);
    await restore();
    await expect(second.sweep(1n, signal)).rejects.toHaveProperty('code', expect.stringMatching(/^TGT_(IDENTITY|FENCED)$/));
    await using third = await target.open(planOf(index), signal);
    expect(seen).not.toContain(third.incarnation);
    expect((await scanned(third)).map(({ id, version }) => `${id} ${version}`)).toEqual(['a 1', 'b 1']);
  });

  test('settings for loading are those for searching again after a promotion, also when the build was broken off', async () => {
    const options = { settings: { refresh_interval: '7s', number_of_replicas: 1 } };
    await using scene = await faultScene(await server());
    const { node } = scene;
    const held = async (): Promise<unknown> => {
      const [one] = Object.values((await node.ask('GET', `/${index}-g0002/_settings?flat_settings=true`)) as Record<string, { settings: Record<string, unknown> }>);
      return ['refresh_interval', 'number_of_replicas', 'gc_deletes'].map((name) => one?.settings[`index.${name}`]);
    };
    for (let broken = 0; broken < 2; broken += 1) {
      await using target = await connect(node.url);
      await using building = await target.open(planOf(index, { generation: 2, isBuilding: true, options }), signal);
      await outcomes(building, batchOf(broken, put(`k${broken}`, 1n)));
      expect(await held()).toEqual(['-1', '0', '1h']);
    }
    await using target = await connect(node.url);
    await using building = await target.open(planOf(index, { generation: 2, isBuilding: true, options }), signal);
    await building.promote(signal);
    expect(await held()).toEqual(['7s', '1', '1h']);
    await using again = await target.open(planOf(index, { generation: 2, isBuilding: true, options }), signal);
    await outcomes(again, batchOf(3, put('k3', 3n)));
    expect(await held()).toEqual(['7s', '1', '1h']);
  });
}

export function testShards({ server }: OpenSearchSuite): void {
  test('an index of several shards is written, scanned, cleared, repaired and swapped like one of one', async () => {
    const options = { settings: { number_of_shards: 4 } };
    await using scene = await faultScene(await server(), {}, planOf(index, { options }));
    const { generation, target } = scene;
    const ids = Array.from({ length: 2_000 }, (_, i) => `key ${i}`);
    const model = new TargetModel({ capabilities: { atomicCursor: false } });
    await load(generation, [batchOf(1, ...ids.map((id, i) => put(id, BigInt(i + 1), { text: 'amber' })))], model);
    await expectExactly(generation, ids, model);
    await load(generation, [{ operations: [put('key 0', 5_000n)], clearBelow: 501n, cursor: 2 }, batchOf(3, ...ids.slice(600, 900).map((id) => del(id, 6_000n)))], model);
    await expectExactly(generation, ids, model);
    expect(await generation.sweep(1_201n, signal)).toBe(400);
    model.sweep(1_201n);
    await expectExactly(generation, ids, model);
    await generation.remove(ids.slice(1_500), signal);
    expect((await scanned(generation)).length).toBe(301);
    await using second = await target.open(planOf(index, { generation: 2, options }), signal);
    await outcomes(second, batchOf(1, ...ids.map((id) => put(id, 1n, { text: 'amber' }))));
    expect(second.incarnation).not.toBe(generation.incarnation);
    await second.promote(signal);
    expect((await target.search({ index, text: 'amber', limit: 3_000 }, signal)).map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
    await using again = await target.open(planOf(index, { options }), signal);
    expect(again.incarnation).toBe(generation.incarnation);
  });

  test('a name that readers find something else behind is not taken over', async () => {
    await using scene = await faultScene(await server());
    const { node, target } = scene;
    await node.ask('PUT', '/theirs', { settings: { number_of_replicas: 0 }, aliases: { taken: {} } });
    await node.ask('PUT', '/also', { settings: { number_of_replicas: 0 } });
    for (const name of ['taken', 'also']) {
      await using generation = await target.open(planOf(name), signal);
      await outcomes(generation, batchOf(1, put('a', 1n)));
      await expect(generation.promote(signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    }
    expect(await node.ask('GET', '/_cat/aliases/taken?format=json&h=index')).toEqual([{ index: 'theirs' }]);
  });
}
