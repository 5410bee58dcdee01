import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { takeLock } from '../../src/state/lock.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { DeadLetter } from '../../src/state/state-store.ts';
import { mayMount } from '../requirement.ts';

const letters = (seq: number): DeadLetter[] => Array.from({ length: 100 }, (_, i) => ({ index: 'items', generation: 1, id: `${seq}-${i}`, seq, code: 'DOC_FAILED', reason: 'r'.repeat(500), parkedAtMs: 1 }));

/** Takes the space that is left, to the last page. */
function fill(path: string): void {
  const file = openSync(path, 'w');
  try {
    expect(() => {
      for (;;) writeSync(file, Buffer.alloc(4096));
    }).toThrow('ENOSPC');
  } finally {
    closeSync(file);
  }
}

test.runIf(mayMount())('a full disk is told as what it is, leaves nothing half done, and is over when there is room', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tailrace-state-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
  try {
    const ballast = join(folder, 'ballast');
    fill(ballast);
    expect(() => takeLock(join(folder, 'lock.db'))).toThrow(expect.objectContaining({ code: 'DISK_FULL' }));
    expect(() => openSqliteState({ path: join(folder, 'state.db') })).toThrow(expect.objectContaining({ code: 'DISK_FULL' }));
    rmSync(ballast);
    using state = openSqliteState({ path: join(folder, 'state.db') });
    state.park(letters(1));
    fill(ballast);
    expect(() => {
      for (let seq = 2; ; seq += 1) state.park(letters(seq));
    }).toThrow(expect.objectContaining({ code: 'DISK_FULL' }));
    expect(state.deadLetterCount('items', 1) % 100).toBe(0);
    const before = state.deadLetterCount('items', 1);
    rmSync(ballast);
    state.park(letters(1000));
    expect(state.deadLetterCount('items', 1)).toBe(before + 100);
  } finally {
    execFileSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true });
  }
});
