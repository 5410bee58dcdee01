/** A data directory that has lost a part of itself, on real files. */
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openOfflineReading } from '../../cmd/daemon/offline-reading.ts';
import { ScriptedServer, ScriptedStage } from './scripted-server.ts';

const within = (): AbortSignal => AbortSignal.timeout(20_000);

async function stageThatRan(): Promise<{ readonly stage: ScriptedStage; readonly start: () => Promise<void> }> {
  const server = new ScriptedServer();
  server.write('public.items', '1', 'first');
  const stage = await ScriptedStage.make();
  const start = async (): Promise<void> => {
    await using pipeline = await stage.start({ servers: { shop: server }, indices: { items: 'shop.public.items' } });
    await pipeline.caughtUp(within());
  };
  await start();
  return { stage, start };
}

async function filesBelow(directory: string): Promise<string[]> {
  return (await readdir(directory, { recursive: true })).filter((name) => !/^lock\.db|-(wal|shm)$/.test(name)).toSorted();
}

test.for(['gone', 'empty'] as const)('a log folder that is %s beside a state is refused before a new log is made, and found again when it is put back', async (how) => {
  const { stage, start } = await stageThatRan();
  await using _ = stage;
  const data = join(stage.directory, 'data');
  await rename(join(data, 'log'), join(stage.directory, 'away'));
  if (how === 'empty') await mkdir(join(data, 'log'));
  const before = await filesBelow(data);
  const missing = { code: 'STATE_IDENTITY', message: expect.stringMatching(/^The change log of this data directory is missing: /), did: 'Nothing was started and nothing was changed.' };
  await expect(start()).rejects.toMatchObject(missing);
  await expect(openOfflineReading(stage.config({}, {}))).rejects.toMatchObject(missing);
  expect(await filesBelow(data)).toEqual(before);
  await rm(join(data, 'log'), { recursive: true, force: true });
  await rename(join(stage.directory, 'away'), join(data, 'log'));
  await start();
});

test('a state file that is gone from beside a log is refused before a new one is made, and status does not say that no daemon has run', async () => {
  const { stage, start } = await stageThatRan();
  await using _ = stage;
  const data = join(stage.directory, 'data');
  for (const suffix of ['', '-wal', '-shm']) await rm(join(data, `state.db${suffix}`), { force: true });
  const before = await filesBelow(data);
  const missing = { code: 'STATE_IDENTITY', message: expect.stringMatching(/^The state of this data directory is missing: /) };
  await expect(start()).rejects.toMatchObject(missing);
  await expect(openOfflineReading(stage.config({}, {}))).rejects.toMatchObject(missing);
  expect(await filesBelow(data)).toEqual(before);
});

test('of a data directory that nothing was ever in, status says that no daemon has run', async () => {
  await using stage = await ScriptedStage.make();
  await expect(openOfflineReading(stage.config({}, {}))).rejects.toMatchObject({ code: 'NOT_RUNNING', message: expect.stringContaining('none has run yet') });
});
