/** The runtime that production uses. */
import type { Logger } from '../logger.ts';
import type { Runtime } from '../runtime.ts';
import { nodeClock } from './clock.ts';
import { nodeDisk } from './disk.ts';
import { nodeRandom } from './random.ts';

export function nodeRuntime(logger: Logger): Runtime {
  return { clock: nodeClock, random: nodeRandom, disk: nodeDisk, logger };
}
