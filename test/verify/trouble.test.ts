/** Verifications that meet trouble: a source that is cut, one that is called off, a daemon that ends, rows that cannot be asked for by key, and a part only. */
import { expect, test } from 'vitest';
import { versionOf } from '../../src/change/seq.ts';
import { TailraceError } from '../../src/errors/tailrace-error.ts';
import { DamagedScene, verified, within } from './scene.ts';

test('a source that is cut is waited for, and the comparison begins again', async () => {
  await using scene = await DamagedScene.make({ rows: 30 });
  await using pipeline = await scene.started();
  scene.held().delete('k7');
  const chunk = Promise.withResolvers<void>();
  scene.server.chunkAfter = chunk.promise;
  const { ended, progress } = pipeline.verifications.begin({ index: 'items', extent: 'all', repair: false, rowsPerSecond: null }, within());
  const before = scene.server.chunksRead;
  await expect.poll(() => scene.server.chunksRead).toBeGreaterThan(before);
  scene.server.breakWith(new TailraceError('SRC_CONN', { message: 'It is away.' }));
  await expect.poll(() => progress().phase).toBe('waiting');
  scene.server.breakWith(null);
  chunk.resolve();
  const { report, found } = await ended;
  expect([report.differences, report.documents, found.map(({ id }) => id)]).toEqual([1, 30, ['k7']]);
});

test('one that is called off ends, and its job says so; another one may begin at once', async () => {
  await using scene = await DamagedScene.make();
  await using pipeline = await scene.started();
  const stop = new AbortController();
  scene.server.chunkAfter = new Promise(() => {});
  const { ended } = pipeline.verifications.begin({ index: 'items', extent: 'all', repair: false, rowsPerSecond: null }, stop.signal);
  expect(() => pipeline.verifications.begin({ index: 'items', extent: 'all', repair: false, rowsPerSecond: null }, within())).toThrow('Index items is being verified already (generation 1)');
  stop.abort();
  await expect(ended).rejects.toThrow();
  scene.server.chunkAfter = Promise.resolve();
  expect((await verified(pipeline)).report.equal).toBe(true);
  expect(pipeline.jobs().map(({ kind, phase }) => `${kind} ${phase}`)).toEqual(['verify cancelled', 'verify done']);
});

test('one that a daemon leaves behind is told to have failed', async () => {
  await using scene = await DamagedScene.make();
  {
    await using pipeline = await scene.started();
    scene.server.chunkAfter = new Promise(() => {});
    pipeline.verifications.begin({ index: 'items', extent: 'all', repair: false, rowsPerSecond: null }, new AbortController().signal).ended.catch(() => {});
    await expect.poll(() => pipeline.jobs().length).toBe(1);
  }
  scene.server.chunkAfter = Promise.resolve();
  await using pipeline = await scene.started();
  expect(pipeline.jobs()).toMatchObject([{ kind: 'verify', phase: 'failed' }]);
});

test('a sample finds about its share, of what is there and of what is too much', async () => {
  await using scene = await DamagedScene.make({ rows: 400 });
  await using pipeline = await scene.started();
  const { epoch } = pipeline.log;
  for (let i = 1; i <= 200; i += 1) scene.damage(`k${i}`, () => ({ document: '{}' }));
  for (let i = 1; i <= 200; i += 1) scene.held().set(`extra ${i}`, { version: versionOf(epoch, 1), document: '{}' });
  const { report } = await verified(pipeline, { extent: { share: 0.5 } });
  expect(report).toMatchObject({ rows: 400, share: 0.5, equal: false });
  for (const count of [report.documents / 2, report.kinds.altered, report.kinds.extra]) {
    expect(count).toBeGreaterThan(60);
    expect(count).toBeLessThan(140);
  }
  expect((await verified(pipeline, { extent: { rows: 400_000 } })).report).toMatchObject({ share: 1, documents: 400, differences: 400 });
});

test('an index without any document, and a table without any row, are compared as well', async () => {
  await using scene = await DamagedScene.make({ rows: 2_500 });
  await using pipeline = await scene.started();
  const all = [...scene.held()];
  scene.held().clear();
  const { report } = await verified(pipeline, { repair: true });
  expect(report).toMatchObject({ equal: true, differences: 2_500, kinds: { missing: 2_500 }, repair: { repaired: 2_500 } });
  expect(scene.held().size).toBe(all.length);
  for (const [id] of all) scene.write(id, null);
  await pipeline.caughtUp(within());
  expect((await verified(pipeline)).report).toMatchObject({ equal: true, rows: 0, documents: 0 });
});

test('a generation that is not built, or that is not there, is refused', async () => {
  await using scene = await DamagedScene.make();
  scene.server.chunkAfter = new Promise(() => {});
  await using pipeline = await scene.start();
  const begin = (generation?: number): unknown => pipeline.verifications.begin({ index: 'items', generation, extent: 'all', repair: false, rowsPerSecond: null }, within());
  expect(() => begin()).toThrow('Generation 1 of index items is not built yet: there is nothing to compare.');
  expect(() => begin(4)).toThrow('Index items has no generation 4; it has: 1.');
  expect(pipeline.jobs()).toEqual([]);
});
