/** The embedded log keeps the contract of log stores: on a simulated disk that loses power, and in a folder of this machine. */
import { join } from 'node:path';
import { nodeRuntime } from '../../src/runtime/node/runtime.ts';
import { silentLogger } from '../../src/runtime/logger.ts';
import { openLog } from '../../src/log/open.ts';
import { logStoreContract } from '../contract/log-store.ts';
import { optionsOf, temporaryFolder } from './fixtures.ts';
import { simRuntime } from './sim-runtime.ts';

/** Small enough for retention to have something to remove. */
const segmentBytes = 4 * 1024;

logStoreContract('the embedded log', async () => {
  const { sim } = simRuntime();
  return { open: async () => openLog(optionsOf('/log', { segmentBytes }), simRuntime(sim)), crash: () => sim.crash('power'), removes: true, [Symbol.asyncDispose]: async () => {} };
});

logStoreContract('the embedded log on a real disk', async () => {
  const folder = await temporaryFolder();
  const runtime = nodeRuntime(silentLogger);
  return { open: async () => openLog(optionsOf(join(folder.path, 'log'), { segmentBytes }), runtime), removes: true, [Symbol.asyncDispose]: async () => folder[Symbol.asyncDispose]() };
});
