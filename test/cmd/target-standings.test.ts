/** What is said of indices without a daemon, by asking their targets. */
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { TargetStandings } from '../../cmd/daemon/target-standings.ts';
import { sqliteTarget } from '../../connectors/targets/sqlite/index.ts';
import { SqliteTarget } from '../../connectors/targets/sqlite/target.ts';
import type { TailraceConfig } from '../../src/config/definition.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { openSqliteState } from '../../src/state/sqlite-state.ts';
import type { GenerationRecord } from '../../src/state/state-store.ts';

const never = new AbortController().signal;
const record: GenerationRecord = { index: 'items', generation: 1, phase: 'serving', startSeq: 3, fingerprint: 'f', definition: '', incarnation: '', reason: 'new', wholeSeq: 3, held: false, abandoned: false, createdAtMs: 0, retiredAtMs: null };

test('a generation that its readers do not find is said to be so, where it is all the same', async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'tailrace-standings-'));
  const path = join(folder.path, 'search.db');
  {
    await using target = new SqliteTarget({ name: 'search', path, text: { tokenizer: 'unicode61', removeDiacritics: true } });
    await using generation = await target.open({ index: 'items', generation: 1, binding: { logId: 'l', epoch: 1, fingerprint: 'f' }, fields: [], isBuilding: false, options: {} }, never);
    await generation.apply({ operations: [], cursor: 7 }, never);
    await generation.promote(never);
  }
  using state = openSqliteState({ path: join(folder.path, 'state.db') });
  state.putGenerations(record);
  const config = { data_directory: folder.path, targets: [{ name: 'search', type: 'sqlite', settings: sqliteTarget.configSchema.parse({ type: 'sqlite', path }) }], indices: [{ name: 'items', to: 'search' }] } as unknown as TailraceConfig;
  const look = async (): Promise<unknown> => (await TargetStandings.look(config, state, nodeRuntime(silentLogger))).of(record, 'search');
  expect(await look()).toEqual({ cursor: 7, error: null });
  const db = new DatabaseSync(path);
  db.exec('DROP VIEW items');
  db.close();
  expect(await look()).toMatchObject({ cursor: 7, error: { code: 'TGT_IDENTITY', message: expect.stringContaining('find nothing at target search') as unknown } });
});
