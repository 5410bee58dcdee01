/** What an index of the embedded target holds, read from its file as any program may read it. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Documents by id. `folder` is the pipeline's data directory. */
export function documentsIn(folder: string, index: string): Record<string, unknown> {
  using file = new DatabaseSync(join(folder, 'search.db'), { readOnly: true });
  return Object.fromEntries(file.prepare(`SELECT id, document FROM "${index}" ORDER BY id`).all().map((row) => [String(row['id']), JSON.parse(String(row['document']))]));
}
