/** Real chance. */
import { randomBytes } from 'node:crypto';
import type { Random } from '../random.ts';

export const nodeRandom: Random = {
  fraction: () => Math.random(),
  hex: (length) => randomBytes(length).toString('hex'),
};
