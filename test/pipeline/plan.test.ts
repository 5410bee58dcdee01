/** What is planned is held against what a start then does. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { fileBytes } from '../../cmd/daemon/file-bytes.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { openLogReadOnly } from '../../src/log/read-only.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { planStart, type StartPlan } from '../../src/pipeline/plan.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import { MemoryTarget } from '../sim/memory-target.ts';
import { ScriptedServer, ScriptedStage, type ScriptedOptions } from './scripted-server.ts';

type Indices = ScriptedOptions['indices'];

const within = (): AbortSignal => AbortSignal.timeout(20_000);

let server: ScriptedServer;
let stage: ScriptedStage;

beforeEach(async () => {
  server = new ScriptedServer();
  for (const table of ['public.items', 'public.others']) server.write(table, 'a', 'first');
  stage = await ScriptedStage.make();
});
afterEach(async () => stage[Symbol.asyncDispose]());

const start = async (indices: Indices): Promise<Pipeline> => stage.start({ servers: { shop: server }, indices });

async function ran(indices: Indices): Promise<void> {
  await using pipeline = await start(indices);
  await pipeline.caughtUp(within());
}

async function planned(indices: Indices, running: unknown = null, hasRun = true, away?: Error): Promise<StartPlan> {
  const config = stage.config({ shop: server }, indices);
  const source = server.source('shop');
  const tables = await source.describe(config.indices.map(({ from }) => ({ table: from.table })), within());
  const held = await new MemoryTarget('memory', stage.storage).generations(within());
  await using log = hasRun ? await openLogReadOnly(`${config.data_directory}/log`, nodeRuntime(silentLogger)) : null;
  using state = hasRun ? openSqliteState({ path: `${config.data_directory}/state.db`, readOnly: { bytesOf: fileBytes } }) : null;
  return planStart({
    config,
    state,
    registers: log?.registers ?? new Map(),
    formats: () => source.format,
    transforms: new Map(),
    outlooks: new Map([['shop', { outlook: { tables: tables.map((table) => ({ ...table, estimatedRows: 1, estimatedBytes: 100 })), statements: ['CREATE SLOT'] } }]]),
    fieldProblem: (_, field) => (field === '_own' ? 'is not free' : undefined),
    held: new Map([['memory', away === undefined ? { generations: held } : { error: away }]]),
    running,
    nowMs: Date.now(),
  });
}

/** As the plan says that the generations of `items` stand when all is done, and as they do. */
async function compared(indices: Indices): Promise<{ plan: StartPlan; expected: string[]; found: string[] }> {
  const before = new Set(generationsNow());
  const plan = await planned(indices);
  const from = stage.lines.length;
  await using pipeline = await start(indices);
  await pipeline.caughtUp(within());
  // Nothing is begun while it runs that was not begun at its start.
  expect(stage.lines.slice(from).filter(({ event }) => event === 'generation_begun')).toEqual([]);
  const item = plan.indices.find(({ index }) => index === 'items');
  const gone = new Set(item?.drops.flatMap(({ generation, after_swap_hours: hours }) => (hours === null || hours === 0 ? [generation] : [])));
  const isBegun = item?.action === 'build' || item?.action === 'new_generation';
  const expected = new Set([...before].filter((generation) => !gone.has(generation)));
  if (isBegun) expected.add(item.generation);
  const found = pipeline.generations('items').map(({ generation, phase }) => `${generation} ${phase}`);
  const serving = isBegun ? item.generation : item?.serving;
  return { plan, expected: [...expected].toSorted((a, b) => a - b).map((generation) => `${generation} ${generation === serving ? 'serving' : 'retired'}`), found };
}

function generationsNow(): number[] {
  using state = openSqliteState({ path: `${stage.directory}/data/state.db`, readOnly: { bytesOf: fileBytes } });
  return state.generations().filter(({ index }) => index === 'items').map(({ generation }) => generation);
}

const items = { from: 'shop.public.items' };

describe('a start does what was planned', () => {
  const changes: readonly (readonly [what: string, before: readonly Indices[], after: Indices, expected: Partial<StartPlan['indices'][number]>])[] = [
    ['nothing, where nothing changed', [{ items }], { items }, { action: 'nothing', changed: [], generation: 1, drops: [] }],
    ['nothing to documents, for what may change at any time', [{ items }], { items: { ...items, batch: { max_operations: 7 }, rollback_hours: 3 } }, { action: 'nothing', generation: 1 }],
    ['another generation for other fields', [{ items }], { items: { ...items, fields: ['id'] } }, { action: 'new_generation', changed: ['fields'], generation: 2, serving: 1, stands_still: null, drops: [{ generation: 1, after_swap_hours: 24 }], estimated_rows: 1, estimated_bytes: 100 }],
    ['another generation for another condition and other words to search', [{ items }], { items: { ...items, where: "name != 'x'", text_fields: ['name'] } }, { action: 'new_generation', changed: ['where', 'text_fields'] }],
    ['another generation for another table', [{ items }], { items: { from: 'shop.public.others' } }, { action: 'new_generation', changed: ['from'], table: 'shop.public.others' }],
    ['another generation for another mapping', [{ items }], { items: { ...items, mapping: { name: 'x' } } }, { action: 'new_generation', changed: ['mapping'] }],
    ['one that stands still for another key', [{ items }], { items: { ...items, key: ['name'] } }, { action: 'new_generation', changed: ['key'], stands_still: expect.stringContaining('have another key now') as unknown as string }],
    ['no roll-back, where nobody wants one', [{ items }], { items: { ...items, fields: ['id'], rollback_hours: 0 } }, { action: 'new_generation', drops: [{ generation: 1, after_swap_hours: 0 }] }],
    ['the end of what was kept to go back to', [{ items }, { items: { ...items, fields: ['id'] } }], { items: { ...items, fields: ['id'], rollback_hours: 0 } }, { action: 'nothing', generation: 2, drops: [{ generation: 1, after_swap_hours: null }] }],
    ['another generation for what was before, too', [{ items }, { items: { ...items, fields: ['id'] } }], { items }, { action: 'new_generation', generation: 3, serving: 2 }],
    ['settings in place', [{ items }], { items: { ...items, settings: { shards: 3 } } }, { action: 'in_place', changed: ['settings.shards'], generation: 1 }],
    ['a first build', [{ other: 'shop.public.others' }], { other: 'shop.public.others', items }, { action: 'build', changed: [], generation: 1, serving: null }],
  ];
  test.each(changes)('%s', async (_, before, after, expected) => {
    for (const indices of before) await ran(indices);
    const { plan, expected: then, found } = await compared(after);
    expect(plan.indices.find(({ index }) => index === 'items')).toMatchObject({ index: 'items', problems: [], ...expected });
    expect(found).toEqual(then);
  });

  test('gives up what was being built for a definition that nobody wants any more', async () => {
    await ran({ items });
    {
      server.chunkAfter = new Promise(() => {});
      await using pipeline = await start({ items: { ...items, fields: ['id'] } });
      await expect.poll(() => pipeline.generations('items').length).toBe(2);
    }
    server.chunkAfter = Promise.resolve();
    expect((await planned({ items: { ...items, fields: ['name'] } })).indices).toMatchObject([{ action: 'new_generation', generation: 3, drops: [{ generation: 2, after_swap_hours: null }, { generation: 1, after_swap_hours: 24 }] }]);
    const { plan, expected, found } = await compared({ items });
    expect(plan.indices).toMatchObject([{ action: 'nothing', serving: 1, drops: [{ generation: 2, after_swap_hours: null }] }]);
    expect(found).toEqual(expected);
  });

  test('keeps readers where they went back to, until the definition changes', async () => {
    await ran({ items });
    {
      await using pipeline = await start({ items: { ...items, fields: ['id'] } });
      await pipeline.caughtUp(within());
      pipeline.promote('items', 1);
      await pipeline.caughtUp(within());
    }
    const { plan, expected, found } = await compared({ items: { ...items, fields: ['id'] } });
    expect(plan.indices).toMatchObject([{ action: 'nothing', serving: 1 }]);
    expect(found).toEqual(expected);
  });
});

test('a column that the table has got is a field in place', async () => {
  await ran({ items });
  server.moreColumns = ['price'];
  expect((await planned({ items })).indices).toMatchObject([{ action: 'in_place', changed: ['field price'] }]);
  expect((await planned({ items: { ...items, fields: ['id', 'name'] } })).indices).toMatchObject([{ action: 'new_generation' }]);
});

test('a table that lacks what an index needs, or that is not there, is said before it stops', async () => {
  await ran({ items });
  const { indices } = await planned({ items: { ...items, where: 'price > 3' } });
  expect(indices[0]?.problems).toMatchObject([expect.stringContaining('price')]);
  await using pipeline = await start({ items: { ...items, where: 'price > 3' } });
  await expect.poll(() => pipeline.generations('items').at(-1)?.error?.code).toBe('SRC_DDL');
});

test('a target that cannot be asked is named, with why', async () => {
  expect((await planned({ items }, null, false)).unasked_targets).toEqual([]);
  const away = new TailraceError('TGT_CONN', { message: 'Nobody answers.' });
  expect((await planned({ items }, null, false, away)).unasked_targets).toMatchObject([{ target: 'memory', error: { code: 'TGT_CONN', message: 'Nobody answers.' } }]);
});

test('what serves and is not what readers find is said, with the way out', async () => {
  await ran({ items });
  expect((await planned({ items })).indices[0]?.problems).toEqual([]);
  const kept = stage.storage.index('items');
  kept.promoted = null;
  expect((await planned({ items })).indices[0]?.problems).toEqual([expect.stringMatching(/^Readers of index items find nothing at target memory.*\(TGT_IDENTITY\).*`tailrace check`/)]);
  kept.generations.clear();
  expect((await planned({ items })).indices[0]?.problems).toEqual([expect.stringMatching(/^Generation 1 of index items, which its readers are to see, is not at target memory any more\..*\(TGT_MISSING\).*`tailrace resync items`/)]);
  expect((await planned({ items }, null, true, new TailraceError('TGT_CONN', { message: 'Nobody answers.' }))).indices[0]?.problems).toEqual([]);
});

test('a column whose name its target takes for no field is said before it stops, and is no problem where it is left out', async () => {
  server.moreColumns = ['_own'];
  expect((await planned({ items }, null, false)).indices[0]?.problems).toEqual(['Target memory can have no field `_own`: it is not free.']);
  expect((await planned({ items: { ...items, fields: ['id'] } }, null, false)).indices[0]?.problems).toEqual([]);
});

test('what another data directory has built at the target is said before it is refused', async () => {
  await ran({ items });
  await using other = await ScriptedStage.make();
  for (const [number, generation] of stage.storage.index('items').generations) other.storage.index('items').generations.set(number, generation);
  stage = other;
  const plan = await planned({ items }, null, false);
  expect(plan.indices).toMatchObject([{ action: 'build', generation: 1, problems: [expect.stringContaining('(TGT_IDENTITY)')] }]);
  expect(plan.left_behind).toMatchObject([{ index: 'items', generation: 1, target: 'memory', known: false }]);
  await using pipeline = await start({ items });
  await expect.poll(() => pipeline.status().indices[0]?.error?.code).toBe('TGT_IDENTITY');
});

describe('a source', () => {
  test('that is read for the first time is begun, with what is made there', async () => {
    expect((await planned({ items }, null, false)).sources).toEqual([{ source: 'shop', action: 'begin', tables_added: ['public.items'], tables_read_again: [], tables_removed: [], statements: ['CREATE SLOT'], error: null }]);
  });

  test('gets tables and loses them with the indices that are made from them; one that comes back is read again', async () => {
    await ran({ items });
    expect((await planned({ items, other: 'shop.public.others' })).sources).toMatchObject([{ action: 'continue', tables_added: ['public.others'], tables_read_again: [], tables_removed: [] }]);
    await ran({ items, other: 'shop.public.others' });
    expect((await planned({ items })).sources).toMatchObject([{ tables_added: [], tables_removed: ['public.others'] }]);
    // What is kept to go back to goes on being fed from its table.
    expect((await planned({ items: { from: 'shop.public.others' }, other: 'shop.public.others' })).sources).toMatchObject([{ tables_added: [], tables_removed: [] }]);
    await ran({ items });
    const { sources } = await planned({ items, other: 'shop.public.others' });
    expect(sources).toMatchObject([{ tables_added: ['public.others'], tables_read_again: ['public.others'] }]);
    await using pipeline = await start({ items, other: 'shop.public.others' });
    await pipeline.caughtUp(within());
    expect(stage.lines.filter(({ event, reason }) => event === 'snapshot_requested' && reason === 'public.others was not read for a while')).toHaveLength(1);
  });
});

test('an index that the config has no more leaves what it has at its target', async () => {
  await ran({ items, other: 'shop.public.others' });
  const { left_behind: left, indices } = await planned({ items });
  expect(left).toEqual([{ index: 'other', generation: 1, target: 'memory', promoted: true, documents: 1, known: true }]);
  expect(indices.map(({ index }) => index)).toEqual(['items']);
  await ran({ items });
  expect([...stage.storage.index('other').generations.keys()]).toEqual([1]);
});

test('settings are compared with those of the daemon that runs', async () => {
  await ran({ items });
  const running = JSON.parse(JSON.stringify(stage.config({ shop: server }, { items }, { max_bytes: 2 ** 30 }))) as unknown;
  expect((await planned({ items: { ...items, batch: { max_operations: 7 } }, other: 'shop.public.others' }, running)).settings).toMatchObject([
    { setting: 'indices.items.batch.max_operations', from: 1000, to: 7 },
    { setting: 'indices.other', from: null },
    { setting: 'log.max_bytes', from: 2 ** 30 },
  ]);
  expect((await planned({ items })).settings).toBeNull();
});
