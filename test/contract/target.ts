/**
 * The contract of `src/connector/target.ts` as tests: every target passes them, and so does the simulator's double. They speak to the
 * target through its interface only; its capabilities decide which apply.
 */
import { describe, expect, test } from 'vitest';
import type { Batch, GenerationPlan, Operation, Target, TargetGeneration } from '../../src/connector/target.ts';
import { history, numbersFrom, TargetModel, type HistoryShape } from './target-history.ts';
import { killAndCompare } from './target-kills.ts';

/** One storage (a file, a server, a namespace on it) and the ways to it. */
export interface TargetFixture extends AsyncDisposable {
  /** Connects to the storage; after the target was disposed of, connecting again finds what was there. */
  connect(): Promise<Target>;
  /** A put that the target refuses for good; without it, tests of refused documents are left out. */
  readonly poison?: ((id: string, version: bigint) => Operation) | undefined;
  /** How another process connects: a module that exports `connect(argument)`. Without it no process is killed. */
  readonly process?: { readonly module: string; readonly argument: string } | undefined;
  /** The storage's own check of itself; throws when something in it does not fit together. */
  readonly inspect?: (() => Promise<void>) | undefined;
}

/** A target whose readers see writes late (a refresh, say) is given this long. */
const VISIBLE_WITHIN_MS = 10_000;

const { signal } = new AbortController();

export function planOf(index: string, generation = 1): GenerationPlan {
  return {
    index,
    generation,
    binding: { logId: 'log-1', epoch: 3, fingerprint: 'f-1' },
    fields: [
      { name: 'id', kind: 'text' },
      { name: 'seq', kind: 'int' },
      { name: 'text', kind: 'text' },
      { name: 'tags', kind: 'array' },
    ],
  };
}

export const put = (id: string, version: bigint, document: Readonly<Record<string, unknown>> = {}): Operation => ({ kind: 'put', id, version, document: JSON.stringify({ id, ...document }) });
export const del = (id: string, version: bigint): Operation => ({ kind: 'delete', id, version });
export const batchOf = (cursor: number, ...operations: readonly Operation[]): Batch => ({ operations, cursor });

export async function outcomes(generation: TargetGeneration, batch: Batch): Promise<string[]> {
  return (await generation.apply(batch, signal)).map(({ outcome }) => outcome);
}

async function versions(target: Target, index: string, ids: readonly string[]): Promise<(bigint | null)[]> {
  return (await target.fetch(index, ids, signal)).map((held) => held?.version ?? null);
}

async function expectModel(target: Target, index: string, ids: readonly string[], model: TargetModel): Promise<void> {
  const held = await target.fetch(index, ids, signal);
  const normal = (documents: typeof held): unknown[] => documents.map((one, i) => [ids[i], one === null ? null : [one.version, JSON.parse(one.document) as unknown]]);
  expect(normal(held)).toEqual(normal(model.documents(ids)));
}

async function eventually(check: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + VISIBLE_WITHIN_MS;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      // Not yet; the last word is the check's own.
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** The kit hands each test a storage of its own and an open, promoted generation of the index `things`. */
interface Bench {
  readonly fixture: TargetFixture;
  readonly target: Target;
  readonly generation: TargetGeneration;
}

type Run = (body: (bench: Bench) => Promise<void>) => () => Promise<void>;

const index = 'things';

export function targetContract(name: string, factory: () => Promise<TargetFixture>): void {
  const run: Run = (body) => async () => {
    await using fixture = await factory();
    {
      await using target = await fixture.connect();
      await using generation = await target.open(planOf(index), signal);
      await generation.promote(signal);
      await body({ fixture, target, generation });
    }
    await fixture.inspect?.();
  };
  describe(`${name} keeps the target contract:`, () => {
    documents(run);
    refusals(run);
    histories(run);
    removal(run);
    generations(run, factory);
    cursors(run, factory);
    ending(run);
    searching(run);
    kills(factory);
  });
}

function documents(run: Run): void {
  test(
    'a document is there with its exact version, in the order asked for, and null stands for one that is not',
    run(async ({ target, generation }) => {
      expect(await outcomes(generation, batchOf(2, put('a', 1n, { n: 1 }), put('b', 2n, { n: 2 })))).toEqual(['applied', 'applied']);
      const held = await target.fetch(index, ['b', 'nobody', 'a'], signal);
      expect(held.map((one) => one?.version ?? null)).toEqual([2n, null, 1n]);
      expect(JSON.parse(held[0]?.document ?? '')).toEqual({ id: 'b', n: 2 });
    }),
  );

  test(
    'a write wins only over a lower version',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(5, put('a', 5n, { n: 'first' })));
      expect(await outcomes(generation, batchOf(5, put('a', 5n, { n: 'same' })))).toEqual(['stale']);
      expect(await outcomes(generation, batchOf(5, put('a', 4n, { n: 'older' })))).toEqual(['stale']);
      expect(await outcomes(generation, batchOf(5, del('a', 4n)))).toEqual(['stale']);
      expect(JSON.parse((await target.fetch(index, ['a'], signal))[0]?.document ?? '')).toEqual({ id: 'a', n: 'first' });
      expect(await outcomes(generation, batchOf(6, put('a', 6n, { n: 'newer' })))).toEqual(['applied']);
      expect(JSON.parse((await target.fetch(index, ['a'], signal))[0]?.document ?? '')).toEqual({ id: 'a', n: 'newer' });
    }),
  );

  test(
    'a delete is remembered: an older put is stale after it, a newer one uses the key again',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(1, put('a', 1n)));
      expect(await outcomes(generation, batchOf(10, del('a', 10n), del('never', 10n)))).toEqual(['applied', 'applied']);
      expect(await outcomes(generation, batchOf(10, put('a', 9n), put('never', 9n)))).toEqual(['stale', 'stale']);
      expect(await versions(target, index, ['a', 'never'])).toEqual([null, null]);
      expect(await outcomes(generation, batchOf(11, put('a', 11n), put('never', 11n)))).toEqual(['applied', 'applied']);
      expect(await versions(target, index, ['a', 'never'])).toEqual([11n, 11n]);
    }),
  );

  test(
    'versions beyond 2^53 keep their order, up to the greatest',
    run(async ({ target, generation }) => {
      const low = 2n ** 53n + 1n;
      const high = 2n ** 53n + 2n;
      await outcomes(generation, batchOf(1, put('a', low), put('b', high), put('c', 2n ** 63n - 2n)));
      expect(await outcomes(generation, batchOf(2, put('a', high), put('b', low), put('c', 2n ** 63n - 1n)))).toEqual(['applied', 'stale', 'applied']);
      expect(await outcomes(generation, batchOf(2, put('a', low), del('c', 2n ** 63n - 2n)))).toEqual(['stale', 'stale']);
      expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([high, high, 2n ** 63n - 1n]);
    }),
  );

  test(
    'ids of any content stay apart',
    run(async ({ target, generation }) => {
      const ids = ['a', 'A', 'ä', 'a ', ' a', 'a/b', 'a:b', 'a%3Ab', '%N', '%E', "o'clock", 'say "x"', '_x', '-', '.', '..', '日本語', '😀', '0', '00', '1e3', 'null', '__proto__', 'constructor', 'a,b', 'a*', '#?&=', 'é', 'e\u0301'];
      const batch = batchOf(100, ...ids.map((id, i) => put(id, BigInt(i + 1), { n: i })));
      expect(await outcomes(generation, batch)).toEqual(ids.map(() => 'applied'));
      const held = await target.fetch(index, ids, signal);
      expect(held.map((one) => JSON.parse(one?.document ?? 'null') as unknown)).toEqual(ids.map((id, n) => ({ id, n })));
      await outcomes(generation, batchOf(200, ...ids.filter((_, i) => i % 2 === 0).map((id) => del(id, 200n))));
      expect(await versions(target, index, ids)).toEqual(ids.map((_, i) => (i % 2 === 0 ? null : BigInt(i + 1))));
    }),
  );

  test(
    'long ids and large documents come back whole, and numbers keep their digits',
    run(async ({ target, generation }) => {
      const ids = ['x'.repeat(511), 'x'.repeat(512), 'x'.repeat(513), 'x'.repeat(20_000)];
      expect(await outcomes(generation, batchOf(1, ...ids.map((id) => put(id, 1n))))).toEqual(ids.map(() => 'applied'));
      expect(await versions(target, index, ids)).toEqual([1n, 1n, 1n, 1n]);
      const document = `{"id":"big","text":${JSON.stringify('lorem "ipsum"\n\t\\ é 😀 '.repeat(50_000))},"exact":12345678901234567890.123456789}`;
      await outcomes(generation, batchOf(2, { kind: 'put', id: 'big', version: 2n, document }));
      const [held] = await target.fetch(index, ['big'], signal);
      expect(JSON.parse(held?.document ?? 'null')).toEqual(JSON.parse(document));
      expect(held?.document).toContain('12345678901234567890.123456789');
    }),
  );

  test(
    'a batch of thousands is one call',
    run(async ({ target, generation }) => {
      const operations = Array.from({ length: 5000 }, (_, i) => put(`k${i}`, BigInt(i + 1), { n: i }));
      expect(new Set(await outcomes(generation, batchOf(5000, ...operations)))).toEqual(new Set(['applied']));
      await eventually(async () => expect((await generation.stats()).documents).toBe(5000));
      expect(await versions(target, index, ['k0', 'k4999', 'k5000'])).toEqual([1n, 5000n, null]);
    }),
  );

  test(
    'batches of disjoint keys may be sent at once',
    run(async ({ target, generation }) => {
      const batches = Array.from({ length: 8 }, (_, b) => batchOf(b + 1, ...Array.from({ length: 50 }, (__, i) => put(`b${b}-${i}`, BigInt(b + 1)))));
      const results = await Promise.all(batches.map((batch) => outcomes(generation, batch)));
      expect(new Set(results.flat())).toEqual(new Set(['applied']));
      const ids = batches.flatMap(({ operations }) => operations.map(({ id }) => id));
      expect(await versions(target, index, ids)).toEqual(batches.flatMap(({ operations }) => operations.map(({ version }) => version)));
    }),
  );
}

function refusals(run: Run): void {
  test('results stand at the place of their operation, and a refused document stops no other', async (context) => {
    await run(async ({ fixture, target, generation }) => {
      const { poison } = fixture;
      if (poison === undefined) return context.skip('this target refuses no single document');
      await outcomes(generation, batchOf(5, put('old', 5n), put('bad', 5n, { n: 'good' })));
      const mixed = batchOf(9, put('a', 6n), poison('bad', 7n), put('old', 4n), del('b', 8n), poison('new', 8n), put('c', 9n));
      const results = await generation.apply(mixed, signal);
      expect(results.map(({ outcome }) => outcome)).toEqual(['applied', 'poison', 'stale', 'applied', 'poison', 'applied']);
      for (const result of results) if (result.outcome === 'poison') expect(result).toMatchObject({ code: 'TGT_REJECTED', reason: expect.stringMatching(/\w/) as unknown });
      expect(await versions(target, index, ['a', 'bad', 'old', 'b', 'new', 'c'])).toEqual([6n, 5n, 5n, null, null, 9n]);
      expect(await outcomes(generation, mixed)).toEqual(['stale', 'poison', 'stale', 'stale', 'poison', 'stale']);
      expect(await outcomes(generation, batchOf(11, put('bad', 10n), put('new', 11n)))).toEqual(['applied', 'applied']);
      await eventually(async () => expect((await generation.stats()).documents).toBe(5));
    })();
  });

  test('the cursor stays before a batch with a refused document, so that it is met again', async (context) => {
    await run(async ({ fixture, target, generation }) => {
      const { poison } = fixture;
      if (poison === undefined || !target.capabilities.atomicCursor) return context.skip('needs an atomic cursor and a document to refuse');
      await outcomes(generation, batchOf(5, put('a', 5n)));
      await outcomes(generation, batchOf(8, put('b', 7n), poison('bad', 8n)));
      expect(await generation.cursor()).toBe(5);
      expect(await versions(target, index, ['b'])).toEqual([7n]);
      await outcomes(generation, batchOf(9));
      expect(await generation.cursor()).toBe(9);
    })();
  });
}

function histories(run: Run): void {
  const ids = Array.from({ length: 9 }, (_, i) => `key ${i}`);
  const seeds = [1, 2, 3, 4, 5, 6, 7, 8];

  test.each(seeds)('duplicates and batches from any time come to what the newest versions say (seed %i)', (seed) =>
    run(async ({ target, generation }) => {
      const batches = history({ seed, ids, changesMax: 12, clears: false, forgetAfter: 0 }).take(40).toArray();
      const next = numbersFrom(seed);
      const model = new TargetModel();
      for (let step = 0, reached = 0; reached < batches.length; step += 1) {
        const at = next() < 0.5 ? reached++ : Math.floor(next() * reached);
        const batch = batches[at] as Batch;
        expect(await outcomes(generation, batch), `step ${step}, batch ${at}`).toEqual(model.apply(batch));
        if (step % 7 === 0) await expectModel(target, index, ids, model);
      }
      await expectModel(target, index, ids, model);
    })(),
  );

  test.each(seeds)('a replay from any older batch, through truncates, ends as before (seed %i)', (seed) =>
    run(async ({ target, generation }) => {
      const atomic = target.capabilities.atomicCursor;
      const batches = history({ seed, ids, changesMax: 40, clears: true, forgetAfter: 6 }).take(40).toArray();
      const next = numbersFrom(seed);
      const model = new TargetModel();
      for (let reached = 0; reached < batches.length; reached += 1) {
        // No further back than the batches themselves say.
        const from = next() < 0.3 ? Math.max(0, reached - 1 - Math.floor(next() * 5)) : reached;
        for (let at = from; at <= reached; at += 1) {
          const batch = batches[at] as Batch;
          const expected = model.apply(batch);
          const got = await outcomes(generation, batch);
          if (atomic) expect(got, `batch ${at} from ${from}`).toEqual(expected);
          else expect(new Set(['applied', 'stale']).isSupersetOf(new Set(got))).toBe(true);
        }
        await expectModel(target, index, ids, model);
      }
      await eventually(async () => expect((await generation.stats()).documents).toBe(model.count));
    })(),
  );
}

function removal(run: Run): void {
  test(
    'clearing removes every document below a version before the batch, and no other',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(12, put('a', 1n), put('b', 9n), put('c', 10n), put('d', 12n)));
      expect(await outcomes(generation, { operations: [put('e', 13n), put('a', 14n)], clearBelow: 10n, cursor: 14 })).toEqual(['applied', 'applied']);
      expect(await versions(target, index, ['a', 'b', 'c', 'd', 'e'])).toEqual([14n, null, 10n, 12n, 13n]);
      await outcomes(generation, { operations: [], clearBelow: 20n, cursor: 20 });
      expect(await versions(target, index, ['a', 'b', 'c', 'd', 'e'])).toEqual([null, null, null, null, null]);
      await eventually(async () => expect((await generation.stats()).documents).toBe(0));
      expect(await outcomes(generation, batchOf(22, put('a', 21n), put('b', 22n)))).toEqual(['applied', 'applied']);
      await outcomes(generation, { operations: [], clearBelow: 22n, cursor: 23 });
      expect(await versions(target, index, ['a', 'b'])).toEqual([null, 22n]);
    }),
  );

  test(
    'clearing and sweeping work with the greatest versions',
    run(async ({ target, generation }) => {
      const great = 2n ** 63n - 9n;
      await outcomes(generation, batchOf(1, put('a', great - 1n), put('b', great)));
      await outcomes(generation, { operations: [put('c', great + 2n)], clearBelow: great, cursor: 2 });
      expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([null, great, great + 2n]);
      expect(await generation.sweep(great + 1n, signal)).toBe(1);
      await using again = await target.open(planOf(index), signal);
      await eventually(async () => expect((await again.stats()).documents).toBe(1));
      expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([null, null, great + 2n]);
    }),
  );

  test('where cursor and documents are one, nothing older than a clearing or a sweep comes back', async (context) => {
    await run(async ({ target, generation }) => {
      if (!target.capabilities.atomicCursor) return context.skip('needs an atomic cursor');
      await outcomes(generation, batchOf(5, put('a', 5n), del('b', 4n)));
      await outcomes(generation, { operations: [], clearBelow: 10n, cursor: 10 });
      expect(await outcomes(generation, batchOf(5, put('a', 5n), put('b', 9n), put('c', 9n)))).toEqual(['stale', 'stale', 'stale']);
      await generation.sweep(20n, signal);
      expect(await outcomes(generation, batchOf(10, put('a', 19n), put('d', 20n)))).toEqual(['stale', 'applied']);
      expect(await versions(target, index, ['a', 'b', 'c', 'd'])).toEqual([null, null, null, 20n]);
    })();
  });

  test(
    'a sweep removes what is older than a version and says how many documents went',
    run(async ({ target, generation }) => {
      const operations = Array.from({ length: 2500 }, (_, i) => put(`k${i}`, BigInt(i + 1)));
      await outcomes(generation, batchOf(2500, ...operations));
      await outcomes(generation, batchOf(2501, del('k0', 2501n), del('never', 5n)));
      await eventually(async () => expect((await generation.stats()).documents).toBe(2499));
      expect(await generation.sweep(2201n, signal)).toBe(2199);
      expect(await generation.sweep(2201n, signal)).toBe(0);
      expect(await versions(target, index, ['k0', 'k1', 'k2199', 'k2200', 'k2499'])).toEqual([null, null, null, 2201n, 2500n]);
      await eventually(async () => expect((await generation.stats()).documents).toBe(300));
    }),
  );

  test(
    'deletes may be forgotten below a version, later ones are remembered, and readers see no difference',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(9, put('a', 1n), put('b', 2n), put('c', 3n), del('d', 9n)));
      await outcomes(generation, batchOf(11, del('a', 10n), del('b', 11n)));
      await outcomes(generation, { operations: [put('e', 12n)], forgetBelow: 11n, cursor: 12 });
      expect(await versions(target, index, ['a', 'b', 'c', 'd', 'e'])).toEqual([null, null, 3n, null, 12n]);
      expect(await outcomes(generation, batchOf(12, put('b', 10n), put('c', 3n)))).toEqual(['stale', 'stale']);
    }),
  );
}

function generations(run: Run, factory: () => Promise<TargetFixture>): void {
  test(
    'an index that was never promoted shows readers nothing',
    run(async ({ target }) => {
      await using hidden = await target.open(planOf('hidden'), signal);
      await outcomes(hidden, batchOf(1, put('a', 1n, { text: 'amber' })));
      expect(await versions(target, 'hidden', ['a'])).toEqual([null]);
      expect(await target.search({ index: 'hidden', text: 'amber', limit: 5 }, signal)).toEqual([]);
      expect(await versions(target, 'unheard of', ['a', 'b'])).toEqual([null, null]);
      await hidden.promote(signal);
      await hidden.promote(signal);
      expect(await versions(target, 'hidden', ['a'])).toEqual([1n]);
    }),
  );

  test(
    'generations and indices stand side by side, each with its own documents and versions',
    run(async ({ target, generation }) => {
      await using second = await target.open(planOf(index, 2), signal);
      await using other = await target.open(planOf('others'), signal);
      await other.promote(signal);
      await outcomes(generation, batchOf(9, put('a', 9n, { g: 1 })));
      expect(await outcomes(second, batchOf(2, put('a', 2n, { g: 2 })))).toEqual(['applied']);
      expect(await outcomes(other, batchOf(1, put('a', 1n, { g: 3 })))).toEqual(['applied']);
      expect(await versions(target, index, ['a'])).toEqual([9n]);
      expect(await versions(target, 'others', ['a'])).toEqual([1n]);
      await second.promote(signal);
      expect(await versions(target, index, ['a'])).toEqual([2n]);
      expect(await outcomes(generation, batchOf(10, put('a', 10n)))).toEqual(['applied']);
      expect(await versions(target, index, ['a'])).toEqual([2n]);
      await generation.promote(signal);
      expect(await versions(target, index, ['a'])).toEqual([10n]);
    }),
  );

  test(
    'a concurrent reader sees the old generation, then the new one, never a mixture and never none',
    run(async ({ target, generation }) => {
      const ids = Array.from({ length: 40 }, (_, i) => `k${i}`);
      await using second = await target.open(planOf(index, 2), signal);
      await outcomes(generation, batchOf(1, ...ids.map((id) => put(id, 1n))));
      await outcomes(second, batchOf(2, ...ids.map((id) => put(id, 2n))));
      const seen: string[] = [];
      const read = async (): Promise<void> => {
        seen.push([...new Set(await versions(target, index, ids))].join());
      };
      await read();
      const reading = (async () => {
        for (let i = 0; i < 30; i += 1) await read();
      })();
      await second.promote(signal);
      const late = versions(target, index, ids);
      await reading;
      expect([...new Set(await late)]).toEqual([2n]);
      await read();
      expect(seen.join(' ')).toMatch(/^1( 1)*( 2)+$/);
    }),
  );

  test.each([
    ['another log', { logId: 'log-2' }],
    ['another epoch', { epoch: 4 }],
    ['another configuration', { fingerprint: 'f-2' }],
  ])('a generation is not opened for %s, and what is there stays', (_, difference) =>
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(1, put('a', 1n)));
      const plan = planOf(index);
      await expect(target.open({ ...plan, binding: { ...plan.binding, ...difference } }, signal)).rejects.toMatchObject({ code: 'TGT_IDENTITY', message: expect.stringContaining(index) as unknown });
      await using again = await target.open(plan, signal);
      expect(await outcomes(again, batchOf(2, put('a', 1n), put('b', 2n)))).toEqual(['stale', 'applied']);
    })(),
  );

  test('documents, remembered deletes and the promotion are there when the target is opened again', async () => {
    await using fixture = await factory();
    {
      await using target = await fixture.connect();
      await using generation = await target.open(planOf(index), signal);
      await generation.promote(signal);
      await outcomes(generation, batchOf(9, put('a', 1n), put('b', 2n), del('c', 9n)));
    }
    await using target = await fixture.connect();
    expect(await versions(target, index, ['a', 'b', 'c'])).toEqual([1n, 2n, null]);
    await using generation = await target.open(planOf(index), signal);
    expect(await outcomes(generation, batchOf(10, put('a', 1n), put('b', 3n), put('c', 8n)))).toEqual(['stale', 'applied', 'stale']);
    await eventually(async () => expect((await generation.stats()).documents).toBe(2));
  });
}

function cursors(run: Run, factory: () => Promise<TargetFixture>): void {
  test('the cursor is null when new, then where the last batch ended, and no replay moves it back', async () => {
    await using fixture = await factory();
    {
      await using target = await fixture.connect();
      await using generation = await target.open(planOf(index), signal);
      const kept = (cursor: number): number | null => (target.capabilities.atomicCursor ? cursor : null);
      expect(await generation.cursor()).toBeNull();
      await outcomes(generation, batchOf(7, put('a', 1n)));
      expect(await generation.cursor()).toBe(kept(7));
      await outcomes(generation, batchOf(2 ** 47));
      expect(await generation.cursor()).toBe(kept(2 ** 47));
      await outcomes(generation, batchOf(7, put('a', 1n)));
      expect(await generation.cursor()).toBe(kept(2 ** 47));
    }
    await using target = await fixture.connect();
    await using generation = await target.open(planOf(index), signal);
    expect(await generation.cursor()).toBe(target.capabilities.atomicCursor ? 2 ** 47 : null);
  });
}

function ending(run: Run): void {
  test(
    'what was called off before it began does nothing, and says why it was called off',
    run(async ({ target, generation }) => {
      const reason = new Error('enough');
      const aborted = AbortSignal.abort(reason);
      await expect(generation.apply(batchOf(1, put('a', 1n)), aborted)).rejects.toBe(reason);
      await expect(generation.sweep(9n, aborted)).rejects.toBe(reason);
      await expect(target.fetch(index, ['a'], aborted)).rejects.toBe(reason);
      expect(await versions(target, index, ['a'])).toEqual([null]);
      expect(await outcomes(generation, batchOf(1, put('a', 1n)))).toEqual(['applied']);
    }),
  );

  test(
    'a batch that is called off under way may be sent again',
    run(async ({ target, generation }) => {
      const controller = new AbortController();
      const operations = Array.from({ length: 500 }, (_, i) => put(`k${i}`, BigInt(i + 1)));
      const attempt = generation.apply(batchOf(500, ...operations), controller.signal).catch((error: unknown) => error);
      controller.abort(new Error('enough'));
      await attempt;
      const again = await outcomes(generation, batchOf(500, ...operations));
      expect(new Set(['applied', 'stale']).isSupersetOf(new Set(again))).toBe(true);
      expect(await versions(target, index, ['k0', 'k499'])).toEqual([1n, 500n]);
    }),
  );

  test(
    'a preflight finds nothing wrong with a target that works, and changes nothing',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(1, put('a', 1n)));
      expect((await target.check(signal)).filter(({ level }) => level === 'problem')).toEqual([]);
      expect(await versions(target, index, ['a'])).toEqual([1n]);
    }),
  );
}

function searching(run: Run): void {
  const found = async (target: Target, text: string, limit = 10): Promise<string[]> => (await target.search({ index, text, limit }, signal)).map(({ id }) => id).toSorted();

  test(
    'a word finds the documents that have it now, best first, up to the limit',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(4, put('a', 1n, { text: 'amber and basalt' }), put('b', 2n, { text: 'basalt', tags: ['cedar'] }), put('c', 3n, { text: 'delta' }), put('d', 4n, { text: 'ember' })));
      await eventually(async () => expect(await found(target, 'basalt')).toEqual(['a', 'b']));
      expect(await found(target, 'BASALT')).toEqual(['a', 'b']);
      expect(await found(target, 'cedar')).toEqual(['b']);
      expect(await found(target, 'basalt', 1)).toHaveLength(1);
      const hits = await target.search({ index, text: 'basalt', limit: 10 }, signal);
      expect(hits.map(({ score }) => score)).toEqual(hits.map(({ score }) => score).toSorted((a, b) => b - a));
      for (const { id, document } of hits) expect(JSON.parse(document)).toMatchObject({ id });

      await outcomes(generation, batchOf(8, put('a', 5n, { text: 'only delta now' }), del('c', 6n), put('d', 7n, { text: 'ember', seq: 7 })));
      await eventually(async () => expect(await found(target, 'basalt')).toEqual(['b']));
      await eventually(async () => expect(await found(target, 'delta')).toEqual(['a']));
      expect(await found(target, 'ember')).toEqual(['d']);
      await outcomes(generation, { operations: [], clearBelow: 8n, cursor: 9 });
      await eventually(async () => expect(await found(target, 'ember')).toEqual([]));
    }),
  );

  test(
    'whatever is typed is searched for, and is never an error',
    run(async ({ target, generation }) => {
      await outcomes(generation, batchOf(1, put('a', 1n, { text: 'amber' })));
      const typed = ['', ' ', '"', "'", '"amber', 'amber"', '(', ')', 'amber)', '*', '**', 'amb*', 'AND', 'amber AND', 'OR OR', 'NOT amber', 'NEAR(', 'NEAR(amber, 2)', ':', 'a:', ':a', 'a:b:c', 'text:', 'text:amber', 'nosuch:amber', '-amber', '+amber', '^amber', '{', '}', '{text}:amber', '[1 TO 2]', '/re/', '\\', '~', 'amber~2', '\0', 'am\0ber', '\u{d800}', '😀', 'é', '--', ';--', "'; DROP TABLE x; --", 'x'.repeat(50_000), 'amber '.repeat(5000), '"'.repeat(1001)];
      for (const text of typed) expect(Array.isArray(await target.search({ index, text, limit: 3 }, signal)), JSON.stringify(text.slice(0, 40))).toBe(true);
      await eventually(async () => expect(await found(target, 'amber')).toEqual(['a']));
    }),
  );
}

const KILLS = 50;

function kills(factory: () => Promise<TargetFixture>): void {
  test(`a process killed ${KILLS} times at any moment leaves nothing torn: documents and cursor are those of a prefix, and nothing confirmed is lost`, { timeout: 300_000 }, async (context) => {
    await using fixture = await factory();
    if (fixture.process === undefined) return context.skip('no other process can reach this storage');
    const shape: HistoryShape = { seed: 20_261_122, ids: Array.from({ length: 300 }, (_, i) => `key-${i}`), changesMax: 400, clears: true, forgetAfter: 8 };
    const done = await killAndCompare(fixture, fixture.process, planOf(index), shape, KILLS, expectModel);
    await fixture.inspect?.();
    // A loop whose children never got to write would prove nothing.
    expect(done.batches).toBeGreaterThan(KILLS);
    expect(done.unconfirmed).toBeGreaterThan(0);
  });
}
