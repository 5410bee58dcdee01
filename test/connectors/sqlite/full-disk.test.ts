import { execFileSync, spawnSync } from 'node:child_process';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { failureOn } from '../../../connectors/targets/sqlite/failure.ts';
import { Generation } from '../../../connectors/targets/sqlite/generation.ts';
import { fileSql, generationSql } from '../../../connectors/targets/sqlite/layout.ts';
import type { PackedBatch } from '../../../connectors/targets/sqlite/messages.ts';
import { granted } from '../../requirement.ts';
import { noFieldsText, temporaryFolder } from './folder.ts';
import { inspect } from './inspect.ts';

const writer = fileURLToPath(new URL('./full-disk-writer.ts', import.meta.url));

/** A disk of our own, in a namespace of our own, for as long as the program runs. */
const smallDisk = ['-rm', 'sh', '-c', 'mount -t tmpfs -o size=2m tmpfs "$1" && shift && exec "$@"', 'sh'];
const disk = spawnSync('unshare', [...smallDisk, '/tmp', 'true']);

describe('a full disk', () => {
  test.runIf(granted('a disk of its own to a test (unshare -rm and mount)', disk.status === 0))('pauses the target with nothing half done, and work goes on once there is space', { timeout: 60_000 }, () => {
    using folder = temporaryFolder();
    const said = execFileSync('unshare', [...smallDisk, folder.path, process.execPath, writer, folder.path], { encoding: 'utf8' });
    const [filled, freed, opened] = said.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    const before = filled?.['before'] as number;
    expect(before).toBeGreaterThan(0);
    expect(filled).toEqual({ outcome: 'TGT_BLOCKED', again: 'TGT_BLOCKED', left: [before, before], before });
    expect(freed).toEqual({ freed: 'done', left: [before + 1, before + 1], reached: before + 1 });
    expect(opened).toMatchObject({ opening: 'TGT_BLOCKED', freed: 'done' });
  });

  test('in the middle of a batch takes the whole batch back, its words and its cursor too', () => {
    using folder = temporaryFolder();
    const db = new DatabaseSync(folder.file);
    db.exec(fileSql + generationSql(1, noFieldsText));
    db.exec("INSERT INTO tailrace_generations (uid, index_name, generation, log_id, epoch, fingerprint, fields, text_plan) VALUES ('u', 'things', 1, 'l', 1, 'f', '[]', '{}')");
    const generation = new Generation(db, 1, noFieldsText);
    const batchAt = (version: number, count: number): PackedBatch => ({
      ids: Array.from({ length: count }, (_, i) => `k${i}`),
      versions: new BigInt64Array(count).fill(BigInt(version)),
      documents: Array.from({ length: count }, (_, i) => `{"t":"amber${version} ${'basalt '.repeat(100)} ${i}"}`),
      clearBelow: undefined,
      forgetBelow: undefined,
      cursor: version,
    });
    generation.apply(batchAt(1, 50));
    const { page_count: pages } = db.prepare('PRAGMA page_count').get() as { page_count: number };
    db.exec(`PRAGMA max_page_count = ${pages + 20}`);
    let thrown: unknown;
    try {
      generation.apply(batchAt(2, 500));
    } catch (error) {
      // What is thrown is what is tested.
      thrown = error;
    }
    expect(failureOn(folder.file, thrown).code).toBe('TGT_BLOCKED');
    expect(db.prepare('SELECT cursor, documents FROM tailrace_generations').get()).toEqual({ cursor: 1, documents: 50 });
    expect(db.prepare('SELECT count(*) AS n, max(version) AS v FROM tailrace_1_documents').get()).toEqual({ n: 50, v: 1 });
    db.exec('PRAGMA max_page_count = 1000000');
    generation.apply(batchAt(2, 500));
    db.close();
    inspect(folder.file);
  });
});
