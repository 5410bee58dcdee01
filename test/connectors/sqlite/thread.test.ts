import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { batchOf, put } from '../../contract/target-fixture.ts';
import { plan, temporaryFolder } from './folder.ts';

const { signal } = new AbortController();
const threadFile = new URL('./dying-worker.ts', import.meta.url);
const root = fileURLToPath(new URL('../../..', import.meta.url));

describe('the database thread', () => {
  test.each([
    ['exit', 'it ended'],
    ['throw', 'out of order'],
  ])('that dies (%s) fails the batch under way by name, and the next request finds a new one', async (id, reason) => {
    using folder = temporaryFolder();
    await using target = folder.target({ threadFile });
    const generation = await target.open(plan('things'), signal);
    await generation.promote(signal);
    await generation.apply(batchOf(1, put('a', 1n)), signal);
    const dying = generation.apply(batchOf(3, put('b', 2n), put(id, 3n)), signal);
    const queued = generation.apply(batchOf(4, put('c', 4n)), signal);
    await expect(dying).rejects.toMatchObject({ code: 'TGT_CONN', message: expect.stringContaining(reason) as unknown });
    expect(await queued).toEqual([{ outcome: 'applied' }]);
    expect((await target.fetch('things', ['a', 'b', 'c'], signal)).map((held) => held?.version ?? null)).toEqual([1n, null, 4n]);
    expect(await generation.cursor()).toBe(4);
  });

  test('finishes what it was asked for before it ends, and is asked for nothing afterwards', async () => {
    using folder = temporaryFolder();
    const target = folder.target();
    const generation = await target.open(plan('things'), signal);
    const last = generation.apply(batchOf(1, put('a', 1n)), signal);
    const closing = target[Symbol.asyncDispose]();
    await expect(generation.apply(batchOf(2, put('b', 2n)), signal)).rejects.toMatchObject({ code: 'TGT_CONN', message: expect.stringContaining('closed') as unknown });
    expect(await last).toEqual([{ outcome: 'applied' }]);
    await closing;
    await target[Symbol.asyncDispose]();
    expect(existsSync(`${folder.file}-wal`)).toBe(false);
  });

  test('that dies while it is closed leaves nothing waiting', async () => {
    using folder = temporaryFolder();
    const target = folder.target({ threadFile });
    const generation = await target.open(plan('things'), signal);
    const dying = generation.apply(batchOf(1, put('exit', 1n)), signal);
    const closing = target[Symbol.asyncDispose]();
    await expect(dying).rejects.toMatchObject({ code: 'TGT_CONN' });
    await closing;
  });

  test('of a target that was never used is never started', async () => {
    using folder = temporaryFolder();
    const before = process.getActiveResourcesInfo().length;
    const target = folder.target();
    await target[Symbol.asyncDispose]();
    expect(process.getActiveResourcesInfo().length).toBe(before);
  });

  test('runs from the built package as it does from the sources', { timeout: 60_000 }, () => {
    using folder = temporaryFolder();
    const config = { extends: join(root, 'tsconfig.json'), compilerOptions: { noEmit: false, outDir: join(folder.path, 'dist'), rootDir: root }, include: [], files: [join(root, 'connectors/targets/sqlite/index.ts'), join(root, 'connectors/targets/sqlite/worker.ts'), join(root, 'test/connectors/sqlite/connect.ts')] };
    writeFileSync(join(folder.path, 'tsconfig.json'), JSON.stringify({ ...config, compilerOptions: { ...config.compilerOptions, typeRoots: [join(root, 'node_modules/@types')] } }));
    execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder.path]);
    writeFileSync(join(folder.path, 'dist/package.json'), '{"type":"module"}');
    symlinkSync(join(root, 'node_modules'), join(folder.path, 'dist/node_modules'));
    mkdirSync(join(folder.path, 'data'));
    const script = `
      import { connect } from './test/connectors/sqlite/connect.js';
      const { signal } = new AbortController();
      const target = await connect(process.argv[1]);
      const generation = await target.open(${JSON.stringify(plan('things'))}, signal);
      const [result] = await generation.apply({ operations: [{ kind: 'put', id: 'a', version: 1n, document: '{}' }], cursor: 1 }, signal);
      await target[Symbol.asyncDispose]();
      console.log(result.outcome);`;
    const said = execFileSync(process.execPath, ['--no-strip-types', '--input-type=module', '-e', script, join(folder.path, 'data')], { cwd: join(folder.path, 'dist'), encoding: 'utf8' });
    expect(said.trim()).toBe('applied');
  });
});
