/** What a cluster may do to an opened generation behind its back, and what opening, loading and scanning make of failures in their middle. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { OpenSearchTarget } from '../../../connectors/targets/opensearch/target.ts';
import type { GenerationPlan, Operation, TargetGeneration } from '../../../src/connector/target.ts';
import type { Clock } from '../../../src/runtime/clock.ts';
import { nodeClock } from '../../../src/runtime/node/clock.ts';
import { nodeRandom } from '../../../src/runtime/node/random.ts';
import { smallCluster, type SmallCluster, type SmallIndex } from './small-cluster.ts';
import type { Told } from './protocol-server.ts';

const { signal } = new AbortController();
const physical = 'things-g0001';
const put = (id: string): Operation => ({ kind: 'put', id, version: 7n, document: '{}' });
const del = (id: string): Operation => ({ kind: 'delete', id, version: 7n });
const plan = (more: Partial<GenerationPlan> = {}): GenerationPlan => ({ index: 'things', generation: 1, binding: { logId: 'log', epoch: 3, fingerprint: 'f' }, fields: [{ name: 'id', kind: 'text' }], isBuilding: false, options: {}, ...more });

interface Scene extends AsyncDisposable {
  readonly cluster: SmallCluster;
  readonly target: OpenSearchTarget;
  readonly open: (more?: Partial<GenerationPlan>) => Promise<TargetGeneration>;
  readonly apply: (generation: TargetGeneration, ...operations: readonly Operation[]) => Promise<string[]>;
  readonly index: () => SmallIndex;
  /** Time that has passed beside the real one. */
  passed: { ms: number };
}

async function scene(): Promise<Scene> {
  const cluster = await smallCluster();
  const passed = { ms: 0 };
  const clock: Clock = { ...nodeClock, monotonicMs: () => nodeClock.monotonicMs() + passed.ms, sleep: async () => void (passed.ms += 1000) };
  const target = new OpenSearchTarget({ name: 'search', config: cluster.server.config(), runtime: { clock, random: nodeRandom } });
  return {
    cluster,
    target,
    passed,
    open: (more) => target.open(plan(more), signal),
    apply: async (generation, ...operations) => (await generation.apply({ operations, cursor: 1 }, signal)).map(({ outcome }) => outcome),
    index: () => cluster.indices.get(physical) as SmallIndex,
    async [Symbol.asyncDispose]() {
      await target[Symbol.asyncDispose]();
      await cluster[Symbol.asyncDispose]();
    },
  };
}

const bulks = ({ cluster }: Scene): number => cluster.server.asked.filter(({ path }) => path.includes('/_bulk')).length;

describe('what readers find', () => {
  const foreign = (on: Scene): void => void on.cluster.indices.set('strange', { uuid: 's', history: 'h', settings: {}, mappings: {}, aliases: { things: {} } });

  test('is nothing when the alias was taken away, and they get it back', async () => {
    await using on = await scene();
    await using generation = await on.open();
    await generation.promote(signal);
    expect(await generation.seen(signal)).toBe('this');
    delete on.index().aliases['things'];
    expect([await generation.seen(signal), (await on.target.generations(signal))[0]?.promoted]).toEqual(['nothing', false]);
    await generation.promote(signal);
    expect(await generation.seen(signal)).toBe('this');
  });

  test.each([
    ['in place of it', true],
    ['beside it', false],
  ])('is an error with the way out when somebody has given its alias to an index of their own %s, which is left alone', async (_, moved) => {
    await using on = await scene();
    await using generation = await on.open();
    await generation.promote(signal);
    foreign(on);
    if (moved) delete on.index().aliases['things'];
    expect(await generation.seen(signal)).toMatchObject({ code: 'TGT_IDENTITY', message: 'The alias things is that of the index strange, which tailrace did not make.', did: expect.stringContaining('kept in step') as unknown, hint: 'POST /_aliases {"actions": [{"remove": {"index": "strange", "alias": "things"}}]}' });
    await expect(generation.promote(signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    expect(on.cluster.indices.get('strange')?.aliases).toEqual({ things: {} });
    expect(await on.apply(generation, put('a'))).toEqual(['applied']);
  });

  test('cannot be told of an index that is closed, gone, or another one', async () => {
    await using on = await scene();
    await using generation = await on.open();
    on.index().settings['index.verified_before_close'] = 'true';
    await expect(generation.seen(signal)).rejects.toMatchObject({ code: 'TGT_BLOCKED' });
    delete on.index().settings['index.verified_before_close'];
    on.index().history = 'restored';
    await expect(generation.seen(signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    on.cluster.indices.clear();
    await expect(generation.seen(signal)).rejects.toMatchObject({ code: 'TGT_MISSING' });
  });
});

describe('an index whose `_meta` somebody has overwritten', () => {
  async function overwritten(): Promise<{ readonly on: Scene; readonly generation: TargetGeneration; readonly before: unknown }> {
    const on = await scene();
    const generation = await on.open();
    await generation.promote(signal);
    const before = on.index().mappings._meta?.['tailrace'];
    on.index().mappings._meta = { a: 1 };
    return { on, generation, before };
  }

  test('is told of, with what belongs there, and is written all the same', async () => {
    const { on, generation, before } = await overwritten();
    await using _on = on;
    const seen = await generation.seen(signal);
    expect(seen).toMatchObject({ code: 'TGT_IDENTITY', message: expect.stringContaining(physical) as unknown });
    const hint = (seen as { readonly hint: string }).hint;
    const back = /PUT \/things-g0001\/_mapping (\{.*\})\. Or /.exec(hint)?.[1] ?? '';
    expect(JSON.parse(back)).toMatchObject({ _meta: { a: 1, tailrace: { ...(before as object), fields: {} } } });
    expect([await on.apply(generation, put('a')), hint.includes('`tailrace resync things`')]).toEqual([['applied'], true]);
    on.index().mappings._meta = (JSON.parse(back) as { _meta: Record<string, unknown> })._meta;
    expect(await generation.seen(signal)).toBe('this');
    await using again = await on.open();
    expect(again.incarnation).toBe(generation.incarnation);
  });

  test('is refused at the next opening, with what belongs there, and takes no field', async () => {
    const { on, generation } = await overwritten();
    await using _on = on;
    await expect(generation.prepare([{ name: 'new', kind: 'int' }], signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY', hint: expect.stringContaining('PUT /things-g0001/_mapping') as unknown });
    await expect(generation.promote(signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    await expect(on.open()).rejects.toMatchObject({ code: 'TGT_IDENTITY', hint: expect.stringMatching(/PUT \/things-g0001\/_mapping .* and restart tailrace/) as unknown });
  });

  test('gives its readers to the next one, and can be dropped', async () => {
    const { on } = await overwritten();
    await using _on = on;
    await using next = await on.open({ generation: 2 });
    await next.promote(signal);
    expect(await on.target.generations(signal)).toMatchObject([{ generation: 1, promoted: false }, { generation: 2, promoted: true }]);
    await on.target.drop('things', 1, signal);
    expect([...on.cluster.indices.keys()]).toEqual(['things-g0002']);
  });

  test('and given another owner is written no more', async () => {
    const { on, generation } = await overwritten();
    await using _on = on;
    on.index().mappings._meta = { tailrace: { log_id: 'other', epoch: 3, fingerprint: 'f', index: 'things', generation: 1 } };
    await expect(generation.seen(signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY', message: expect.stringContaining('another data directory') as unknown });
  });
});

describe('an index that changes while it is written', () => {
  test.each([
    ['a put', [put('a')]],
    ['a delete', [del('a')]],
  ])('is missing when it was deleted, and %s makes none in its place', async (_, operations) => {
    await using on = await scene();
    await using generation = await on.open();
    on.cluster.indices.clear();
    await expect(on.apply(generation, ...operations)).rejects.toMatchObject({ code: 'TGT_MISSING', message: expect.stringContaining(physical) as unknown });
    await expect(on.apply(generation, ...operations)).rejects.toMatchObject({ code: 'TGT_MISSING' });
    expect(on.cluster.indices.size).toBe(0);
  });

  test('is missing to everything else that is done with it', async () => {
    await using on = await scene();
    await using generation = await on.open();
    on.cluster.indices.clear();
    const works = [() => generation.remove(['a'], signal), () => generation.sweep(9n, signal), () => generation.promote(signal), () => generation.prepare([{ name: 'new', kind: 'int' }], signal), () => Array.fromAsync(generation.scan(signal)), () => generation.apply({ operations: [], clearBelow: 3n, cursor: 1 }, signal)];
    for (const work of works) await expect(work()).rejects.toMatchObject({ code: 'TGT_MISSING' });
    on.cluster.intercept = ({ path }) => (path.includes('/_refresh') ? { status: 404, json: { error: { type: 'index_not_found_exception', reason: 'no such index' } } } : undefined);
    await using other = await on.open();
    await expect(other.sweep(9n, signal)).rejects.toMatchObject({ code: 'TGT_MISSING' });
    expect(on.cluster.indices.size).toBe(1);
  });

  test('is another one when it was deleted and made anew', async () => {
    await using on = await scene();
    await using generation = await on.open();
    on.cluster.indices.set(physical, { uuid: 'other', history: 'h', settings: {}, mappings: {}, aliases: {} });
    await expect(on.apply(generation, put('a'))).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    await expect(on.open()).rejects.toMatchObject({ code: 'TGT_IDENTITY', hint: expect.stringContaining(`DELETE /${physical}`) as unknown });
  });

  test('takes nothing from an opening that another one came after', async () => {
    await using on = await scene();
    await using generation = await on.open();
    await using newer = await on.open();
    for (const operations of [[put('a')], [del('a')], [put('a'), del('b')]]) await expect(on.apply(generation, ...operations)).rejects.toMatchObject({ code: 'TGT_FENCED' });
    await expect(generation.promote(signal)).rejects.toMatchObject({ code: 'TGT_FENCED' });
    expect(await on.apply(newer, put('a'), del('b'))).toEqual(['applied', 'applied']);
    expect(Object.keys(on.index().aliases)).toHaveLength(1);
  });

  test('is known not to be the one that was written when it was put back with its aliases: after any trouble', async () => {
    await using on = await scene();
    await using generation = await on.open();
    on.cluster.intercept = ({ path }) => (path.includes('/_bulk') ? { status: 503, text: '' } : undefined);
    await expect(on.apply(generation, put('a'))).rejects.toMatchObject({ code: 'TGT_CONN' });
    on.cluster.intercept = () => undefined;
    on.index().history = 'restored';
    const before = bulks(on);
    await expect(on.apply(generation, put('a'))).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    expect(bulks(on)).toBe(before);
  });

  test('and, where there was no trouble, within ten seconds', async () => {
    await using on = await scene();
    await using generation = await on.open();
    on.index().history = 'restored';
    expect(await on.apply(generation, put('a'))).toEqual(['applied']);
    on.passed.ms += 10_000;
    await expect(on.apply(generation, put('b'))).rejects.toMatchObject({ code: 'TGT_IDENTITY' });
    await using again = await on.open();
    expect(again.incarnation).not.toBe(generation.incarnation);
    expect(await on.apply(again, put('b'))).toEqual(['applied']);
  });
});

describe('opening', () => {
  test('goes on where the answer to its making of the index was lost', async () => {
    await using on = await scene();
    let lost = 0;
    on.cluster.intercept = ({ method, path, body }) => {
      if (method !== 'PUT' || path !== `/${physical}` || lost > 0) return undefined;
      lost += 1;
      const { settings, mappings, aliases } = JSON.parse(body) as SmallIndex;
      on.cluster.indices.set(physical, { uuid: 'u', history: 'h', settings: { 'index.number_of_shards': '1', ...settings }, mappings, aliases });
      return { cut: 'before' };
    };
    await using generation = await on.open();
    expect(await on.apply(generation, put('a'))).toEqual(['applied']);
    expect(lost).toBe(1);
  });

  test('loses to another one at the same moment, and comes after it', async () => {
    await using on = await scene();
    await using first = await on.open();
    let others = 0;
    on.cluster.intercept = ({ path }) => {
      if (path !== '/_aliases' || others > 0) return undefined;
      others += 1;
      on.index().aliases = { [`${physical}-w5-0123456789abcdef`]: {} };
      return undefined;
    };
    await using second = await on.open();
    expect(Object.keys(on.index().aliases).map((alias) => alias.slice(0, physical.length + 3))).toEqual([`${physical}-w6`]);
    await expect(on.apply(first, put('a'))).rejects.toMatchObject({ code: 'TGT_FENCED' });
    expect(await on.apply(second, put('a'))).toEqual(['applied']);
  });

  test('raises the limit of fields as far as is reasonable, and leaves one alone that the config has', async () => {
    await using on = await scene();
    const limited = (needed: number): void => {
      on.cluster.intercept = ({ method, path, body }): Told | undefined => {
        if (method !== 'PUT' || path !== `/${physical}`) return undefined;
        const limit = Number((JSON.parse(body) as SmallIndex).settings['index.mapping.total_fields.limit'] ?? 1000);
        return limit >= needed ? undefined : { status: 400, json: { error: { type: 'illegal_argument_exception', reason: `Limit of total fields [${limit}] has been exceeded` } } };
      };
    };
    limited(3000);
    await (await on.open())[Symbol.asyncDispose]();
    expect(on.index().settings['index.mapping.total_fields.limit']).toBe(4000);
    on.cluster.indices.clear();
    limited(20_000);
    await expect(on.open()).rejects.toMatchObject({ code: 'TGT_MAPPING', message: expect.stringContaining('10000 fields') as unknown });
    limited(2000);
    await expect(on.open({ options: { settings: { 'mapping.total_fields.limit': 1500 } } })).rejects.toMatchObject({ code: 'TGT_MAPPING', message: expect.stringContaining('1500') as unknown });
    expect(on.cluster.indices.size).toBe(0);
  });

  test('says which field or setting the server does not take', async () => {
    await using on = await scene();
    on.cluster.intercept = ({ method }) => (method === 'PUT' ? { status: 400, json: { error: { type: 'mapper_parsing_exception', reason: 'No handler for type [x] declared on field [id]' } } } : undefined);
    await expect(on.open()).rejects.toMatchObject({ code: 'TGT_MAPPING', message: expect.stringContaining('field id') as unknown, hint: expect.stringContaining('tailrace resync things') as unknown });
  });

  test('waits until every node knows the new alias', async () => {
    await using on = await scene();
    await (await on.open())[Symbol.asyncDispose]();
    on.cluster.intercept = ({ path }) => (path === '/_aliases' ? { json: { acknowledged: false } } : undefined);
    await expect(on.open()).rejects.toMatchObject({ code: 'TGT_CONN' });
  });
});

describe('loading', () => {
  const settings = (on: Scene): unknown[] => [on.index().settings['index.refresh_interval'], on.index().settings['index.number_of_replicas']];

  test('has no refresh and no replicas, and what the config wants is there after the promotion, whoever promotes', async () => {
    await using on = await scene();
    const building = { isBuilding: true, options: { settings: { refresh_interval: '7s', number_of_replicas: 2 } } };
    await (await on.open(building))[Symbol.asyncDispose]();
    expect(settings(on)).toEqual(['-1', '0']);
    // As after a crash: another opening, and one that is cut off between the settings and the alias.
    await using generation = await on.open(building);
    expect(settings(on)).toEqual(['-1', '0']);
    on.cluster.intercept = ({ path }) => (path === '/_aliases' ? { status: 503, text: '' } : undefined);
    await expect(generation.promote(signal)).rejects.toMatchObject({ code: 'TGT_CONN' });
    on.cluster.intercept = () => undefined;
    await generation.promote(signal);
    expect(settings(on)).toEqual(['7s', 2]);
    expect(Object.keys(on.index().aliases)).toContain('things');
    await (await on.open(building))[Symbol.asyncDispose]();
    expect(settings(on)).toEqual(['7s', 2]);
  });

  test('is over for an index that is opened to be searched, also when nobody promoted it', async () => {
    await using on = await scene();
    await (await on.open({ isBuilding: true }))[Symbol.asyncDispose]();
    await (await on.open())[Symbol.asyncDispose]();
    expect(settings(on)).toEqual(['1s', undefined]);
    expect(on.index().settings['index.gc_deletes']).toBe('1h');
  });
});

describe('preparing', () => {
  test('fields that are there costs no request, others one round', async () => {
    await using on = await scene();
    await using generation = await on.open();
    await generation.prepare([{ name: 'more', kind: 'int' }], signal);
    expect(on.index().mappings.properties).toHaveProperty('more');
    const before = on.cluster.server.asked.length;
    await generation.prepare([{ name: 'more', kind: 'int' }, { name: 'id', kind: 'text' }], signal);
    expect(on.cluster.server.asked).toHaveLength(before);
  });

  test('a field that the index cannot have rejects, and is asked for again', async () => {
    await using on = await scene();
    await using generation = await on.open();
    on.cluster.intercept = ({ method, path }) => (method === 'PUT' && path.includes('_mapping') ? { status: 400, json: { error: { type: 'illegal_argument_exception', reason: 'mapper [id] cannot be changed from type [text] to [long]' } } } : undefined);
    for (let i = 0; i < 2; i += 1) await expect(generation.prepare([{ name: 'id', kind: 'int' }], signal)).rejects.toMatchObject({ code: 'TGT_MAPPING', message: expect.stringContaining('field id') as unknown });
  });
});

describe('removing', () => {
  test('asks until the deletes are forgotten, and has them remembered again whatever happens', async () => {
    await using on = await scene();
    await using generation = await on.open();
    let refusals = 2;
    on.cluster.result = ({ version }) => (version === '0' && refusals-- > 0 ? { status: 409, type: 'version_conflict_engine_exception' } : 200);
    on.cluster.intercept = ({ path }) => (path.includes('/_mget') ? { json: { docs: [{ _id: 'a', found: false }] } } : undefined);
    await generation.remove(['a'], signal);
    expect(refusals).toBeLessThan(0);
    expect(on.index().settings['index.gc_deletes']).toBe('1h');
    refusals = Infinity;
    await expect(generation.remove(['a'], signal)).rejects.toMatchObject({ code: 'TGT_CONN' });
    expect(on.index().settings['index.gc_deletes']).toBe('1h');
  });
});

describe('scanning', () => {
  const page = (from: number, count: number, text: string): Told => ({ json: { _shards: { failed: 0 }, hits: { hits: Array.from({ length: count }, (_, i) => ({ _id: `k${from + i}`, _version: 1, _source: { text }, sort: [from + i] })) } } });

  /** Answers searches with documents of this size, and remembers what was opened and closed. */
  function serve(on: Scene, documents: number, text: string): { readonly sizes: number[]; open: number } {
    const seen = { sizes: [] as number[], open: 0 };
    on.cluster.intercept = ({ method, path, body }) => {
      if (path.includes('point_in_time')) {
        seen.open += method === 'POST' ? 1 : -1;
        return { json: { pit_id: 'view' } };
      }
      if (!path.startsWith('/_search')) return undefined;
      const { size, search_after: after } = JSON.parse(body) as { size: number; search_after?: number[] };
      seen.sizes.push(size);
      const from = after === undefined ? 0 : (after[0] ?? 0) + 1;
      return page(from, Math.min(size, documents - from), text);
    };
    return seen;
  }

  test('asks for fewer documents at once when they are large, down to one, and loses none', { timeout: 30_000 }, async () => {
    await using on = await scene();
    await using generation = await on.open();
    const seen = serve(on, 8, 'x'.repeat(6 << 20));
    const ids: string[] = [];
    for await (const documents of generation.scan(signal)) ids.push(...documents.map(({ id }) => id));
    expect(ids).toEqual(Array.from({ length: 8 }, (_, i) => `k${i}`));
    expect(Math.min(...seen.sizes)).toBe(1);
    expect(seen.open).toBe(0);
  });

  test('asks for more when they are small', async () => {
    await using on = await scene();
    await using generation = await on.open();
    const seen = serve(on, 5000, 'x');
    let count = 0;
    for await (const documents of generation.scan(signal)) count += documents.length;
    expect(count).toBe(5000);
    expect(seen.sizes.slice(0, 3)).toEqual([500, 1000, 2000]);
  });

  test.each(['left early', 'called off', 'failed'])('lets its view go when it was %s', async (how) => {
    await using on = await scene();
    await using generation = await on.open();
    const seen = serve(on, 5000, 'x');
    const controller = new AbortController();
    const scan = async (): Promise<void> => {
      for await (const documents of generation.scan(controller.signal)) {
        if (how === 'left early' && documents.length > 0) return;
        if (how === 'called off') controller.abort(new Error('enough'));
        if (how === 'failed') on.cluster.intercept = ({ path, method }) => (path.includes('point_in_time') ? (seen.open += method === 'DELETE' ? -1 : 1, { json: {} }) : { status: 404, json: { error: { type: 'search_context_missing_exception' } } });
      }
    };
    const ended = scan();
    if (how === 'left early') await ended;
    else await expect(ended).rejects.toMatchObject(how === 'failed' ? { code: 'TGT_CONN' } : { message: 'enough' });
    expect(seen.open).toBe(0);
  });

  test('fails when a shard does, instead of showing what is left', async () => {
    await using on = await scene();
    await using generation = await on.open();
    on.cluster.intercept = ({ path }) => (path.includes('point_in_time') ? { json: { pit_id: 'view' } } : path.startsWith('/_search') ? { json: { _shards: { failed: 1 }, hits: { hits: [] } } } : undefined);
    await expect(Array.fromAsync(generation.scan(signal))).rejects.toMatchObject({ code: 'TGT_CONN' });
  });
});

test('a generation that was closed is forgotten: a target that is opened again after every failure does not grow', async () => {
  await using on = await scene();
  const closed = await (async () => {
    const opened = await on.open();
    await opened[Symbol.asyncDispose]();
    return new WeakRef(opened);
  })();
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  // What was awaited last is let go a turn later.
  await expect.poll(() => (collect(), closed.deref() === undefined), { timeout: 4_000 }).toBe(true);
});
