/**
 * From the return of COMMIT until another process's full-text query finds the new text, on an otherwise idle system.
 *
 * `node test/bench/commit-to-searchable.ts [--commits 300] [--major 18]`
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startPostgres } from '../engines/postgres.ts';
import { spawnTailrace } from '../engines/tailrace.ts';
import { median, percentile, printRows } from './measure.ts';
import { createItems, insertItems, withClient } from './postgres-rows.ts';

const { values } = parseArgs({ options: { commits: { type: 'string', default: '300' }, major: { type: 'string', default: '18' } } });
const commits = Number(values.commits);
const major = values.major === '15' ? 15 : 18;

/** Pause between commits: the system is idle when the next one comes. */
const PAUSE_MS = 20;
const DEADLINE_MS = 10_000;

await using server = await startPostgres({ major });
const url = server.url(await server.createDatabase());
await createItems(url);
await insertItems(url, 1, 1000, 1000);
const folder = await mkdtemp(join(tmpdir(), 'tailrace-bench-'));
try {
  await writeFile(join(folder, 'tailrace.yaml'), `sources: { shop: { type: postgres, url: "${url}" } }\nindices: { items: { from: shop.public.items } }\n`);
  await using daemon = await spawnTailrace(['run'], { cwd: folder });
  await daemon.event('index_serving');
  using database = new DatabaseSync(join(folder, 'tailrace-data', 'search.db'), { readOnly: true });
  const find = database.prepare('SELECT document FROM items WHERE id = ?');
  const waits: number[] = [];
  await withClient(url, async (client) => {
    for (let i = 1; i <= commits; i += 1) {
      await sleep(PAUSE_MS);
      const id = 1 + (i % 1000);
      await client.query('UPDATE items SET name = $2 WHERE id = $1', [id, `fresh ${i}`]);
      const startMs = performance.now();
      while (!String(find.get(String(id))?.['document']).includes(`"fresh ${i}"`)) {
        if (performance.now() - startMs > DEADLINE_MS) throw new Error(`commit ${i} was not searchable within ${DEADLINE_MS} ms`);
      }
      waits.push(performance.now() - startMs);
    }
  });
  printRows(`Commit to searchable, Postgres ${major} into SQLite, idle system, ${commits} commits`, [
    { what: 'p50', value: `${median(waits).toFixed(1)} ms`, bar: '<= 20 ms' },
    { what: 'p99', value: `${percentile(waits, 0.99).toFixed(1)} ms`, bar: '<= 100 ms' },
  ]);
} finally {
  await rm(folder, { recursive: true });
}
