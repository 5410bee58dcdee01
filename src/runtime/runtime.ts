/**
 * Everything the engine may know of the world outside: time, chance, disk, network, log lines. It is handed in, so that the production
 * engine also runs inside the simulator, where one seed decides all of it.
 */
import type { Clock } from './clock.ts';
import type { Disk } from './disk.ts';
import type { Logger } from './logger.ts';
import type { Random } from './random.ts';

export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
  readonly disk: Disk;
  readonly logger: Logger;
}
