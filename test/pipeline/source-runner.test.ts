import { describe, expect, test } from 'vitest';
import { codeOf, TailraceError } from '../../src/errors/tailrace-error.ts';
import { ScriptedServer, ScriptedStage } from './scripted-server.ts';

const within = (): AbortSignal => AbortSignal.timeout(20_000);
const refused = (code: 'SRC_CONN' | 'SRC_SLOT_IN_USE' | 'SRC_GRANT' | 'DISK_FAILED'): TailraceError => new TailraceError(code, { message: 'Not now.' });

describe('a rebuild', () => {
  test('is tried again when the source cannot drop its history now, and says so meanwhile', async () => {
    const server = new ScriptedServer();
    server.write('public.items', '1', 'first');
    server.dropErrors.push(refused('SRC_CONN'), refused('SRC_SLOT_IN_USE'));
    await using stage = await ScriptedStage.make();
    await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' }, rebuild: ['shop'] });
    await expect.poll(() => stage.lines.filter(({ event }) => event === 'source_disconnected').map(({ error }) => codeOf(error)), { timeout: 5_000 }).toContain('SRC_CONN');
    const [source] = pipeline.status().sources;
    expect([source?.phase, server.connects]).toEqual(['waiting', 0]);
    expect(source?.error?.code).toMatch(/SRC_CONN|SRC_SLOT_IN_USE/);
    await pipeline.caughtUp(within());
    expect([server.drops, Object.keys(stage.documents('items'))]).toEqual([1, ['1']]);
  });

  test('stops its own source with an error that waits for a person, and leaves the others at work', async () => {
    const [shop, other] = [new ScriptedServer(), new ScriptedServer()];
    other.write('public.items', '1', 'first');
    shop.dropErrors.push(refused('SRC_GRANT'));
    await using stage = await ScriptedStage.make();
    await using pipeline = await stage.start({ servers: { shop, other }, indices: { items: 'shop.public.items', others: 'other.public.items' }, rebuild: ['shop'] });
    await expect.poll(() => Object.keys(stage.documents('others'))).toEqual(['1']);
    expect(pipeline.status().sources.map(({ phase, error }) => [phase, error?.code])).toEqual([['stopped', 'SRC_GRANT'], ['streaming', undefined]]);
    await expect(pipeline.caughtUp(within())).rejects.toMatchObject({ code: 'SRC_GRANT' });
  });

  test('goes on when the log is full of what another index has yet to apply', async () => {
    const [shop, busy] = [new ScriptedServer(), new ScriptedServer()];
    shop.write('public.items', '1', 'first');
    const settings = { servers: { shop, busy }, indices: { items: 'shop.public.items', others: 'busy.public.others' }, log: { max_bytes: 64 * 1024, segment_bytes: 16 * 1024 } };
    await using stage = await ScriptedStage.make();
    {
      await using pipeline = await stage.start(settings);
      await pipeline.caughtUp(within());
      const held = Promise.withResolvers<void>();
      stage.beforeApply = async () => held.promise;
      for (let i = 0; pipeline.log.condition === 'ok'; i += 1) {
        busy.write('public.others', String(i), 'x'.repeat(500));
        await new Promise((resolve) => void setImmediate(resolve));
      }
      held.reject(new TailraceError('TGT_SCHEMA', { message: 'Over.' }));
    }
    stage.beforeApply = () => {};
    await using pipeline = await stage.start({ ...settings, rebuild: ['shop'] });
    await pipeline.caughtUp(within());
    expect([shop.drops, Object.keys(stage.documents('items'))]).toEqual([1, ['1']]);
  });
});

test('who waits for a source to catch up waits for what its stream says nothing of by itself, too', async () => {
  const server = new ScriptedServer();
  server.write('public.items', '1', 'first');
  await using stage = await ScriptedStage.make();
  await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' } });
  await pipeline.caughtUp(within());
  server.writeSilently('public.items', '1', 'second');
  await pipeline.caughtUp(within());
  expect(stage.documents('items')).toEqual({ 1: { id: '1', name: 'second' } });
});

describe('a source that streams but does not say where its head is', () => {
  test('shows why, warns once until it says it again, and is not called ready', async () => {
    const server = new ScriptedServer();
    await using stage = await ScriptedStage.make();
    await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' } });
    await pipeline.caughtUp(within());
    expect(pipeline.status().ready).toBe(true);
    server.headError = refused('SRC_GRANT');
    const warned = (): number => stage.lines.filter(({ event, level }) => event === 'source_head_unknown' && level === 'warn').length;
    const caughtUp = pipeline.caughtUp(within());
    await expect.poll(() => pipeline.status().sources[0]?.error?.code).toBe('SRC_GRANT');
    const { ready, problems, sources } = pipeline.status();
    expect([ready, problems[0], sources[0]?.phase, sources[0]?.lag_bytes, warned()]).toEqual([false, 'Where the head of source shop is, is not known: Not now.', 'streaming', null, 1]);
    server.headError = null;
    await caughtUp;
    expect([pipeline.status().ready, pipeline.status().sources[0]?.error]).toEqual([true, null]);
    server.headError = refused('SRC_CONN');
    await expect.poll(warned, { timeout: 5_000 }).toBe(2);
  });

  test('ends the process with an error that does', async () => {
    const server = new ScriptedServer();
    await using stage = await ScriptedStage.make();
    const pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' } });
    await pipeline.caughtUp(within());
    server.headError = refused('DISK_FAILED');
    await expect(pipeline.finished).rejects.toMatchObject({ code: 'DISK_FAILED' });
  });
});

test('a source that has to be built again says so with its own name', async () => {
  const server = new ScriptedServer();
  server.connectError = new TailraceError('SRC_HISTORY_LOST', { message: 'It is gone.', entity: 'shop' });
  await using stage = await ScriptedStage.make();
  await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' } });
  const hint = 'Build the index again from a snapshot: `tailrace run --rebuild shop`.';
  await expect(pipeline.caughtUp(within())).rejects.toMatchObject({ code: 'SRC_HISTORY_LOST', hint });
  expect(pipeline.status().sources[0]?.error?.hint).toBe(hint);
});
