import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { takeLock } from '../../src/state/lock.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tailrace-lock-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('the lock of a data directory', () => {
  test('is held by one at a time, and free again when it is given back', () => {
    const path = join(folder, 'lock.db');
    {
      using _held = takeLock(path);
      expect(() => takeLock(path)).toThrow(expect.objectContaining({ code: 'LOCK_HELD' }));
    }
    using _again = takeLock(path);
  });

  test('is held against another process, and freed by its death however sudden', async () => {
    const path = join(folder, 'lock.db');
    const program = `import { takeLock } from ${JSON.stringify(new URL('../../src/state/lock.ts', import.meta.url).href)};
      globalThis.held = takeLock(${JSON.stringify(path)}); console.log('held'); setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module-typescript', '--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      await new Promise<void>((resolve) => child.stdout.once('data', () => resolve()));
      expect(() => takeLock(path)).toThrow(expect.objectContaining({ code: 'LOCK_HELD' }));
    } finally {
      const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.kill('SIGKILL');
      await exited;
    }
    using _free = takeLock(path);
  });
});
