/** A database thread that dies of certain requests: of writing the id `exit`, of writing the id `throw`. */
import { parentPort } from 'node:worker_threads';

parentPort?.addEventListener('message', (event) => {
  const { body } = (event as unknown as { data: { body?: { batch?: { ids: readonly string[] } } | null } }).data;
  const ids = body?.batch?.ids ?? [];
  if (ids.includes('exit')) process.exit(3);
  if (!ids.includes('throw')) return;
  event.stopImmediatePropagation();
  throw new Error('out of order');
});
await import('../../../connectors/targets/sqlite/worker.ts');
