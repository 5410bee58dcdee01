/** `npm run bench`: every bench of this folder, one after the other, each in a process of its own. Names on the command line choose some. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const benches = ['log-append', 'postgres-decode', 'postgres-capture', 'postgres-snapshot', 'document-build', 'sqlite-apply', 'commit-to-searchable', 'opensearch-apply', 'opensearch-end-to-end', 'opensearch-searchable', 'verify'];

const chosen = process.argv.slice(2);
let failed = 0;
for (const name of chosen.length === 0 ? benches : chosen) {
  const { status } = spawnSync(process.execPath, [fileURLToPath(new URL(`./${name}.ts`, import.meta.url))], { stdio: 'inherit' });
  if (status !== 0) {
    console.error(`bench ${name} ended with ${status}`);
    failed += 1;
  }
}
process.exitCode = failed === 0 ? 0 : 1;
