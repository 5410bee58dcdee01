/** Bad input on the command line and in the config, on the real process; in the end the index is the table. */
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, test } from 'vitest';
import { Scene } from './bad-input-scene.ts';
import { describePostgres } from './postgres.ts';
import { eventually } from './servers.ts';

describePostgres([18], ({ server }) => {
  describe('a config', () => {
    test('with a setting that does not exist names its path, its line and the nearest one: CFG_INVALID', async () => {
      await using scene = await Scene.make(await server(), ({ index }) => (index['max_document_byte'] = 5000));
      const { message, did, hint } = await scene.refusal('CFG_INVALID');
      expect(message).toMatch(/tailrace\.yaml is not valid: line \d+, column \d+: indices\.items: `max_document_byte` is not known here; did you mean `max_document_bytes`\?$/);
      expect(did).toBe('Nothing was started.');
      expect(hint).toContain('`tailrace schema`');
      await scene.configure(({ index }) => delete index['max_document_byte']);
      await scene.mended();
    });

    test('that is not there is named: CFG_UNREADABLE', async () => {
      await using scene = await Scene.make(await server());
      const { message, hint } = await scene.refusal('CFG_UNREADABLE', ['run', '--once', '--config', 'tailrase.yaml']);
      expect(message).toContain('tailrase.yaml is not there');
      expect(hint).toContain('--config FILE');
      await scene.mended(['run', '--once', '--config', 'tailrace.yaml']);
    });

    test('whose secret is not there names the variable and not its neighbours: CFG_SECRET_MISSING', async () => {
      await using scene = await Scene.make(await server());
      await scene.write('tailrace.yaml', `data_directory: data\nsources: { shop: { type: postgres, url: !env SHOP_URL, slot: ${scene.database} } }\nindices: { items: { from: shop.public.items } }\n`);
      const { message } = await scene.refusal('CFG_SECRET_MISSING');
      expect(message).toMatch(/sources\.shop\.url: .*SHOP_URL/);
      await scene.mended(['run', '--once'], { SHOP_URL: scene.server.url(scene.database) });
    });

    test('with a module or an expression that cannot run says which: CFG_TRANSFORM', async () => {
      await using scene = await Scene.make(await server(), ({ index }) => (index['transform'] = 'shape.ts'));
      expect((await scene.refusal('CFG_TRANSFORM')).message).toContain('shape.ts');
      await scene.write('shape.ts', 'export function shape(document) { return document; }\n');
      expect((await scene.refusal('CFG_TRANSFORM')).message).toContain('no exported function `transform`');
      await scene.write('shape.ts', 'export function transform(document) { return document; }\n');
      await scene.configure(({ index }) => (index['where'] = 'n >'));
      expect((await scene.refusal('CFG_TRANSFORM')).message).toContain('indices.items.where, column 4');
      await scene.configure(({ index }) => (index['where'] = 'n > 0'));
      await scene.mended();
    });
  });

  test('a source or index that does not exist is named with the nearest: USAGE', async () => {
    await using scene = await Scene.make(await server());
    expect((await scene.refusal('USAGE', ['run', '--rebuild', 'shpo'])).message).toContain('`shpo`; did you mean `shop`?');
    await scene.mended(['run', '--once', '--rebuild', 'shop']);
    expect((await scene.refusal('USAGE', ['search', 'itemz', 'x'])).message).toContain('did you mean `items`?');
    expect((await scene.cli(['search', 'items', '"item 7"'])).stdout).toContain('name: item 7');
  });

  test('a question that needs the daemon says where none answers: NOT_RUNNING', async () => {
    await using scene = await Scene.make(await server());
    const { message, hint } = await scene.refusal('NOT_RUNNING', ['status']);
    expect(message).toContain('No daemon runs');
    expect(hint).toContain('`tailrace run`');
    await using daemon = await scene.daemon();
    await daemon.event('index_serving');
    expect((await scene.cli(['status'])).code).toBe(0);
    await scene.inStep(daemon);
  });

  test('an index further behind than asked for is the answer no: BEHIND', async () => {
    await using scene = await Scene.make(await server());
    await using daemon = await scene.daemon();
    await daemon.event('index_serving');
    const file = new DatabaseSync(scene.data('search.db'));
    try {
      file.exec('BEGIN IMMEDIATE');
      await scene.sql("UPDATE items SET name = 'late' WHERE id = 1");
      await eventually('it is behind', 20_000, async () => (await scene.cli(['lag', '--max-seconds', '1'])).code === 1);
      expect((await scene.refusal('BEHIND', ['lag', '--max-seconds', '1'])).message).toContain('items');
      file.exec('ROLLBACK');
    } finally {
      file.close();
    }
    await scene.inStep(daemon);
    await eventually('it has caught up', 20_000, async () => (await scene.cli(['lag', '--max-seconds', '1'])).code === 0);
  });

  test('a daemon that hangs is not waited for for ever: TIMED_OUT', async () => {
    await using scene = await Scene.make(await server());
    await using daemon = await scene.daemon();
    await daemon.event('index_serving');
    daemon.kill('SIGSTOP');
    const { message, did } = await scene.refusal('TIMED_OUT', ['status']);
    expect(message).toContain('does not answer');
    expect(did).toBe('Nothing was changed.');
    daemon.kill('SIGCONT');
    expect((await scene.cli(['status'])).code).toBe(0);
    await scene.inStep(daemon);
  });
});
