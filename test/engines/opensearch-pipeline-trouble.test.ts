/** What befalls a cluster, or the index in it, while the daemon writes to it: what the daemon says, and that it goes on by itself where it can. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { describeOpenSearch } from './opensearch.ts';
import { complaints, indexIs, openSearchStage, SOON_MS, testMs } from './opensearch-pipeline-scene.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './servers.ts';

describePostgres([18], ({ server }) => {
  describeOpenSearch(['3.6.0'], ({ server: search }) => {
    test('a cluster that is stopped holds up nothing but its index: the source is read on, the log grows, status and lag say whose trouble it is, and it is over by itself', { timeout: testMs }, async () => {
      await using on = await openSearchStage(await server(), await search(), 500);
      const { stage, node } = on;
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.inStep(daemon);
      await node.stop();
      try {
        const { durable_seq: durableSeq } = (await on.status()).log;
        await stage.write(20);
        const index = await indexIs(on, 'waiting', 'TGT_CONN');
        expect(index.error).toMatchObject({ message: expect.stringContaining('cannot be reached') as unknown, did: 'The change log keeps growing; nothing is lost, the index is behind.' });
        await eventually('the slot is confirmed though nothing is applied', SOON_MS, async () => (await on.slotLagBytes()) === 0);
        const status = await on.status();
        expect(status.log.durable_seq).toBeGreaterThan(durableSeq + 200);
        expect(status.sources).toMatchObject([{ phase: 'streaming', error: null, lag_bytes: 0 }]);
        expect(status.indices[0]?.lag_changes).toBeGreaterThan(200);
        expect(status).toMatchObject({ ready: false, problems: [expect.stringMatching(/^Index items is waiting: .* cannot be reached/)] });
        const lag = await on.cli('lag');
        expect(lag.stdout).toMatch(/\nitems +waiting /);
        expect(await on.cli('lag', '--max-seconds', '3600')).toMatchObject({ code: 1, stderr: expect.stringContaining('Index items is waiting.') as unknown });
      } finally {
        await node.start();
      }
      await stage.inStep(daemon);
      await daemon.event('target_recovered');
      expect(await indexIs(on, 'serving', null)).toMatchObject({ dead_letters: 0 });
      expect(complaints(daemon)).toEqual(['target_trouble TGT_CONN']);
    });

    test('a log that a stopped cluster has filled waits for it (`on_full: block`), and everything goes on when it is back', { timeout: testMs }, async () => {
      await using on = await openSearchStage(await server(), await search(), 50, { config: 'log: { max_bytes: 67108864, segment_bytes: 4194304, min_age_hours: 0, on_full: block }' });
      const { stage, node } = on;
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.inStep(daemon);
      await node.stop();
      try {
        // Text that does not compress; a word is shorter than the longest that the server takes.
        await stage.database.query("INSERT INTO items SELECT 1000 + i, (SELECT string_agg(md5(random()::text), ' ') FROM generate_series(1, 12000) w WHERE i > 0) FROM generate_series(1, 250) i");
        await eventually('the log is full', SOON_MS, async () => (await on.status()).log.condition === 'full');
        await stage.write(5);
        const status = await on.status();
        expect(status.problems).toContain('The change log has reached its size limit and waits for the slowest index.');
        expect(status.indices).toMatchObject([{ phase: 'waiting', error: { code: 'TGT_CONN' } }]);
        // The source keeps what there is no room for.
        expect(await on.slotLagBytes()).toBeGreaterThan(2 ** 20);
      } finally {
        await node.start();
      }
      await stage.inStep(daemon);
      expect(await indexIs(on, 'serving', null)).toMatchObject({ dead_letters: 0, lag_changes: 0 });
      await eventually('the slot is confirmed again', SOON_MS, async () => (await on.slotLagBytes()) === 0);
    });

    test.for([
      ['is full (flood stage)', 'index.blocks.read_only_allow_delete', /disk usage|read-only-allow-delete/],
      ['was made read-only', 'index.blocks.read_only', /read-only/],
    ] as const)('an index whose disk %s parks nothing, says what to do, and takes everything once the block is gone', { timeout: testMs }, async ([, setting, said]) => {
      await using on = await openSearchStage(await server(), await search(), 300);
      const { stage, node } = on;
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.inStep(daemon);
      await node.ask('PUT', '/items-g0001/_settings', { [setting]: true });
      await stage.write(5);
      const { error } = await indexIs(on, 'waiting', 'TGT_BLOCKED');
      expect(error?.message).toMatch(said);
      expect(error?.hint).toContain(setting);
      await eventually('the slot is confirmed though nothing is applied', SOON_MS, async () => (await on.slotLagBytes()) === 0);
      await node.ask('PUT', '/items-g0001/_settings', { [setting]: null });
      await stage.inStep(daemon);
      expect(await indexIs(on, 'serving', null)).toMatchObject({ dead_letters: 0 });
    });

    test('a password that is not taken any more parks nothing and stops nothing; with the new one in its file the daemon goes on by itself', { timeout: testMs }, async () => {
      await using on = await openSearchStage(await server(), await search(), 300, { target: 'auth: { username: tailrace, password_file: password }' });
      const { stage, proxy } = on;
      let password = 'first';
      proxy.rule = ({ authorization }) => (authorization === `Basic ${Buffer.from(`tailrace:${password}`).toString('base64')}` ? undefined : { kind: 'answer', status: 401, body: '{"error":{"type":"security_exception","reason":"wrong"},"status":401}' });
      await writeFile(join(stage.folder, 'password'), 'first\n');
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.inStep(daemon);
      password = 'second';
      await stage.write(5);
      const { error } = await indexIs(on, 'waiting', 'TGT_AUTH');
      expect(error).toMatchObject({ message: expect.stringContaining('401') as unknown, did: 'Writing to this target is paused and tried again.' });
      await writeFile(join(stage.folder, 'password'), 'second\n');
      await stage.inStep(daemon);
      expect(await indexIs(on, 'serving', null)).toMatchObject({ dead_letters: 0 });
      expect(complaints(daemon)).toEqual(['target_trouble TGT_AUTH']);
    });

    test('an index that somebody deleted is not written to by halves: the daemon says so, and what it says to type builds it again', { timeout: testMs }, async () => {
      await using on = await openSearchStage(await server(), await search(), 300);
      const { stage, node } = on;
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.inStep(daemon);
      await node.ask('DELETE', '/items-g0001');
      await stage.write(5);
      const { error } = await indexIs(on, 'waiting', 'TGT_MISSING');
      expect(error?.hint).toContain('`tailrace resync items`');
      expect(await node.ask('GET', '/_cat/indices/items*?format=json')).toEqual([]);
      expect((await on.cli('resync', 'items')).code).toBe(0);
      await daemon.event('index_serving', { where: ({ generation }) => generation === 2 });
      await stage.inStep(daemon);
      expect(await on.served()).toEqual(['items-g0002']);
      expect(await indexIs(on, 'serving', null)).toMatchObject({ dead_letters: 0, generation: 2 });
      expect((await on.cli('generations', 'drop', 'items', '1')).code).toBe(0);
      await eventually('nothing is left of the first generation', SOON_MS, async () => (await on.status()).indices[0]?.generations.length === 1);
    });

    test('an index that a program made by writing to the name of a deleted one is neither written to nor deleted, and what the daemon says to type builds another one', { timeout: testMs }, async () => {
      await using on = await openSearchStage(await server(), await search(), 300, { index: 'rollback_hours: 0' });
      const { stage, node } = on;
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.inStep(daemon);
      await node.ask('DELETE', '/items-g0001');
      await node.ask('PUT', '/items-g0001/_doc/theirs', { of: 'somebody' });
      await stage.write(5);
      const { error } = await indexIs(on, 'stopped', 'TGT_IDENTITY');
      expect(error?.hint).toContain('`tailrace resync items`');
      expect((await on.cli('resync', 'items')).code).toBe(0);
      await daemon.event('index_serving', { where: ({ generation }) => generation === 2 });
      await stage.inStep(daemon);
      expect(await on.served()).toEqual(['items-g0002']);
      expect(await node.ask('GET', '/items-g0001/_doc/theirs')).toMatchObject({ found: true });
      await eventually('nothing is left to be done about the first generation', SOON_MS, async () => (await on.status()).indices[0]?.generations.length === 1);
    });

    test.for(['while the daemon runs', 'while no daemon runs'])('an index that was put back from a backup %s is refused, and what the daemon says to type builds it again', { timeout: testMs }, async (when) => {
      await using on = await openSearchStage(await server(), await search(), 300);
      const { stage, node } = on;
      await node.ask('PUT', '/_snapshot/backup', { type: 'fs', settings: { location: `${node.repositoryFolder}/${stage.folder.split('-').at(-1)}` } });
      const restore = async (): Promise<void> => {
        await node.ask('DELETE', '/items-g0001');
        await node.ask('POST', '/_snapshot/backup/first/_restore?wait_for_completion=true', { indices: 'items-g0001', include_global_state: false });
      };
      {
        await using daemon = await stage.daemon();
        await daemon.event('index_serving');
        await stage.inStep(daemon);
        await node.ask('PUT', '/_snapshot/backup/first?wait_for_completion=true', { indices: 'items-g0001', include_global_state: false });
        await stage.write(5);
        await stage.inStep(daemon);
        if (when === 'while the daemon runs') {
          await restore();
          // It looks at the index every ten seconds of writing.
          await eventually('the daemon sees it', SOON_MS, async () => {
            await stage.write(1);
            return daemon.lines.some(({ msg }) => msg === 'index_stopped');
          });
          expect((await indexIs(on, 'stopped', 'TGT_IDENTITY')).error?.hint).toContain('`tailrace resync items`');
        }
      }
      if (when === 'while no daemon runs') await restore();
      const before = await stage.compare();
      expect(before.different.length + before.missing.length + before.extra.length).toBeGreaterThan(0);
      await using daemon = await stage.daemon();
      const { error } = await indexIs(on, 'stopped', 'TGT_IDENTITY');
      expect(error?.hint).toContain('`tailrace resync items`');
      await stage.write(2);
      expect((await on.cli('resync', 'items')).code).toBe(0);
      await daemon.event('index_serving', { where: ({ generation }) => generation === 2 });
      await stage.inStep(daemon);
      expect(await on.served()).toEqual(['items-g0002']);
      expect(await indexIs(on, 'serving', null)).toMatchObject({ dead_letters: 0 });
    });

    test('what somebody does to the alias that readers use is put right, or named with what mends it, without a write', { timeout: testMs }, async () => {
      await using on = await openSearchStage(await server(), await search(), 300);
      const { stage, node } = on;
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.inStep(daemon);
      await node.ask('POST', '/_aliases', { actions: [{ remove: { index: 'items-g0001', alias: 'items' } }] });
      await eventually('readers have it back', SOON_MS, async () => (await on.served()).join() === 'items-g0001');
      await indexIs(on, 'serving', null);
      await node.ask('PUT', '/strange', { settings: { number_of_replicas: 0 } });
      await node.ask('POST', '/_aliases', { actions: [{ remove: { index: 'items-g0001', alias: 'items' } }, { add: { index: 'strange', alias: 'items' } }] });
      const taken = await indexIs(on, 'waiting', 'TGT_IDENTITY');
      expect(await on.cli('plan')).toMatchObject({ code: 1, stdout: expect.stringContaining('Readers of index items find nothing at target') as unknown });
      expect((await on.cli('trace', 'items', '1')).stdout).toContain('Readers find no document of items');
      expect(await on.cli('search', 'items', 'word')).toMatchObject({ code: 1, stderr: expect.stringContaining('which tailrace did not make') as unknown });
      await stage.write(5);
      await eventually('it is kept in step', SOON_MS, async () => (await on.status()).indices[0]?.lag_changes === 0);
      expect(await on.served()).toEqual(['strange']);
      await node.ask('POST', '/_aliases', JSON.parse(/^POST \/_aliases (.*)$/.exec(taken.error?.hint ?? '')?.[1] ?? ''));
      await indexIs(on, 'serving', null);
      expect(await on.served()).toEqual(['items-g0001']);
      await node.ask('PUT', '/items-g0001/_mapping', { _meta: { a: 1 } });
      const { error } = await indexIs(on, 'waiting', 'TGT_IDENTITY');
      expect(error?.message).toContain('`_meta` of the index items-g0001');
      await stage.write(5);
      await eventually('it is kept in step', SOON_MS, async () => (await on.status()).indices[0]?.lag_changes === 0);
      await node.ask('PUT', '/items-g0001/_mapping', JSON.parse(/PUT \/items-g0001\/_mapping (\{.*\})\. Or /.exec(error?.hint ?? '')?.[1] ?? ''));
      await indexIs(on, 'serving', null);
      await node.ask('DELETE', '/items-g0001');
      await indexIs(on, 'waiting', 'TGT_MISSING');
      expect(await on.cli('plan')).toMatchObject({ code: 1, stdout: expect.stringContaining('`tailrace resync items') as unknown });
      expect((await on.cli('trace', 'items', '1')).stdout).toContain('Generation 1 of index items, which its readers are to see, is not at target');
    });

    test('tailrace search finds what readers find, and status says where the index is', { timeout: testMs }, async () => {
      await using on = await openSearchStage(await server(), await search(), 300);
      const { stage } = on;
      await using daemon = await stage.daemon();
      await daemon.event('index_serving');
      await stage.database.query("INSERT INTO items VALUES (9001, 'a very amber lamp', 12345678901234567), (9002, 'a green lamp', 2)");
      await stage.inStep(daemon);
      const found = await on.cli('search', 'items', 'amber', 'lamp', '--json');
      expect(found.code).toBe(0);
      // Every digit, though no number of JavaScript has them.
      expect(found.stdout).toContain('"n":12345678901234567');
      expect(JSON.parse(found.stdout)).toMatchObject({ hits: [{ id: '9001', document: { name: 'a very amber lamp' } }] });
      expect((await on.cli('search', 'items', 'lamp')).stdout).toMatch(/9001[^]*9002|9002[^]*9001/);
      expect(await on.cli('search', 'items', 'xylophone')).toMatchObject({ code: 0, stdout: 'Nothing in items matches "xylophone".\n' });
      expect(await on.status()).toMatchObject({ ready: true, indices: [{ target: 'embedded', phase: 'serving', generations: [{ generation: 1, target: 'embedded', phase: 'serving', condition: 'working' }] }] });
      daemon.kill('SIGTERM');
      await daemon.exit();
      expect(JSON.parse((await on.cli('search', 'items', 'amber', '--json')).stdout)).toMatchObject({ hits: [{ id: '9001' }] });
    });
  });
});
