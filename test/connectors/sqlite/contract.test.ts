import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { targetContract } from '../../contract/target.ts';
import { connect, fileIn } from './connect.ts';
import { inspect } from './inspect.ts';

targetContract('the SQLite target', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-sqlite-'));
  return {
    connect: () => connect(folder),
    poison: (id, version) => ({ kind: 'put', id, version, document: `{"id":"${id}","text":` }),
    process: { module: new URL('./connect.ts', import.meta.url).href, argument: folder },
    inspect: async () => void inspect(fileIn(folder)),
    [Symbol.asyncDispose]: async () => rmSync(folder, { recursive: true }),
  };
});
