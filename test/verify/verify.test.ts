/** Verification against a scripted server: everything that is damaged is found, and nothing else is. */
import { describe, expect, test } from 'vitest';
import { versionOf } from '../../src/change/seq.ts';
import { DamagedScene, verified, within } from './scene.ts';

const document = (fields: Readonly<Record<string, unknown>>): { document: string } => ({ document: JSON.stringify(fields) });

describe.each([true, false])('an index at a target that keeps the cursor: %s', (atomicCursor) => {
  test('is equal when nobody has been at it', async () => {
    await using scene = await DamagedScene.make({ atomicCursor });
    await using pipeline = await scene.started();
    const { report, words } = await verified(pipeline);
    expect(words).toEqual([]);
    expect(report).toMatchObject({ index: 'items', generation: 1, reason: 'command', equal: true, rows: 10, documents: 10, share: 1, differences: 0, kinds: {}, parked: 0, unsettled: 0, repair: null });
    expect(pipeline.jobs()).toMatchObject([{ kind: 'verify', phase: 'done', outcome: 'The index is what its table says.' }]);
  });

  test.each([
    ['at once', {}],
    ['at a rate', { rowsPerSecond: 100_000 }],
  ])('is told by its documents and the rows of its table, be several of these the same, compared %s', async (_, how) => {
    await using scene = await DamagedScene.make({ atomicCursor });
    scene.server.copies = 3;
    await using pipeline = await scene.started();
    expect((await verified(pipeline, how)).report).toMatchObject({ equal: true, rows: 30, documents: 10 });
    scene.held().delete('k2');
    scene.held().set('k99', { version: versionOf(pipeline.log.epoch, 1), document: '{"id":"k99","name":"x"}' });
    expect((await verified(pipeline, how)).report).toMatchObject({ rows: 30, documents: 10, kinds: { missing: 1, extra: 1 } });
  });

  test.each([
    ['at once', {}],
    ['at a rate', { rowsPerSecond: 100_000 }],
    ['in a sample', { extent: { share: 0.9999 } }],
  ])('is compared %s with a table that was changed in silence when the source has been looked at, not before', async (_, how) => {
    await using scene = await DamagedScene.make({ rows: 30, atomicCursor });
    await using pipeline = await scene.started();
    for (let i = 1; i <= 20; i += 1) scene.server.writeSilently('public.items', `k${i}`, 'silent');
    expect((await verified(pipeline, how)).report).toMatchObject({ equal: true, differences: 0, unsettled: 0 });
    expect(Object.values(scene.stage.documents('items')).filter((one) => (one as { name: string }).name === 'silent')).toHaveLength(20);
    scene.damage('k1', () => document({ id: 'k1', name: 'other' }));
    expect((await verified(pipeline, { ...how, extent: 'all' })).words).toEqual(['k1 altered name']);
  });

  test('is told by the kind of each difference, and by the field', async () => {
    await using scene = await DamagedScene.make({ rows: 20, atomicCursor });
    await using pipeline = await scene.started();
    scene.write('k1', 'newer');
    await pipeline.caughtUp(within());
    const { epoch, durableSeq } = pipeline.log;
    const held = scene.held();
    held.delete('k2');
    held.set('k99', { version: versionOf(epoch, 1), document: '{"id":"k99","name":"x"}' });
    held.set('no:key%', { version: versionOf(epoch, 1), document: '{"id":"x"}' });
    scene.damage('k1', () => ({ version: versionOf(epoch, 1), ...document({ id: 'k1', name: 'name 1' }) }));
    scene.damage('k3', () => document({ id: 'k3', name: 'other' }));
    scene.damage('k4', () => document({ id: 'k4', name: 'name 4', more: 1 }));
    scene.damage('k5', () => document({ id: 'k5' }));
    scene.damage('k6', () => document({ id: 6, name: 'name 6' }));
    scene.damage('k7', () => ({ version: versionOf(epoch, durableSeq + 1_000) }));
    scene.damage('k8', () => ({ version: versionOf(epoch + 1, 1) }));
    scene.damage('k9', () => ({ version: 0n }));
    scene.damage('k10', () => ({ document: '{"id":"k10","name":"na' }));
    scene.damage('k11', () => ({ document: '[1]' }));
    scene.damage('k12', () => ({ document: scene.held().get('k13')?.document ?? null }));
    // The same in other words.
    scene.damage('k14', () => ({ document: '{ "name": "name 14", "id": "k14", "gone": null }' }));
    const { report, words } = await verified(pipeline);
    expect(words).toEqual([
      'k1 stale name', 'k10 unreadable', 'k11 unreadable', 'k12 altered id', 'k2 missing', 'k3 altered name', 'k4 altered more', 'k5 altered name', 'k6 altered id',
      'k7 wrong_version', 'k8 wrong_version', 'k9 wrong_version', 'k99 extra', 'no:key% extra',
    ].toSorted());
    expect(report).toMatchObject({ equal: false, differences: 14, kinds: { missing: 1, extra: 2, stale: 1, altered: 5, wrong_version: 3, unreadable: 2 } });
  });

  test('is repaired, whatever was done to it, and equal then', async () => {
    await using scene = await DamagedScene.make({ rows: 20, atomicCursor });
    await using pipeline = await scene.started();
    const { epoch, durableSeq } = pipeline.log;
    const sound = structuredClone(scene.stage.documents('items'));
    scene.held().delete('k2');
    scene.held().set('k99', { version: versionOf(epoch, durableSeq + 50), document: '{"id":"k99","name":"x"}' });
    scene.held().set('no:key%', { version: versionOf(epoch, 1), document: '{"id":"x"}' });
    scene.damage('k3', () => document({ id: 'k3', name: 'other' }));
    scene.damage('k7', () => ({ version: versionOf(epoch, durableSeq + 1_000) }));
    scene.damage('k8', () => ({ version: versionOf(epoch + 1, 1), document: '{}' }));
    scene.damage('k9', () => ({ version: 0n }));
    scene.damage('k10', () => ({ document: 'no JSON' }));
    const { report } = await verified(pipeline, { repair: true });
    expect(report).toMatchObject({ equal: true, differences: 8, repair: { repaired: 8, remaining: 0, untried: 0, beyond: 0 } });
    expect(scene.stage.documents('items')).toEqual(sound);
    expect((await verified(pipeline)).report).toMatchObject({ equal: true, differences: 0 });
    scene.write('k7', 'goes on');
    await pipeline.caughtUp(within());
    expect(scene.stage.documents('items')).toMatchObject({ k7: { name: 'goes on' } });
  });

  test('finds nothing while rows are written, whatever comes between', async () => {
    await using scene = await DamagedScene.make({ rows: 50, atomicCursor });
    await using pipeline = await scene.started();
    let isWriting = true;
    let written = 0;
    const writing = (async (): Promise<void> => {
      while (isWriting) {
        written += 1;
        const id = `k${1 + (written % 70)}`;
        scene.write(id, written % 5 === 0 ? null : `write ${written}`);
        await new Promise((resolve) => setTimeout(resolve, written % 3));
      }
    })();
    for (let i = 0; i < 20; i += 1) {
      const { report, words } = await verified(pipeline);
      expect([words, report.unsettled]).toEqual([[], 0]);
    }
    scene.held().set('zz', { version: 1n, document: '{}' });
    expect((await verified(pipeline)).words).toEqual(['zz extra']);
    isWriting = false;
    await writing;
    expect(written).toBeGreaterThan(50);
  });
});
