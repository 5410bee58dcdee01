/** A thread that reads without a gap: each read transaction begins before the one before it ends. Ends when it is told to. */
import { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

const READ_MS = 20;

const { path } = workerData as { path: string };
const readers = [new DatabaseSync(path, { readOnly: true }), new DatabaseSync(path, { readOnly: true })] as const;
let turn = 0;

function begin(db: DatabaseSync): void {
  db.exec('BEGIN');
  db.prepare('SELECT count(*) FROM tailrace_generations').get();
}

begin(readers[0]);
parentPort?.postMessage('reading');
const reading = setInterval(() => {
  const [now, next] = turn % 2 === 0 ? readers : [readers[1], readers[0]];
  begin(next);
  now.exec('COMMIT');
  turn += 1;
}, READ_MS);
parentPort?.once('message', () => {
  clearInterval(reading);
  for (const db of readers) db.close();
});
