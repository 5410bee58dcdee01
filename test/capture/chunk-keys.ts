/** The keys of a chunk one by one, as tests look at them. */
import type { Chunk } from '../../src/connector/source.ts';

export function keysOf({ keyBytes, keyOffsets }: Pick<Chunk, 'keyBytes' | 'keyOffsets'>): Uint8Array[] {
  return keyOffsets.slice(1).map((end, i) => keyBytes.subarray(keyOffsets[i], end));
}
