/** tailrace as a library: the entry of the package, in a program of somebody's own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { codeOf, defineConfig, Secret, startPipeline } from '../../cmd/library.ts';
import { describePostgres } from './postgres.ts';

describePostgres([18], (postgres) => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tailrace-library-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test('a config in TypeScript starts a pipeline that catches up, searches, and stops when it is disposed', async () => {
    const server = await postgres.server();
    const database = await server.createDatabase();
    await server.query("CREATE TABLE products (id int PRIMARY KEY, name text); INSERT INTO products VALUES (1, 'desk lamp'), (2, 'teapot')", database);
    const transform = join(folder, 'upper.ts');
    writeFileSync(transform, 'export const transform = (document: { name: string }) => ({ ...document, name: document.name.toUpperCase() });\n');
    const config = defineConfig({
      data_directory: join(folder, 'data'),
      sources: { shop: { type: 'postgres', url: new Secret(server.url(database)) } },
      indices: { products: { from: 'shop.public.products', transform } },
    });
    {
      await using pipeline = await startPipeline(config);
      await pipeline.caughtUp(AbortSignal.timeout(60_000));
      expect(await pipeline.search({ index: 'products', text: 'lamp', limit: 5 }, AbortSignal.timeout(10_000))).toMatchObject([{ id: '1', document: '{"id":1,"name":"DESK LAMP"}' }]);
      expect(pipeline.status()).toMatchObject({ sources: [{ name: 'shop', phase: 'streaming' }], indices: [{ name: 'products', phase: 'serving' }] });
      await expect(startPipeline(config)).rejects.toMatchObject({ code: 'LOCK_HELD' });
    }
    await using again = await startPipeline(config);
    await again.caughtUp(AbortSignal.timeout(60_000));
    expect(again.status().indices[0]?.counters.applied).toBe(0);
  });
});

test('a config that is wrong is refused with the same words as a file', () => {
  const wrong = { sources: { shop: { type: 'postgres', url: 'postgres://h/d', slott: 'x' } }, indices: { products: { from: 'shop.public.products' } } } as never;
  let thrown: unknown;
  try {
    defineConfig(wrong);
  } catch (error) {
    thrown = error;
  }
  expect(codeOf(thrown)).toBe('CFG_INVALID');
  expect((thrown as Error).message).toContain('`slott` is not known here; did you mean `slot`?');
});
