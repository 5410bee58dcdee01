/** How tests, and the processes that they kill, come to a SQLite target in a folder. */
import { join } from 'node:path';
import { sqliteTarget } from '../../../connectors/targets/sqlite/index.ts';
import type { Target } from '../../../src/connector/target.ts';
import { silentLogger } from '../../../src/runtime/logger.ts';
import { nodeRuntime } from '../../../src/runtime/node/runtime.ts';

export async function connect(folder: string): Promise<Target> {
  return sqliteTarget.create(sqliteTarget.configSchema.parse({ type: 'sqlite' }), { name: 'search', runtime: nodeRuntime(silentLogger), dataDirectory: folder });
}

export function fileIn(folder: string): string {
  return join(folder, 'search.db');
}
