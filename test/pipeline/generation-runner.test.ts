import { describe, expect, test } from 'vitest';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import type { Pipeline } from '../../src/pipeline/pipeline.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import { ScriptedServer, ScriptedStage, type ScriptedOptions } from './scripted-server.ts';

const within = (): AbortSignal => AbortSignal.timeout(20_000);

/** `1 serving working` of every generation of the index. */
function standing(pipeline: Pipeline): string[] {
  return pipeline.generations('items').map(({ generation, phase, condition }) => `${generation} ${phase} ${condition}`);
}

function settings(server: ScriptedServer, more: Readonly<Record<string, unknown>> = {}, log: ScriptedOptions['log'] = {}): ScriptedOptions {
  return { servers: { shop: server }, indices: { items: { from: 'shop.public.items', ...more } }, log };
}

describe('a target that keeps no cursor', () => {
  test('is asked for room before the first documents that have a new field', async () => {
    const server = new ScriptedServer();
    server.write('public.items', 'a', 'first');
    await using stage = await ScriptedStage.make({ atomicCursor: false });
    await using pipeline = await stage.start(settings(server));
    await pipeline.caughtUp(within());
    const kinds = (): unknown => [...(stage.storage.index('items').generations.get(1)?.kinds ?? [])];
    expect(kinds()).toEqual([['id', 'text'], ['name', 'text']]);
    server.nameKind = 'text';
    server.write('public.items', 'b', 'second');
    await pipeline.caughtUp(within());
    expect(standing(pipeline)).toEqual(['1 serving working']);
  });

  test('and cannot take a field as it comes gets another generation by itself, while the one before serves what it has', async () => {
    const server = new ScriptedServer();
    server.write('public.items', 'a', '1');
    await using stage = await ScriptedStage.make({ atomicCursor: false });
    await using pipeline = await stage.start(settings(server));
    await pipeline.caughtUp(within());
    const held = Promise.withResolvers<void>();
    stage.beforePromote = async (generation) => (generation === 2 ? held.promise : undefined);
    server.nameKind = 'int';
    server.write('public.items', 'b', '2');
    await expect.poll(() => standing(pipeline), { timeout: 10_000 }).toEqual(['1 serving stopped', '2 ready working']);
    expect(pipeline.generations('items')[0]?.error).toMatchObject({ code: 'TGT_MAPPING' });
    expect(Object.keys(stage.documents('items'))).toEqual(['a']);
    // What it has yet to apply is not kept for it.
    expect(pipeline.log.stats().holds.map(({ name }) => name)).toEqual(['items-g0002']);
    held.resolve();
    await pipeline.caughtUp(within());
    expect([standing(pipeline), Object.keys(stage.documents('items'))]).toEqual([['1 retired stopped', '2 serving working'], ['a', 'b']]);
    expect(() => pipeline.promote('items', 1)).toThrow(expect.objectContaining({ code: 'USAGE', message: expect.stringContaining('has stopped') as unknown }));
  });

  test('in which a generation was made anew, or put back, is not written to: its cursor would be another one\'s', async () => {
    const server = new ScriptedServer();
    server.write('public.items', 'a', 'first');
    await using stage = await ScriptedStage.make({ atomicCursor: false });
    {
      await using pipeline = await stage.start(settings(server));
      await pipeline.caughtUp(within());
    }
    const kept = stage.storage.index('items').generations.get(1);
    if (kept === undefined) throw new Error('it is there');
    kept.incarnation = 'of yesterday';
    kept.documents.clear();
    server.write('public.items', 'b', 'second');
    await using pipeline = await stage.start(settings(server));
    await expect.poll(() => standing(pipeline)).toEqual(['1 serving stopped']);
    expect(pipeline.status().indices[0]?.error).toMatchObject({ code: 'TGT_IDENTITY', hint: 'Build it again: `tailrace resync items`.' });
    expect(kept.documents.size).toBe(0);
    pipeline.resync('items', false);
    await pipeline.caughtUp(within());
    expect(Object.keys(stage.documents('items')).toSorted()).toEqual(['a', 'b']);
  });
});

test('settings that can be changed in place are; for others another generation is built, and the one that serves stays in step with those that it has', async () => {
  const server = new ScriptedServer();
  server.write('public.items', 'a', 'first');
  await using stage = await ScriptedStage.make();
  const opened: string[] = [];
  stage.beforeOpen = ({ generation, options }) => {
    opened.push(`${generation} ${JSON.stringify(options.settings)}`);
    if (generation === 1 && options.settings?.['shards'] === 2) throw new TailraceError('TGT_MAPPING', { message: 'The shards of an index stay.' });
  };
  const run = async (more: Readonly<Record<string, unknown>>): Promise<string[]> => {
    opened.length = 0;
    await using pipeline = await stage.start(settings(server, more));
    await pipeline.caughtUp(within());
    return standing(pipeline);
  };
  expect([await run({ settings: { shards: 1, replicas: 0 } }), opened]).toEqual([['1 serving working'], ['1 {"shards":1,"replicas":0}']]);
  expect([await run({ settings: { shards: 1, replicas: 3 } }), opened]).toEqual([['1 serving working'], ['1 {"shards":1,"replicas":3}']]);
  expect(await run({ settings: { shards: 2, replicas: 3 } })).toEqual(['1 retired working', '2 serving working']);
  expect(opened.slice(0, 2)).toEqual(['1 {"shards":2,"replicas":3}', '1 {"shards":1,"replicas":3}']);
  expect(opened).toContain('2 {"shards":2,"replicas":3}');
});

test('settings for which another generation is built take the place of one that was begun before them, held or not', async () => {
  const server = new ScriptedServer();
  server.write('public.items', 'a', 'first');
  await using stage = await ScriptedStage.make();
  stage.beforeOpen = ({ generation, options }) => {
    if (generation <= 2 && options.settings?.['shards'] === 2) throw new TailraceError('TGT_MAPPING', { message: 'The shards of an index stay.' });
  };
  {
    await using pipeline = await stage.start(settings(server, { settings: { shards: 1 } }));
    await pipeline.caughtUp(within());
    pipeline.resync('items', true);
    await expect.poll(() => standing(pipeline), { timeout: 10_000 }).toEqual(['1 serving working', '2 ready working']);
  }
  await using pipeline = await stage.start(settings(server, { settings: { shards: 2 } }));
  await expect.poll(() => standing(pipeline), { timeout: 10_000 }).toEqual(['1 serving working', '3 ready working']);
  expect(pipeline.generations('items').at(-1)).toMatchObject({ held: true, reason: 'mapping' });
  pipeline.promote('items', 3);
  await expect.poll(() => standing(pipeline), { timeout: 10_000 }).toEqual(['1 retired working', '3 serving working']);
});

test('a generation that is being built and cannot take a field stops: another one would fare no better', async () => {
  const server = new ScriptedServer();
  server.write('public.items', 'a', '1');
  await using stage = await ScriptedStage.make({ atomicCursor: false });
  stage.beforeApply = () => {
    throw new TailraceError('TGT_MAPPING', { message: 'It has too many fields.' });
  };
  await using pipeline = await stage.start(settings(server));
  await expect.poll(() => standing(pipeline), { timeout: 10_000 }).toEqual(['1 building stopped']);
  await expect(pipeline.caughtUp(within())).rejects.toMatchObject({ code: 'TGT_MAPPING' });
});

test('a generation whose documents can be made no more says so, and serves until another one takes its place', async () => {
  const server = new ScriptedServer();
  server.write('public.items', 'a', 'first');
  await using stage = await ScriptedStage.make();
  {
    await using pipeline = await stage.start(settings(server));
    await pipeline.caughtUp(within());
  }
  {
    // As an earlier version of tailrace left it.
    using state = openSqliteState({ path: `${stage.directory}/data/state.db` });
    state.putGenerations(...state.generations().map((record) => ({ ...record, definition: '' })));
  }
  const held = Promise.withResolvers<void>();
  stage.beforePromote = async (generation) => (generation === 2 ? held.promise : undefined);
  await using pipeline = await stage.start(settings(server, { fields: ['id'] }));
  await expect.poll(() => standing(pipeline), { timeout: 10_000 }).toEqual(['1 serving stopped', '2 ready working']);
  expect(pipeline.generations('items')[0]?.error).toMatchObject({ code: 'GEN_NOT_FED', message: expect.stringContaining('begun by an earlier version') as unknown });
  held.resolve();
  await pipeline.caughtUp(within());
  expect(standing(pipeline)).toEqual(['1 retired stopped', '2 serving working']);
});

test('a full log waits for no generation that has gone back from its readers', async () => {
  const server = new ScriptedServer();
  server.write('public.items', 'a', 'first');
  await using stage = await ScriptedStage.make();
  const small = { max_bytes: 64 * 1024, segment_bytes: 16 * 1024, on_full: 'block' } as const;
  await using pipeline = await stage.start(settings(server, {}, small));
  await pipeline.caughtUp(within());
  pipeline.resync('items', false);
  await pipeline.caughtUp(within());
  const stuck = Promise.withResolvers<void>();
  stage.beforeApply = async (_, generation) => (generation === 1 ? stuck.promise : undefined);
  for (let i = 0; i < 400; i += 1) server.write('public.items', String(i), 'x'.repeat(500));
  await pipeline.caughtUp(within());
  expect(standing(pipeline)).toEqual(['1 retired stopped', '2 serving working']);
  expect(pipeline.generations('items')[0]?.error).toMatchObject({ code: 'LOG_EVICTED' });
  expect(Object.keys(stage.documents('items'))).toHaveLength(401);
  stuck.resolve();
});
